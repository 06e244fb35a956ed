/* SPDX-License-Identifier: MIT */
/* Calibration steps, which measure how fast the device is (speed.h): the first one, as long as a kernel proves faster up to four in a row,
 * and again now and then, so that launches get longer soon after other work on the machine has ended, and shorter where the device slows
 * down. All of that together takes less than a hundredth of a run's time. */
#ifndef HSAE_SRC_CALIBRATION_H
#define HSAE_SRC_CALIBRATION_H

#include "trainer.h"

/* Before a step is submitted: records it as a calibration step where one is due. */
hsae_status hsae_calibration_begin(hsae_trainer *trainer);
/* After a step was submitted: if it is a calibration step, waits for it, measures speeds and records the next steps anew, in launches as
 * long as the speeds allow. */
hsae_status hsae_calibration_end(hsae_trainer *trainer, const struct frame *frame);
/* No calibration from now on, or again: a benchmark's steps must have the same launches. */
hsae_status hsae_calibration_stop(hsae_trainer *trainer, bool stop);

#endif
