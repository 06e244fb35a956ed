/* One feature a work-group: the scores q of its pairs, the gradients of its rows of E and D, of b and log theta, then Adam with lazy decay and the
 * renormalisation of D, each row read and written once. The old row of D stays readable for relatives: the new one goes to a free row
 * (kernel_args.h: places). Whole trees are updated together, their levels from the last to the first, since a parent needs its children's
 * TERM_PRODUCT. Sums over the batch run in ascending samples. */

/* G, the residual that the feature answers to, where perturbation plays a part. */
#define ANSWER(at)                                                                                                                    \
    ((flag & FLAG_SWAPPED) != 0u ? ((flag & FLAG_PARENT_SWAPPED) != 0u ? above[at] : splat(0.0f)) : residual[at] + above[at])
/* sum = D_i . the row whose vector c is `term`; on the way, the first block's columns of the row, times `weight`, onto the gradient. */
#define SCORE_ROW(sum, term, weight)                                                                                                  \
    {                                                                                                                                 \
        vf chain[4];                                                                                                                  \
        chain[0] = chain[1] = chain[2] = chain[3] = splat(0.0f);                                                                      \
        EACH_COLUMN(0u, width, vf row_part = term; chain[k & 3u] = fma_vf(FETCH(D, range, at + c), row_part, chain[k & 3u]);          \
                    dd[k] = fma_vf(splat(weight), row_part, dd[k]))                                                                   \
        for (idx rest = WG * COLS; rest < width; rest += WG * COLS)                                                                   \
            EACH_COLUMN(rest, width, chain[k & 3u] = fma_vf(FETCH(D, range, at + c), term, chain[k & 3u]))                            \
        sum = (chain[0] + chain[1]) + (chain[2] + chain[3]);                                                                          \
    }
/* The block's columns of such a row onto the gradient. */
#define ADD_ROW(term, weight) EACH_COLUMN(column, width, dd[k] = fma_vf(splat(weight), term, dd[k]))
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
        norm = fma_vf(moved, moved, norm);                                                                                            \
        STORE(D, next_range, next_at + c, moved);                                                                                     \
        v = splat(decay) * encoder_v[own + c] + splat(p.one_minus_beta2) * encoder_gradient * encoder_gradient;                       \
        encoder_v[own + c] = v;                                                                                                       \
        encoder[own + c] = encoder[own + c] - splat(rate) * encoder_gradient / (sqrt_vf(v * splat(correction)) + splat(p.epsilon));   \
    }

KERNEL_18(update, READ(0, u32, control), READ(1, u32, tree), READ(2, u32, flags), READ(3, u32, starts), READ(4, u32, pairs),
          READ(5, u32, samples), MODIFY(6, u32, kin), MODIFY(7, f32, terms), MODIFY4(8, vf, D), MODIFY(12, vf, encoder),
          MODIFY(13, vf, encoder_v), MODIFY(14, vf, decoder_v), MODIFY(15, u32, table), MODIFY(16, u32, places), READ(17, vf, x),
          READ(18, vf, residual), READ(19, vf, above), READ(20, vf, ghosts))
LOCALS_1(LOCAL(f32, part, WG))
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
    vf norm = splat(0.0f);

    /* Gradients and Adam, a block of columns at a time; with the first one the scores, q = 2 D_i . G + 2 rho D_i . (u_i - u_parent), so that its
     * rows are read once. */
    for (idx column = 0u; column < width; column += WG * COLS) {
        vf dd[COLS], de[COLS];
        CLEAR_COLUMNS(dd, column, width)
        CLEAR_COLUMNS(de, column, width)
        for (u32 pair = begin; pair < end; pair++) {
            idx line = pairs[2u * pair] * width;
            f32 value = bits_f32(pairs[2u * pair + 1u]), a = value > threshold ? value : 0.0f, q = 0.0f, siblings = 0.0f;
            u32 first = 0u, last = 0u;
            vf sum;
            if (p.rho != 0.0f) {
                first = kin[pair * KIN_WORDS + KIN_FIRST];
                last = kin[pair * KIN_WORDS + KIN_END];
                last = last > first + 1u ? last : first; /* a lone child has no siblings to look up */
            }
            if (column != 0u) {
                if (a == 0.0f)
                    continue;
                q = bits_f32(kin[pair * KIN_WORDS + KIN_SCORE]);
                if (plain)
                    ADD_ROW(residual[line + c], a)
                else
                    ADD_ROW(ANSWER(line + c), a)
            } else {
                if (plain)
                    SCORE_ROW(sum, residual[line + c], a)
                else
                    SCORE_ROW(sum, ANSWER(line + c), a)
                WG_SUM(part, sum_vf(sum));
                q = 2.0f * part[0];
            }
            for (u32 s = first; s < last; s++) {
                u32 sibling = samples[2u * s];
                f32 act = bits_f32(samples[2u * s + 1u]);
                if (sibling == i || act == 0.0f)
                    continue;
                FIND_ROW(sibling)
                if (column != 0u) {
                    ADD_ROW(FETCH(D, other_range, other_at + c), p.rho * a * act)
                } else {
                    SCORE_ROW(sum, FETCH(D, other_range, other_at + c), p.rho * a * act)
                    siblings = fma_f32(act, sum_vf(sum), siblings);
                }
            }
            if (column == 0u) {
                if (p.rho != 0.0f) {
                    f32 parent_side = bits_f32(kin[pair * KIN_WORDS + KIN_PARENT]), own_side = bits_f32(kin[pair * KIN_WORDS + KIN_OWN]);
                    if (last > first) {
                        WG_SUM(part, siblings);
                        parent_side -= part[0];
                    }
                    q += 2.0f * p.rho * (own_side - parent_side);
                    own_term = fma_f32(a, own_side, own_term);
                    parent_term = fma_f32(a, parent_side, parent_term);
                    product = fma_f32(a, bits_f32(kin[pair * KIN_WORDS + KIN_PARENT_ACT]), product);
                }
                if (LANE == 0u)
                    kin[pair * KIN_WORDS + KIN_SCORE] = bits_u32(q);
                radial = fma_f32(a, q, radial);
                squares = fma_f32(a, a, squares);
                bias_gradient += a > 0.0f ? q : 0.0f;
                threshold_gradient -= abs_f32(value - threshold) < 0.5f * p.bandwidth ? fma_f32(threshold, q, lambda) : 0.0f;
            }
            if (a > 0.0f)
                EACH_COLUMN(column, width, de[k] = fma_vf(splat(q), x[line + c], de[k]))
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
        EACH_COLUMN(column, width, STEP_COLUMN(k, c))
    }
    WG_SUM(part, sum_vf(norm));
    f32 inverse = part[0] > 0.0f ? 1.0f / sqrt_f32(part[0]) : 0.0f;
    for (u32 c = LANE; c < width; c += WG) {
        vf unit = splat(inverse) * FETCH(D, next_range, next_at + c);
        STORE(D, next_range, next_at + c, unit);
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
