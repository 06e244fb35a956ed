/* SPDX-License-Identifier: MIT */
/* Memory plans, a dry run: the trainer's own allocation code on a null backend that records sizes. */
#include <hsae/plan.h>

#include "data/dataset.h"
#include "device/device.h"
#include "step.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct hsae_buffer {
    struct hsae_buffer_base base;
    size_t row; /* of the plan */
    void *mapped;
};

struct hsae_sequence {
    struct hsae_sequence_base base;
};

struct plan_device {
    struct hsae_device base;
    hsae_memory_plan *plan;
    struct alive { /* of each row of the plan */
        uint32_t buffers;
        uint64_t bytes;
    } * alive;
    bool allocated_later;
    bool host_is_short; /* the error is that the machine's memory does not do */
};

static struct plan_device *plan_device(struct hsae_device *device)
{
    return (struct plan_device *)device;
}

/* ---- a backend that keeps nothing ---- */

static bool add_row(struct plan_device *own, const char *label, bool host)
{
    hsae_memory_plan *plan = own->plan;
    hsae_plan_row *rows = realloc(plan->rows, (plan->row_count + 1) * sizeof *rows);
    plan->rows = rows ? rows : plan->rows;
    struct alive *alive = realloc(own->alive, (plan->row_count + 1) * sizeof *alive);
    own->alive = alive ? alive : own->alive;
    if (!rows || !alive)
        return false;
    alive[plan->row_count] = (struct alive){0};
    rows[plan->row_count] = (hsae_plan_row){.allocated_later = own->allocated_later, .host = host};
    memcpy(rows[plan->row_count++].label, label, strlen(label));
    return true;
}

static hsae_status note_buffer(struct hsae_device *device, uint64_t size, enum hsae_buffer_kind kind, const char *label,
                               struct hsae_buffer **out)
{
    struct plan_device *own = plan_device(device);
    hsae_memory_plan *plan = own->plan;
    size_t at = 0;
    *out = calloc(1, sizeof **out);
    while (at < plan->row_count && strcmp(plan->rows[at].label, label) != 0)
        at++;
    if (!*out || (at == plan->row_count && !add_row(own, label, kind == HSAE_BUFFER_STAGING))) {
        free(*out);
        return hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for a memory plan");
    }
    (*out)->row = at;
    struct alive *alive = &own->alive[at];
    alive->buffers++;
    alive->bytes += size;
    if (alive->bytes > plan->rows[at].bytes &&
        (plan->rows[at].allocated_later || !own->allocated_later)) { /* what grows later is in peak_bytes */
        plan->rows[at].buffers = alive->buffers;
        plan->rows[at].bytes = alive->bytes;
    }
    return HSAE_OK;
}

static void forget_buffer(struct hsae_buffer *buffer)
{
    struct alive *alive = &plan_device(buffer->base.device)->alive[buffer->row];
    alive->buffers--;
    alive->bytes -= buffer->base.size;
    free(buffer);
}

static hsae_status write_nothing(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, const void *data)
{
    (void)buffer, (void)offset, (void)size, (void)data;
    return HSAE_OK;
}

static hsae_status read_zeros(struct hsae_buffer *buffer, uint64_t offset, uint64_t size, void *data)
{
    (void)buffer, (void)offset;
    memset(data, 0, size);
    return HSAE_OK;
}

static hsae_status map_scratch(struct hsae_buffer *buffer, void **data)
{
    *data = buffer->mapped = calloc(1, buffer->base.size);
    return *data ? HSAE_OK : hsae_fail(buffer->base.device->context, HSAE_ERROR_MEMORY, "out of memory for a memory plan");
}

static hsae_status unmap_scratch(struct hsae_buffer *buffer)
{
    free(buffer->mapped);
    buffer->mapped = NULL;
    return HSAE_OK;
}

static hsae_status make_sequence(struct hsae_device *device, bool timed, struct hsae_sequence **out)
{
    (void)timed;
    *out = calloc(1, sizeof **out);
    return *out ? HSAE_OK : hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for a memory plan");
}

static hsae_status launch_nothing(struct hsae_sequence *sequence, const struct hsae_launch *launch)
{
    (void)sequence, (void)launch;
    return HSAE_OK;
}

static hsae_status multiply_nothing(struct hsae_sequence *sequence, const struct hsae_gemm *product)
{
    (void)sequence, (void)product;
    return HSAE_OK;
}

static hsae_status nothing(struct hsae_sequence *sequence)
{
    (void)sequence;
    return HSAE_OK;
}

static hsae_status submit_nothing(struct hsae_sequence *sequence, uint64_t *ticket)
{
    *ticket = sequence->base.device->submitted + 1;
    return HSAE_OK;
}

