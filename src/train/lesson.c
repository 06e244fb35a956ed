/* SPDX-License-Identifier: MIT */
#include "lesson.h"

#include "device/speed.h"
#include "step.h"
#include <math.h>

/* Until the next one pass 500 times the time that recording takes for one, and the time of 20 steps; twice that after each that brings no
 * news, up to 8 times. */
static const double RECORDINGS = 500, STEPS = 20;
enum { MAX_DOUBLINGS = 3 };

hsae_status hsae_lesson_begin(hsae_trainer *trainer)
{
    struct lessons *lessons = &trainer->lessons;
    if (!lessons->stopped && !trainer->learning && lessons->due > 0 && hsae_os_seconds() >= lessons->due) {
        lessons->row = 0;
        lessons->next = true;
        lessons->due = 0;
        lessons->recording = 0;
        hsae_status status = hsae_step_settle(trainer, 0);
        double settled = hsae_os_seconds();
        if (!status && !trainer->learning)
            status = hsae_step_record(trainer);
        lessons->recording = hsae_os_seconds() - settled;
        if (status)
            return status;
    }
    lessons->began = hsae_os_seconds();
    return HSAE_OK;
}

hsae_status hsae_lesson_end(hsae_trainer *trainer, const struct flight *flight)
{
    struct lessons *lessons = &trainer->lessons;
    enum hsae_news news = HSAE_NEWS_NONE;
    if (!trainer->learning)
        return HSAE_OK;
    hsae_status status = hsae_step_settle(trainer, 0);
    double settled = hsae_os_seconds();
    if (!status)
        status = hsae_speed_learn(trainer->device_model.device, flight->sequence, &news);
    lessons->row++;
    lessons->next = news == HSAE_NEWS_FASTER;
    lessons->doublings = news != HSAE_NEWS_NONE ? 0 : lessons->doublings < MAX_DOUBLINGS ? lessons->doublings + 1 : MAX_DOUBLINGS;
    if (!status)
        status = hsae_step_record(trainer);
    lessons->taught |= !trainer->learning;
    double now = hsae_os_seconds();
    lessons->recording += now - settled;
    lessons->due = now + fmax(RECORDINGS * lessons->recording, STEPS * (settled - lessons->began)) * (1 << lessons->doublings);
    return status;
}

hsae_status hsae_lessons_stop(hsae_trainer *trainer, bool stop)
{
    trainer->lessons.stopped = stop;
    hsae_status status = stop && trainer->learning ? hsae_step_settle(trainer, 0) : HSAE_OK;
    return !status && stop && trainer->learning ? hsae_step_record(trainer) : status;
}
