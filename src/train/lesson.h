/* SPDX-License-Identifier: MIT */
/* Steps from which a run learns how fast its device is (speed.h): the first one, as long as a kernel proves faster up to four in a row, and
 * again now and then, so that launches get longer soon after other work on the machine has ended, and shorter where the device slows down.
 * All of that together takes less than a hundredth of a run's time. */
#ifndef HSAE_SRC_LESSON_H
#define HSAE_SRC_LESSON_H

#include "trainer.h"

/* Before a step is submitted: records it as a lesson where one is due. */
hsae_status hsae_lesson_begin(hsae_trainer *trainer);
/* After a step was submitted: if it is a lesson, waits for it, learns and records the next steps, in parts as large as the speed allows. */
hsae_status hsae_lesson_end(hsae_trainer *trainer, const struct flight *flight);
/* No lessons from now on, or again: a benchmark's steps must have the same launches. */
hsae_status hsae_lessons_stop(hsae_trainer *trainer, bool stop);

#endif
