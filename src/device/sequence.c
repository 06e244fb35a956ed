/* SPDX-License-Identifier: MIT */
/* The front of sequences: launches are checked, cut where they would take long, and counted. */
#include "device.h"

#include "base/abandoned.h"
#include "budget.h"
#include "check_launch.h"
#include "front.h"
#include <math.h>
#include <stdlib.h>

void hsae_launch_groups(const struct hsae_device *device, uint64_t groups, struct hsae_launch *launch)
{
    uint64_t wide = device->info.limits.max_groups[0];
    launch->groups[0] = (uint32_t)(groups < wide ? groups : wide);
    launch->groups[1] = (uint32_t)((groups + launch->groups[0] - 1) / launch->groups[0]);
}

hsae_status hsae_sequence_create(struct hsae_device *device, const char *label, bool timed, struct hsae_sequence **out)
{
    if (!out)
        return HSAE_ERROR_ARGUMENT;
    *out = NULL;
    hsae_status status = check_device(device);
    if (!status)
        status = device->ops->sequence_create(device, timed, out);
    if (status) {
        *out = NULL;
        return status;
    }
    struct hsae_sequence_base *base = sequence_base(*out);
    *base = (struct hsae_sequence_base){.device = device, .timed = timed};
    copy_label(base->label, label);
    device->sequences++;
    return HSAE_OK;
}

void hsae_sequence_destroy(struct hsae_sequence **sequence)
{
    if (!sequence || !*sequence)
        return;
    struct hsae_device *device = sequence_base(*sequence)->device;
    device->sequences--;
    free(sequence_base(*sequence)->recorded);
    if (device->hung)
        hsae_abandon(*sequence);
    else
        device->ops->sequence_destroy(*sequence);
    *sequence = NULL;
}

/* Room to note one more launch of a timed sequence. */
static hsae_status reserve_launch(struct hsae_sequence_base *base)
{
    struct hsae_recorded *grown = base->timed ? realloc(base->recorded, (base->launch_count + 1) * sizeof *grown) : NULL;
    if (grown)
        base->recorded = grown;
    return grown || !base->timed ? HSAE_OK
                                 : hsae_fail(base->device->context, HSAE_ERROR_MEMORY, "%s: out of memory for sequence %s",
                                             base->device->info.id, base->label);
}

/* Counts a launch that the backend has taken. */
static void keep_launch(struct hsae_sequence_base *base, enum hsae_kernel kernel, double work, double seconds)
{
    if (base->timed)
        base->recorded[base->launch_count] = (struct hsae_recorded){kernel, base->submissions, work};
    base->launch_count++;
    base->seconds += seconds;
    base->expected += seconds;
}

/* Begins a new submission where this one would get too long. */
static hsae_status cut_submission(struct hsae_sequence *sequence, double seconds)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    if (base->seconds <= 0 || base->seconds + seconds <= hsae_submission_seconds(base->device))
        return HSAE_OK;
    hsae_status status = base->device->ops->sequence_cut(sequence);
    if (!status) {
        base->seconds = 0;
        base->submissions++;
    }
    return status;
}

/* Whole rows of groups where there are several, else groups; the numbers that a kernel's groups have stay the same. */
static hsae_status launch_part(struct hsae_sequence *sequence, const struct hsae_launch *launch, uint32_t part, uint32_t parts)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    struct hsae_launch piece = *launch;
    int axis = launch->groups[1] > 1;
    uint64_t groups = launch->groups[axis], first = groups * part / parts;
    piece.first[axis] = (uint32_t)first;
    piece.groups[axis] = (uint32_t)(groups * (part + 1) / parts - first);
    piece.work = launch->work * piece.groups[axis] / (double)groups;
    double seconds = hsae_launch_seconds(base->device, &piece);
    hsae_status status = cut_submission(sequence, seconds);
    if (!status)
        status = reserve_launch(base);
    if (!status)
        status = base->device->ops->sequence_launch(sequence, &piece);
    if (!status)
        keep_launch(base, launch->kernel, piece.work, seconds);
    return status;
}

static hsae_status add_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    hsae_status status = check_device(base->device);
    if (!status)
        status = hsae_check_launch(base, launch);
    if (status)
        return status;
    uint32_t most = launch->groups[launch->groups[1] > 1], parts = 1;
    double wanted = hsae_launch_seconds(base->device, launch) / hsae_dispatch_seconds(base->device);
    if (hsae_launch_guessed(base->device, launch))
        base->device->speed_guessed = true;
    if (wanted > 1)
        parts = wanted < most ? (uint32_t)ceil(wanted) : most;
    for (uint32_t part = 0; part < parts && !status; part++)
        status = launch_part(sequence, launch, part, parts);
    return status;
}

