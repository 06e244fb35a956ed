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

/* Whether that is a guess, of a launch so long that it matters. */
bool hsae_launch_guessed(const struct hsae_device *device, const struct hsae_launch *launch);

/* Takes the speeds that were measured in earlier runs with this device, driver and shapes. */
void hsae_speed_load(struct hsae_device *device);
/* Whether any kernel was ever timed. */
bool hsae_speed_known(const struct hsae_device *device);
/* Measures speeds from a timed sequence that was run and waited for, and keeps them. */
hsae_status hsae_speed_learn(struct hsae_device *device, struct hsae_sequence *sequence);

#endif