static hsae_status no_times(struct hsae_sequence *sequence, double *ns)
{
    memset(ns, 0, sequence->base.launch_count * sizeof *ns);
    return HSAE_OK;
}

static void forget_sequence(struct hsae_sequence *sequence)
{
    free(sequence);
}

static hsae_status wait_for_nothing(struct hsae_device *device, uint64_t ticket, double seconds, bool *done)
{
    (void)device, (void)ticket, (void)seconds;
    *done = true;
    return HSAE_OK;
}

static void close_nothing(struct hsae_device *device)
{
    (void)device;
}

static const struct device_ops plan_ops = {
    .buffer_create = note_buffer,
    .buffer_destroy = forget_buffer,
    .buffer_write = write_nothing,
    .buffer_read = read_zeros,
    .buffer_map = map_scratch,
    .buffer_unmap = unmap_scratch,
    .sequence_create = make_sequence,
    .sequence_launch = launch_nothing,
    .sequence_gemm = multiply_nothing,
    .sequence_cut = nothing,
    .sequence_end = nothing,
    .sequence_submit = submit_nothing,
    .sequence_times = no_times,
    .sequence_destroy = forget_sequence,
    .wait = wait_for_nothing,
    .close = close_nothing,
};

static struct plan_device stand_in(const hsae_device *device, hsae_memory_plan *plan)
{
    struct plan_device own = {.base = *device, .plan = plan};
    own.base.ops = &plan_ops;
    own.base.allocated_bytes = own.base.staging_bytes = own.base.peak_bytes = 0;
    own.base.buffers = own.base.sequences = 0;
    own.base.submitted = own.base.waited = 0;
    own.base.can_time = false; /* nothing is to be learned */
    own.base.unlimited_memory = true;
    own.base.joined = NULL;
    own.base.joined_count = 0;
    return own;
}

/* ---- the plan ---- */

/* What the host needs for itself: rows read ahead, vectors, trees. */
static uint64_t host_bytes(const hsae_trainer *trainer)
{
    const struct device_model *device_model = &trainer->device_model;
    uint64_t sum = hsae_reader_bytes(device_model->batch, (uint64_t)device_model->dim * hsae_dtype_size(trainer->dtype),
                                     hsae_trainer_ring(device_model->device));
    sum += HSAE_COPY_BYTES + device_model->dim * sizeof *trainer->mean +
           (uint64_t)device_model->features * (sizeof **trainer->parents + 8 * sizeof(u32));
    return sum + device_model->device->staging_bytes;
}

static hsae_status fail_memory(const struct plan_device *own)
{
    const hsae_device_info *info = &own->base.info;
    const hsae_plan_row *largest = own->plan->rows;
    for (size_t k = 1; k < own->plan->row_count; k++)
        if (!own->plan->rows[k].host && own->plan->rows[k].bytes > largest->bytes)
            largest = &own->plan->rows[k];
    return hsae_fail(own->base.context, HSAE_ERROR_DEVICE_MEMORY,
                     "%s: the run needs %" PRIu64 " bytes of memory, the device has %" PRIu64 "; the largest part, %" PRIu64 ", is for %s",
                     info->id, own->plan->initial_bytes, info->limits.memory_bytes, largest->bytes, largest->label);
}

/* What the run takes of the machine's memory: on a CPU what is on the device, too. */
static hsae_status check_host(struct plan_device *own)
{
    const hsae_memory_plan *plan = own->plan;
    uint64_t needed = plan->host_bytes + (own->base.info.type == HSAE_DEVICE_CPU ? plan->initial_bytes : 0);
    own->host_is_short = needed > hsae_os_memory();
    if (!own->host_is_short)
        return HSAE_OK;
    return hsae_fail(own->base.context, HSAE_ERROR_MEMORY,
                     "%s: the run needs %" PRIu64 " bytes of the machine's memory, which has %" PRIu64
                     "; use a smaller batch or smaller levels",
                     own->base.info.id, needed, hsae_os_memory());
}

/* What a trainer makes at the start; ERROR_DEVICE_MEMORY or ERROR_MEMORY where that does not fit. */
static hsae_status make_trainer(struct plan_device *own, const hsae_config *config, uint32_t dim, hsae_dtype dtype, hsae_trainer **trainer)
{
    hsae_status status = hsae_trainer_alloc(&own->base, config, dim, dtype, trainer);
    if (!status)
        status = hsae_step_record(*trainer);
    if (status)
        return status;
    own->plan->initial_bytes = own->base.allocated_bytes;
    own->plan->host_bytes = host_bytes(*trainer);
    return own->plan->initial_bytes > own->base.info.limits.memory_bytes ? fail_memory(own) : check_host(own);
}

