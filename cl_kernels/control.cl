/* SPDX-License-Identifier: MIT */
/* Ends a step: figures for the host, sparsity control of each level's L0 penalty, last_fired. One work-group a level. squares: the columns' sums
 * of `variance`. */
KERNEL(control)
    u32 l = GROUP, at = CONTROL_LEVELS + l * CONTROL_LEVEL_WORDS, figures = STATUS_LEVELS + l * STATUS_LEVEL_WORDS;
    if (l >= p.levels)
        return;
    if (LANE == 0u)
        status[figures + STATUS_DEAD] = control[at + CONTROL_DEAD];
    if (LANE == 0u && l == 0u) {
        status[STATUS_STEP] = control[CONTROL_STEP];
        status[STATUS_HALT] = control[CONTROL_HALT];
        status[STATUS_PAIRS] = control[CONTROL_HALT] != 0u ? control[CONTROL_PAIRS] : starts[p.features];
    }
    if (control[CONTROL_HALT] != 0u)
        return;
    if (l == 0u) {
        f32 sum = 0.0f;
        for (u32 c = LANE; c < p.stride; c += WG)
            sum += squares[c];
        WG_SUM(part, sum);
        if (LANE == 0u)
            status[STATUS_VARIANCE] = bits_u32(part[0]);
    }
    u32 step = control[CONTROL_STEP];
    f32 share = 1.0f / to_f32(p.rows);
    u32 first = levels[l * LEVEL_WORDS + LEVEL_FIRST], end = levels[(l + 1u) * LEVEL_WORDS + LEVEL_FIRST], fired = 0u;
    u32 below = l + 1u < p.levels ? levels[(l + 2u) * LEVEL_WORDS + LEVEL_FIRST] : end;
    f32 constraint = 0.0f, reconstruction = 0.0f;
    for (u32 i = first + LANE; i < end; i += WG) {
        fired += active_count[i];
        constraint += terms[i * TERM_WORDS + TERM_OWN];
        if (active_count[i] != 0u)
            last_fired[i] = step;
    }
    for (u32 i = end + LANE; i < below; i += WG)
        constraint -= terms[i * TERM_WORDS + TERM_PARENT];
    for (u32 s = 0u; s < p.slices; s++)
        for (u32 b = LANE; b < p.rows; b += WG)
            reconstruction += loss[(l * p.slices + s) * p.padded + b];
    WG_SUM(part, constraint);
    constraint = part[0];
    WG_SUM(part, reconstruction);
    WG_SUM(counts, fired);
    if (LANE == 0u) {
        f32 l0 = to_f32(counts[0]) * share, average = bits_f32(control[at + CONTROL_AVERAGE]), lambda = bits_f32(control[at + CONTROL_LAMBDA]);
        if (average < 0.0f)
            average = l0;
        f32 change = p.one_minus_momentum * (l0 - average);
        f32 wanted = -p.eta * (average - bits_f32(levels[l * LEVEL_WORDS + LEVEL_TARGET]));
        control[at + CONTROL_AVERAGE] = bits_u32(average + change);
        control[at + CONTROL_LAMBDA] = bits_u32(change < wanted ? lambda * (1.0f - p.kappa) : lambda * (1.0f + p.kappa));
        status[figures + STATUS_RECONSTRUCTION] = bits_u32(part[0] * share);
        status[figures + STATUS_L0] = bits_u32(l0);
        status[figures + STATUS_LAMBDA] = bits_u32(lambda);
        status[figures + STATUS_CONSTRAINT] = bits_u32(p.rho * constraint * share);
    }
END
