/* SPDX-License-Identifier: MIT */
/* How fast a device is, kernel by kernel, so that no dispatch and no submission takes as long as a driver's watchdog allows: Windows kills
 * work at 2 s, Linux's drivers at 2 to 10 s. Launches are cut where they would take longer; a cut changes no result, since work-groups do
 * not depend on each other.
 *
 * Speeds are learnt from sequences that are timed launch by launch: the first step of every run, a step now and then (train/calibration.h),
 * and the first batch that goes through a finished model. They are kept for the next run. What was learnt on a busy machine is unlearnt:
 * - A kernel that proves faster than it was known to be is that fast at once. Launches that are too short to be timed prove only that it is
 *   faster than some bound: it is taken to be as fast as that, but at most 8 times as fast as before.
 * - A kernel that seems slower keeps half of its speed at least. Each sequence that shows the same takes another half.
 * - Where a watchdog may be at work, on all devices but CPUs, a kernel of which a launch took more than twice the time that it should is as
 *   slow as that at once. */
#ifndef HSAE_SRC_SPEED_H
#define HSAE_SRC_SPEED_H

#include "budget.h"
#include "device.h"

/* Takes the speeds that were measured in earlier runs with this device, driver and shapes. */
void hsae_speed_load(struct hsae_device *device);
/* Timed sequences in a row, as long as a kernel proves faster: each makes launches up to many times as long, so that it ends soon. */
enum { HSAE_MAX_CALIBRATIONS = 4 };
/* Result of a calibration: of the kernels whose time matters, whether one is faster by a quarter, or else slower, than was known.
 */
enum hsae_speed_change { HSAE_SPEED_SAME, HSAE_SPEED_FASTER, HSAE_SPEED_SLOWER };
/* Measures speeds from a timed sequence that was run and waited for, and keeps them. */
hsae_status hsae_speed_learn(struct hsae_device *device, struct hsae_sequence *sequence, enum hsae_speed_change *change);

#endif
