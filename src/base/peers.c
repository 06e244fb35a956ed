/* SPDX-License-Identifier: MIT */
#include "peers.h"

#include "context.h"
#include <hsae/config.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct hsae_peers {
    pthread_mutex_t mutex;
    pthread_cond_t change;
    uint32_t count, arrived;
    uint64_t meetings; /* how often all have met */
    hsae_status status;
    hsae_network network; /* ranks 0: the peers are threads */
    const void *parts[];  /* [count]: what each one shows the others between two meetings */
};

hsae_status hsae_peers_create(const hsae_context *context, uint32_t count, struct hsae_peers **out)
{
    const size_t bytes = sizeof(struct hsae_peers) + count * sizeof(void *);
    struct hsae_peers *peers = *out = calloc(1, bytes);
    if (!peers)
        return hsae_fail_memory(context, bytes, NULL, "what devices exchange");
    peers->count = count;
    pthread_mutex_init(&peers->mutex, NULL);
    pthread_cond_init(&peers->change, NULL);
    return HSAE_OK;
}

hsae_status hsae_peers_create_network(const hsae_context *context, const hsae_network *network, struct hsae_peers **out)
{
    hsae_status status = hsae_peers_create(context, network->ranks, out);
    if (!status)
        (*out)->network = *network;
    return status;
}

void hsae_peers_destroy(struct hsae_peers **pointer)
{
    struct hsae_peers *peers = *pointer;
    if (!peers)
        return;
    pthread_cond_destroy(&peers->change);
    pthread_mutex_destroy(&peers->mutex);
    free(peers);
    *pointer = NULL;
}

/* Waits until all are here. Each one then sees what the others show. */
static hsae_status meet(struct hsae_peers *peers, uint32_t own, const void *part)
{
    pthread_mutex_lock(&peers->mutex);
    const uint64_t meeting = peers->meetings;
    peers->parts[own] = part;
    if (!peers->status && ++peers->arrived == peers->count) {
        peers->arrived = 0;
        peers->meetings++;
        pthread_cond_broadcast(&peers->change);
    }
    while (!peers->status && peers->meetings == meeting)
        pthread_cond_wait(&peers->change, &peers->mutex);
    const hsae_status status = peers->meetings == meeting ? peers->status : HSAE_OK;
    pthread_mutex_unlock(&peers->mutex);
    return status;
}

/* Processes tell each other whether they go on: OK, or the status of the first that failed. */
static hsae_status meet_network(struct hsae_peers *peers, hsae_status own)
{
    int32_t mine = own, all[HSAE_MAX_SHARDS];
    size_t sizes[HSAE_MAX_SHARDS];
    if (peers->status)
        return peers->status;
    for (uint32_t k = 0; k < peers->count; k++)
        sizes[k] = sizeof mine;
    peers->status = peers->network.gather(peers->network.user, &mine, sizes, all);
    for (uint32_t k = 0; k < peers->count && !peers->status; k++)
        peers->status = (hsae_status)all[k];
    return peers->status;
}

hsae_status hsae_peers_gather(struct hsae_peers *peers, uint32_t own, const void *part, const size_t *sizes, void *all)
{
    if (peers->network.ranks) {
        hsae_status met = meet_network(peers, HSAE_OK);
        return met ? met : peers->network.gather(peers->network.user, part, sizes, all);
    }
    hsae_status status = meet(peers, own, part);
    for (uint32_t k = 0; k < peers->count && !status; k++) {
        if (sizes[k])
            memcpy(all, peers->parts[k], sizes[k]);
        all = (unsigned char *)all + sizes[k];
    }
    return status ? status : meet(peers, own, part); /* until all have read it, what each one shows must stay */
}

hsae_status hsae_peers_share(struct hsae_peers *peers, uint32_t own, void *data, size_t size)
{
    if (peers->network.ranks) {
        hsae_status met = meet_network(peers, HSAE_OK);
        return met ? met : peers->network.share(peers->network.user, data, size);
    }
    hsae_status status = meet(peers, own, data);
    if (!status && own && size)
        memcpy(data, peers->parts[0], size);
    return status ? status : meet(peers, own, data); /* until all have read it, what each one shows must stay */
}

void hsae_peers_fail(struct hsae_peers *peers, hsae_status status)
{
    if (peers->network.ranks) {
        meet_network(peers, status);
        return;
    }
    pthread_mutex_lock(&peers->mutex);
    peers->status = peers->status ? peers->status : status;
    pthread_cond_broadcast(&peers->change);
    pthread_mutex_unlock(&peers->mutex);
}
