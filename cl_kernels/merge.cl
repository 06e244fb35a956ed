/* SPDX-License-Identifier: MIT */
/* The sum of the shards' partial sums, always in the same order: neighbours are added until one is left, in place. As a residual, c - x
 * is added to it, and loss: f32 [L][slices][padded] is the slice's |R|^2. One work-group a column slice and sample. */
KERNEL(merge)
    u32 slice = GROUP / p.batch, b = GROUP - slice * p.batch;
    if (slice >= p.slices || step_state[STATE_HALT] != 0u)
        return;
    u32 width = p.stride / VW, share = (p.stride / 16u + p.slices - 1u) / p.slices * (16u / VW);
    u32 first = slice * share, end = min(first + share, width);
    idx line = b * width, shard = p.padded * width, home = (p.row + b) * width, center = p.level * width;
    vf squares = splat(0.0f);
    for (idx c = first + LANE; c < end; c += WG) {
        for (u32 apart = 1u; apart < p.shards; apart *= 2u)
            for (u32 s = 0u; s < p.shards; s += 2u * apart)
                partials[s * shard + line + c] = partials[s * shard + line + c] + partials[(s + apart) * shard + line + c];
        vf value = partials[line + c];
        if (p.residual != 0u)
            value = value + (bias[center + c] - x[line + c]);
        sum[home + c] = value;
        squares = fma_vf(value, value, squares);
    }
    WG_SUM(partial, sum_vf(squares));
    if (LANE == 0u && p.residual != 0u)
        loss[(p.level * p.slices + slice) * p.padded + b] = partial[0];
END
