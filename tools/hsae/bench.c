/* SPDX-License-Identifier: MIT */
/* hsae bench: how fast a device trains, kernel by kernel, against what it reaches at best. */
#include "cli.h"
#include "run_folder.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench {
    const char *device_id, *preset, *format, *json, *levels, *batch, *target_l0, *seed, *period;
    uint64_t dim, steps;
    double minutes, budget;
    bool all;
    hsae_context *context;
    hsae_bench_params params;
    json_t *intervals; /* of the sustained run: [seconds, tokens a second] */
    char reason[1024]; /* the library's last error, where it is not shown at once */
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

static double spread(const hsae_bench_time *time)
{
    return time->highest - time->lowest;
}

/* By how much of the fastest block the blocks of a kind differ. */
static double noise(const hsae_bench_result *result)
{
    const hsae_bench_time *times[] = {&result->step, &result->fed, &result->flat};
    double most = 0;
    for (int k = 0; k < 3; k++)
        most = fmax(most, ratio(spread(times[k]), times[k]->lowest));
    return most;
}

static bool is_quiet(const hsae_bench_result *result)
{
    static const double NOISY = 0.2;
    return noise(result) <= NOISY;
}

/* NaN: more than the step, so that something else ran between its kernels. */
static double gaps(const hsae_bench_result *result)
{
    return result->gap_seconds <= result->step.lowest ? ratio(result->gap_seconds, result->step.lowest) : NAN;
}

/* NaN: blocks of one kind differ by more than the reading of a batch takes. */
static double hidden_by_difference(const hsae_bench_result *result)
{
    if (spread(&result->step) > result->read_seconds || spread(&result->fed) > result->read_seconds)
        return NAN;
    return 1 - ratio(result->fed.lowest - result->step.lowest, result->read_seconds);
}

/* Of kernels or of whole steps. */
static double hierarchy_extra(const hsae_bench_result *result, double with, double without)
{
    return ratio(with + ratio(result->tree_seconds, (double)result->hierarchy_period), without) - 1;
}

static double kernel_extra(const hsae_bench_result *result)
{
    return hierarchy_extra(result, result->kernel_seconds, result->flat_kernel_seconds);
}

/* NaN: steps of one kind differ by more than what is looked for. */
static double step_extra(const hsae_bench_result *result)
{
    return !is_quiet(result) ? NAN : hierarchy_extra(result, result->step.lowest, result->flat.lowest);
}

/* "12.3 %"; "-" of NaN. */
static const char *percent(double share, char text[32])
{
    if (isfinite(share))
        snprintf(text, 32, "%.1f %%", 100 * share);
    return isfinite(share) ? text : "-";
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
                     cli_json_number(ratio(kernel->seconds, result->step.lowest)), "flops", cli_json_number(kernel->flops), "bytes",
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

static json_t *time_json(const hsae_bench_time *time)
{
    return json_pack("{s:o, s:o, s:o}", "median", cli_json_number(time->median), "lowest", cli_json_number(time->lowest), "highest",
                     cli_json_number(time->highest));
}

static json_t *step_json(const hsae_bench_result *result, uint32_t batch)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "seconds", time_json(&result->step), "fed_seconds",
                     time_json(&result->fed), "flat_seconds", time_json(&result->flat), "read_seconds",
                     cli_json_number(result->read_seconds), "tree_seconds", cli_json_number(result->tree_seconds), "kernel_seconds",
                     cli_json_number(result->kernel_seconds), "flat_kernel_seconds", cli_json_number(result->flat_kernel_seconds),
                     "gap_seconds", cli_json_number(result->gap_seconds), "tokens_per_second",
                     cli_json_number(ratio(batch, result->fed.median)), "submissions", (json_int_t)result->submissions,
                     "longest_dispatch_seconds", cli_json_number(result->longest_dispatch), "longest_submission_seconds",
                     cli_json_number(result->longest_submission));
}

