/* SPDX-License-Identifier: MIT */
/* What the plug-in hsae_mpi gives the program: the network of the processes that mpirun or its like has started. MPI libraries differ in
 * their binary interface, so the plug-in is linked with the one that it was built with, and the program opens it only when it is needed. */
#ifndef HSAE_TOOLS_MPI_PLUGIN_H
#define HSAE_TOOLS_MPI_PLUGIN_H

#include <hsae/network.h>

struct mpi_plugin {
    /* Joins the others. *local is the number of this process among those of its machine. False: MPI does not start; it has said why. */
    bool (*open)(hsae_network *network, uint32_t *local);
    /* Leaves them, when all do. */
    void (*close)(void);
};

/* The one name that the plug-in exports, of type struct mpi_plugin. */
#define MPI_PLUGIN "hsae_mpi_plugin"

#endif
