/* SPDX-License-Identifier: MIT */
/* Families of a tree: the children of one feature. */
#include <hsae/model.h>

#include <inttypes.h>
#include <stdio.h>

static const double EVEN_SHARES = 4;

/* A parent of more than one in CANDIDATES + 1 of the children is among as many candidates: where a child's parent is none of them, it takes
 * the place of one whose count is 0, or all counts sink by 1 (Misra and Gries, "Finding repeated elements", 1982). That is a smaller share
 * than HSAE_LARGE_FAMILY. */
enum { CANDIDATES = 4 };

static void find_candidates(const int32_t *parent, uint32_t children, int32_t candidates[CANDIDATES])
{
    uint32_t counts[CANDIDATES] = {0};
    for (uint32_t k = 0; k < CANDIDATES; k++)
        candidates[k] = -1;
    for (uint32_t j = 0; j < children; j++) {
        uint32_t own = 0, empty = 0;
        while (own < CANDIDATES && candidates[own] != parent[j])
            own++;
        while (empty < CANDIDATES && counts[empty])
            empty++;
        if (parent[j] < 0)
            continue;
        if (own < CANDIDATES) {
            counts[own]++;
        } else if (empty < CANDIDATES) {
            candidates[empty] = parent[j];
            counts[empty] = 1;
        } else {
            for (uint32_t k = 0; k < CANDIDATES; k++)
                counts[k]--;
        }
    }
}

bool hsae_large_family(const hsae_config *config, uint32_t level, const int32_t *parent, char *text, size_t size)
{
    if (!config || !parent || !text || !size)
        return false;
    *text = 0;
    if (level == 0 || level >= config->level_count)
        return false;
    const uint32_t above = config->levels[level - 1];
    int32_t candidates[CANDIDATES], largest = -1;
    uint32_t counts[CANDIDATES] = {0}, assigned = 0, most = 0;
    find_candidates(parent, config->levels[level], candidates);
    for (uint32_t j = 0; j < config->levels[level]; j++) {
        assigned += parent[j] >= 0;
        for (uint32_t k = 0; k < CANDIDATES; k++)
            counts[k] += parent[j] >= 0 && parent[j] == candidates[k];
    }
    for (uint32_t k = 0; k < CANDIDATES; k++)
        if (counts[k] > most || (counts[k] == most && candidates[k] < largest)) {
            largest = candidates[k];
            most = counts[k];
        }
    if (most <= HSAE_LARGE_FAMILY * assigned || (double)most * above <= EVEN_SHARES * assigned)
        return false;
    snprintf(text, size,
             "feature %" PRId32 " of level %" PRIu32 " is the parent of %" PRIu32 " of the %" PRIu32 " features of level %" PRIu32
             " that have one (%.3g %%), so that the tree says little: use %s",
             largest, level - 1, most, assigned, level, 100.0 * most / assigned,
             config->similarity == HSAE_SIMILARITY_INCLUSION || config->similarity == HSAE_SIMILARITY_PART ? "tree binary"
                                                                                                           : "similarity inclusion");
    return true;
}
