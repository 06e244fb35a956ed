/* SPDX-License-Identifier: MIT */
#include "processes.h"

#include "mpi/plugin.h"
#include <stdlib.h>
#include <string.h>

#ifndef HSAE_MPI_PLUGIN
#define HSAE_MPI_PLUGIN NULL /* built without MPI */
#endif
static const char *const installed = HSAE_MPI_PLUGIN;

/* The plug-in lies beside the program while it is built, and in its own folder when it is installed. */
static void *open_plugin(char *error, size_t size)
{
    char program[4096], beside[4200];
    const char *path = hsae_os_program_path(program, sizeof program);
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (slash) {
        snprintf(beside, sizeof beside, "%.*s/hsae_mpi.so", (int)(slash - path), path);
        void *library = hsae_os_library_open_file(beside, error, size);
        if (library)
            return library;
    }
    return hsae_os_library_open_file(installed, error, size);
}

bool processes_open(struct processes *processes)
{
    char error[400] = "";
    const unsigned long started = hsae_os_launched();
    if (started < 2)
        return true;
    if (!installed) {
        cli_error(
            "%lu processes were started, as by mpirun, but this hsae was built without MPI; build it with the headers of an MPI library "
            "(libopenmpi-dev or libmpich-dev), or start one",
            started);
        return false;
    }
    processes->library = open_plugin(error, sizeof error);
    const struct mpi_plugin *plugin = processes->library ? hsae_os_library_symbol(processes->library, MPI_PLUGIN) : NULL;
    if (!plugin) {
        cli_error("the plug-in for MPI cannot be loaded: %s; install the MPI library that it was built with", error);
        return false;
    }
    if (!plugin->open(&processes->network, &processes->local)) {
        cli_error("MPI does not start");
        return false;
    }
    if (processes->network.ranks != started) {
        cli_error("the launcher has started %lu processes, and MPI knows of %u: it belongs to another MPI library than the plug-in",
                  started, (unsigned)processes->network.ranks);
        return false;
    }
    return true;
}

void processes_close(struct processes *processes)
{
    if (!processes->network.ranks)
        return;
    const struct mpi_plugin *plugin = hsae_os_library_symbol(processes->library, MPI_PLUGIN);
    if (!processes->network.rank)
        hsae_network_end(&processes->network);
    plugin->close();
    processes->network.ranks = 0; /* the library stays: MPI's may not be closed */
}

char *processes_device(const struct processes *processes, const char *ids)
{
    if (!ids || !processes->network.ranks)
        return ids ? strdup(ids) : NULL;
    size_t count = 1;
    for (const char *at = strchr(ids, ','); at; at = strchr(at + 1, ','))
        count++;
    for (size_t k = processes->local % count; k; k--)
        ids = strchr(ids, ',') + 1;
    char *id = strdup(ids);
    if (id)
        id[strcspn(id, ",")] = 0;
    return id;
}
