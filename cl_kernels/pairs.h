/* SPDX-License-Identifier: MIT */
/* The sums over a feature's pairs begin .. end - 1 for a block of columns, in ascending samples: the text of each kernel that makes such
 * sums includes this where dd (of D's gradient) and de (of E's) of the block from `column` on are zero. `residual` and `above` have their
 * START. With the first block it makes the pairs' scores, too, and the sums of scalars; a barrier is due after it, since later blocks read
 * the scores from `pair_terms`.
 *
 * It uses, of the kernel that includes it:
 *   bindings   pairs, samples, flags, pair_terms, D, x, residual, above
 *   arguments  p.rho, p.bandwidth, and p.range_rows where D is in ranges
 *   feature    i; flag, its flags, and plain, true where perturbation plays no part; range and at, where its row of D is; threshold, lambda
 *   block      column; width of a row; begin, end
 *   sums       dd, de; radial, squares, bias_gradient, threshold_gradient, own_term, parent_term, product
 *   local      partial, of 4 WG floats */

/* G, the residual that the feature is trained on, where perturbation plays a part. */
#define TARGET_RESIDUAL(at)                                                                                   \
    ((flag & FLAG_SWAPPED) != 0u ? ((flag & FLAG_PARENT_SWAPPED) != 0u ? FROM_START(above, at) : splat(0.0f)) \
                                 : FROM_START(residual, at) + FROM_START(above, at))
/* array[at] = value, of an array that stays in registers. */
#define INSERT(array, at, value) UNROLL for (u32 m = 0u; m < PAIRS_PER_PASS; m++) array[m] = m == (at) ? (value) : array[m];
/* EACH_COLUMN with the bounds check inside the loop: cheap next to `statement`, and half the code size. */
#define EACH_COLUMN_CHECKED(column, statement) \
    UNROLL for (u32 k = 0u; k < COLS; k++)     \
    {                                          \
        idx c = (column) + k * WG + LANE;      \
        if (c < width) {                       \
            statement;                         \
        }                                      \
    }
/* q[j] = the work-item's part of D_i . the residual of the j-th pair; on the way, the first block's columns of it, times a, onto the
 * gradient. */
#define ADD_PRODUCT(m, element) q[j] = fma_f32(old.element, target.element, q[j]);
#define SCORE_PAIRS()                                                                                                \
    {                                                                                                                \
        EACH_COLUMN_CHECKED(0u, vf old = FETCH(D, range, at + c);                                                    \
                            EACH_PAIR(vf target = FROM_START(residual, line[j] + c);                                 \
                                      EACH_ELEMENT(ADD_PRODUCT) dd[k] = fma_vf(splat(a[j]), target, dd[k])))         \
        for (idx rest = WG * COLS; rest < width; rest += WG * COLS)                                                  \
            EACH_COLUMN_CHECKED(rest, vf old = FETCH(D, range, at + c);                                              \
                                EACH_PAIR(vf target = FROM_START(residual, line[j] + c); EACH_ELEMENT(ADD_PRODUCT))) \
    }
#define ADD_PAIRS(weight, term, to) EACH_COLUMN_CHECKED(column, EACH_PAIR(to[k] = fma_vf(splat(weight), term, to[k])))
/* sum[j] over the work-group, to all work-items. In a round all pairs are folded to an eighth at once, by a work-item for each sum that is
 * left, until 8 or fewer are, which every work-item adds up: 4 barriers for 256 work-items. */
#define SUM_PAIRS(sum)                                                                                              \
    {                                                                                                               \
        u32 sums_left = WG;                                                                                         \
        LOCAL_BARRIER();                                                                                            \
        EACH_PAIR(partial[j * WG + LANE] = sum[j])                                                                  \
        LOCAL_BARRIER();                                                                                            \
        while (sums_left > 8u) {                                                                                    \
            sums_left /= 8u;                                                                                        \
            u32 sum_of = LANE / sums_left, place = sum_of * WG + LANE % sums_left;                                  \
            if (sum_of < PAIRS_PER_PASS) {                                                                          \
                f32 eighth = partial[place];                                                                        \
                UNROLL for (u32 m = 1u; m < 8u; m++) eighth += partial[place + m * sums_left];                      \
                partial[place] = eighth;                                                                            \
            }                                                                                                       \
            LOCAL_BARRIER();                                                                                        \
        }                                                                                                           \
        EACH_PAIR(sum[j] = partial[j * WG]; for (u32 m = 1u; m < sums_left; m++) sum[j] += partial[j * WG + m])     \
    }
/* SCORE_PAIRS of one row, whose vector c is `term`: sum is the work-item's part. */
#define SCORE_ROW(sum, term, weight)                                                                          \
    {                                                                                                         \
        vf chain = splat(0.0f);                                                                               \
        EACH_COLUMN_CHECKED(0u, vf row_part = term; chain = fma_vf(FETCH(D, range, at + c), row_part, chain); \
                            dd[k] = fma_vf(splat(weight), row_part, dd[k]))                                   \
        for (idx rest = WG * COLS; rest < width; rest += WG * COLS)                                           \
            EACH_COLUMN_CHECKED(rest, chain = fma_vf(FETCH(D, range, at + c), term, chain))                   \
        sum = sum_vf(chain);                                                                                  \
    }
