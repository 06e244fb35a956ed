/* hsae bench: how fast a device trains, kernel by kernel, against what it reaches at best. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct bench {
    const char *device_id, *preset, *json, *levels, *batch, *target_l0, *seed, *period;
    uint64_t dim, steps;
    double minutes;
    bool all;
    hsae_context *context;
    hsae_bench_params params;
};

/* ---- figures that follow from the measured ones ---- */

static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

/* Sums of a group; `also` may be NULL. */
static hsae_bench_kernel group_sum(const hsae_bench_result *result, const char *group, const char *also)
{
    hsae_bench_kernel sum = {.name = group, .group = group};
    for (uint32_t k = 0; k < result->kernel_count; k++) {
        const hsae_bench_kernel *kernel = &result->kernels[k];
        if (strcmp(kernel->group, group) != 0 && (!also || strcmp(kernel->group, also) != 0))
            continue;
        sum.launches += kernel->launches;
        sum.seconds += kernel->seconds;
        sum.flops += kernel->flops;
        sum.bytes += kernel->bytes;
    }
    return sum;
}

static double gaps(const hsae_bench_result *result)
{
    return 1 - ratio(result->kernel_seconds, result->step_seconds);
}

static double hidden(const hsae_bench_result *result)
{
    return 1 - ratio(result->fed_seconds - result->step_seconds, result->read_seconds);
}

static double hierarchy_extra(const hsae_bench_result *result)
{
    return ratio(result->step_seconds + ratio(result->tree_seconds, (double)result->hierarchy_period), result->flat_seconds) - 1;
}

/* Most resident memory of this process so far, in bytes; 0: not known. */
static double peak_memory(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : 1024.0 * (double)usage.ru_maxrss;
}

static void date_text(char text[32])
{
    time_t seconds = time(NULL);
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) || !strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &utc))
        *text = 0;
}

/* ---- JSON ---- */

static json_t *kernel_json(const hsae_bench_kernel *kernel, const hsae_bench_result *result)
{
    double flops = ratio(kernel->flops, kernel->seconds), bytes = ratio(kernel->bytes, kernel->seconds);
    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", kernel->name, "group", kernel->group, "launches",
                     (int)kernel->launches, "seconds", cli_json_number(kernel->seconds), "share",
                     cli_json_number(ratio(kernel->seconds, result->step_seconds)), "flops", cli_json_number(kernel->flops), "bytes",
                     cli_json_number(kernel->bytes), "flops_per_second", cli_json_number(flops), "bytes_per_second", cli_json_number(bytes),
                     "of_fma_peak", cli_json_number(ratio(flops, result->fma_flops)), "of_copy_peak",
                     cli_json_number(ratio(bytes, result->copy_bandwidth)));
}

static json_t *levels_json(const hsae_bench_result *result)
{
    json_t *levels = json_array();
    for (uint32_t l = 0; l < result->level_count; l++) {
        const hsae_bench_level *level = &result->levels[l];
        json_array_append_new(levels, json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "features", (json_int_t)level->features, "listed",
                                                (json_int_t)level->listed, "active", (json_int_t)level->active, "touched",
                                                (json_int_t)level->touched, "with_parent", (json_int_t)level->with_parent,
                                                "p_parent_given_child", cli_json_number(level->p_parent_given_child)));
    }
    return levels;
}

static json_t *step_json(const hsae_bench_result *result, uint32_t batch)
{
    hsae_bench_kernel sparse = group_sum(result, "decode", "update"), lists = group_sum(result, "lists", NULL);
    double rate = ratio(sparse.bytes, sparse.seconds);
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "seconds", cli_json_number(result->step_seconds), "lowest",
                  cli_json_number(result->step_lowest), "highest", cli_json_number(result->step_highest), "fed_seconds",
                  cli_json_number(result->fed_seconds), "flat_seconds", cli_json_number(result->flat_seconds), "read_seconds",
                  cli_json_number(result->read_seconds), "tree_seconds", cli_json_number(result->tree_seconds), "kernel_seconds",
                  cli_json_number(result->kernel_seconds), "tokens_per_second", cli_json_number(ratio(batch, result->fed_seconds)));
    json_t *shares = json_pack("{s:o, s:o, s:o, s:o, s:o}", "gaps", cli_json_number(gaps(result)), "lists",
                               cli_json_number(ratio(lists.seconds, result->step_seconds)), "hidden_reading",
                               cli_json_number(hidden(result)), "hierarchy_extra", cli_json_number(hierarchy_extra(result)),
                               "decode_update_of_copy_peak", cli_json_number(ratio(rate, result->copy_bandwidth)));
    json_object_update(object, shares);
    json_decref(shares);
    return object;
}