static json_t *shares_json(const hsae_bench_result *result)
{
    hsae_bench_kernel sparse = group_sum(result, "decode", "update"), lists = group_sum(result, "lists", NULL);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "gaps", cli_json_number(gaps(result)), "lists",
                     cli_json_number(ratio(lists.seconds, result->step.lowest)), "hidden_reading", cli_json_number(result->read_hidden),
                     "hidden_by_difference", cli_json_number(hidden_by_difference(result)), "hierarchy_extra",
                     cli_json_number(kernel_extra(result)), "hierarchy_extra_of_steps", cli_json_number(step_extra(result)),
                     "decode_update_of_copy_peak", cli_json_number(ratio(ratio(sparse.bytes, sparse.seconds), result->copy_bandwidth)));
}

static json_t *device_json(const hsae_device_info *device)
{
    return json_pack("{s:s, s:o, s:o}", "id", device->id, "name", text_json(device->name), "driver", text_json(device->driver));
}

static json_t *calls_json(const hsae_bench_result *result)
{
    json_t *calls = json_array();
    for (int k = 0; k < HSAE_BENCH_CALLS; k++)
        json_array_append_new(
            calls, json_pack("{s:i, s:o}", "vectors", (int)result->encode[k].vectors, "seconds", time_json(&result->encode[k].time)));
    return calls;
}

static json_t *gathers_json(const hsae_bench_result *result)
{
    json_t *gathers = json_array();
    for (uint32_t k = 0; k < result->gather_count; k++)
        json_array_append_new(gathers, json_pack("{s:I, s:o}", "buffer_bytes", (json_int_t)result->gathers[k].bytes, "bytes_per_second",
                                                 cli_json_number(result->gathers[k].bandwidth)));
    return json_pack("{s:o, s:o, s:o}", "gathers", gathers, "launch_seconds", cli_json_number(result->launch_seconds), "submit_seconds",
                     cli_json_number(result->submit_seconds));
}

static json_t *result_json(const struct bench *bench, const hsae_device_info *device, const hsae_bench_result *result)
{
    json_t *kernels = json_array();
    for (uint32_t k = 0; k < result->kernel_count; k++)
        json_array_append_new(kernels, kernel_json(&result->kernels[k], result));
    json_t *object =
        json_pack("{s:o, s:b, s:o, s:i, s:o, s:{s:o, s:o, s:I}, s:I, s:o, s:o, s:o, s:o, s:{s:I, s:I}}", "device", device_json(device),
                  "quiet", (int)is_quiet(result), "noise", cli_json_number(noise(result)), "rounds", (int)result->rounds, "encode",
                  calls_json(result), "peaks", "fma_flops_per_second", cli_json_number(result->fma_flops), "copy_bytes_per_second",
                  cli_json_number(result->copy_bandwidth), "copy_buffer_bytes", (json_int_t)result->copy_bytes, "hierarchy_period",
                  (json_int_t)result->hierarchy_period, "levels", levels_json(result), "step",
                  step_json(result, bench->params.config.batch), "shares", shares_json(result), "kernels", kernels, "memory",
                  "device_bytes", (json_int_t)result->device_bytes, "host_bytes", (json_int_t)result->host_bytes);
    json_object_update_new(json_object_get(object, "peaks"), gathers_json(result));
    if (result->sustained_seconds > 0)
        json_object_set_new(object, "sustained",
                            json_pack("{s:o, s:o, s:o, s:o, s:O}", "seconds", cli_json_number(result->sustained_seconds), "tokens_first",
                                      cli_json_number(result->tokens_first), "tokens_last", cli_json_number(result->tokens_last),
                                      "tokens_lowest", cli_json_number(result->tokens_lowest), "intervals", bench->intervals));
    return object;
}

/* What is the same on all devices, and the members of `object`, which it takes over. */
static json_t *head_json(const struct bench *bench, json_t *object)
{
    static const char *const keys[] = {"levels", "batch", "target_l0", "seed", "rho", "perturb", "similarity"};
    char date[32], *text = hsae_config_json(&bench->params.config);
    json_t *config = text ? json_loads(text, 0, NULL) : NULL, *work = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        json_object_set(work, keys[i], json_object_get(config, keys[i]));
    json_object_set_new(work, "dim", json_integer(bench->params.dim));
    json_object_set_new(work, "steps", json_integer(bench->params.steps));
    hsae_free(text);
    json_decref(config);
    date_text(date);
    json_t *head = json_pack("{s:s, s:s, s:s, s:o}", "version", hsae_version(), "date", date, "preset", bench->preset, "work", work);
    json_object_update(head, object);
    json_decref(object);
    return head;
}

