/* SPDX-License-Identifier: MIT */
/* weights[b] = 2 scale alpha_b, with the scale that makes the ghost loss's batch mean equal the level's reconstruction loss. One work-group. */
KERNEL(ghost_scale)
    if (control[CONTROL_HALT] != 0u || control[CONTROL_LEVELS + p.level * CONTROL_LEVEL_WORDS + CONTROL_DEAD] == 0u)
        return;
    f32 ghost = 0.0f, reconstruction = 0.0f;
    for (u32 b = LANE; b < p.rows; b += WG) {
        ghost += losses[2u * b];
        for (u32 s = 0u; s < p.slices; s++)
            reconstruction += loss[(p.level * p.slices + s) * p.padded + b];
    }
    WG_SUM(part, ghost);
    ghost = part[0];
    WG_SUM(part, reconstruction);
    f32 scale = ghost > 0.0f ? part[0] / ghost : 0.0f;
    for (u32 b = LANE; b < p.rows; b += WG)
        weights[b] = 2.0f * scale * losses[2u * b + 1u];
END
