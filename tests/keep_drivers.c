/* SPDX-License-Identifier: MIT */
/* Linked into tests that open devices, for the leak checker's sake. Drivers stay loaded: it names the library of a leak only while it is
 * there (lsan.supp). And the process waits a little before it ends: the checker crashes if it meets a driver's thread that is just ending
 * ("Tracer caught signal 11", seen once in some ten runs on a loaded machine). */
#include <stdlib.h>
#include <time.h>

int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}

static void let_threads_end(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
}

__attribute__((constructor)) static void at_exit(void)
{
    atexit(let_threads_end);
}