/* ---- tables ---- */

static void print_gathers(const hsae_bench_result *result)
{
    for (uint32_t k = 0; k < result->gather_count; k++)
        printf("%s %.2f GB/s of %llu MiB", k ? "," : "         rows of 9216 bytes:", 1e-9 * result->gathers[k].bandwidth,
               (unsigned long long)result->gathers[k].bytes >> 20);
    printf("%s         a launch %.1f us, a submission %.1f us\n\n", result->gather_count ? "\n" : "", 1e6 * result->launch_seconds,
           1e6 * result->submit_seconds);
}

static void print_work(const hsae_device_info *device, const hsae_bench_params *params, const hsae_bench_result *result)
{
    const hsae_config *config = &params->config;
    printf("device   %s, %s (%s)\nwork     d %u, levels", device->id, device->name, device->driver, params->dim);
    for (uint32_t l = 0; l < config->level_count; l++)
        printf("%s %u", l ? "," : "", config->levels[l]);
    printf(", batch %u, target L0 %g, seed %llu, tree updated every %llu steps\n", config->batch, config->target_l0[0],
           (unsigned long long)config->seed, (unsigned long long)result->hierarchy_period);
    printf("peaks    FMA %.1f GFLOP/s; copy %.2f GB/s (read + written, two buffers of %.0f MiB)\n", 1e-9 * result->fma_flops,
           1e-9 * result->copy_bandwidth, (double)result->copy_bytes / (1 << 20));
    print_gathers(result);
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
           100 * ratio(kernel->seconds, result->step.lowest), 1e-9 * flops, 100 * ratio(flops, result->fma_flops), 1e-9 * bytes,
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
    char share[32];
    printf("%-16s%9s%12.3f%10s\n", "gaps", "", 1e3 * result->gap_seconds, percent(gaps(result), share));
}

static void print_time(const char *name, const hsae_bench_time *time)
{
    printf("%-18s%10.3f ms (%.3f to %.3f)", name, 1e3 * time->median, 1e3 * time->lowest, 1e3 * time->highest);
}

static void print_head(const struct bench *bench)
{
    char date[32];
    date_text(date);
    printf("hsae %s, %s, preset %s\n", hsae_version(), date, bench->preset);
}

static void print_counting(void)
{
    puts("\nA multiply-add counts as 2 operations; bytes are those that a kernel needs, each once; copying counts bytes read + written.\n"
         "Kernels: least of timed steps; gaps: time in which none of them ran. Whole steps: median (lowest to highest) of blocks of\n"
         "untimed ones, several in flight; shares are of the lowest. <hsae/bench.h> has the formulas.");
}

static void print_result(const hsae_device_info *device, const hsae_bench_params *params, const hsae_bench_result *result)
{
    char share[32];
    print_work(device, params, result);
    print_kernels(result);
    puts("");
    print_time("step", &result->step);
    puts(", batch resident");
    print_time("with its data", &result->fed);
    printf(": %.0f tokens/s\n", ratio(params->config.batch, result->fed.median));
    print_time("flat", &result->flat);
    puts(", neither constraint nor perturbation");
    printf("%-18s%10.3f ms for a batch alone; %.1f %% hidden behind the step; by difference %s\n", "reading", 1e3 * result->read_seconds,
           100 * result->read_hidden, percent(hidden_by_difference(result), share));
    printf("%-18s%10.3f ms; longest submission, of %u a step, %.3f ms\n", "longest dispatch", 1e3 * result->longest_dispatch,
           result->submissions, 1e3 * result->longest_submission);
    printf("%-18s%10.3f ms every %llu steps\n", "tree update", 1e3 * result->tree_seconds, (unsigned long long)result->hierarchy_period);
    printf("%-18s%10.2f %% more time than flat by kernels, %s by whole steps, the tree update included\n", "hierarchy",
           100 * kernel_extra(result), percent(step_extra(result), share));
    printf("%-18s%10.3f ms for %u vector, %.3f ms for %u, %.3f ms for %u, from host to host\n", "encode",
           1e3 * result->encode[0].time.median, result->encode[0].vectors, 1e3 * result->encode[1].time.median, result->encode[1].vectors,
           1e3 * result->encode[2].time.median, result->encode[2].vectors);
    printf("%-18s%10.3f GB on the device; most resident in this process %.3f GB\n", "memory", 1e-9 * (double)result->device_bytes,
           1e-9 * (double)result->host_bytes);
    if (!is_quiet(result))
        printf("%-18sblocks of steps differ by %.0f %%: something else was running, or the clock changed; measure again\n", "not quiet",
               100 * noise(result));
    if (result->sustained_seconds > 0)
        printf("%-18s%10.0f s: first %.0f tokens/s, last %.0f, lowest %.0f\n", "sustained", result->sustained_seconds, result->tokens_first,
               result->tokens_last, result->tokens_lowest);
}

