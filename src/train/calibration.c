/* SPDX-License-Identifier: MIT */
#include "calibration.h"

#include "device/speed.h"
#include "step.h"
#include <math.h>

/* Until the next one pass 500 times the time that recording takes for one, and the time of 20 steps; twice that after each that brings no
 * change, up to 8 times. */
static const double RECORDINGS = 500, STEPS = 20;
enum { MAX_DOUBLINGS = 3 };

hsae_status hsae_calibration_begin(hsae_trainer *trainer)
{
    struct calibration *calibration = &trainer->calibration;
    if (!calibration->stopped && !trainer->calibrating && calibration->due > 0 && hsae_os_seconds() >= calibration->due) {
        calibration->row = 0;
        calibration->next = true;
        calibration->due = 0;
        calibration->recording = 0;
        hsae_status status = hsae_step_drain(trainer, 0);
        double settled = hsae_os_seconds();
        if (!status && !trainer->calibrating)
            status = hsae_step_record(trainer);
        calibration->recording = hsae_os_seconds() - settled;
        if (status)
            return status;
    }
    calibration->began = hsae_os_seconds();
    return HSAE_OK;
}

hsae_status hsae_calibration_end(hsae_trainer *trainer, const struct frame *frame)
{
    struct calibration *calibration = &trainer->calibration;
    enum hsae_speed_change change = HSAE_SPEED_SAME;
    if (!trainer->calibrating)
        return HSAE_OK;
    hsae_status status = hsae_step_drain(trainer, 0);
    double settled = hsae_os_seconds();
    if (!status)
        status = hsae_speed_learn(trainer->device_model.device, frame->sequence, &change);
    calibration->row++;
    calibration->next = change == HSAE_SPEED_FASTER;
    calibration->doublings = change != HSAE_SPEED_SAME                ? 0
                             : calibration->doublings < MAX_DOUBLINGS ? calibration->doublings + 1
                                                                      : MAX_DOUBLINGS;
    if (!status)
        status = hsae_step_record(trainer);
    calibration->calibrated |= !trainer->calibrating;
    double now = hsae_os_seconds();
    calibration->recording += now - settled;
    calibration->due =
        now + fmax(RECORDINGS * calibration->recording, STEPS * (settled - calibration->began)) * (1 << calibration->doublings);
    return status;
}

hsae_status hsae_calibration_stop(hsae_trainer *trainer, bool stop)
{
    trainer->calibration.stopped = stop;
    hsae_status status = stop && trainer->calibrating ? hsae_step_drain(trainer, 0) : HSAE_OK;
    return !status && stop && trainer->calibrating ? hsae_step_record(trainer) : status;
}