/* The launches of a step once there is a tree, whose features have equally many children; none are dead. */
static hsae_status count_launches(hsae_trainer *trainer, hsae_memory_plan *plan)
{
    const uint32_t *features = trainer->config.levels;
    for (uint32_t l = 0; l < trainer->config.level_count; l++) {
        trainer->ghost_capacity[l] = 0;
        for (uint32_t i = 0; i < features[l] && l && trainer->config.hierarchy_period; i++)
            trainer->parents[l][i] = (int32_t)((uint64_t)i * features[l - 1] / features[l]);
    }
    hsae_status status = hsae_trainer_upload_tree(trainer);
    if (!status)
        status = hsae_step_record(trainer);
    if (!status)
        plan->launches = hsae_sequence_launches(trainer->frame[0].sequence);
    return status;
}

/* What a trainer makes at the start, for dead features, and for an update of the tree. */
static hsae_status make_buffers(struct plan_device *own, const hsae_config *config, uint32_t dim, hsae_dtype dtype)
{
    hsae_trainer *trainer = NULL;
    hsae_status status = make_trainer(own, config, dim, dtype, &trainer);
    if (!status) { /* that it may not fit later is said, but no error */
        own->allocated_later = true;
        for (uint32_t l = 0; l < config->level_count; l++)
            trainer->ghost_capacity[l] = config->ghost ? config->levels[l] : 0;
        status = hsae_ghost_buffers(trainer);
        trainer->large_family = true; /* nothing is to be said of a tree of nothing */
        if (!status && config->hierarchy_period)
            status = hsae_hierarchy_update(trainer);
        own->plan->peak_bytes = own->base.peak_bytes - own->base.staging_bytes;
        if (!status)
            status = count_launches(trainer, own->plan);
    }
    hsae_trainer_destroy(&trainer);
    free(own->alive);
    return status;
}

static bool is_too_large(const struct plan_device *own, hsae_status status)
{
    return status == HSAE_ERROR_DEVICE_MEMORY || status == HSAE_ERROR_LIMIT || (status && own->host_is_short);
}

/* HSAE_OK: it fits; without messages. */
static hsae_status try_config(const hsae_device *device, const hsae_config *config, uint32_t dim, hsae_dtype dtype, bool *too_large)
{
    hsae_context quiet = *device->context;
    quiet.log = NULL;
    hsae_memory_plan plan = {0};
    struct plan_device own = stand_in(device, &plan);
    own.base.context = &quiet;
    hsae_config resolved = *config;
    hsae_status status = hsae_config_resolve(&quiet, &resolved, dim);
    if (!status)
        status = make_buffers(&own, &resolved, dim, dtype);
    *too_large = is_too_large(&own, status);
    free(plan.rows);
    return status;
}

/* Halves what may be halved until it fits; false: it never does. */
static bool find_fit(const hsae_device *device, bool batch, bool levels, uint32_t dim, hsae_dtype dtype, hsae_config *config)
{
    hsae_status status = HSAE_ERROR_LIMIT;
    for (bool too_large = true; too_large;) {
        config->batch = batch ? config->batch / 2 : config->batch;
        for (uint32_t l = 0; l < config->level_count && levels; l++)
            config->levels[l] /= 2;
        status = try_config(device, config, dim, dtype, &too_large); /* what is too small is no valid configuration */
    }
    return !status;
}

static void say_what_fits(const hsae_device *device, const hsae_config *given, uint32_t dim, hsae_dtype dtype, hsae_memory_plan *plan)
{
    hsae_config smaller = *given, flatter = *given, both = *given;
    if (find_fit(device, true, false, dim, dtype, &smaller))
        plan->fitting_batch = smaller.batch;
    if (find_fit(device, false, true, dim, dtype, &flatter))
        memcpy(plan->fitting_levels, flatter.levels, flatter.level_count * sizeof *flatter.levels);
    plan->needs_both = !plan->fitting_batch && !plan->fitting_levels[0] && find_fit(device, true, true, dim, dtype, &both);
    if (plan->needs_both) {
        plan->fitting_batch = both.batch;
        memcpy(plan->fitting_levels, both.levels, both.level_count * sizeof *both.levels);
    }
}

