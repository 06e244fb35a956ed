/* Merges a chunk of similarities (f32 [parents][padded], one column a child) into each child's best candidates: best u32 [children][candidates][2] =
 * bits of the similarity, parent; falling similarity, ties by lowest parent; NONE where there is none yet. Only parents behind the child's cursor
 * (u32 [children][2], same order) count, so a list that ran out can be gone on with. Chunks come in ascending parents. One work-item a child. */
KERNEL_3(relink_best, READ(0, f32, similarity), READ(1, u32, cursor), MODIFY(2, u32, best))
BEGIN(relink_best)
    u32 s = GROUP * WG + LANE;
    if (s >= p.children)
        return;
    u32 list = (p.child + s) * p.candidates * 2u;
    f32 cursor_value = bits_f32(cursor[2u * (p.child + s)]);
    u32 cursor_parent = cursor[2u * (p.child + s) + 1u];
    for (u32 r = 0u; r < p.parents; r++) {
        f32 value = similarity[r * p.padded + s];
        u32 parent = p.parent + r;
        bool behind = cursor_parent == NONE || value < cursor_value || (value == cursor_value && parent > cursor_parent);
        u32 tail = list + 2u * (p.candidates - 1u);
        if (!behind || !(best[tail + 1u] == NONE || value > bits_f32(best[tail])))
            continue;
        u32 k = p.candidates - 1u;
        while (k > 0u && (best[list + 2u * (k - 1u) + 1u] == NONE || value > bits_f32(best[list + 2u * (k - 1u)]))) {
            best[list + 2u * k] = best[list + 2u * (k - 1u)];
            best[list + 2u * k + 1u] = best[list + 2u * (k - 1u) + 1u];
            k -= 1u;
        }
        best[list + 2u * k] = bits_u32(value);
        best[list + 2u * k + 1u] = parent;
    }
END