static json_t *result_json(const hsae_device_info *device, const hsae_bench_params *params, const hsae_bench_result *result)
{
    char *config = hsae_config_json(&params->config);
    json_t *kernels = json_array(), *work = config ? json_loads(config, 0, NULL) : NULL;
    hsae_free(config);
    for (uint32_t k = 0; k < result->kernel_count; k++)
        json_array_append_new(kernels, kernel_json(&result->kernels[k], result));
    json_object_set_new(work, "dim", json_integer(params->dim));
    json_object_set_new(work, "hierarchy_period", json_integer((json_int_t)result->hierarchy_period));
    json_t *object =
        json_pack("{s:{s:s, s:s, s:s}, s:o, s:{s:o, s:o, s:I}, s:o, s:o, s:o, s:{s:I, s:o}}", "device", "id", device->id, "name",
                  device->name, "driver", device->driver, "config", work, "peaks", "fma_flops_per_second",
                  cli_json_number(result->fma_flops), "copy_bytes_per_second", cli_json_number(result->copy_bandwidth), "copy_buffer_bytes",
                  (json_int_t)result->copy_bytes, "levels", levels_json(result), "step", step_json(result, params->config.batch), "kernels",
                  kernels, "memory", "device_bytes", (json_int_t)result->device_bytes, "host_peak_bytes", cli_json_number(peak_memory()));
    if (result->sustained_seconds > 0)
        json_object_set_new(object, "sustained",
                            json_pack("{s:o, s:o, s:o, s:o}", "seconds", cli_json_number(result->sustained_seconds), "tokens_first",
                                      cli_json_number(result->tokens_first), "tokens_last", cli_json_number(result->tokens_last),
                                      "tokens_lowest", cli_json_number(result->tokens_lowest)));
    return object;
}

/* ---- tables ---- */

static void print_work(const hsae_device_info *device, const hsae_bench_params *params, const hsae_bench_result *result)
{
    const hsae_config *config = &params->config;
    printf("device   %s, %s (%s)\nwork     d %u, levels", device->id, device->name, device->driver, params->dim);
    for (uint32_t l = 0; l < config->level_count; l++)
        printf("%s %u", l ? "," : "", config->levels[l]);
    printf(", batch %u, target L0 %g, seed %llu, tree updated every %llu steps\n", config->batch, config->target_l0[0],
           (unsigned long long)config->seed, (unsigned long long)result->hierarchy_period);
    printf("peaks    FMA %.1f GFLOP/s; copy %.2f GB/s (read + written, two buffers of %.0f MiB)\n\n", 1e-9 * result->fma_flops,
           1e-9 * result->copy_bandwidth, (double)result->copy_bytes / (1 << 20));
    printf("%-8s%10s%10s%12s%12s%12s%10s\n", "level", "features", "L0", "listed", "touched", "with parent", "P(p|c)");
    for (uint32_t l = 0; l < result->level_count; l++) {
        const hsae_bench_level *level = &result->levels[l];
        printf("%-8u%10u%10.1f%12llu%12llu%12llu", l, level->features, ratio((double)level->active, config->batch),
               (unsigned long long)level->listed, (unsigned long long)level->touched, (unsigned long long)level->with_parent);
        if (isfinite(level->p_parent_given_child))
            printf("%10.3f\n", level->p_parent_given_child);
        else
            printf("%10s\n", "-");
    }
}