#define ADD_ROW(term, weight) EACH_COLUMN_CHECKED(column, dd[k] = fma_vf(splat(weight), term, dd[k]))
/* The constraint's part of a pair's score but for its siblings, and the scalars. */
#define COUNT_PAIR(j, at)                                                                                             \
    {                                                                                                                 \
        if (p.rho != 0.0f) {                                                                                          \
            f32 own_side = bits_f32(pair_terms[at + PAIR_OWN]), parent_side = bits_f32(pair_terms[at + PAIR_PARENT]); \
            q[j] += 2.0f * p.rho * (own_side - parent_side);                                                          \
            own_term = fma_f32(a[j], own_side, own_term);                                                             \
            parent_term = fma_f32(a[j], parent_side, parent_term);                                                    \
            product = fma_f32(a[j], bits_f32(pair_terms[at + PAIR_PARENT_ACT]), product);                             \
        }                                                                                                             \
        if (LANE == 0u)                                                                                               \
            pair_terms[at + PAIR_SCORE] = bits_u32(q[j]);                                                             \
        radial = fma_f32(a[j], q[j], radial);                                                                         \
        squares = fma_f32(a[j], a[j], squares);                                                                       \
        bias_gradient += a[j] > 0.0f ? q[j] : 0.0f;                                                                   \
        if (abs_f32(bits_f32(pairs[2u * (pair + j) + 1u]) - threshold) < 0.5f * p.bandwidth)                          \
            threshold_gradient -= fma_f32(threshold, q[j], lambda);                                                   \
    }
/* Where a relative's row of D is: other_range, other_at. */
#define FIND_ROW(feature)                                                \
    u32 other = FLAG_ROW(flags[feature]), other_range = RANGE_OF(other); \
    idx other_at = IN_RANGE(other, other_range) * width;

/* PAIRS_PER_PASS at a time; the last pair fills up the last pass, with weight 0. */
for (u32 pair = begin; pair < end; pair += PAIRS_PER_PASS) {
    u32 count = min(PAIRS_PER_PASS, end - pair);
    idx line[PAIRS_PER_PASS];
    f32 a[PAIRS_PER_PASS], q[PAIRS_PER_PASS];
    EACH_PAIR(u32 here = pair + min(j, count - 1u); line[j] = pairs[2u * here] * width; a[j] = bits_f32(pairs[2u * here + 1u]);
              a[j] = j < count && a[j] > threshold ? a[j] : 0.0f;
              q[j] = column != 0u ? bits_f32(pair_terms[here * PAIR_WORDS + PAIR_SCORE]) : 0.0f)
    if (plain && column == 0u)
        SCORE_PAIRS()
    else if (plain)
        ADD_PAIRS(a[j], FROM_START(residual, line[j] + c), dd)
    else
        for (u32 which = 0u; which < count; which++) {
            idx row_line = pairs[2u * (pair + which)] * width;
            f32 act = bits_f32(pairs[2u * (pair + which) + 1u]), dot;
            act = act > threshold ? act : 0.0f;
            if (column == 0u) {
                SCORE_ROW(dot, TARGET_RESIDUAL(row_line + c), act)
                INSERT(q, which, dot)
            } else {
                ADD_ROW(TARGET_RESIDUAL(row_line + c), act)
            }
        }
    if (column == 0u) {
        SUM_PAIRS(q)
        EACH_PAIR(q[j] *= 2.0f)
    }
    if (p.rho != 0.0f)
        for (u32 which = 0u; which < count; which++) {
            u32 first = pair_terms[(pair + which) * PAIR_WORDS + PAIR_FIRST], last = pair_terms[(pair + which) * PAIR_WORDS + PAIR_END];
            if (last <= first + 1u)
                continue; /* no siblings */
            f32 own_act = bits_f32(pairs[2u * (pair + which) + 1u]), products = 0.0f;
            own_act = own_act > threshold ? own_act : 0.0f;
            for (u32 s = first; s < last; s++) {
                u32 sibling = samples[2u * s];
                f32 act = bits_f32(samples[2u * s + 1u]), weight = p.rho * own_act * act, dot;
                if (sibling == i || act == 0.0f)
                    continue;
                FIND_ROW(sibling)
                if (column != 0u) {
                    ADD_ROW(FETCH(D, other_range, other_at + c), weight)
                } else {
                    SCORE_ROW(dot, FETCH(D, other_range, other_at + c), weight)
                    products = fma_f32(act, dot, products);
                }
            }
            if (column != 0u)
                continue;
            WG_SUM(partial, products);
            INSERT(q, which, q[m] + 2.0f * p.rho * partial[0])
            parent_term = fma_f32(-own_act, partial[0], parent_term);
        }
    if (column == 0u)
        EACH_PAIR(if (j < count) COUNT_PAIR(j, (pair + j) * PAIR_WORDS))
    ADD_PAIRS(a[j] > 0.0f ? q[j] : 0.0f, x[line[j] + c], de)
}
