/* SPDX-License-Identifier: MIT */
/* The other processes of a run that mpirun has started. */
#ifndef HSAE_TOOLS_PROCESSES_H
#define HSAE_TOOLS_PROCESSES_H

#include "cli.h"

struct processes {
    void *library;        /* the plug-in; NULL: this process is alone */
    hsae_network network; /* ranks 0: likewise */
    uint32_t local;       /* number of this process among those of its machine */
};

/* Finds the others where a program such as mpirun has started several of this; else nothing. False: it could not, which was said. */
bool processes_open(struct processes *processes);
/* Process 0 releases the others; then all part. Takes one that was not opened. */
void processes_close(struct processes *processes);
/* Of "ID,ID ...", the device of this process of its machine, in turn; the same text, if it is one, or NULL. free(). */
char *processes_device(const struct processes *processes, const char *ids);

#endif