/* One line of the comparison. */
static void print_line(const hsae_device_info *device, uint32_t batch, const hsae_bench_result *result)
{
    hsae_bench_kernel encode = group_sum(result, "encode", NULL), sparse = group_sum(result, "decode", "update");
    hsae_bench_kernel lists = group_sum(result, "lists", NULL);
    char share[32];
    double flops = ratio(encode.flops, encode.seconds), bytes = ratio(sparse.bytes, sparse.seconds);
    printf("%-10s%12.3f%12.0f%10.1f%8.1f %%%10.2f%8.1f %%%8.1f %%%10s%10.3f  %s%s\n", device->id, 1e3 * result->step.median,
           ratio(batch, result->fed.median), 1e-9 * flops, 100 * ratio(flops, result->fma_flops), 1e-9 * bytes,
           100 * ratio(bytes, result->copy_bandwidth), 100 * ratio(lists.seconds, result->step.lowest), percent(gaps(result), share),
           1e-9 * (double)result->device_bytes, device->name, is_quiet(result) ? "" : "; not quiet");
}

/* ---- a device in one line, to be posted ---- */

/* A text for a line: its bars, which part the fields, become slashes; in CSV it stands in quotes. */
static void print_field(const char *text, bool csv)
{
    if (csv)
        putchar('"');
    for (; *text; text++)
        if (csv && *text == '"')
            fputs("\"\"", stdout);
        else
            putchar(!csv && *text == '|' ? '/' : *text);
    if (csv)
        putchar('"');
}

/* The preset, and whether the work is another than its. */
static void preset_text(const struct bench *bench, char text[64])
{
    bool changed = bench->dim || bench->levels || bench->batch || bench->target_l0 || bench->seed || bench->period;
    snprintf(text, 64, "%s%s", bench->preset, changed ? ", changed" : "");
}

/* Half of the range, in percent of the median. */
static double tolerance(const hsae_bench_time *time)
{
    return 50 * ratio(spread(time), time->median);
}

static double encode_share(const hsae_bench_result *result)
{
    hsae_bench_kernel encode = group_sum(result, "encode", NULL);
    return ratio(ratio(encode.flops, encode.seconds), result->fma_flops);
}

static void print_summary(const struct bench *bench, const hsae_device_info *device, const hsae_bench_result *result)
{
    char preset[64];
    preset_text(bench, preset);
    printf("RESULT hsae %s %s | %s ", hsae_version(), preset, device->id);
    print_field(device->name, false);
    fputs(" | ", stdout);
    print_field(device->driver, false);
    printf(" | %.0f tokens/s \xc2\xb1 %.1f %% | %.1f %% FMA | %.3f GB%s\n", ratio(bench->params.config.batch, result->fed.median),
           tolerance(&result->fed), 100 * encode_share(result), 1e-9 * (double)result->device_bytes,
           is_quiet(result) ? "" : " | not quiet");
}

static bool is_format(const struct bench *bench, const char *name)
{
    return strcmp(bench->format, name) == 0;
}

static void print_row_head(const struct bench *bench)
{
    static const char *const names[] = {"version",         "preset",        "id",          "device",      "driver",       "ms_a_step",
                                        "tokens_a_second", "range_percent", "fma_percent", "encode_1_ms", "encode_16_ms", "encode_1024_ms",
                                        "memory_gb",       "quiet"};
    enum { COUNT = sizeof names / sizeof *names };
    bool csv = is_format(bench, "csv");
    const char *between = csv ? "," : " | ";
    for (size_t k = 0; k < COUNT; k++)
        printf("%s%s", k ? between : csv ? "" : "| ", names[k]);
    puts(csv ? "" : " |");
    for (size_t k = 0; k < COUNT && !csv; k++)
        printf("|%s%s", k < 5 || k + 1 == COUNT ? "---" : "---:", k + 1 < COUNT ? "" : "|\n");
}