hsae_status hsae_memory_plan_make(const hsae_device *device, const hsae_config *given, const hsae_dataset *dataset, uint32_t dim,
                                  hsae_memory_plan **out)
{
    HSAE_REQUIRE(device ? device->context : NULL, device, given, out);
    hsae_dtype dtype = dataset ? hsae_dataset_dtype(dataset) : HSAE_DTYPE_F32;
    hsae_config config = *given;
    dim = dataset ? hsae_dataset_dim(dataset) : dim;
    hsae_memory_plan *plan = *out = calloc(1, sizeof *plan);
    if (!plan)
        return hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for a memory plan");
    struct plan_device own = stand_in(device, plan);
    hsae_status status = hsae_config_resolve(device->context, &config, dim);
    if (!status) {
        status = make_buffers(&own, &config, dim, dtype);
        plan->initial_bytes = plan->initial_bytes ? plan->initial_bytes : own.base.allocated_bytes;
        plan->available_bytes = device->info.limits.memory_bytes;
        plan->fits = !status;
    }
    if (is_too_large(&own, status)) {
        say_what_fits(device, given, dim, dtype, plan);
        status = HSAE_OK;
    }
    if (status)
        hsae_memory_plan_free(out);
    return status;
}

hsae_status hsae_plan_check(const hsae_device *device, const hsae_config *config, uint32_t dim, hsae_dtype dtype)
{
    hsae_memory_plan plan = {0};
    hsae_trainer *trainer = NULL;
    struct plan_device own = stand_in(device, &plan);
    hsae_status status = make_trainer(&own, config, dim, dtype, &trainer);
    hsae_trainer_destroy(&trainer);
    free(own.alive);
    free(plan.rows);
    return status;
}

hsae_status hsae_plan_start(const hsae_device *device, const hsae_config *given, const hsae_config *config, uint32_t dim, hsae_dtype dtype,
                            hsae_memory_plan **out)
{
    hsae_trainer *trainer = NULL;
    hsae_memory_plan *plan = *out = calloc(1, sizeof *plan);
    if (!plan)
        return hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for a memory plan");
    struct plan_device own = stand_in(device, plan);
    hsae_status status = make_trainer(&own, config, dim, dtype, &trainer);
    plan->initial_bytes = plan->initial_bytes ? plan->initial_bytes : own.base.allocated_bytes;
    plan->available_bytes = device->info.limits.memory_bytes;
    plan->fits = !status;
    hsae_trainer_destroy(&trainer);
    free(own.alive);
    if (is_too_large(&own, status))
        say_what_fits(device, given, dim, dtype, plan);
    return status;
}

/* ---- levels that were left to the library ---- */

enum { USUAL_LEVELS = 4, MOST_FEATURES = 16384 };
/* Rows on which a feature is to be active; features for a value of the vector; features for an active one. */
static const double ACTIVE_ROWS = 500, PER_VALUE = 8, PER_ACTIVE = 4;

/* Numbers of a list with one for each level; 0: it has one for all. */
static uint32_t own_numbers(const double list[HSAE_MAX_LEVELS])
{
    uint32_t count = 0;
    while (count < HSAE_MAX_LEVELS && !isnan(list[count]))
        count++;
    return count < HSAE_MAX_LEVELS ? count : 0;
}

/* `count` levels up to one of `last` features, without the small ones where their number is free. */
static void set_levels(hsae_config *config, uint32_t count, bool fixed, uint32_t last)
{
    while (!fixed && count > 1 && (last >> (count - 1)) < PER_ACTIVE * config->target_l0[0])
        count--;
    config->level_count = count;
    for (uint32_t l = 0; l < count; l++)
        config->levels[l] = last >> (count - 1 - l);
}

void hsae_levels_choose(const hsae_device *device, hsae_config *config, uint32_t dim, uint64_t rows)
{
    if (!config || !dim || !rows)
        return;
    const uint32_t targets = own_numbers(config->target_l0), starts = own_numbers(config->init_l0);
    const uint32_t given = targets ? targets : starts, count = given ? given : USUAL_LEVELS;
    const double target = config->target_l0[count - 1];
    const double most = fmin(fmin(MOST_FEATURES, PER_VALUE * dim), (double)rows * target / ACTIVE_ROWS);
    uint32_t last = 1;
    while (2.0 * last <= most || (last < PER_ACTIVE * target && last < MOST_FEATURES) || last >> (count - 1) == 0)
        last *= 2;
    set_levels(config, count, given > 0, last);
    for (bool too_large = device != NULL; too_large;) {
        try_config(device, config, dim, HSAE_DTYPE_F32, &too_large);
        if (!too_large || last / 2 < PER_ACTIVE * target || last >> count == 0)
            break;
        last /= 2;
        set_levels(config, count, given > 0, last);
    }
}

void hsae_memory_plan_free(hsae_memory_plan **plan)
{
    if (!plan || !*plan)
        return;
    free((*plan)->rows);
    free(*plan);
    *plan = NULL;
}
