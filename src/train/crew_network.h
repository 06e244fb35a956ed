/* SPDX-License-Identifier: MIT */
/* What process 0 and those that serve it say to each other before a trainer is there. */
#ifndef HSAE_SRC_CREW_NETWORK_H
#define HSAE_SRC_CREW_NETWORK_H

#include "crew.h"

/* What process 0 sends first: whether there is a trainer to be made, and by what library. Of the same form in all versions. */
struct call {
    uint32_t trains, layout;
    char version[24];
};

/* What the others make their trainers of. */
struct invitation {
    hsae_config config;
    uint32_t dim, dtype;
};

/* A number for the form of what processes exchange; another byte order gives another one. */
uint32_t hsae_crew_layout(void);
/* Process 0 calls the others to a trainer, then sends the invitation. */
hsae_status hsae_crew_call(const hsae_trainer *trainer);
hsae_status hsae_crew_invite(hsae_trainer *trainer);
/* Of all: whether the devices are of several kinds, to crew->unlike. */
hsae_status hsae_crew_compare_devices(hsae_trainer *trainer);

#endif