static void print_row(const struct bench *bench, const hsae_device_info *device, const hsae_bench_result *result)
{
    bool csv = is_format(bench, "csv");
    const char *between = csv ? "," : " | ";
    char preset[64];
    preset_text(bench, preset);
    const char *const texts[] = {hsae_version(), preset, device->id, device->name, device->driver};
    const double numbers[] = {1e3 * result->step.median,
                              ratio(bench->params.config.batch, result->fed.median),
                              tolerance(&result->fed),
                              100 * encode_share(result),
                              1e3 * result->encode[0].time.median,
                              1e3 * result->encode[1].time.median,
                              1e3 * result->encode[2].time.median,
                              1e-9 * (double)result->device_bytes};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        fputs(k ? between : csv ? "" : "| ", stdout);
        print_field(texts[k], csv);
    }
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        printf("%s%.5g", between, numbers[k]);
    printf("%s%s%s\n", between, is_quiet(result) ? "yes" : "no", csv ? "" : " |");
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
    struct bench *bench = user;
    json_array_append_new(bench->intervals, json_pack("[o, o]", cli_json_number(seconds), cli_json_number(tokens_per_second)));
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
    bench->params.budget_seconds = bench->budget;
    bench->params.progress = on_progress;
    bench->params.interval = on_interval;
    bench->params.user = bench;
    return status;
}

static int write_json(const struct bench *bench, json_t *object)
{
    object = head_json(bench, object);
    if (strcmp(bench->json, "-") == 0)
        return cli_print_json(object);
    char *text = object ? json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    int status = text ? run_write_text(bench->json, text) : cli_out_of_memory();
    free(text);
    json_decref(object);
    return status;
}

static bool wants_text(const struct bench *bench)
{
    return is_format(bench, "text") && !(bench->json && strcmp(bench->json, "-") == 0);
}

static bool wants_row(const struct bench *bench)
{
    return is_format(bench, "md") || is_format(bench, "csv");
}

static int bench_one(const struct bench *bench)
{
    hsae_device *device = NULL;
    hsae_bench_result result;
    hsae_status status = cli_open_device(bench->context, bench->device_id, &device);
    int exit_status = CLI_DONE;
    if (status == HSAE_OK)
        status = hsae_bench_run(device, &bench->params, &result);
    cli_clear_status_line();
    if (status == HSAE_OK && wants_text(bench)) {
        print_head(bench);
        print_result(hsae_device_get_info(device), &bench->params, &result);
        print_counting();
        putchar('\n');
        print_summary(bench, hsae_device_get_info(device), &result);
    }
    if (status == HSAE_OK && wants_row(bench)) {
        print_row_head(bench);
        print_row(bench, hsae_device_get_info(device), &result);
    }
    if (status == HSAE_OK && bench->json)
        exit_status = write_json(bench, result_json(bench, hsae_device_get_info(device), &result));
    hsae_device_close(&device);
    return status == HSAE_OK ? exit_status : cli_exit_status(status);
}

/* hsae_log_fn: errors are the reasons for which a device is left out. */
static void keep_reason(void *user, hsae_log_level level, const char *message)
{
    struct bench *bench = user;
    if (level == HSAE_LOG_ERROR)
        snprintf(bench->reason, sizeof bench->reason, "%s", message);
    else if (level == HSAE_LOG_WARNING)
        cli_warning("%s", message);
}

/* A line and a JSON object of one device. */
static hsae_status compare_device(struct bench *bench, hsae_context *context, const hsae_device_info *info, json_t *devices)
{
    hsae_device *device = NULL;
    hsae_bench_result result;
    hsae_status status = cli_open_tested(context, info->id, &device);
    json_array_clear(bench->intervals);
    if (status == HSAE_OK)
        status = hsae_bench_run(device, &bench->params, &result);
    cli_clear_status_line();
    if (status == HSAE_OK) {
        if (wants_text(bench))
            print_line(info, bench->params.config.batch, &result);
        if (wants_row(bench))
            print_row(bench, info, &result);
        json_array_append_new(devices, result_json(bench, info, &result));
    } else if (status != HSAE_CANCELLED) {
        if (wants_text(bench))
            printf("%-10s  left out: %s\n", info->id, bench->reason);
        if (wants_row(bench))
            cli_note("%s is left out: %s", info->id, bench->reason);
        json_array_append_new(devices, json_pack("{s:o, s:s}", "device", device_json(info), "left_out", bench->reason));
    }
    fflush(stdout);
    hsae_device_close(&device);
    return status;
}

