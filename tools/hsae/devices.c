/* SPDX-License-Identifier: MIT */
/* hsae devices: what there is to compute on. */
#include "cli.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

static const char *backend_name(hsae_backend backend)
{
    static const char *const names[] = {"ref", "opencl", "vulkan"};
    return names[backend];
}

static const char *type_name(hsae_device_type type)
{
    static const char *const names[] = {"cpu", "integrated", "discrete", "virtual"};
    return names[type];
}

/* "passed", "failed" or, where there was no room for the test, "not run"; the reason is logged. */
static const char *self_test(hsae_context *context, const char *id)
{
    hsae_status status = hsae_device_try(context, id, true);
    return status == HSAE_OK ? "passed" : status == HSAE_ERROR_FILE ? "not run" : "failed";
}

/* Every field of hsae_limits, by its name. */
static void add_limits(json_t *object, const hsae_limits *limits)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"memory_bytes", limits->memory_bytes},           {"max_allocation_bytes", limits->max_allocation_bytes},
        {"max_binding_bytes", limits->max_binding_bytes}, {"max_bindings", limits->max_bindings},
        {"max_args_bytes", limits->max_args_bytes},       {"max_group_size", limits->max_group_size},
        {"max_local_bytes", limits->max_local_bytes},     {"vector_width", limits->vector_width},
        {"compute_units", limits->compute_units},
    };
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        json_object_set_new(object, numbers[k].name, json_integer((json_int_t)numbers[k].value));
    json_object_set_new(object, "max_groups", json_pack("[I, I]", (json_int_t)limits->max_groups[0], (json_int_t)limits->max_groups[1]));
}

/* hsae_device_units, by its names; null where the driver does not tell. */
static void add_units(json_t *object, const hsae_device_units *units)
{
    json_t *matrices = json_array();
    for (uint32_t i = 0; i < units->matrix_count && i < HSAE_DEVICE_MATRICES; i++) {
        const hsae_device_matrix *matrix = &units->matrices[i];
        json_array_append_new(matrices,
                              json_pack("{s:i, s:i, s:i, s:s, s:s, s:s, s:s}", "m", (int)matrix->m, "n", (int)matrix->n, "k",
                                        (int)matrix->k, "a", matrix->a, "b", matrix->b, "c", matrix->c, "result", matrix->result));
    }
    json_t *subgroup = units->max_subgroup ? json_pack("[i, i]", (int)units->min_subgroup, (int)units->max_subgroup) : json_null();
    json_t *clock = units->clock_mhz ? json_integer(units->clock_mhz) : json_null();
    json_object_set_new(object, "subgroup", subgroup);
    json_object_set_new(object, "clock_mhz", clock);
    json_object_set_new(object, "dot_products", json_boolean(units->dot_products));
    json_object_set_new(object, "matrix_count", json_integer(units->matrix_count));
    json_object_set_new(object, "matrices", matrices);
}

static json_t *quirks_json(const hsae_device_info *device)
{
    const char *quirk, *source;
    json_t *quirks = json_array();
    for (size_t i = 0; (quirk = hsae_device_quirk(device, i, &source)); i++)
        json_array_append_new(quirks, json_pack("{s:s, s:s}", "quirk", quirk, "source", source));
    return quirks;
}

static json_t *device_json(const hsae_device_info *device, const char *tested)
{
    json_t *object = json_pack("{s:s, s:s, s:o, s:o, s:s}", "id", device->id, "backend", backend_name(device->backend), "name",
                               text_json(device->name), "driver", text_json(device->driver), "type", type_name(device->type));
    if (object)
        add_limits(object, &device->limits);
    if (object)
        add_units(object, &device->units);
    if (object)
        json_object_set_new(object, "quirks", quirks_json(device));
    if (object && *device->pci)
        json_object_set_new(object, "pci", json_string(device->pci));
    if (object && *device->same_as)
        json_object_set_new(object, "same_as", json_string(device->same_as));
    if (object && *device->same_as)
        json_object_set_new(object, "second_since", json_string(device->same_as_reason));
    if (tested && object)
        json_object_set_new(object, "self_test", json_string(tested));
    return object;
}

static double gib(uint64_t bytes)
{
    return (double)bytes / (1024.0 * 1024 * 1024);
}