static void print_kernel(const char *name, const hsae_bench_kernel *kernel, const hsae_bench_result *result)
{
    double flops = ratio(kernel->flops, kernel->seconds), bytes = ratio(kernel->bytes, kernel->seconds);
    printf("%-16s%9u%12.3f%8.1f %%%10.1f%8.1f %%%10.2f%8.1f %%\n", name, kernel->launches, 1e3 * kernel->seconds,
           100 * ratio(kernel->seconds, result->step_seconds), 1e-9 * flops, 100 * ratio(flops, result->fma_flops), 1e-9 * bytes,
           100 * ratio(bytes, result->copy_bandwidth));
}

static void print_kernels(const hsae_bench_result *result)
{
    printf("\n%-16s%9s%12s%10s%10s%10s%10s%10s\n", "kernel", "launches", "ms", "of step", "GFLOP/s", "of FMA", "GB/s", "of copy");
    for (uint32_t k = 0; k < result->kernel_count; k++)
        print_kernel(result->kernels[k].name, &result->kernels[k], result);
    hsae_bench_kernel lists = group_sum(result, "lists", NULL), sparse = group_sum(result, "decode", "update"),
                      hierarchy = group_sum(result, "hierarchy", NULL);
    printf("\n");
    print_kernel("lists", &lists, result);
    print_kernel("decode + update", &sparse, result);
    print_kernel("hierarchy", &hierarchy, result);
    printf("%-16s%9s%12.3f%8.1f %%\n", "gaps", "", 1e3 * (result->step_seconds - result->kernel_seconds), 100 * gaps(result));
}

static void print_result(const hsae_device_info *device, const hsae_bench_params *params, const hsae_bench_result *result)
{
    print_work(device, params, result);
    print_kernels(result);
    printf("\nstep             %10.3f ms, batch resident (%.3f to %.3f)\n", 1e3 * result->step_seconds, 1e3 * result->step_lowest,
           1e3 * result->step_highest);
    printf("with its data    %10.3f ms: %.0f tokens/s; a batch alone is read in %.3f ms, %.1f %% of that is hidden\n",
           1e3 * result->fed_seconds, ratio(params->config.batch, result->fed_seconds), 1e3 * result->read_seconds, 100 * hidden(result));
    printf("flat             %10.3f ms, without constraint and perturbation; the hierarchy takes %.2f %% more, with\n",
           1e3 * result->flat_seconds, 100 * hierarchy_extra(result));
    printf("tree update      %10.3f ms every %llu steps\n", 1e3 * result->tree_seconds, (unsigned long long)result->hierarchy_period);
    printf("memory           %10.3f GB on the device; most resident in this process %.3f GB\n", 1e-9 * (double)result->device_bytes,
           1e-9 * peak_memory());
    if (result->sustained_seconds > 0)
        printf("sustained        %10.0f s: first %.0f tokens/s, last %.0f, lowest %.0f\n", result->sustained_seconds, result->tokens_first,
               result->tokens_last, result->tokens_lowest);
    puts("\nA multiply-add counts as 2 operations; bytes are those that a kernel needs, each once (hsae/bench.h has the formulas); kernels "
         "are\n"
         "medians of timed steps, the step is the median of blocks of untimed ones, several in flight.");
}

/* ---- running ---- */

static bool on_progress(void *user, const char *what)
{
    (void)user;
    cli_status_line(false, "%s", what);
    return !cli_signal();
}

static void on_interval(void *user, double seconds, double tokens_per_second)
{
    (void)user;
    cli_note("%6.0f s  %.0f tokens/s", seconds, tokens_per_second);
}

