/* SPDX-License-Identifier: MIT */
/* weights[b] = 2 scale alpha_b, with the scale that makes the ghost loss's batch mean equal the level's reconstruction loss. One
 * work-group. */
KERNEL(ghost_scale)
    if (step_state[STATE_HALT] != 0u || step_state[STATE_LEVELS + p.level * STATE_LEVEL_WORDS + STATE_DEAD] == 0u)
        return;
    f32 ghost = 0.0f, reconstruction = 0.0f;
    for (u32 b = LANE; b < p.batch; b += WG) {
        ghost += ghost_losses[2u * b];
        for (u32 s = 0u; s < p.slices; s++)
            reconstruction += loss[(p.level * p.slices + s) * p.padded + b];
    }
    WG_SUM(partial, ghost);
    ghost = partial[0];
    WG_SUM(partial, reconstruction);
    f32 scale = ghost > 0.0f ? partial[0] / ghost : 0.0f;
    for (u32 b = LANE; b < p.batch; b += WG)
        weights[b] = 2.0f * scale * ghost_losses[2u * b + 1u];
END
