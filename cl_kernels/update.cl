/* One feature a work-group: the scores q of its pairs, the gradients of its rows of E and D, of b and log theta, then Adam with lazy decay and the
 * renormalisation of D, each row read and written once. The old row of D stays readable for relatives: the new one goes to a free row
 * (kernel_args.h: places). Whole trees are updated together, their levels from the last to the first, since a parent needs its children's
 * TERM_PRODUCT. Sums over the batch run in ascending samples. */

/* G, the residual that the feature answers to, where perturbation plays a part. */
#define ANSWER(at)                                                                                                                    \
    ((flag & FLAG_SWAPPED) != 0u ? ((flag & FLAG_PARENT_SWAPPED) != 0u ? above[at] : splat(0.0f)) : residual[at] + above[at])
/* Pairs are taken PAIRS at a time; behind the last one it stands in with weight 0. */
/* array[at] = value, of an array that stays in registers. */
#define INSERT(array, at, value) UNROLL for (u32 m = 0u; m < PAIRS; m++) array[m] = m == (at) ? (value) : array[m];
/* As EACH_COLUMN, but short: `statement` has enough to do to hide the question. */
#define EACH_COLUMN_ONCE(column, statement)                                                                                           \
    UNROLL for (u32 k = 0u; k < COLS; k++) {                                                                                          \
        idx c = (column) + k * WG + LANE;                                                                                             \
        if (c < width) {                                                                                                              \
            statement;                                                                                                                \
        }                                                                                                                             \
    }
/* q[j] = the work-item's part of D_i . the residual of the j-th pair; on the way, the first block's columns of it, times a, onto the gradient. */
#define ADD_PRODUCT(m, element) q[j] = fma_f32(old.element, answer.element, q[j]);
#define SCORE_PAIRS()                                                                                                                 \
    {                                                                                                                                 \
        EACH_COLUMN_ONCE(0u, vf old = FETCH(D, range, at + c);                                                                        \
                         EACH_PAIR(vf answer = residual[line[j] + c]; EACH_ELEMENT(ADD_PRODUCT)                                       \
                                   dd[k] = fma_vf(splat(a[j]), answer, dd[k])))                                                       \
        for (idx rest = WG * COLS; rest < width; rest += WG * COLS)                                                                   \
            EACH_COLUMN_ONCE(rest, vf old = FETCH(D, range, at + c);                                                                  \
                             EACH_PAIR(vf answer = residual[line[j] + c]; EACH_ELEMENT(ADD_PRODUCT)))                                 \
    }
#define ADD_PAIRS(weight, rows, to) EACH_COLUMN_ONCE(column, EACH_PAIR(to[k] = fma_vf(splat(weight), rows[line[j] + c], to[k])))
/* sum[j] over the work-group, to all work-items. */
#define SUM_PAIRS(sum)                                                                                                                \
    LOCAL_BARRIER();                                                                                                                  \
    part[LANE] = sum[0], part1[LANE] = sum[1], part2[LANE] = sum[2], part3[LANE] = sum[3];                                            \
    LOCAL_BARRIER();                                                                                                                  \
    for (u32 stride = WG / 2u; stride > 0u; stride /= 2u) {                                                                           \
        if (LANE < stride) {                                                                                                          \
            part[LANE] += part[LANE + stride];                                                                                        \
            part1[LANE] += part1[LANE + stride];                                                                                      \
            part2[LANE] += part2[LANE + stride];                                                                                      \
            part3[LANE] += part3[LANE + stride];                                                                                      \
        }                                                                                                                             \
        LOCAL_BARRIER();                                                                                                              \
    }                                                                                                                                 \
    sum[0] = part[0], sum[1] = part1[0], sum[2] = part2[0], sum[3] = part3[0];
/* SCORE_PAIRS of one row, whose vector c is `term`: sum is the work-item's part. */
#define SCORE_ROW(sum, term, weight)                                                                                                  \
    {                                                                                                                                 \
        vf chain = splat(0.0f);                                                                                                       \
        EACH_COLUMN_ONCE(0u, vf row_part = term; chain = fma_vf(FETCH(D, range, at + c), row_part, chain);                            \
                         dd[k] = fma_vf(splat(weight), row_part, dd[k]))                                                              \
        for (idx rest = WG * COLS; rest < width; rest += WG * COLS)                                                                   \
            EACH_COLUMN_ONCE(rest, chain = fma_vf(FETCH(D, range, at + c), term, chain))                                              \
        sum = sum_vf(chain);                                                                                                          \
    }
