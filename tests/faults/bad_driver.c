/* SPDX-License-Identifier: MIT */
/* A driver that ends the process that loads it. */
#include <signal.h>

__attribute__((constructor)) static void end(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}
