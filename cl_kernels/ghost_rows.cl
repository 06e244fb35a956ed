/* SPDX-License-Identifier: MIT */
/* Ghost gradients, second part, for the dead features of a chunk and of some ranks, one work-group a feature: its gradients of D and E,
 * summed over the batch, are rows 2k and 2k + 1 of `rows`, each of stride + 16 floats. The last 16 floats of D's row are all
 * D_i . (gradient of D), those of E's row the gradient of b. */
KERNEL(ghost_rows)
    u32 place = p.chunk + GROUP;
    if (GROUP >= p.count || step_state[STATE_HALT] != 0u ||
        place >= step_state[STATE_LEVELS + p.level * STATE_LEVEL_WORDS + STATE_DEAD])
        return;
    u32 feature = step_state[STATE_DEAD_LIST + p.first + place], width = p.stride / VW;
    if (tree[feature * TREE_WORDS + TREE_RANK] - p.rank >= p.ranks)
        return;
    u32 row = FLAG_ROW(flags[feature]);
    u32 e_range = RANGE_OF(feature), e_at = IN_RANGE(feature, e_range) * width;
    u32 d_range = RANGE_OF(row), d_at = IN_RANGE(row, d_range) * width;
    u32 tail = 16u / VW, decoder_row = 2u * GROUP * (width + tail), encoder_row = decoder_row + width + tail;
    f32 bias = bits_f32(feature_scalars[feature * SCALAR_WORDS + SCALAR_BIAS]), radial = 0.0f, bias_gradient = 0.0f;
    for (u32 c = LANE; c < width; c += WG) {
        rows[decoder_row + c] = splat(0.0f);
        rows[encoder_row + c] = splat(0.0f);
    }
    for (u32 b = 0u; b < p.batch; b++) {
        vf pre = splat(0.0f), score = splat(0.0f);
        for (u32 c = LANE; c < width; c += WG) {
            pre = fma_vf(FETCH(E, e_range, e_at + c), x[b * width + c], pre);
            score = fma_vf(FETCH(D, d_range, d_at + c), ghost[b * width + c], score);
        }
        WG_SUM(partial, sum_vf(pre));
        f32 pre_activation = partial[0] + bias;
        WG_SUM(partial, sum_vf(score));
        f32 g = exp_f32(min_f32(pre_activation, 10.0f)), q = weights[b] * partial[0];
        f32 slope = pre_activation < 10.0f ? g * q : 0.0f;
        radial = fma_f32(g, q, radial);
        bias_gradient += slope;
        for (u32 c = LANE; c < width; c += WG) {
            rows[decoder_row + c] = fma_vf(splat(g * weights[b]), ghost[b * width + c], rows[decoder_row + c]);
            rows[encoder_row + c] = fma_vf(splat(slope), x[b * width + c], rows[encoder_row + c]);
        }
    }
    if (LANE == 0u)
        for (u32 c = width; c < width + tail; c++) {
            rows[decoder_row + c] = splat(radial);
            rows[encoder_row + c] = splat(bias_gradient);
        }
END
