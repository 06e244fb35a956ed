/* SPDX-License-Identifier: MIT */
/* When a wait for a device is given up.
 *
 * A GPU has `limit` seconds. A device that runs in this process's threads (a CPU), and a driver that compiles in one of them, show progress
 * by the processor time that they use. So a busy machine may be as slow as it likes, and such a wait is given up where
 * - processor time has advanced by less than a 2000th of the limit in `limit` seconds: nothing happens, or
 * - the threads have worked for 30 times the limit: they run in circles.
 *
 * Only time in which the caller was waiting counts. Time in which the process was stopped (Ctrl-Z, a batch system, a debugger), or got no
 * processor itself, does not. */
#ifndef HSAE_SRC_PATIENCE_H
#define HSAE_SRC_PATIENCE_H

#include <stdbool.h>

struct hsae_patience {
    double limit;    /* seconds; INFINITY: never given up */
    bool threads;    /* whether the process's other threads do the work */
    double still;    /* seconds waited since the work last advanced */
    double worked;   /* seconds in which the threads were at work; one second counts once, however many threads there are */
    bool warned;     /* PATIENCE_WARN was given */
    bool began;      /* `advanced` and `seen` are set */
    double advanced; /* processor time when the work last advanced */
    double seen;     /* processor time at the last call */
};

enum hsae_patience_verdict {
    HSAE_PATIENCE_WAIT,
    HSAE_PATIENCE_WARN,    /* continue; a twelfth of the patience is gone. Given once. */
    HSAE_PATIENCE_STILL,   /* give up: nothing has advanced */
    HSAE_PATIENCE_CIRCLES, /* give up: the threads work and do not end */
};

/* Seconds for which the next wait should be asked: 1 or less. */
double hsae_patience_slice(const struct hsae_patience *patience);
/* After a wait of so many seconds, which was asked for and has ended without the work. `processor`: hsae_os_others_seconds() now; not
 * looked at unless `threads`. */
enum hsae_patience_verdict hsae_patience_spend(struct hsae_patience *patience, double seconds, double processor);
/* The limit on `worked`, in seconds. */
double hsae_patience_max_work(const struct hsae_patience *patience);

#endif
