/* SPDX-License-Identifier: MIT */
/* Co-activation: on how many of the last 64 steps' samples are parent r and child s both active? counts: f32 [parents][padded], exact. history: u32
 * [64][N][W]. A work-item a pair; a work-group has TEAM parents and TEAMS children, whose words it shares where there are several of both. */
#define HISTORY(feature) history[(step * p.features + (feature)) * p.words + w]

KERNEL(relink_count)
    u32 across = (p.padded + TEAMS - 1u) / TEAMS, tile = GROUP / across, member = LANE / TEAMS;
    u32 parents = tile * TEAM, children = (GROUP - tile * across) * TEAMS;
    u32 r = parents + member, s = children + LANE - member * TEAMS, both = 0u;
    bool inside = member < TEAM && r < p.parents && s < p.children;
    if (TEAM == 1u) {
        for (u32 step = 0u; inside && step < 64u; step++)
            for (u32 w = 0u; w < p.words; w++)
                both += pop_count(HISTORY(p.parent + r) & HISTORY(p.child + s));
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
                for (u32 k = 0u; inside && k < depth; k++)
                    both += pop_count(up[k * TEAM + member] & down[k * TEAMS + s - children]);
            }
    }
    if (inside)
        counts[r * p.padded + s] = to_f32(both);
END
