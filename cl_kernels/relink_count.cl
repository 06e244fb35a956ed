/* Co-activation: on how many of the last 64 steps' samples are parent r and child s both active? counts: f32 [parents][padded], exact. history: u32
 * [64][N][W]. One work-item a pair. */
KERNEL_2(relink_count, READ(0, u32, history), WRITE(1, f32, counts))
BEGIN(relink_count)
    u32 item = GROUP * WG + LANE, r = item / p.padded, s = item - r * p.padded;
    if (r >= p.parents || s >= p.children)
        return;
    u32 both = 0u;
    for (u32 step = 0u; step < 64u; step++) {
        u32 up = (step * p.features + p.parent + r) * p.words, down = (step * p.features + p.child + s) * p.words;
        for (u32 w = 0u; w < p.words; w++)
            both += pop_count(history[up + w] & history[down + w]);
    }
    counts[r * p.padded + s] = to_f32(both);
END