static hsae_status make_params(struct bench *bench)
{
    const struct {
        const char *key, *text;
    } keys[] = {{"levels", bench->levels},
                {"batch", bench->batch},
                {"target_l0", bench->target_l0},
                {"seed", bench->seed},
                {"hierarchy_period", bench->period}};
    hsae_status status = hsae_bench_preset(bench->context, bench->preset, &bench->params);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == HSAE_OK; i++)
        if (keys[i].text)
            status = hsae_config_set(bench->context, &bench->params.config, keys[i].key, keys[i].text);
    if (bench->dim)
        bench->params.dim = bench->dim < UINT32_MAX ? (uint32_t)bench->dim : UINT32_MAX;
    if (bench->steps)
        bench->params.steps = bench->steps < UINT32_MAX ? (uint32_t)bench->steps : UINT32_MAX;
    bench->params.sustain_seconds = 60 * bench->minutes;
    bench->params.progress = on_progress;
    bench->params.interval = on_interval;
    return status;
}

static int write_json(const char *path, json_t *object)
{
    char date[32];
    date_text(date);
    json_object_set_new(object, "version", json_string(hsae_version()));
    json_object_set_new(object, "date", json_string(date));
    if (strcmp(path, "-") == 0)
        return cli_print_json(object);
    int failed = !object || json_dump_file(object, path, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(object);
    return failed ? cli_file_error("write", path) : CLI_DONE;
}

static int bench_one(const struct bench *bench)
{
    hsae_device *device = NULL;
    hsae_bench_result result;
    char date[32];
    hsae_status status = cli_open_device(bench->context, bench->device_id, &device);
    int exit_status = CLI_DONE;
    if (status == HSAE_OK)
        status = hsae_bench_run(device, &bench->params, &result);
    cli_clear_status_line();
    if (status == HSAE_OK && !(bench->json && strcmp(bench->json, "-") == 0)) {
        date_text(date);
        printf("hsae %s, %s, preset %s\n", hsae_version(), date, bench->preset);
        print_result(hsae_device_get_info(device), &bench->params, &result);
    }
    if (status == HSAE_OK && bench->json)
        exit_status = write_json(bench->json, result_json(hsae_device_get_info(device), &bench->params, &result));
    hsae_device_close(&device);
    return status == HSAE_OK ? exit_status : cli_exit_status(status);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct bench bench = {.preset = "laptop"};
    const struct cli_option options[] = {
        {"device", CLI_TEXT, &bench.device_id, "ID", "what computes (hsae devices); default: $HSAE_DEVICE or the best"},
        {"preset", CLI_TEXT, &bench.preset, "NAME", "paper, laptop (default) or tiny"},
        {"dim", CLI_COUNT, &bench.dim, "D", "width of the activations"},
        {"levels", CLI_TEXT, &bench.levels, "LIST", "features of each level"},
        {"batch", CLI_TEXT, &bench.batch, "B", "samples in a step"},
        {"target-l0", CLI_TEXT, &bench.target_l0, "L0", "active features per sample; one number or one a level"},
        {"hierarchy-period", CLI_TEXT, &bench.period, "N", "steps between updates of the tree"},
        {"seed", CLI_TEXT, &bench.seed, "N", "of data and parameters"},
        {"steps", CLI_COUNT, &bench.steps, "N", "steps in each timed block"},
        {"minutes", CLI_ABOVE, &bench.minutes, "M", "then train for M minutes and show how the speed holds"},
        {"json", CLI_TEXT, &bench.json, "FILE|-", "everything as one JSON object; -: on standard output, in place of the table"},
        {0},
    };
    int exit_status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (exit_status != CLI_CONTINUE)
        return exit_status;
    bench.context = cli_context();
    if (!bench.context)
        return CLI_FAILED;
    hsae_status status = make_params(&bench);
    exit_status = status == HSAE_OK ? bench_one(&bench) : status == HSAE_ERROR_ARGUMENT ? CLI_USAGE : cli_exit_status(status);
    hsae_context_destroy(&bench.context);
    return exit_status;
}

const struct cli_command cli_bench = {
    .name = "bench",
    .summary = "Measures how fast a device trains, kernel by kernel.",
    .synopsis = "[--device ID] [--preset NAME] [OPTION]...",
    .examples = "  hsae bench\n"
                "  hsae bench --preset paper --device opencl:0 --json paper.json\n"
                "  hsae bench --preset laptop --minutes 5\n",
    .run = run,
};