#define ADD_ROW(term, weight) EACH_COLUMN_ONCE(column, dd[k] = fma_vf(splat(weight), term, dd[k]))
/* The constraint's part of a pair's score but for its siblings, and the scalars. */
#define COUNT_PAIR(j, at_kin)                                                                                                         \
    {                                                                                                                                 \
        if (p.rho != 0.0f) {                                                                                                          \
            f32 own_side = bits_f32(kin[at_kin + KIN_OWN]), parent_side = bits_f32(kin[at_kin + KIN_PARENT]);                         \
            q[j] += 2.0f * p.rho * (own_side - parent_side);                                                                          \
            own_term = fma_f32(a[j], own_side, own_term);                                                                             \
            parent_term = fma_f32(a[j], parent_side, parent_term);                                                                    \
            product = fma_f32(a[j], bits_f32(kin[at_kin + KIN_PARENT_ACT]), product);                                                 \
        }                                                                                                                             \
        if (LANE == 0u)                                                                                                               \
            kin[at_kin + KIN_SCORE] = bits_u32(q[j]);                                                                                 \
        radial = fma_f32(a[j], q[j], radial);                                                                                         \
        squares = fma_f32(a[j], a[j], squares);                                                                                       \
        bias_gradient += a[j] > 0.0f ? q[j] : 0.0f;                                                                                   \
        if (abs_f32(bits_f32(pairs[2u * (pair + j) + 1u]) - threshold) < 0.5f * p.bandwidth)                                          \
            threshold_gradient -= fma_f32(threshold, q[j], lambda);                                                                   \
    }
/* Where a relative's row of D is: other_range, other_at. */
#define FIND_ROW(feature)                                                                                                             \
    u32 other = FLAG_ROW(flags[feature]), other_range = RANGE_OF(other);                                                              \
    idx other_at = IN_RANGE(other, other_range) * width;

/* Adam of element vector c, whose sums over the batch are in dd[k] and de[k]; D before its renormalisation. */
#define STEP_COLUMN(k, c)                                                                                                             \
    {                                                                                                                                 \
        vf old = FETCH(D, range, at + c);                                                                                             \
        vf gradient = splat(2.0f * share) * fma_vf(splat(self_weight), old, dd[k]);                                                   \
        vf encoder_gradient = splat(share) * de[k];                                                                                   \
        if (p.dead != 0u) {                                                                                                           \
            gradient = fma_vf(splat(share), ghosts[ghost_row + c], gradient);                                                         \
            encoder_gradient = fma_vf(splat(share), ghosts[ghost_row + width + tail + c], encoder_gradient);                          \
        }                                                                                                                             \
        gradient = fma_vf(splat(-radial), old, gradient);                                                                             \
        vf v = splat(decay) * decoder_v[own + c] + splat(p.one_minus_beta2) * gradient * gradient;                                    \
        decoder_v[own + c] = v;                                                                                                       \
        vf moved = old - splat(rate) * gradient / (sqrt_vf(v * splat(correction)) + splat(p.epsilon));                                \
        norm += sum_vf(moved * moved);                                                                                                \
        dd[k] = moved;                                                                                                                \
        v = splat(decay) * encoder_v[own + c] + splat(p.one_minus_beta2) * encoder_gradient * encoder_gradient;                       \
        encoder_v[own + c] = v;                                                                                                       \
        encoder[own + c] = encoder[own + c] - splat(rate) * encoder_gradient / (sqrt_vf(v * splat(correction)) + splat(p.epsilon));   \
    }

KERNEL_18(update, READ(0, u32, control), READ(1, u32, tree), READ(2, u32, flags), READ(3, u32, starts), READ(4, u32, pairs),
          READ(5, u32, samples), MODIFY(6, u32, kin), MODIFY(7, f32, terms), MODIFY4(8, vf, D), MODIFY(12, vf, encoder),
          MODIFY(13, vf, encoder_v), MODIFY(14, vf, decoder_v), MODIFY(15, u32, table), MODIFY(16, u32, places), READ(17, vf, x),
          READ(18, vf, residual), READ(19, vf, above), READ(20, vf, ghosts))
