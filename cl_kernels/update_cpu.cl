/* SPDX-License-Identifier: MIT */
/* update.cl for CPU devices: one work-item a feature. Its sums over the batch are memory that the first cache holds, COLS vectors of
 * columns at a time. Rows are taken PAIRS_PER_PASS at a time: a sum is read and written once for all of them, and the next rows are
 * prefetched meanwhile. */
#define CACHE_SIZE 32u /* bits of a word */
#define ROWS       global const vf *const *
#define INLINE     static inline __attribute__((always_inline))

/* A hint, for compilers that are known to heed it. */
#if defined(__x86_64__) || defined(__aarch64__)
#define FETCH_SOON(place) __builtin_prefetch((const void *)(uintptr_t)(place))
#else
#define FETCH_SOON(place)
#endif

/* scores[k] += own . rows[k], k < count; next[k] are the rows to fetch. */
INLINE void score_rows(const u32 count, idx width, global const vf *own, ROWS rows, ROWS next, f32 *scores)
{
    vf chain[2u * PAIRS_PER_PASS];
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

static inline void score_pass(u32 count, idx width, global const vf *own, ROWS rows, ROWS next, f32 *scores)
{
    if (count == PAIRS_PER_PASS)
        score_rows(PAIRS_PER_PASS, width, own, rows, next, scores);
    else
        for (u32 k = 0u; k < count; k++)
            score_rows(1u, width, own, rows + k, next + k, scores + k);
}

static inline void add_pass(u32 count, idx column, idx width, vf *sum, ROWS rows, ROWS next, const f32 *weights)
{
    if (count == PAIRS_PER_PASS)
        add_rows(PAIRS_PER_PASS, column, width, sum, rows, next, weights);
    else
        for (u32 k = 0u; k < count; k++)
            add_rows(1u, column, width, sum, rows + k, next + k, weights + k);
}

/* A direct-mapped cache of the siblings that are active together with the feature, by the last bits of their places in the family, which
 * are the same on any device. D_i . D_j is the same in each sample, so it is computed once. D_j is added once, times the sum of its
 * weights: when another sibling takes the entry, or at the end. */
struct sibling_cache {
    u32 occupied, siblings[CACHE_SIZE];
    global const vf *rows[CACHE_SIZE];
    f32 dots[CACHE_SIZE], weights[CACHE_SIZE];
};

INLINE void add_entry(const struct sibling_cache *cache, u32 entry, idx column, idx count, vf *dd)
{
    add_rows(1u, column, count, dd, cache->rows + entry, cache->rows + entry, cache->weights + entry);
}

/* The sibling's entry; `row`: D_j. */
INLINE u32 find_entry(struct sibling_cache *cache, u32 sibling, u32 place, global const vf *row, global const vf *own, idx width,
                      idx column, idx count, vf *dd)
{
    u32 entry = place % CACHE_SIZE, bit = 1u << entry;
    if ((cache->occupied & bit) != 0u && cache->siblings[entry] == sibling)
        return entry;
    if ((cache->occupied & bit) != 0u)
        add_entry(cache, entry, column, count, dd);
    cache->occupied |= bit;
    cache->siblings[entry] = sibling;
    cache->rows[entry] = row;
    cache->dots[entry] = cache->weights[entry] = 0.0f;
    if (column == 0u)
        score_rows(1u, width, own, &row, &row, cache->dots + entry);
    return entry;
}

/* w after a step of Adam; v: its second moment. */
INLINE vf adam(vf w, vf gradient, global vf *v, f32 decay, f32 correction, f32 rate, const struct update_args *p)
{
    vf moment = splat(decay) * *v + splat(p->one_minus_beta2) * gradient * gradient;
    *v = moment;
    return w - splat(rate) * gradient / (sqrt_vf(moment * splat(correction)) + splat(p->epsilon));
}

/* Row `row` of D. */
#define DECODER_ROW(row)                                                                                                              \
    ((RANGE_OF(row) == 0u ? D0 : RANGE_OF(row) == 1u ? D1 : RANGE_OF(row) == 2u ? D2 : D3) + (idx)IN_RANGE(row, RANGE_OF(row)) * width)

CPU_KERNEL(update)
#include "update_begin.h"
    global vf *own = DECODER_ROW(row), *moved = DECODER_ROW(next_row);
    idx line = (idx)(i - p.base) * width;
    global const vf *home = residual + p.residual_row * width, *up = above + p.above_row * width;
    u32 parent = tree[i * TREE_WORDS + TREE_PARENT], children = tree[i * TREE_WORDS + TREE_CHILD_COUNT];
    u32 child_first = tree[i * TREE_WORDS + TREE_CHILD_FIRST], eldest = parent != NONE ? tree[parent * TREE_WORDS + TREE_CHILD_FIRST] : 0u;
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
        struct sibling_cache cache;
        cache.occupied = 0u;
        for (idx c = 0u; c < count; c++)
            dd[c] = de[c] = splat(0.0f);
        for (u32 pair = begin, pass; pair < end; pair += pass) {
            global const vf *x_rows[PAIRS_PER_PASS], *targets[PAIRS_PER_PASS], *aboves[PAIRS_PER_PASS], *nexts[PAIRS_PER_PASS];
            f32 acts[PAIRS_PER_PASS], scores[PAIRS_PER_PASS], relevant[PAIRS_PER_PASS];
            pass = min(PAIRS_PER_PASS, end - pair);
            for (u32 k = 0u; k < pass; k++) {
                idx sample = pairs[2u * (pair + k)], later = pairs[2u * min(pair + pass + k, end - 1u)];
                f32 value = bits_f32(pairs[2u * (pair + k) + 1u]);
                x_rows[k] = x + sample * width;
                targets[k] = home + sample * width;
                aboves[k] = up + sample * width;
                nexts[k] = home + later * width;
                acts[k] = value > threshold ? value : 0.0f;
                scores[k] = 0.0f;
            }
            if ((flag & FLAG_SWAPPED) == 0u) {
                if (column == 0u)
                    score_pass(pass, width, own, targets, x_rows, scores);
                add_pass(pass, column, count, dd, targets, nexts, acts);
            }
            if ((flag & FLAG_PARENT_SWAPPED) != 0u) {
                if (column == 0u)
                    score_pass(pass, width, own, aboves, x_rows, scores);
                add_pass(pass, column, count, dd, aboves, nexts, acts);
            }
            for (u32 k = 0u; k < pass; k++) {
                u32 at = (pair + k) * PAIR_WORDS, s = p.rho != 0.0f ? pair_terms[at + PAIR_FIRST] : 0u;
                u32 last = p.rho != 0.0f ? pair_terms[at + PAIR_END] : 0u;
                f32 a = acts[k], q = 2.0f * scores[k], siblings = 0.0f;
                if (last == s + 1u)
                    s = last; /* a lone child has no siblings to look up */
                for (; s < last; s++) {
                    u32 sibling = samples[2u * s];
                    f32 act = bits_f32(samples[2u * s + 1u]);
                    if (sibling == i || act == 0.0f)
                        continue;
                    u32 place = tree[sibling * TREE_WORDS + TREE_RANK] - eldest;
                    u32 entry = find_entry(&cache, sibling, place, DECODER_ROW(FLAG_ROW(flags[sibling])), own, width, column, count, dd);
                    siblings = fma_f32(act, cache.dots[entry], siblings);
                    cache.weights[entry] = fma_f32(p.rho * a, act, cache.weights[entry]);
                }
                if (column == 0u) {
                    f32 value = bits_f32(pairs[2u * (pair + k) + 1u]);
                    if (p.rho != 0.0f) {
                        f32 parent_side = bits_f32(pair_terms[at + PAIR_PARENT]) - siblings, own_side = bits_f32(pair_terms[at + PAIR_OWN]);
                        q += 2.0f * p.rho * (own_side - parent_side);
                        own_term = fma_f32(a, own_side, own_term);
                        parent_term = fma_f32(a, parent_side, parent_term);
                        product = fma_f32(a, bits_f32(pair_terms[at + PAIR_PARENT_ACT]), product);
                    }
                    pair_terms[at + PAIR_SCORE] = bits_u32(q);
                    radial = fma_f32(a, q, radial);
                    squares = fma_f32(a, a, squares);
                    bias_gradient += a > 0.0f ? q : 0.0f;
                    threshold_gradient -= fabs(value - threshold) < 0.5f * p.bandwidth ? fma_f32(threshold, q, lambda) : 0.0f;
                } else {
                    q = bits_f32(pair_terms[at + PAIR_SCORE]);
                }
                relevant[k] = a > 0.0f ? q : 0.0f;
            }
            add_pass(pass, column, count, de, x_rows, nexts, relevant);
        }
        for (; cache.occupied != 0u; cache.occupied &= cache.occupied - 1u)
            add_entry(&cache, low_bit(cache.occupied), column, count, dd);
        if (column == 0u) { /* the sums over the batch are whole */
            if (p.dead != 0u) {
                radial += sum_vf(summed_rows[ghost_row + width]) / to_f32(VW);
                bias_gradient += sum_vf(summed_rows[ghost_row + 2u * width + tail]) / to_f32(VW);
            }
            radial = p.project != 0u ? radial * share : 0.0f;
        }
        if (p.rho != 0.0f) {
            u32 relatives = children + (parent != NONE ? 1u : 0u);
            for (u32 r = 0u; r < relatives;) {
                global const vf *rows[PAIRS_PER_PASS];
                f32 weights[PAIRS_PER_PASS];
                u32 found = 0u;
                for (; r < relatives && found < PAIRS_PER_PASS; r++) {
                    u32 relative = r < children ? tree[(child_first + r) * TREE_WORDS + TREE_AT_RANK] : parent;
                    weights[found] = -p.rho * (r < children ? feature_sums[relative * FEATURE_SUM_WORDS + FEATURE_SUM_PRODUCT] : product);
                    rows[found] = DECODER_ROW(FLAG_ROW(flags[relative]));
                    found += weights[found] != 0.0f ? 1u : 0u;
                }
                add_pass(found, column, count, dd, rows, rows, weights);
            }
        }
        f32 self_weight = p.rho * squares * ((children != 0u ? 1.0f : 0.0f) + (parent != NONE ? 1.0f : 0.0f));
        for (idx k = 0u; k < count; k++) {
            idx c = column + k;
            vf old = own[c], gradient = splat(2.0f * share) * fma_vf(splat(self_weight), old, dd[k]);
            vf encoder_gradient = splat(share) * de[k];
            if (p.dead != 0u) {
                gradient = fma_vf(splat(share), summed_rows[ghost_row + c], gradient);
                encoder_gradient = fma_vf(splat(share), summed_rows[ghost_row + width + tail + c], encoder_gradient);
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
#include "update_end.h"
END
