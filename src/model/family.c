/* SPDX-License-Identifier: MIT */
/* Families of a tree: the children of one feature. */
#include <hsae/model.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const double EVEN_SHARES = 4;

bool hsae_large_family(const hsae_config *config, uint32_t level, const int32_t *parent, char *text, size_t size)
{
    if (!config || !parent || !text || !size)
        return false;
    *text = 0;
    const uint32_t above = level > 0 && level < config->level_count ? config->levels[level - 1] : 0;
    uint32_t *children = calloc((size_t)above + 1, sizeof *children), largest = 0, assigned = 0;
    for (uint32_t j = 0; children && above && j < config->levels[level]; j++)
        if (parent[j] >= 0) {
            children[parent[j]]++;
            assigned++;
        }
    for (uint32_t i = 0; children && i < above; i++)
        largest = children[i] > children[largest] ? i : largest;
    const double most = children ? children[largest] : 0;
    free(children);
    if (most <= HSAE_LARGE_FAMILY * assigned || most * above <= EVEN_SHARES * assigned)
        return false;
    snprintf(text, size,
             "feature %" PRIu32 " of level %" PRIu32 " is the parent of %.0f of the %" PRIu32 " features of level %" PRIu32
             " that have one (%.3g %%), so that the tree says little: use %s",
             largest, level - 1, most, assigned, level, 100 * most / assigned,
             config->similarity == HSAE_SIMILARITY_INCLUSION || config->similarity == HSAE_SIMILARITY_PART ? "tree binary"
                                                                                                           : "similarity inclusion");
    return true;
}
