/* SPDX-License-Identifier: MIT */
/* How long dispatches and submissions may take, and how long a launch will: by the speeds that are known (speed.h), else by a guess. */
#ifndef HSAE_SRC_BUDGET_H
#define HSAE_SRC_BUDGET_H

#include "backend.h"

/* Seconds that a dispatch should take at most, and all dispatches of a submission: 0.05 and 0.25, twice that at worst where the speed is a
 * guess. $HSAE_DISPATCH_MS sets the first, and the second to five times that. */
double hsae_dispatch_seconds(const struct hsae_device *device);
double hsae_submission_seconds(const struct hsae_device *device);

/* What a launch will take; 0 where its work is not known. */
double hsae_launch_seconds(const struct hsae_device *device, const struct hsae_launch *launch);

/* Whether that is a guess, of a launch so long that it matters. */
bool hsae_launch_guessed(const struct hsae_device *device, const struct hsae_launch *launch);

/* Whether what a launch of the kernel takes is known when it is recorded. Ghost launches depend on how many features are dead by then. */
bool hsae_kernel_is_steady(enum hsae_kernel kernel);

#endif
