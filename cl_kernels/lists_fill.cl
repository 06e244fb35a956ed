/* SPDX-License-Identifier: MIT */
/* Pairs by feature for a chunk, before the next chunk overwrites the scratch: sample and p of each set bit, ascending; how many are active
 * (p > threshold); where each bitmap word's pairs begin; and, for co-activation, who was active. A team a feature, each of it some
 * words. */
KERNEL(lists_fill)
    u32 team = LANE / TEAM, member = LANE - team * TEAM, r = GROUP * TEAMS + team;
    bool inside = team < TEAMS && r < p.count;
    u32 feature = p.first + (inside ? r : 0u), segment = (p.words + TEAM - 1u) / TEAM;
    u32 begin = min(member * segment, p.words), stop = inside ? min(begin + segment, p.words) : begin;
    u32 at = starts[feature], total = 0u;
    if (TEAM > 1u) {
        for (u32 w = begin; w < stop; w++)
            total += pop_count(bits[feature * p.words + w]);
        partial[LANE] = total;
        total = 0u;
        BARRIER();
        for (u32 k = LANE - member; k < LANE; k++)
            at += partial[k];
        BARRIER();
    }
    u32 ring = (((step_state[STATE_STEP] - 1u) & 63u) * p.features + feature) * p.words;
    f32 threshold = bits_f32(feature_scalars[feature * SCALAR_WORDS + SCALAR_THRESHOLD]);
    for (u32 w = begin; w < stop; w++) {
        u32 word = bits[feature * p.words + w], fired = 0u;
        word_starts[feature * p.words + w] = at;
        while (word != 0u) {
            u32 bit = low_bit(word);
            word &= word - 1u;
            f32 value = scratch[r * p.words * 32u + (p.packed != 0u ? at - starts[feature] : w * 32u + bit)];
            if (value > threshold) {
                fired |= 1u << bit;
                total += 1u;
            }
            if (at < p.capacity) {
                pairs[2u * at] = w * 32u + bit;
                pairs[2u * at + 1u] = bits_u32(value);
            }
            at += 1u;
        }
        if (p.history != 0u && step_state[STATE_HALT] == 0u)
            history[ring + w] = fired;
    }
    TEAM_SUM(partial, total)
    if (inside && member == 0u)
        active_count[feature] = total;
END