LOCALS_4(LOCAL(f32, part, WG), LOCAL(f32, part1, WG), LOCAL(f32, part2, WG), LOCAL(f32, part3, WG))
BEGIN(update)
    if (control[CONTROL_HALT] != 0u)
        return;
    u32 i = NONE, rank = p.rank + GROUP, width = p.stride / VW;
    if (p.dead != 0u) {
        u32 place = p.chunk + GROUP;
        if (GROUP >= p.dead || place >= control[CONTROL_LEVELS + p.level * CONTROL_LEVEL_WORDS + CONTROL_DEAD])
            return;
        i = control[CONTROL_DEAD_LIST + p.level_first + place];
        rank = tree[i * TREE_WORDS + TREE_RANK];
    }
    if (rank - p.rank >= p.ranks)
        return;
    i = tree[rank * TREE_WORDS + TREE_AT_RANK];
    if (i - p.base >= p.range_rows)
        return;
    u32 flag = flags[i], begin = starts[i], end = starts[i + 1u];
    if (p.dead == 0u && p.ghosts != 0u && (flag & FLAG_DEAD) != 0u)
        return;
    if (p.dead == 0u && begin == end) {
        for (u32 k = LANE; k < TERM_WORDS; k += WG)
            terms[i * TERM_WORDS + k] = 0.0f;
        return;
    }
    u32 row = FLAG_ROW(flag), range = RANGE_OF(row);
    idx at = IN_RANGE(row, range) * width;
    bool plain = (flag & (FLAG_SWAPPED | FLAG_PARENT_SWAPPED)) == 0u;
    f32 threshold = bits_f32(table[i * TABLE_WORDS + TABLE_THRESHOLD]);
    f32 lambda = bits_f32(control[CONTROL_LEVELS + p.level * CONTROL_LEVEL_WORDS + CONTROL_LAMBDA]);
    f32 radial = 0.0f, bias_gradient = 0.0f, threshold_gradient = 0.0f, squares = 0.0f;
    f32 own_term = 0.0f, parent_term = 0.0f, product = 0.0f;
    f32 share = 1.0f / to_f32(p.rows);
    f32 rate = bits_f32(control[CONTROL_RATE]), correction = bits_f32(control[CONTROL_CORRECTION]);
    f32 decay = exp2_f32(p.log2_beta2 * to_f32(control[CONTROL_STEP] - table[i * TABLE_WORDS + TABLE_ROW_STEP]));
    u32 parent = tree[i * TREE_WORDS + TREE_PARENT], children = tree[i * TREE_WORDS + TREE_CHILD_COUNT];
    u32 child_first = tree[i * TREE_WORDS + TREE_CHILD_FIRST];
    u32 spare = p.spare + rank - p.rank, next = places[spare], next_range = RANGE_OF(next);
    idx next_at = IN_RANGE(next, next_range) * width, own = (i - p.base) * width;
    u32 tail = 16u / VW, ghost_row = 2u * GROUP * (width + tail);
    f32 norm = 0.0f;
    vf dd[COLS];

    /* Gradients and Adam, a block of columns at a time; with the first one the scores, q = 2 D_i . G + 2 rho D_i . (u_i - u_parent), so that its
     * rows are read once. */
    for (idx column = 0u; column < width; column += WG * COLS) {
        vf de[COLS];
        CLEAR_COLUMNS(dd, column, width)
        CLEAR_COLUMNS(de, column, width)
        for (u32 pair = begin; pair < end; pair += PAIRS) {
            u32 count = min(PAIRS, end - pair);
            idx line[PAIRS];
            f32 a[PAIRS], q[PAIRS];
            EACH_PAIR(u32 here = pair + min(j, count - 1u); line[j] = pairs[2u * here] * width; a[j] = bits_f32(pairs[2u * here + 1u]);
                      a[j] = j < count && a[j] > threshold ? a[j] : 0.0f;
                      q[j] = column != 0u ? bits_f32(kin[here * KIN_WORDS + KIN_SCORE]) : 0.0f)
            if (plain && column == 0u)
                SCORE_PAIRS()
            else if (plain)
                ADD_PAIRS(a[j], residual, dd)
            else
                for (u32 which = 0u; which < count; which++) {
                    idx row_line = pairs[2u * (pair + which)] * width;
                    f32 act = bits_f32(pairs[2u * (pair + which) + 1u]), dot;
                    act = act > threshold ? act : 0.0f;
                    if (column == 0u) {
                        SCORE_ROW(dot, ANSWER(row_line + c), act)
                        INSERT(q, which, dot)
                    } else {
                        ADD_ROW(ANSWER(row_line + c), act)
                    }
                }
            if (column == 0u) {
                SUM_PAIRS(q)
                EACH_PAIR(q[j] *= 2.0f)
            }
            if (p.rho != 0.0f)
                for (u32 which = 0u; which < count; which++) {
                    u32 first = kin[(pair + which) * KIN_WORDS + KIN_FIRST], last = kin[(pair + which) * KIN_WORDS + KIN_END];
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
                    WG_SUM(part, products);
                    INSERT(q, which, q[m] + 2.0f * p.rho * part[0])
                    parent_term = fma_f32(-own_act, part[0], parent_term);
                }
            if (column == 0u)
                EACH_PAIR(if (j < count) COUNT_PAIR(j, (pair + j) * KIN_WORDS))
            ADD_PAIRS(a[j] > 0.0f ? q[j] : 0.0f, x, de)
        }
        if (column == 0u) { /* the sums over the batch are whole */
            BARRIER();
            if (p.dead != 0u) {
                radial += sum_vf(ghosts[ghost_row + width]) / to_f32(VW);
                bias_gradient += sum_vf(ghosts[ghost_row + 2u * width + tail]) / to_f32(VW);
            }
            radial = p.project != 0u ? radial * share : 0.0f;
        }
        if (p.rho != 0.0f) {
            u32 relatives = children + (parent != NONE ? 1u : 0u);
            for (u32 r = 0u; r < relatives; r++) {
                u32 relative = r < children ? tree[(child_first + r) * TREE_WORDS + TREE_AT_RANK] : parent;
                f32 weight = -p.rho * (r < children ? terms[relative * TERM_WORDS + TERM_PRODUCT] : product);
                if (weight == 0.0f)
                    continue;
                FIND_ROW(relative)
                ADD_ROW(FETCH(D, other_range, other_at + c), weight)
            }
        }
        f32 self_weight = p.rho * squares * ((children != 0u ? 1.0f : 0.0f) + (parent != NONE ? 1.0f : 0.0f));
        EACH_COLUMN_ONCE(column, STEP_COLUMN(k, c))
        if (WG * COLS < width)
            EACH_COLUMN_ONCE(column, STORE(D, next_range, next_at + c, dd[k]))
    }
    WG_SUM(part, norm);
    f32 inverse = part[0] > 0.0f ? 1.0f / sqrt_f32(part[0]) : 0.0f;
    if (WG * COLS < width) {
        for (u32 c = LANE; c < width; c += WG) {
            vf unit = splat(inverse) * FETCH(D, next_range, next_at + c);
            STORE(D, next_range, next_at + c, unit);
        }
    } else {
        EACH_COLUMN_ONCE(0u, STORE(D, next_range, next_at + c, splat(inverse) * dd[k]))
    }
    if (LANE == 0u) {
        u32 t = i * TABLE_WORDS;
        f32 g = share * bias_gradient;
        f32 v = decay * bits_f32(table[t + TABLE_BIAS_V]) + p.one_minus_beta2 * g * g;
        table[t + TABLE_BIAS_V] = bits_u32(v);
        table[t + TABLE_BIAS] = bits_u32(bits_f32(table[t + TABLE_BIAS]) - rate * g / (sqrt_f32(v * correction) + p.epsilon));
        g = share * threshold * threshold_gradient / p.bandwidth;
        v = decay * bits_f32(table[t + TABLE_LOG_THRESHOLD_V]) + p.one_minus_beta2 * g * g;
        table[t + TABLE_LOG_THRESHOLD_V] = bits_u32(v);
        f32 log_threshold = bits_f32(table[t + TABLE_LOG_THRESHOLD]) - rate * g / (sqrt_f32(v * correction) + p.epsilon);
        threshold = exp_f32(log_threshold);
        table[t + TABLE_LOG_THRESHOLD] = bits_u32(log_threshold);
        table[t + TABLE_THRESHOLD] = bits_u32(threshold);
        table[t + TABLE_CUT] = bits_u32(threshold - 0.5f * p.bandwidth);
        table[t + TABLE_ROW_STEP] = control[CONTROL_STEP];
        places[i] = next;
        places[spare] = row;
        terms[i * TERM_WORDS + TERM_OWN] = own_term;
        terms[i * TERM_WORDS + TERM_PARENT] = parent_term;
        terms[i * TERM_WORDS + TERM_PRODUCT] = product;
    }
END
