/* SPDX-License-Identifier: MIT */
#include "ref.h"

/* A list by sample: its entries are pairs [begin, end) of `samples`, in rank order. */
struct list {
    size_t begin, end;
};

static struct list list_of(const u32 *sample_starts, size_t list)
{
    return (struct list){sample_starts[list], sample_starts[list + 1]};
}

/* D_i . u_i = a_i - sum a_j D_i . D_j over the active children j. */
static double own_side(const u32 *tree, const u32 *samples, const f32 *dots, struct list below, u32 feature, f32 a)
{
    if (tree[(size_t)feature * TREE_WORDS + TREE_CHILD_COUNT] == 0)
        return 0;
    double own = a;
    for (size_t q = below.begin; q < below.end; q++)
        if (tree[(size_t)samples[2 * q] * TREE_WORDS + TREE_PARENT] == feature)
            own -= (double)bits_f32(samples[2 * q + 1]) * dots[samples[2 * q]];
    return own;
}

static f32 activation_of(const u32 *samples, struct list list, u32 feature)
{
    for (size_t q = list.begin; q < list.end; q++)
        if (samples[2 * q] == feature)
            return bits_f32(samples[2 * q + 1]);
    return 0.0f;
}

/* Children of one parent have adjacent ranks, so a family is one stretch of a list. */
static struct list family_of(const u32 *tree, const u32 *samples, struct list list, size_t q, u32 parent)
{
    struct list family = {q, q + 1};
    while (family.begin > list.begin && tree[(size_t)samples[2 * (family.begin - 1)] * TREE_WORDS + TREE_PARENT] == parent)
        family.begin--;
    while (family.end < list.end && tree[(size_t)samples[2 * family.end] * TREE_WORDS + TREE_PARENT] == parent)
        family.end++;
    return family;
}

void hsae_ref_family(const struct hsae_family_memory *m, const struct family_args *p)
{
    const u32 *step_state = m->step_state, *tree = m->tree, *sample_starts = m->sample_starts, *samples = m->samples,
              *positions = m->positions;
    const f32 *dots = m->dots;
    u32 *pair_terms = m->pair_terms;
    if (ref_halted(step_state))
        return;
    size_t lists = (size_t)p->levels * p->batch;
    for (size_t l = 0; l < lists; l++) {
        struct list list = list_of(sample_starts, l), above = {0, 0}, below = {0, 0};
        if (l >= p->batch)
            above = list_of(sample_starts, l - p->batch);
        if (l + p->batch < lists)
            below = list_of(sample_starts, l + p->batch);
        for (size_t q = list.begin; q < list.end; q++) {
            u32 feature = samples[2 * q], parent = tree[(size_t)feature * TREE_WORDS + TREE_PARENT];
            f32 a = bits_f32(samples[2 * q + 1]), parent_act = 0.0f;
            struct list family = {0, 0};
            double parent_side = 0;
            if (parent != NONE) {
                parent_act = activation_of(samples, above, parent);
                family = family_of(tree, samples, list, q, parent);
                parent_side = (double)parent_act * dots[feature] - a;
            }
            u32 *scalars = pair_terms + (size_t)positions[q] * PAIR_WORDS;
            scalars[PAIR_OWN] = bits_u32((f32)own_side(tree, samples, dots, below, feature, a));
            scalars[PAIR_PARENT] = bits_u32((f32)parent_side);
            scalars[PAIR_PARENT_ACT] = bits_u32(parent_act);
            scalars[PAIR_FIRST] = (u32)family.begin;
            scalars[PAIR_END] = (u32)family.end;
        }
    }
}
