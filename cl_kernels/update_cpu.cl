/* SPDX-License-Identifier: MIT */
/* update.cl for CPU devices: one work-item a feature. Its sums over the batch are memory that the first cache holds, COLS vectors of columns at a
 * time. Rows are taken FEW at a time, so that a sum is read and written once for all of them, and while they are, those that come next are on their
 * way from the outer caches. */
#define FEW    4u
#define SEATS  32u /* bits of a word */
#define ROWS   global const vf *const *
#define INLINE static inline __attribute__((always_inline))

/* A hint, for compilers that are known to heed it. */
#if defined(__x86_64__) || defined(__aarch64__)
#define FETCH_SOON(place) __builtin_prefetch((const void *)(uintptr_t)(place))
#else
#define FETCH_SOON(place)
#endif

/* scores[k] += own . rows[k], k < count; next[k] are the rows to fetch. */
INLINE void score_rows(const u32 count, idx width, global const vf *own, ROWS rows, ROWS next, f32 *scores)
{
    vf chain[2u * FEW];
    UNROLL for (u32 k = 0u; k < 2u * count; k++)
        chain[k] = splat(0.0f);
    for (idx c = 0u; c + 1u < width; c += 2u)
        UNROLL for (u32 k = 0u; k < count; k++) {
            FETCH_SOON(next[k] + c);
            FETCH_SOON(next[k] + c + 1u);
            chain[2u * k] = fma_vf(own[c], rows[k][c], chain[2u * k]);
            chain[2u * k + 1u] = fma_vf(own[c + 1u], rows[k][c + 1u], chain[2u * k + 1u]);
        }
    if (width % 2u != 0u)
        UNROLL for (u32 k = 0u; k < count; k++)
            chain[2u * k] = fma_vf(own[width - 1u], rows[k][width - 1u], chain[2u * k]);
    UNROLL for (u32 k = 0u; k < count; k++)
        scores[k] += sum_vf(chain[2u * k] + chain[2u * k + 1u]);
}

/* sum += weights[k] rows[k], `width` vectors of them from `column` on. */
INLINE void add_rows(const u32 count, idx column, idx width, vf *sum, ROWS rows, ROWS next, const f32 *weights)
{
    for (idx c = 0u; c < width; c++) {
        vf total = sum[c];
        UNROLL for (u32 k = 0u; k < count; k++) {
            FETCH_SOON(next[k] + column + c);
            total = fma_vf(splat(weights[k]), rows[k][column + c], total);
        }
        sum[c] = total;
    }
}

static inline void score_few(u32 count, idx width, global const vf *own, ROWS rows, ROWS next, f32 *scores)
{
    if (count == FEW)
        score_rows(FEW, width, own, rows, next, scores);
    else
        for (u32 k = 0u; k < count; k++)
            score_rows(1u, width, own, rows + k, next + k, scores + k);
}

static inline void add_few(u32 count, idx column, idx width, vf *sum, ROWS rows, ROWS next, const f32 *weights)
{
    if (count == FEW)
        add_rows(FEW, column, width, sum, rows, next, weights);
    else
        for (u32 k = 0u; k < count; k++)
            add_rows(1u, column, width, sum, rows + k, next + k, weights + k);
}

/* Siblings active together with the feature, by the last bits of their ranks. D_i . D_j is the same in each sample, so it is made once, and D_j is
 * added once, times the sum of its weights: when another takes the seat, or at the end. */
struct seats {
    u32 taken, siblings[SEATS];
    global const vf *rows[SEATS];
    f32 dots[SEATS], weights[SEATS];
};

INLINE void add_seat(const struct seats *seats, u32 seat, idx column, idx count, vf *dd)
{
    add_rows(1u, column, count, dd, seats->rows + seat, seats->rows + seat, seats->weights + seat);
}