void hsae_sequence_launch(struct hsae_sequence *sequence, const struct hsae_launch *launch)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    if (base && !base->status)
        base->status = add_launch(sequence, launch);
}

static hsae_status add_product(struct hsae_sequence *sequence, const struct hsae_gemm *product)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    hsae_status status = check_device(base->device);
    if (!status)
        status = hsae_check_gemm(base, product);
    if (!status)
        status = reserve_launch(base);
    if (!status)
        status = base->device->ops->sequence_gemm(sequence, product);
    if (!status)
        keep_launch(base, HSAE_KERNEL_COUNT, 0, 0);
    return status;
}

void hsae_sequence_gemm(struct hsae_sequence *sequence, const struct hsae_gemm *product)
{
    struct hsae_sequence_base *base = sequence_base(sequence);
    if (base && !base->status)
        base->status = product ? add_product(sequence, product) : HSAE_ERROR_ARGUMENT;
}

hsae_status hsae_sequence_end(struct hsae_sequence *sequence)
{
    if (!sequence)
        return HSAE_ERROR_ARGUMENT;
    struct hsae_sequence_base *base = sequence_base(sequence);
    hsae_status status = base->status ? base->status : check_device(base->device);
    if (status)
        return status;
    if (base->ended)
        return hsae_fail(base->device->context, HSAE_ERROR_ARGUMENT, "%s: sequence %s has ended already", base->device->info.id,
                         base->label);
    status = base->device->ops->sequence_end(sequence);
    base->ended = !status;
    return status;
}

hsae_status hsae_sequence_submit(struct hsae_sequence *sequence, uint64_t *ticket)
{
    if (!sequence)
        return HSAE_ERROR_ARGUMENT;
    struct hsae_sequence_base *base = sequence_base(sequence);
    struct hsae_device *device = base->device;
    hsae_status status = base->status ? base->status : check_device(device);
    if (status)
        return status;
    if (!base->ended || base->ticket > device->waited)
        return hsae_fail(device->context, HSAE_ERROR_ARGUMENT, "%s: sequence %s cannot be submitted: %s", device->info.id, base->label,
                         base->ended ? "its last submission was not waited for" : "it has not ended");
    uint64_t submitted = 0;
    if (!base->ticket)
        device->first_run = UINT64_MAX; /* whatever its ticket will be: some devices wait while they submit */
    status = device->ops->sequence_submit(sequence, &submitted);
    if (status)
        return status;
    if (!base->ticket)
        device->first_run = submitted;
    base->ticket = submitted;
    device->submitted = submitted;
    device->expected += base->expected;
    if (ticket)
        *ticket = submitted;
    return HSAE_OK;
}

uint32_t hsae_sequence_launches(const struct hsae_sequence *sequence)
{
    return sequence ? ((const struct hsae_sequence_base *)sequence)->launch_count : 0;
}

enum hsae_kernel hsae_sequence_kernel(const struct hsae_sequence *sequence, uint32_t launch)
{
    const struct hsae_sequence_base *base = (const struct hsae_sequence_base *)sequence;
    return base && base->recorded && launch < base->launch_count ? base->recorded[launch].kernel : HSAE_KERNEL_COUNT;
}

uint32_t hsae_sequence_submission(const struct hsae_sequence *sequence, uint32_t launch)
{
    const struct hsae_sequence_base *base = (const struct hsae_sequence_base *)sequence;
    return base && base->recorded && launch < base->launch_count ? base->recorded[launch].submission : 0;
}

hsae_status hsae_sequence_times(struct hsae_sequence *sequence, double *ns)
{
    if (!sequence)
        return HSAE_ERROR_ARGUMENT;
    struct hsae_sequence_base *base = sequence_base(sequence);
    hsae_status status = check_device(base->device);
    if (status)
        return status;
    if (!ns || !base->timed || !base->ticket || base->ticket > base->device->waited)
        return hsae_fail(base->device->context, HSAE_ERROR_ARGUMENT, "%s: no times of sequence %s: %s", base->device->info.id, base->label,
                         !ns            ? "nowhere to put them"
                         : !base->timed ? "it was not made to be timed"
                                        : "it was not submitted and waited for");
    return base->launch_count ? base->device->ops->sequence_times(sequence, ns) : HSAE_OK;
}
