/* SPDX-License-Identifier: MIT */
/* decode with p.partial: of a list of `samples`, which has ascending ranks, those pairs whose features are the shard's. */
#define SKIP_BELOW(at, stop, least)                                                          \
    for (u32 high = stop; at < high;) {                                                      \
        u32 middle = (at + high) / 2u;                                                       \
        if (tree[samples[2u * middle] * TREE_WORDS + TREE_RANK] < least)                     \
            at = middle + 1u;                                                                \
        else                                                                                 \
            high = middle;                                                                   \
    }
/* Narrows begin .. stop - 1 to them, of the level's own list or of that of the level below. */
#define TAKE_RANKS(begin, stop, own)                                                         \
    if (p.partial != 0u) {                                                                   \
        u32 low_rank = own ? p.rank : p.below, high_rank = low_rank + (own ? p.ranks : p.below_ranks); \
        SKIP_BELOW(begin, stop, low_rank)                                                    \
        u32 after = begin;                                                                   \
        SKIP_BELOW(after, stop, high_rank)                                                   \
        stop = after;                                                                        \
    }
