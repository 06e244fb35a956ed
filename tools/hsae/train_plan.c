/* SPDX-License-Identifier: MIT */
/* What a run takes of memory, and what would fit. */
#include "train.h"

#include <inttypes.h>

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* What would fit, of a plan that does not. */
static void describe_fit(const hsae_memory_plan *plan, const char *id, char text[256])
{
    char levels[128] = "";
    for (size_t l = 0, end = 0; l < HSAE_MAX_LEVELS && plan->fitting_levels[l]; l++)
        end += (size_t)snprintf(levels + end, sizeof levels - end, "%s%" PRIu32, l ? "," : "--levels ", plan->fitting_levels[l]);
    if (plan->fitting_batch)
        snprintf(text, 256, "with --batch %" PRIu32 "%s%s it would fit %s", plan->fitting_batch,
                 plan->needs_both ? " "
                 : *levels        ? " or "
                                  : "",
                 levels, id);
    else if (*levels)
        snprintf(text, 256, "with %s it would fit %s; a smaller batch would not do", levels, id);
    else
        snprintf(text, 256, "it does not fit %s, whatever the batch or the levels; use another device", id);
}

void train_say_what_fits(const struct train *train, const hsae_memory_plan *plan)
{
    const char *id = hsae_device_get_info(train->device)->id;
    char text[256];
    describe_fit(plan, id, text);
    if (plan->fits)
        cli_warning("the run needs %.0f MiB of %s, which has %.0f MiB: other programs hold too much of it", mib(plan->initial_bytes), id,
                    mib(plan->available_bytes));
    else
        cli_warning("%s (--dry-run shows what is needed)", text);
}

static json_t *plan_json(const hsae_memory_plan *plan)
{
    json_t *rows = json_array(), *levels = json_array();
    for (size_t l = 0; l < HSAE_MAX_LEVELS && plan->fitting_levels[l]; l++)
        json_array_append_new(levels, json_integer((json_int_t)plan->fitting_levels[l]));
    for (size_t k = 0; k < plan->row_count; k++) {
        const hsae_plan_row *row = &plan->rows[k];
        json_array_append_new(rows, json_pack("{s:s, s:I, s:I, s:b, s:b}", "label", row->label, "buffers", (json_int_t)row->buffers,
                                              "bytes", (json_int_t)row->bytes, "later", row->allocated_later, "host", row->host));
    }
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:o, s:b}", "buffers", rows, "start_bytes", (json_int_t)plan->initial_bytes,
                     "most_bytes", (json_int_t)plan->peak_bytes, "host_bytes", (json_int_t)plan->host_bytes, "available_bytes",
                     (json_int_t)plan->available_bytes, "launches", (json_int_t)plan->launches, "fits", plan->fits, "fitting_batch",
                     (json_int_t)plan->fitting_batch, "fitting_levels", levels, "only_both", plan->needs_both);
}

static void print_plan(const hsae_memory_plan *plan)
{
    printf("%-34s%9s%14s\n", "buffer", "number", "MiB");
    for (size_t k = 0; k < plan->row_count; k++)
        printf("%-34s%9u%14.2f%s%s\n", plan->rows[k].label, plan->rows[k].buffers, mib(plan->rows[k].bytes),
               plan->rows[k].host ? "  host" : "", plan->rows[k].allocated_later ? "  later" : "");
    if (plan->fits)
        printf("\non the device   %12.2f MiB at the start, at most %.2f MiB; it has %.2f MiB\nin host memory  %12.2f MiB, with rows read "
               "ahead\na step          %12u launches of kernels\n",
               mib(plan->initial_bytes), mib(plan->peak_bytes), mib(plan->available_bytes), mib(plan->host_bytes), plan->launches);
    else
        printf("\nIt does not fit.\n"); /* the library said what is missing */
}

int train_show_plan(struct train *train)
{
    hsae_memory_plan *plan = NULL;
    hsae_config config;
    char text[256];
    hsae_status status = train_new_config(train, &config);
    if (status == HSAE_OK)
        status = hsae_memory_plan_make(train->device, &config, train->data, 0, &plan);
    if (status != HSAE_OK)
        return cli_exit_status(status);
    int exit_status = plan->fits ? CLI_DONE : CLI_FAILED;
    if (train->json && cli_print_json(plan_json(plan)))
        exit_status = CLI_FAILED;
    if (!train->json)
        print_plan(plan);
    describe_fit(plan, hsae_device_get_info(train->device)->id, text);
    if (!plan->fits)
        cli_error("%s", text);
    hsae_memory_plan_free(&plan);
    return exit_status;
}