static void print_device(const hsae_device_info *device, const char *tested)
{
    const hsae_limits *limits = &device->limits;
    int indent = *device->same_as ? 2 : 0;
    printf("%*s%-10s  %s\n", indent, "", device->id, device->name);
    printf("%*s%s, %s, memory %.1f GiB, largest buffer %.1f GiB", indent + 12, "", type_name(device->type), device->driver,
           gib(limits->memory_bytes), gib(limits->max_allocation_bytes));
    if (limits->max_binding_bytes < limits->max_allocation_bytes)
        printf(" (%.3g GiB of it in a kernel)", gib(limits->max_binding_bytes));
    printf(", work-groups up to %u, local memory %u KiB", limits->max_group_size, limits->max_local_bytes / 1024);
    if (*device->same_as)
        printf(", the same GPU as %s, by a driver that comes second: %s", device->same_as, device->same_as_reason);
    for (size_t i = 0; cli_verbose == CLI_VERBOSE && hsae_device_quirk(device, i, NULL); i++)
        printf(", quirk: %s", hsae_device_quirk(device, i, NULL));
    if (tested)
        printf(", self-test %s", tested);
    putchar('\n');
}

struct show {
    hsae_context *context;
    bool test, failed;
    json_t *devices; /* NULL: text */
};

static void show_device(struct show *show, const hsae_device_info *device)
{
    const char *tested = NULL;
    if (cli_signal())
        return;
    if (show->test) {
        tested = self_test(show->context, device->id);
        show->failed |= strcmp(tested, "passed") != 0;
    }
    if (show->devices)
        json_array_append_new(show->devices, device_json(device, tested));
    else
        print_device(device, tested);
}

/* Text shows the other drivers of a GPU below the preferred one. */
static void show_devices(struct show *show, const hsae_device_info *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (show->devices || !*list[i].same_as)
            show_device(show, &list[i]);
        for (size_t k = 0; k < count && !show->devices; k++)
            if (strcmp(list[k].same_as, list[i].id) == 0)
                show_device(show, &list[k]);
    }
}

/* What keeps other devices from being listed. */
struct problems {
    hsae_device_problem *items;
    size_t count;
};

static json_t *problems_json(const struct problems *problems)
{
    json_t *array = json_array();
    for (size_t i = 0; i < problems->count; i++) {
        const hsae_device_problem *problem = &problems->items[i];
        json_t *object = json_pack("{s:s, s:o}", "backend", backend_name(problem->backend), "problem", text_json(problem->what));
        if (object && *problem->remedy)
            json_object_set_new(object, "remedy", text_json(problem->remedy));
        json_array_append_new(array, object);
    }
    return array;
}

static void print_problems(const struct problems *problems)
{
    if (problems->count)
        puts("\nProblems:");
    for (size_t i = 0; i < problems->count; i++)
        printf("  %s%s%s\n", problems->items[i].what, *problems->items[i].remedy ? "; " : "", problems->items[i].remedy);
}

/* Shows the devices; the exit status. */
static int show(hsae_context *context, const hsae_device_info *list, size_t count, const struct problems *problems, bool json, bool test)
{
    char id[32], reason[128];
    struct show show = {.context = context, .test = test, .devices = json ? json_array() : NULL};
    hsae_status status = hsae_device_default(context, id, reason);
    show_devices(&show, list, count);
    /* A default that does not exist ($HSAE_DEVICE) is an error of its own, after the list. */
    if (json && cli_print_json(json_pack("{s:o, s:o, s:o}", "devices", show.devices, "default",
                                         status == HSAE_OK ? json_string(id) : json_null(), "problems", problems_json(problems))))
        return CLI_FAILED;
    if (!json)
        print_problems(problems);
    if (!json && status == HSAE_OK)
        printf("\nDefault: %s (%s)\n", id, reason);
    if (cli_signal())
        return 128 + cli_signal();
    for (size_t i = 0; test && i < problems->count; i++)
        show.failed |= problems->items[i].left_out;
    return show.failed ? CLI_FAILED : cli_exit_status(status);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    bool json = false, test = false;
    const struct cli_option options[] = {OPTIONS_devices(CLI_OPTION){0}};
    int exit_status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (exit_status != CLI_CONTINUE)
        return exit_status;
    struct problems problems = {0};
    hsae_device_info *list = NULL;
    size_t count = 0;
    hsae_context *context = cli_context();
    if (!context)
        return CLI_FAILED;
    hsae_status status = hsae_device_problems(context, test, &problems.items, &problems.count);
    if (status == HSAE_OK)
        status = hsae_device_list(context, &list, &count);
    exit_status = status == HSAE_OK ? show(context, list, count, &problems, json, test) : cli_exit_status(status);
    hsae_free(problems.items);
    hsae_free(list);
    hsae_context_destroy(&context);
    return exit_status;
}

const struct cli_command cli_devices = {
    .name = "devices",
    .summary = SUMMARY_devices,
    .synopsis = SYNOPSIS_devices,
    .examples = "  hsae devices\n"
                "  hsae devices --test\n"
                "  hsae devices --json | jq -r '.devices[].id'\n",
    .run = run,
};
