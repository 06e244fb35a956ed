/* SPDX-License-Identifier: MIT */
/* Merges a chunk of similarities (f32 [parents][padded], one column a child) into each child's best candidates: best u32
 * [children][candidates][2] = bits of the similarity, parent; falling similarity, ties by lowest parent; NONE where there is none yet. Only
 * parents after the child's cursor (u32 [children][2], same order) count, so a list that ran out can be gone on with. Chunks come in
 * ascending parents. A team a child, side by side: alone, a work-item inserts every parent; several find the best, the next best and so on
 * together, each among some parents. */
#define BEHIND(value, parent) \
    (cursor_parent == NONE || (value) < cursor_value || ((value) == cursor_value && (parent) > cursor_parent))
/* Whether `value` goes before the k-th candidate. */
#define BEFORE(k, value) (best[list + 2u * (k) + 1u] == NONE || (value) > bits_f32(best[list + 2u * (k)]))
#define INSERT(value, parent)                                           \
    if (BEFORE(p.candidates - 1u, value)) {                             \
        u32 k = p.candidates - 1u;                                      \
        while (k > 0u && BEFORE(k - 1u, value)) {                       \
            best[list + 2u * k] = best[list + 2u * (k - 1u)];           \
            best[list + 2u * k + 1u] = best[list + 2u * (k - 1u) + 1u]; \
            k -= 1u;                                                    \
        }                                                               \
        best[list + 2u * k] = bits_u32(value);                          \
        best[list + 2u * k + 1u] = parent;                              \
    }

KERNEL(relink_best)
    u32 member = LANE / TEAMS, team = LANE - member * TEAMS, s = GROUP * TEAMS + team;
    bool inside = member < TEAM && s < p.children;
    u32 list = (p.child + s) * p.candidates * 2u, cursor_parent = NONE;
    f32 cursor_value = 0.0f;
    if (inside) {
        cursor_value = bits_f32(cursor[2u * (p.child + s)]);
        cursor_parent = cursor[2u * (p.child + s) + 1u];
    }
    for (u32 r = 0u; TEAM == 1u && inside && r < p.parents; r++) {
        f32 value = similarity[r * p.padded + s];
        u32 parent = p.parent + r;
        if (BEHIND(value, parent))
            INSERT(value, parent)
    }
    for (u32 found = 0u; TEAM > 1u && found < p.candidates; found++) {
        f32 value = 0.0f;
        u32 parent = NONE;
        for (u32 r = member; inside && r < p.parents; r += TEAM) {
            f32 other = similarity[r * p.padded + s];
            if (BEHIND(other, p.parent + r) && (parent == NONE || other > value)) {
                value = other;
                parent = p.parent + r;
            }
        }
        BARRIER();
        values[LANE] = value;
        parents[LANE] = parent;
        BARRIER();
        for (u32 half_team = WG / 2u; half_team > 0u; half_team /= 2u) {
            u32 other = LANE + half_team * TEAMS;
            if (member < half_team && member + half_team < TEAM && parents[other] != NONE &&
                (parents[LANE] == NONE || values[other] > values[LANE] ||
                 (values[other] == values[LANE] && parents[other] < parents[LANE]))) {
                values[LANE] = values[other];
                parents[LANE] = parents[other];
            }
            BARRIER();
        }
        cursor_value = values[team];
        cursor_parent = parents[team];
        inside = inside && cursor_parent != NONE;
        if (inside && member == 0u)
            INSERT(cursor_value, cursor_parent)
    }
END
