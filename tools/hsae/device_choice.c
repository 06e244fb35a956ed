/* SPDX-License-Identifier: MIT */
/* Which device a command computes on. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

hsae_status cli_open_tested(hsae_context *context, const char *id, hsae_device **out)
{
    bool test = cli_checks_devices(context) && strcmp(id, "ref") != 0;
    *out = NULL;
    hsae_status status = test ? hsae_device_try(context, id, false) : HSAE_OK;
    if (status == HSAE_OK)
        status = hsae_device_open(context, id, out);
    if (status == HSAE_OK && test)
        status = hsae_device_test(*out, false);
    if (status == HSAE_ERROR_FILE) { /* where there is no room for a test it is left out */
        cli_warning("%s is used without a test", id);
        status = *out ? HSAE_OK : hsae_device_open(context, id, out);
    }
    if (status == HSAE_ERROR_DRIVER)
        cli_say_unchecked();
    if (status != HSAE_OK)
        hsae_device_close(out);
    return status;
}

static void say_device(const hsae_device *device, const char *reason, const char *more)
{
    cli_note("device %s (%s): %s%s", hsae_device_get_info(device)->id, hsae_device_get_info(device)->name, reason, more);
}

/* A device that was asked for. */
static hsae_status open_named(hsae_context *context, const char *id, const char *reason, hsae_device **out)
{
    hsae_status status = cli_open_tested(context, id, out);
    if (status == HSAE_OK)
        say_device(*out, reason, "");
    else if (status != HSAE_ERROR_NO_DEVICE && status != HSAE_CANCELLED)
        cli_warning("%s cannot be used: choose another device with --device or HSAE_DEVICE, or none, for the best that works; hsae devices "
                    "--test tries them all",
                    id);
    return status;
}

/* Why there is only the reference device, and what to do: the first thing that is known to be wrong, one with a remedy if there is one. */
static void find_cause(hsae_context *context, char *text, size_t size)
{
    hsae_device_problem *problems = NULL;
    size_t count = 0;
    text[0] = 0;
    size_t first = 0;
    if (hsae_device_problems(context, false, &problems, &count) == HSAE_OK && count) {
        while (first < count && !*problems[first].remedy)
            first++;
        const hsae_device_problem *problem = &problems[first < count ? first : 0];
        snprintf(text, size, ": %s%s%s (hsae devices says more)", problem->what, *problem->remedy ? "; " : "", problem->remedy);
    }
    hsae_free(problems);
}

hsae_status cli_open_device(hsae_context *context, const char *id, hsae_device **out)
{
    char chosen[32], reason[128] = "given with --device", cause[1200] = "";
    hsae_device_info *list = NULL;
    size_t count = 0, failed = 0;
    if (id)
        return open_named(context, id, reason, out);
    if (*hsae_context_setting(context, HSAE_SETTING_DEVICE)) {
        hsae_status status = hsae_device_default(context, chosen, reason);
        return status == HSAE_OK ? open_named(context, chosen, reason, out) : status;
    }
    hsae_status status = hsae_device_list(context, &list, &count);
    while (status == HSAE_OK && count) {
        size_t best = hsae_device_best(list, count, reason);
        cli_show_errors(count > 1 ? CLI_ERRORS_SOFT : CLI_ERRORS_SHOWN);
        status = cli_open_tested(context, list[best].id, out);
        cli_show_errors(CLI_ERRORS_SHOWN);
        if (status == HSAE_OK || status == HSAE_CANCELLED || count == 1)
            break;
        cli_warning("%s (%s) is passed over for the next best device; --device takes one and no other", list[best].id, list[best].name);
        memmove(list + best, list + best + 1, (--count - best) * sizeof *list);
        failed++;
        status = HSAE_OK;
    }
    hsae_free(list);
    if (status != HSAE_OK)
        return status;
    if (failed)
        snprintf(reason, sizeof reason, "the best device that works");
    else if (hsae_device_get_info(*out)->backend == HSAE_BACKEND_REF)
        find_cause(context, cause, sizeof cause);
    say_device(*out, reason, cause);
    return HSAE_OK;
}

hsae_status cli_open_devices(hsae_context *context, const char *ids, hsae_device **out, struct cli_devices *others)
{
    char *list = ids && strchr(ids, ',') ? strdup(ids) : NULL, *rest = list;
    size_t room = 0;
    hsae_status status = HSAE_OK;
    if (!ids || !strchr(ids, ','))
        return cli_open_device(context, ids, out);
    for (const char *at = ids; at; at = strchr(at + 1, ','))
        room++;
    others->items = calloc(room, sizeof(hsae_device *));
    if (!list || !others->items)
        status = HSAE_ERROR_MEMORY;
    for (bool first = true; status == HSAE_OK && rest; first = false) {
        char *id = rest, *comma = strchr(rest, ',');
        if (comma)
            *comma = 0;
        rest = comma ? comma + 1 : NULL;
        status = cli_open_device(context, id, first ? out : &others->items[others->count]);
        others->count += !first && status == HSAE_OK;
    }
    free(list);
    if (status == HSAE_ERROR_MEMORY)
        cli_out_of_memory();
    return status == HSAE_OK ? hsae_device_join(*out, others->items, others->count) : status;
}

void cli_close_devices(struct cli_devices *devices)
{
    for (uint32_t k = 0; k < devices->count; k++)
        hsae_device_close(&devices->items[k]);
    free(devices->items);
    *devices = (struct cli_devices){NULL, 0};
}
