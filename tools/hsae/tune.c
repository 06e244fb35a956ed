/* SPDX-License-Identifier: MIT */
/* hsae tune: finds the fastest shapes of a device's kernels and keeps them for later runs. */
#include "cli.h"
#include "text.h"

#include <string.h>

struct tune {
    const char *device_id, *preset, *out;
    double minutes;
    bool dry_run, json;
    hsae_tune_params params;
};

/* ---- output ---- */

static double percent_faster(double before, double after)
{
    return after > 0 ? 100 * (before / after - 1) : 0;
}

static json_t *result_json(const struct tune *tune, const hsae_device_info *device, const hsae_tune_result *result, const char *path)
{
    json_t *kernels = json_array();
    for (uint32_t k = 0; k < result->kernel_count; k++) {
        const hsae_tune_kernel *kernel = &result->kernels[k];
        json_array_append_new(kernels, json_pack("{s:s, s:o, s:o, s:b, s:s, s:s, s:I, s:I, s:I}", "name", kernel->name, "default_seconds",
                                                 cli_json_number(kernel->default_seconds), "tuned_seconds",
                                                 cli_json_number(kernel->tuned_seconds), "changed", (int)kernel->changed, "default_shape",
                                                 kernel->default_shape, "shape", kernel->shape, "shapes", (json_int_t)kernel->shapes,
                                                 "tried", (json_int_t)kernel->tried, "rejected", (json_int_t)kernel->rejected));
    }
    return json_pack("{s:s, s:{s:s, s:o, s:o}, s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:o?}", "version", hsae_version(), "device", "id",
                     device->id, "name", text_json(device->name), "driver", text_json(device->driver), "preset", tune->preset, "kernels",
                     kernels, "default_step_seconds", cli_json_number(result->default_step), "tuned_step_seconds",
                     cli_json_number(result->tuned_step), "seconds", cli_json_number(result->seconds), "complete", (int)result->complete,
                     "refused", (int)result->refused, "file", path ? text_json(path) : NULL);
}

static void print_table(const hsae_tune_result *result)
{
    printf("%-14s%12s%12s%10s%8s%8s%10s  %s\n", "kernel", "default ms", "tuned ms", "faster", "shapes", "tried", "rejected", "shape");
    for (uint32_t k = 0; k < result->kernel_count; k++) {
        const hsae_tune_kernel *kernel = &result->kernels[k];
        printf("%-14s%12.3f%12.3f%8.1f %%%8u%8u%10u  %s%s%s\n", kernel->name, 1e3 * kernel->default_seconds, 1e3 * kernel->tuned_seconds,
               percent_faster(kernel->default_seconds, kernel->tuned_seconds), kernel->shapes, kernel->tried, kernel->rejected,
               kernel->shape, kernel->changed ? "; default " : ", the default", kernel->changed ? kernel->default_shape : "");
    }
    printf("%-14s%12.3f%12.3f%8.1f %%  lowest of whole steps, in turn\n", "step", 1e3 * result->default_step, 1e3 * result->tuned_step,
           percent_faster(result->default_step, result->tuned_step));
    printf("\n%.0f s; %s\n", result->seconds,
           result->complete ? "every shape was tried" : "the time was over before every shape was tried");
}

/* ---- running ---- */

static bool on_progress(void *user, const char *what)
{
    (void)user;
    cli_status_line(false, "%s", what);
    return !cli_signal();
}

static void on_kernel(void *user, const hsae_tune_kernel *kernel)
{
    (void)user;
    if (kernel->changed)
        cli_note("%s: %.3f ms -> %.3f ms, %s", kernel->name, 1e3 * kernel->default_seconds, 1e3 * kernel->tuned_seconds, kernel->shape);
    else
        cli_note("%s: %.3f ms, the default stays", kernel->name, 1e3 * kernel->default_seconds);
}

static int tune_device(struct tune *tune, hsae_context *context, hsae_device *device)
{
    hsae_tune_result result;
    hsae_status status = hsae_tune(device, &tune->params, &result);
    cli_clear_status_line();
    if (status == HSAE_OK && !tune->json)
        print_table(&result);
    bool written = !tune->dry_run && !result.refused;
    if (status == HSAE_OK && result.refused)
        cli_warning(
            "whole steps were not faster with the new shapes (%.3f ms; %.3f ms with the defaults): the old ones stay; tune again when "
            "the machine does nothing else",
            1e3 * result.tuned_step, 1e3 * result.default_step);
    if (status == HSAE_OK && written)
        status = hsae_tune_save(device, &result, tune->out);
    if (status != HSAE_OK)
        return status == HSAE_ERROR_ARGUMENT ? CLI_USAGE : cli_exit_status(status);
    char *own = tune->out || !written ? NULL : hsae_tune_path(context);
    const char *path = !written ? NULL : tune->out ? tune->out : own;
    if (path)
        cli_note("written to %s%s", path, tune->out ? "; set HSAE_TUNING to it to use it" : "");
    int exit_status = tune->json ? cli_print_json(result_json(tune, hsae_device_get_info(device), &result, path)) : CLI_DONE;
    hsae_free(own);
    return exit_status;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct tune tune = {.preset = "laptop"};
    uint64_t steps = 0;
    const struct cli_option options[] = {OPTIONS_tune(CLI_OPTION){0}};
    int exit_status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (exit_status != CLI_CONTINUE)
        return exit_status;
    hsae_context *context = cli_context();
    hsae_device *device = NULL;
    if (!context)
        return CLI_FAILED;
    hsae_status status = hsae_bench_preset(context, tune.preset, &tune.params.work);
    if (status == HSAE_OK)
        status = cli_open_device(context, tune.device_id, &device);
    tune.params.seconds = 60 * tune.minutes;
    tune.params.progress = on_progress;
    tune.params.kernel_done = on_kernel;
    if (steps)
        tune.params.work.steps = steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX;
    if (status == HSAE_OK)
        exit_status = tune_device(&tune, context, device);
    else
        exit_status = status == HSAE_ERROR_ARGUMENT ? CLI_USAGE : cli_exit_status(status);
    hsae_device_close(&device);
    hsae_context_destroy(&context);
    return exit_status;
}

const struct cli_command cli_tune = {
    .name = "tune",
    .summary = SUMMARY_tune,
    .synopsis = SYNOPSIS_tune,
    .examples = "  hsae tune\n"
                "  hsae tune --device opencl:0 --preset paper --minutes 20\n"
                "  hsae tune --kernel encode --dry-run\n"
                "  hsae tune --out laptop.json && HSAE_TUNING=laptop.json hsae bench\n",
    .run = run,
};
