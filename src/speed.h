/* How fast a device is, kernel by kernel, so that no dispatch and no submission takes as long as a driver's watchdog allows: Windows kills
 * work at 2 s, Linux's drivers at 2 to 10 s. Launches are cut where they would take longer; a cut changes no result, since work-groups do
 * not depend on each other. */
#ifndef HSAE_SRC_SPEED_H
#define HSAE_SRC_SPEED_H

#include "device.h"

/* Seconds that a dispatch should take at most, and all dispatches of a submission: 0.05 and 0.25, twice that at worst where the speed is a
 * guess. $HSAE_DISPATCH_MS sets the first, and the second to five times that. */
double hsae_dispatch_seconds(void);
double hsae_submission_seconds(void);

/* What a launch will take; 0 where its work is not known. */
double hsae_launch_seconds(const struct hsae_device *device, const struct hsae_launch *launch);

/* Speeds that were measured in an earlier run with this device, driver and shapes; whether there are any. */
bool hsae_speed_load(struct hsae_device *device);
/* Measures them from a timed sequence that was run and waited for, and keeps them. */
hsae_status hsae_speed_learn(struct hsae_device *device, struct hsae_sequence *sequence);

#endif