/* The sibling's seat; `row`: D_j. */
INLINE u32 find_seat(struct seats *seats, u32 sibling, u32 rank, global const vf *row, global const vf *own, idx width, idx column, idx count,
                     vf *dd)
{
    u32 seat = rank % SEATS, bit = 1u << seat;
    if ((seats->taken & bit) != 0u && seats->siblings[seat] == sibling)
        return seat;
    if ((seats->taken & bit) != 0u)
        add_seat(seats, seat, column, count, dd);
    seats->taken |= bit;
    seats->siblings[seat] = sibling;
    seats->rows[seat] = row;
    seats->dots[seat] = seats->weights[seat] = 0.0f;
    if (column == 0u)
        score_rows(1u, width, own, &row, &row, seats->dots + seat);
    return seat;
}

/* w after a step of Adam; v: its second moment. */
INLINE vf adam(vf w, vf gradient, global vf *v, f32 decay, f32 correction, f32 rate, const struct update_args *p)
{
    vf moment = splat(decay) * *v + splat(p->one_minus_beta2) * gradient * gradient;
    *v = moment;
    return w - splat(rate) * gradient / (sqrt_vf(moment * splat(correction)) + splat(p->epsilon));
}

/* Bias and threshold, whose gradients are sums over the batch. */
static inline void step_scalars(global u32 *scalars, f32 bias_gradient, f32 threshold_gradient, f32 decay, f32 correction, f32 rate,
                                const struct update_args *p)
{
    f32 threshold = bits_f32(scalars[TABLE_THRESHOLD]), share = 1.0f / to_f32(p->rows), g = share * bias_gradient;
    f32 v = decay * bits_f32(scalars[TABLE_BIAS_V]) + p->one_minus_beta2 * g * g;
    scalars[TABLE_BIAS_V] = bits_u32(v);
    scalars[TABLE_BIAS] = bits_u32(bits_f32(scalars[TABLE_BIAS]) - rate * g / (sqrt_f32(v * correction) + p->epsilon));
    g = share * threshold * threshold_gradient / p->bandwidth;
    v = decay * bits_f32(scalars[TABLE_LOG_THRESHOLD_V]) + p->one_minus_beta2 * g * g;
    scalars[TABLE_LOG_THRESHOLD_V] = bits_u32(v);
    f32 log_threshold = bits_f32(scalars[TABLE_LOG_THRESHOLD]) - rate * g / (sqrt_f32(v * correction) + p->epsilon);
    threshold = exp_f32(log_threshold);
    scalars[TABLE_LOG_THRESHOLD] = bits_u32(log_threshold);
    scalars[TABLE_THRESHOLD] = bits_u32(threshold);
    scalars[TABLE_CUT] = bits_u32(threshold - 0.5f * p->bandwidth);
}

/* Row `row` of D. */
#define DECODER_ROW(row)                                                                                                              \
    ((RANGE_OF(row) == 0u ? D0 : RANGE_OF(row) == 1u ? D1 : RANGE_OF(row) == 2u ? D2 : D3) + (idx)IN_RANGE(row, RANGE_OF(row)) * width)

