/* SPDX-License-Identifier: MIT */
/* Ghost gradients, first part: y = sum over the level's dead features of exp(min(p, 10)) D_i, alpha = |R| / (2 |y|), and v = alpha y + R in
 * `ghost`; alpha is 0 where |y|^2 is no normal number, as where all p are far below 0. losses: f32 [padded][2] = |v|^2, alpha. One
 * work-group a sample. With shards each one's y is made alone (GHOST_SUM), and the rest where they are summed (GHOST_BLEND). */
#define IS_OUTSIDE(feature) (p.part == GHOST_SUM && tree[(feature) * TREE_WORDS + TREE_RANK] - p.rank >= p.ranks)
/* To the next dead feature that counts. */
#define SKIP_DEAD(k)                                                                  \
    while (k < count && IS_OUTSIDE(step_state[STATE_DEAD_LIST + p.first + k]))        \
        k++;
KERNEL(ghost)
    u32 b = GROUP, dead = step_state[STATE_LEVELS + p.level * STATE_LEVEL_WORDS + STATE_DEAD];
    if (b >= p.batch || step_state[STATE_HALT] != 0u || dead == 0u)
        return;
    u32 width = p.stride / VW, line = b * width, own = (p.row + b) * width, to = (p.to + b) * width;
    u32 count = p.part == GHOST_BLEND ? 0u : dead, k = 0u;
    for (u32 c = LANE; p.part != GHOST_BLEND && c < width; c += WG)
        ghost[to + c] = splat(0.0f);
    SKIP_DEAD(k)
    while (k < count) {
        u32 feature = step_state[STATE_DEAD_LIST + p.first + k];
        u32 range = RANGE_OF(feature), at = IN_RANGE(feature, range) * width;
        vf sum = splat(0.0f);
        for (u32 c = LANE; c < width; c += WG)
            sum = fma_vf(FETCH(E, range, at + c), x[line + c], sum);
        WG_SUM(partial, sum_vf(sum));
        f32 g = exp_f32(min_f32(partial[0] + bits_f32(feature_scalars[feature * SCALAR_WORDS + SCALAR_BIAS]), 10.0f));
        u32 row = FLAG_ROW(flags[feature]);
        range = RANGE_OF(row);
        at = IN_RANGE(row, range) * width;
        for (u32 c = LANE; c < width; c += WG)
            ghost[to + c] = fma_vf(splat(g), FETCH(D, range, at + c), ghost[to + c]);
        k++;
        SKIP_DEAD(k)
    }
    vf norm = splat(0.0f), target = splat(0.0f);
    for (u32 c = LANE; c < width; c += WG) {
        norm = fma_vf(ghost[to + c], ghost[to + c], norm);
        target = fma_vf(residual[own + c], residual[own + c], target);
    }
    WG_SUM(partial, sum_vf(norm));
    f32 y_squares = partial[0];
    WG_SUM(partial, sum_vf(target));
    f32 alpha = y_squares >= 1.17549435e-38f ? sqrt_f32(partial[0]) / (2.0f * sqrt_f32(y_squares)) : 0.0f;
    vf loss = splat(0.0f);
    for (u32 c = LANE; c < width; c += WG) {
        vf v = fma_vf(splat(alpha), ghost[to + c], residual[own + c]);
        if (p.part != GHOST_SUM)
            ghost[to + c] = v;
        loss = fma_vf(v, v, loss);
    }
    WG_SUM(partial, sum_vf(loss));
    if (LANE == 0u && p.part != GHOST_SUM) {
        ghost_losses[2u * b] = partial[0];
        ghost_losses[2u * b + 1u] = alpha;
    }
END
