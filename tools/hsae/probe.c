/* SPDX-License-Identifier: MIT */
/* hsae __probe: drivers are loaded here first, where nothing is lost when they crash or hang. */
#include "cli.h"

#include <stdlib.h>

void cli_probe(int argc, char **argv)
{
    char *answer = NULL;
    hsae_os_child_begin();
    hsae_status status = hsae_device_probe((size_t)argc, argv, &answer);
    if (status == HSAE_OK)
        puts(answer);
    fflush(stdout);
    _Exit(status == HSAE_OK ? CLI_DONE : CLI_USAGE); /* drivers have exit handlers, which may hang, too */
}
