/* SPDX-License-Identifier: MIT */
/* Co-activation: the number of samples of the last 64 steps on which parent r and child s are both active. counts: f32 [parents][padded],
 * these numbers, exact, or the similarity `inclusion` or `part` that is computed from them. history: u32 [64][N][W]. A work-item has a
 * pair. A work-group has TEAM parents and TEAMS children; where there are several of both it shares their words. */
#define HISTORY(feature) history[(step * p.features + (feature)) * p.words + w]

/* Correlation of being active (phi); less than any other where the child is a copy of the parent or too seldom active with it, or
 * one of both is always or never active. */
FUNCTION f32 inclusion(f32 both, f32 above, f32 below, f32 samples, f32 least)
{
    f32 up = above / samples, down = below / samples, spread = up * (1.0f - up) * (down * (1.0f - down));
    if (spread <= 0.0f)
        return -3.0f;
    f32 phi = (both / samples - up * down) / sqrt_f32(spread);
    return both > INCLUSION_COPY * above || both < least * below ? phi - 2.0f : phi;
}

KERNEL(relink_count)
    u32 across = (p.padded + TEAMS - 1u) / TEAMS, tile = GROUP / across, member = LANE / TEAMS;
    u32 parents = tile * TEAM, children = (GROUP - tile * across) * TEAMS;
    u32 r = parents + member, s = children + LANE - member * TEAMS, both = 0u, above = 0u, below = 0u;
    bool inside = member < TEAM && r < p.parents && s < p.children;
    if (TEAM == 1u) {
        for (u32 step = 0u; inside && step < 64u; step++)
            for (u32 w = 0u; w < p.words; w++) {
                u32 parent = HISTORY(p.parent + r), child = HISTORY(p.child + s);
                both += pop_count(parent & child);
                if (p.samples > 0.0f) {
                    above += pop_count(parent);
                    below += pop_count(child);
                }
            }
    } else {
        /* So many words of each feature at a time: both arrays have room for them. */
        u32 depth = TEAM < TEAMS ? TEAM : TEAMS, row = LANE / depth, word = LANE - row * depth;
        for (u32 step = 0u; step < 64u; step++)
            for (u32 first = 0u; first < p.words; first += depth) {
                u32 w = first + word;
                BARRIER();
                if (row < TEAM)
                    up[word * TEAM + row] = w < p.words && parents + row < p.parents ? HISTORY(p.parent + parents + row) : 0u;
                if (row < TEAMS)
                    down[word * TEAMS + row] = w < p.words && children + row < p.children ? HISTORY(p.child + children + row) : 0u;
                BARRIER();
                for (u32 k = 0u; inside && k < depth; k++) {
                    u32 parent = up[k * TEAM + member], child = down[k * TEAMS + s - children];
                    both += pop_count(parent & child);
                    if (p.samples > 0.0f) {
                        above += pop_count(parent);
                        below += pop_count(child);
                    }
                }
            }
    }
    if (inside)
        counts[r * p.padded + s] = p.samples > 0.0f ? inclusion(to_f32(both), to_f32(above), to_f32(below), p.samples, p.least)
                                                    : to_f32(both);
END
