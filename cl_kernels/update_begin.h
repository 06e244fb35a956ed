/* SPDX-License-Identifier: MIT */
/* How update.cl and update_cpu.cl begin: which feature the work-group has, when there is nothing to do, and what the step starts from.
 * Sets i, rank, width, flag, begin, end, row and next_row (its row of D, and the free one, at decoder_rows[free_row], that will be it),
 * threshold, lambda, rate, correction, decay, share = 1 / B, ghost_row and tail (places in `summed_rows`), and the sums of scalars over the
 * batch, 0. */
if (step_state[STATE_HALT] != 0u)
    return;
u32 i = NONE, rank = p.rank + GROUP;
idx width = p.stride / VW;
if (p.dead != 0u) {
    u32 place = p.chunk + GROUP;
    if (GROUP >= p.dead || place >= step_state[STATE_LEVELS + p.level * STATE_LEVEL_WORDS + STATE_DEAD])
        return;
    i = step_state[STATE_DEAD_LIST + p.level_first + place];
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
    for (u32 k = LANE; k < FEATURE_SUM_WORDS; k += WG)
        feature_sums[i * FEATURE_SUM_WORDS + k] = 0.0f;
    return;
}
u32 row = FLAG_ROW(flag);
f32 threshold = bits_f32(feature_scalars[i * SCALAR_WORDS + SCALAR_THRESHOLD]);
f32 lambda = bits_f32(step_state[STATE_LEVELS + p.level * STATE_LEVEL_WORDS + STATE_LAMBDA]);
f32 radial = 0.0f, bias_gradient = 0.0f, threshold_gradient = 0.0f, squares = 0.0f;
f32 own_term = 0.0f, parent_term = 0.0f, product = 0.0f;
f32 share = 1.0f / to_f32(p.batch);
f32 rate = bits_f32(step_state[STATE_RATE]), correction = bits_f32(step_state[STATE_CORRECTION]);
f32 decay =
    exp2_f32(p.log2_beta2 * to_f32(min(step_state[STATE_STEP] - feature_scalars[i * SCALAR_WORDS + SCALAR_ROW_STEP], p.decay_steps)));
u32 free_row = p.free_row + rank - p.rank, next_row = decoder_rows[free_row];
idx tail = 16u / VW, ghost_row = 2u * GROUP * (width + tail);
