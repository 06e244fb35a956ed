/* SPDX-License-Identifier: MIT */
/* What each system does of a child process (os_posix_child.c, os_windows_child.c); os_child.c has the rest. */
#ifndef HSAE_SRC_OS_CHILD_H
#define HSAE_SRC_OS_CHILD_H

#include "os.h"

struct hsae_os_process;

/* Its streams that the parent reads. */
enum hsae_os_stream { HSAE_OS_OUTPUT, HSAE_OS_ERRORS };

/* NULL: not started, and errno says why. Its standard streams are pipes. */
struct hsae_os_process *hsae_os_process_start(const char *const *words);
/* Returns after so many seconds; at once where there is something to read, or where it has ended. */
void hsae_os_process_wait(struct hsae_os_process *process, double seconds);
/* Bytes of a stream that are there, at most `size`; 0: none at the moment, or it has ended. */
size_t hsae_os_process_read(struct hsae_os_process *process, enum hsae_os_stream stream, char *bytes, size_t size);
/* Whether it has ended. `how`, of so many bytes, stays empty where the exit status is 0. */
bool hsae_os_process_ended(struct hsae_os_process *process, char *how, size_t size);
/* Seconds of processor time that it has used; below 0: not known. */
double hsae_os_process_seconds(const struct hsae_os_process *process);
/* Ends it by force, with all that it has started. */
void hsae_os_process_kill(struct hsae_os_process *process);
/* Frees the handles, not the process. */
void hsae_os_process_close(struct hsae_os_process *process);

#endif