CPU_KERNEL(update)
    if (control[CONTROL_HALT] != 0u)
        return;
    u32 i = NONE, rank = p.rank + GROUP;
    idx width = p.stride / VW;
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
        for (u32 k = 0u; k < TERM_WORDS; k++)
            terms[i * TERM_WORDS + k] = 0.0f;
        return;
    }
    u32 row = FLAG_ROW(flag), spare = p.spare + rank - p.rank, next_row = places[spare];
    global vf *own = DECODER_ROW(row), *moved = DECODER_ROW(next_row);
    idx line = (idx)(i - p.base) * width;
    global const vf *home = residual + p.residual_row * width, *up = above + p.above_row * width;
    f32 threshold = bits_f32(table[i * TABLE_WORDS + TABLE_THRESHOLD]);
    f32 lambda = bits_f32(control[CONTROL_LEVELS + p.level * CONTROL_LEVEL_WORDS + CONTROL_LAMBDA]);
    f32 radial = 0.0f, bias_gradient = 0.0f, threshold_gradient = 0.0f, squares = 0.0f;
    f32 own_term = 0.0f, parent_term = 0.0f, product = 0.0f;
    f32 share = 1.0f / to_f32(p.rows);
    f32 rate = bits_f32(control[CONTROL_RATE]), correction = bits_f32(control[CONTROL_CORRECTION]);
    f32 decay = exp2_f32(p.log2_beta2 * to_f32(control[CONTROL_STEP] - table[i * TABLE_WORDS + TABLE_ROW_STEP]));
    u32 parent = tree[i * TREE_WORDS + TREE_PARENT], children = tree[i * TREE_WORDS + TREE_CHILD_COUNT];
    u32 child_first = tree[i * TREE_WORDS + TREE_CHILD_FIRST];
    idx tail = 16u / VW, ghost_row = 2u * (idx)GROUP * (width + tail);
    vf norm = splat(0.0f);
    for (idx c = 0u; c < width; c++) { /* needed when the sums are ready */
        FETCH_SOON(encoder + line + c);
        FETCH_SOON(encoder_v + line + c);
        FETCH_SOON(decoder_v + line + c);
    }

    /* Gradients and Adam, a block of columns at a time; with the first one the scores, q = 2 D_i . G + 2 rho D_i . (u_i - u_parent). */
    for (idx column = 0u; column < width; column += COLS) {
        idx count = min((idx)COLS, width - column);
        vf dd[COLS], de[COLS];
        struct seats seats;
        seats.taken = 0u;
        for (idx c = 0u; c < count; c++)
            dd[c] = de[c] = splat(0.0f);
        for (u32 pair = begin, few; pair < end; pair += few) {
            global const vf *x_rows[FEW], *answers[FEW], *aboves[FEW], *nexts[FEW];
            f32 acts[FEW], scores[FEW], relevant[FEW];
            few = min(FEW, end - pair);
            for (u32 k = 0u; k < few; k++) {
                idx sample = pairs[2u * (pair + k)], later = pairs[2u * min(pair + few + k, end - 1u)];
                f32 value = bits_f32(pairs[2u * (pair + k) + 1u]);
                x_rows[k] = x + sample * width;
                answers[k] = home + sample * width;
                aboves[k] = up + sample * width;
                nexts[k] = home + later * width;
                acts[k] = value > threshold ? value : 0.0f;
                scores[k] = 0.0f;
            }
            if ((flag & FLAG_SWAPPED) == 0u) {
                if (column == 0u)
                    score_few(few, width, own, answers, x_rows, scores);
                add_few(few, column, count, dd, answers, nexts, acts);
            }
            if ((flag & FLAG_PARENT_SWAPPED) != 0u) {
                if (column == 0u)
                    score_few(few, width, own, aboves, x_rows, scores);
                add_few(few, column, count, dd, aboves, nexts, acts);
            }
            for (u32 k = 0u; k < few; k++) {
                u32 at = (pair + k) * KIN_WORDS, s = p.rho != 0.0f ? kin[at + KIN_FIRST] : 0u, last = p.rho != 0.0f ? kin[at + KIN_END] : 0u;
                f32 a = acts[k], q = 2.0f * scores[k], siblings = 0.0f;
                if (last == s + 1u)
                    s = last; /* a lone child has no siblings to look up */
                for (; s < last; s++) {
                    u32 sibling = samples[2u * s];
                    f32 act = bits_f32(samples[2u * s + 1u]);
                    if (sibling == i || act == 0.0f)
                        continue;
                    u32 rank_j = tree[sibling * TREE_WORDS + TREE_RANK];
                    u32 seat = find_seat(&seats, sibling, rank_j, DECODER_ROW(FLAG_ROW(flags[sibling])), own, width, column, count, dd);
                    siblings = fma_f32(act, seats.dots[seat], siblings);
                    seats.weights[seat] = fma_f32(p.rho * a, act, seats.weights[seat]);
                }
                if (column == 0u) {
                    f32 value = bits_f32(pairs[2u * (pair + k) + 1u]);
                    if (p.rho != 0.0f) {
                        f32 parent_side = bits_f32(kin[at + KIN_PARENT]) - siblings, own_side = bits_f32(kin[at + KIN_OWN]);
                        q += 2.0f * p.rho * (own_side - parent_side);
                        own_term = fma_f32(a, own_side, own_term);
                        parent_term = fma_f32(a, parent_side, parent_term);
                        product = fma_f32(a, bits_f32(kin[at + KIN_PARENT_ACT]), product);
                    }
                    kin[at + KIN_SCORE] = bits_u32(q);
                    radial = fma_f32(a, q, radial);
                    squares = fma_f32(a, a, squares);
                    bias_gradient += a > 0.0f ? q : 0.0f;
                    threshold_gradient -= fabs(value - threshold) < 0.5f * p.bandwidth ? fma_f32(threshold, q, lambda) : 0.0f;
                } else {
                    q = bits_f32(kin[at + KIN_SCORE]);
                }
                relevant[k] = a > 0.0f ? q : 0.0f;
            }
            add_few(few, column, count, de, x_rows, nexts, relevant);
        }
        for (; seats.taken != 0u; seats.taken &= seats.taken - 1u)
            add_seat(&seats, low_bit(seats.taken), column, count, dd);
        if (column == 0u) { /* the sums over the batch are whole */
            if (p.dead != 0u) {
                radial += sum_vf(ready[ghost_row + width]) / to_f32(VW);
                bias_gradient += sum_vf(ready[ghost_row + 2u * width + tail]) / to_f32(VW);
            }
            radial = p.project != 0u ? radial * share : 0.0f;
        }
        if (p.rho != 0.0f) {
            u32 relatives = children + (parent != NONE ? 1u : 0u);
            for (u32 r = 0u; r < relatives;) {
                global const vf *rows[FEW];
                f32 weights[FEW];
                u32 found = 0u;
                for (; r < relatives && found < FEW; r++) {
                    u32 relative = r < children ? tree[(child_first + r) * TREE_WORDS + TREE_AT_RANK] : parent;
                    weights[found] = -p.rho * (r < children ? terms[relative * TERM_WORDS + TERM_PRODUCT] : product);
                    rows[found] = DECODER_ROW(FLAG_ROW(flags[relative]));
                    found += weights[found] != 0.0f ? 1u : 0u;
                }
                add_few(found, column, count, dd, rows, rows, weights);
            }
        }
        f32 self_weight = p.rho * squares * ((children != 0u ? 1.0f : 0.0f) + (parent != NONE ? 1.0f : 0.0f));
        for (idx k = 0u; k < count; k++) {
            idx c = column + k;
            vf old = own[c], gradient = splat(2.0f * share) * fma_vf(splat(self_weight), old, dd[k]), encoder_gradient = splat(share) * de[k];
            if (p.dead != 0u) {
                gradient = fma_vf(splat(share), ready[ghost_row + c], gradient);
                encoder_gradient = fma_vf(splat(share), ready[ghost_row + width + tail + c], encoder_gradient);
            }
            gradient = fma_vf(splat(-radial), old, gradient);
            vf step = adam(old, gradient, decoder_v + line + c, decay, correction, rate, &p);
            norm = fma_vf(step, step, norm);
            moved[c] = step;
            encoder[line + c] = adam(encoder[line + c], encoder_gradient, encoder_v + line + c, decay, correction, rate, &p);
        }
    }
    f32 length = sum_vf(norm), inverse = length > 0.0f ? 1.0f / sqrt_f32(length) : 0.0f;
    for (idx c = 0u; c < width; c++)
        moved[c] = splat(inverse) * moved[c];
    step_scalars(table + i * TABLE_WORDS, bias_gradient, threshold_gradient, decay, correction, rate, &p);
    table[i * TABLE_WORDS + TABLE_ROW_STEP] = control[CONTROL_STEP];
    places[i] = next_row;
    places[spare] = row;
    terms[i * TERM_WORDS + TERM_OWN] = own_term;
    terms[i * TERM_WORDS + TERM_PARENT] = parent_term;
    terms[i * TERM_WORDS + TERM_PRODUCT] = product;
END
