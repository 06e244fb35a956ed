/* SPDX-License-Identifier: MIT */
/* A network by MPI. Parts are of any size; MPI counts bytes in an int, so large ones go in pieces. Errors of MPI end all processes, with
 * MPI's own message. */
#include "plugin.h"

#include <limits.h>
#include <mpi.h>
#include <string.h>

static hsae_status share_from(int root, unsigned char *data, size_t size)
{
    for (size_t at = 0; at < size; at += INT_MAX) {
        const size_t left = size - at;
        MPI_Bcast(data + at, left < INT_MAX ? (int)left : INT_MAX, MPI_BYTE, root, MPI_COMM_WORLD);
    }
    return HSAE_OK;
}

static hsae_status share(void *user, void *data, size_t size)
{
    (void)user;
    return share_from(0, data, size);
}

static hsae_status gather(void *user, const void *part, const size_t *sizes, void *all)
{
    enum { MOST = 256 };
    const hsae_network *network = user;
    int counts[MOST], places[MOST];
    size_t sum = 0;
    for (uint32_t k = 0; k < network->ranks; k++)
        sum += sizes[k];
    if (sum > INT_MAX || network->ranks > MOST) {
        unsigned char *at = all;
        for (uint32_t k = 0; k < network->ranks; at += sizes[k++]) {
            if (k == network->rank && sizes[k])
                memcpy(at, part, sizes[k]);
            share_from((int)k, at, sizes[k]);
        }
        return HSAE_OK;
    }
    sum = 0;
    for (uint32_t k = 0; k < network->ranks; sum += sizes[k++]) {
        counts[k] = (int)sizes[k];
        places[k] = (int)sum;
    }
    MPI_Allgatherv(part, counts[network->rank], MPI_BYTE, all, counts, places, MPI_BYTE, MPI_COMM_WORLD);
    return HSAE_OK;
}

static hsae_network world;

static bool open_world(hsae_network *network, uint32_t *local)
{
    int provided, rank, ranks, place;
    MPI_Comm machine;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
        return false;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine);
    MPI_Comm_rank(machine, &place);
    MPI_Comm_free(&machine);
    world = (hsae_network){.rank = (uint32_t)rank, .ranks = (uint32_t)ranks, .gather = gather, .share = share, .user = &world};
    *network = world;
    *local = (uint32_t)place;
    return true;
}

static void close_world(void)
{
    MPI_Barrier(MPI_COMM_WORLD); /* else MPICH 4.0 over UCX and TCP waits for ever in MPI_Finalize */
    MPI_Finalize();
}

extern const struct mpi_plugin hsae_mpi_plugin;
__attribute__((visibility("default"))) const struct mpi_plugin hsae_mpi_plugin = {open_world, close_world};
