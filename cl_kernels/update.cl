/* SPDX-License-Identifier: MIT */
/* One feature a work-group: the scores q of its pairs, the gradients of its rows of E and D, of b and log theta, then Adam with lazy decay
 * and the renormalisation of D, each row read and written once. The old row of D stays readable for relatives: the new one goes to a free
 * row (kernels/args.h: decoder_rows). Whole trees are updated together, their levels from the last to the first, since a parent needs its
 * children's FEATURE_SUM_PRODUCT. Sums over the batch run in ascending samples; those of a long feature are made by segment_rows, but for
 * the segments' sums. summed_rows: of dead features ghost_rows' rows, else segment_rows' sums. */

/* Adam of element vector c, whose sums over the batch are in dd[k] and de[k]; D before its renormalisation. */
#define STEP_COLUMN(k, c)                                                                                                           \
    {                                                                                                                               \
        vf old = FETCH(D, range, at + c);                                                                                           \
        vf gradient = splat(2.0f * share) * fma_vf(splat(self_weight), old, dd[k]);                                                 \
        vf encoder_gradient = splat(share) * de[k];                                                                                 \
        if (p.dead != 0u) {                                                                                                         \
            gradient = fma_vf(splat(share), summed_rows[ghost_row + c], gradient);                                                  \
            encoder_gradient = fma_vf(splat(share), summed_rows[ghost_row + width + tail + c], encoder_gradient);                   \
        }                                                                                                                           \
        gradient = fma_vf(splat(-radial), old, gradient);                                                                           \
        vf v = splat(decay) * decoder_v[own + c] + splat(p.one_minus_beta2) * gradient * gradient;                                  \
        decoder_v[own + c] = v;                                                                                                     \
        vf moved = old - splat(rate) * gradient / (sqrt_vf(v * splat(correction)) + splat(p.epsilon));                              \
        norm += sum_vf(moved * moved);                                                                                              \
        dd[k] = moved;                                                                                                              \
        v = splat(decay) * encoder_v[own + c] + splat(p.one_minus_beta2) * encoder_gradient * encoder_gradient;                     \
        encoder_v[own + c] = v;                                                                                                     \
        encoder[own + c] = encoder[own + c] - splat(rate) * encoder_gradient / (sqrt_vf(v * splat(correction)) + splat(p.epsilon)); \
    }

/* The sums of scalars of a segment. */
#define ADD_SEGMENT(t)                                               \
    {                                                                \
        radial += feature_sums[(t) + SEGMENT_RADIAL];                \
        squares += feature_sums[(t) + SEGMENT_SQUARES];              \
        bias_gradient += feature_sums[(t) + SEGMENT_BIAS];           \
        threshold_gradient += feature_sums[(t) + SEGMENT_THRESHOLD]; \
        own_term += feature_sums[(t) + SEGMENT_OWN];                 \
        parent_term += feature_sums[(t) + SEGMENT_PARENT];           \
        product += feature_sums[(t) + SEGMENT_PRODUCT];              \
    }

KERNEL(update)
#include "update_begin.h"
    START(residual, p.residual_row * width)
    START(above, p.above_row * width)
    u32 range = RANGE_OF(row), next_range = RANGE_OF(next_row);
    idx at = IN_RANGE(row, range) * width;
    bool plain = (flag & (FLAG_SWAPPED | FLAG_PARENT_SWAPPED)) == 0u;
    idx next_at = IN_RANGE(next_row, next_range) * width, own = (i - p.base) * width;
    f32 norm = 0.0f;
    vf dd[COLS];
    bool cut = WG > 1u && p.dead == 0u && p.segments != 0u && SEGMENTS_OF(end - begin, step_state[STATE_SEGMENT]) != 0u;
    end = cut ? begin : end;

    /* Gradients and Adam, a block of columns at a time; with the first one the scores, q = 2 D_i . G + 2 rho D_i . (u_i - u_parent), so
     * that its rows are read once. */
    for (idx column = 0u; column < width; column += WG * COLS) {
        vf de[COLS];
        CLEAR_COLUMNS(dd, column, width)
        CLEAR_COLUMNS(de, column, width)
#include "pairs.h"
        if (cut) {
            u32 segments = SEGMENTS_OF(starts[i + 1u] - begin, step_state[STATE_SEGMENT]);
            u32 first = feature_scalars[i * SCALAR_WORDS + SCALAR_SEGMENT];
            for (u32 s = first; s < first + segments; s++) {
                idx from = 2u * s * width;
                EACH_COLUMN_CHECKED(column, dd[k] += summed_rows[from + c]; de[k] += summed_rows[from + width + c])
                if (column == 0u)
                    ADD_SEGMENT(p.segments + s * SEGMENT_WORDS)
            }
        }
        if (column == 0u) { /* the sums over the batch are whole */
            BARRIER();
            if (p.dead != 0u) {
                radial += sum_vf(summed_rows[ghost_row + width]) / to_f32(VW);
                bias_gradient += sum_vf(summed_rows[ghost_row + 2u * width + tail]) / to_f32(VW);
            }
            radial = p.project != 0u ? radial * share : 0.0f;
        }
        u32 parent = tree[i * TREE_WORDS + TREE_PARENT], children = tree[i * TREE_WORDS + TREE_CHILD_COUNT];
        u32 child_first = tree[i * TREE_WORDS + TREE_CHILD_FIRST];
        if (p.rho != 0.0f) {
            u32 relatives = children + (parent != NONE ? 1u : 0u);
            for (u32 r = 0u; r < relatives; r++) {
                u32 relative = r < children ? tree[(child_first + r) * TREE_WORDS + TREE_AT_RANK] : parent;
                f32 weight = -p.rho * (r < children ? feature_sums[relative * FEATURE_SUM_WORDS + FEATURE_SUM_PRODUCT] : product);
                if (weight == 0.0f)
                    continue;
                FIND_ROW(relative)
                ADD_ROW(FETCH(D, other_range, other_at + c), weight)
            }
        }
        f32 self_weight = p.rho * squares * ((children != 0u ? 1.0f : 0.0f) + (parent != NONE ? 1.0f : 0.0f));
        EACH_COLUMN_CHECKED(column, STEP_COLUMN(k, c))
        if (WG * COLS < width)
            EACH_COLUMN_CHECKED(column, STORE(D, next_range, next_at + c, dd[k]))
    }
    WG_SUM(partial, norm);
    f32 inverse = partial[0] > 0.0f ? 1.0f / sqrt_f32(partial[0]) : 0.0f;
    if (WG * COLS < width) {
        for (u32 c = LANE; c < width; c += WG) {
            vf unit = splat(inverse) * FETCH(D, next_range, next_at + c);
            STORE(D, next_range, next_at + c, unit);
        }
    } else {
        EACH_COLUMN_CHECKED(0u, STORE(D, next_range, next_at + c, splat(inverse) * dd[k]))
    }
#include "update_end.h"
END