static void print_comparison_head(const struct bench *bench)
{
    print_head(bench);
    printf("%-10s%12s%12s%10s%10s%10s%10s%10s%10s%10s\n", "device", "ms a step", "tokens/s", "encode", "of FMA", "dec+upd", "of copy",
           "lists", "gaps", "memory");
    printf("%-10s%12s%12s%10s%10s%10s%10s%10s%10s%10s\n", "", "", "with data", "GFLOP/s", "peak", "GB/s", "peak", "of step", "of step",
           "GB");
}

/* A device that is left out is no failure; it is one where none can be measured. */
static int bench_all(struct bench *bench)
{
    enum { LONGEST_STEP = 3 };
    hsae_device_info *list = NULL;
    size_t count = 0, measured = 0;
    json_t *devices = json_array();
    bench->params.longest_step = LONGEST_STEP;
    hsae_context *context = cli_context_for(keep_reason, bench);
    hsae_status status = context ? hsae_device_list(context, &list, &count) : HSAE_ERROR_MEMORY;
    if (wants_text(bench))
        print_comparison_head(bench);
    if (wants_row(bench))
        print_row_head(bench);
    for (size_t i = 0; i < count && status != HSAE_CANCELLED; i++) {
        status = compare_device(bench, context, &list[i], devices);
        measured += status == HSAE_OK;
    }
    int exit_status = status == HSAE_CANCELLED ? cli_exit_status(status) : measured ? CLI_DONE : CLI_FAILED;
    if (exit_status == CLI_FAILED)
        cli_error("no device could be measured: %s", bench->reason);
    if (wants_text(bench))
        print_counting();
    if (exit_status == CLI_DONE && bench->json)
        exit_status = write_json(bench, json_pack("{s:O}", "devices", devices));
    json_decref(devices);
    hsae_free(list);
    hsae_context_destroy(&context);
    return exit_status;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct bench bench = {.preset = "laptop", .format = "text"};
    const struct cli_option options[] = {OPTIONS_bench(CLI_OPTION){0}};
    int exit_status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (exit_status != CLI_CONTINUE)
        return exit_status;
    if (bench.all && bench.device_id)
        return cli_usage(command->name, "--device and --all-devices exclude each other");
    if (!is_format(&bench, "text") && !is_format(&bench, "json") && !wants_row(&bench))
        return cli_usage(command->name, "--format %s: it can be text, md, csv or json", bench.format);
    if (is_format(&bench, "json") && !bench.json)
        bench.json = "-";
    if (wants_row(&bench) && bench.json && strcmp(bench.json, "-") == 0)
        return cli_usage(command->name, "--format %s and --json both go to standard output; --json FILE goes to a file", bench.format);
    bench.context = cli_context();
    bench.intervals = json_array();
    if (!bench.context || !bench.intervals)
        return CLI_FAILED;
    hsae_status status = make_params(&bench);
    if (status == HSAE_OK)
        exit_status = bench.all ? bench_all(&bench) : bench_one(&bench);
    else
        exit_status = status == HSAE_ERROR_ARGUMENT ? CLI_USAGE : cli_exit_status(status);
    json_decref(bench.intervals);
    hsae_context_destroy(&bench.context);
    return exit_status;
}

const struct cli_command cli_bench = {
    .name = "bench",
    .summary = SUMMARY_bench,
    .synopsis = SYNOPSIS_bench,
    .examples = "  hsae bench\n"
                "  hsae bench --preset paper --device opencl:0 --json paper.json\n"
                "  hsae bench --all-devices --preset tiny\n"
                "  hsae bench --preset laptop --minutes 5\n"
                "  hsae bench --format md >> results.md\n\n"
                "The line RESULT at the end is made to be posted. It says \"not quiet\" where something else ran meanwhile.\n",
    .run = run,
};
