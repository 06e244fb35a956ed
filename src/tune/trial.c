/* SPDX-License-Identifier: MIT */
/* A device opened and tested in a child process; and the child's side of it all. */
#include "device/backend_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- trying ---- */

static hsae_status test_here(hsae_context *context, const char *id, bool again)
{
    hsae_device *device = NULL;
    hsae_status status = hsae_device_open(context, id, &device);
    if (!status)
        status = hsae_device_test(device, again);
    hsae_device_close(&device);
    return status;
}

static hsae_status fail_tried(hsae_context *context, const hsae_device_info *info, const char *how, bool remembered)
{
    return hsae_fail(context, HSAE_ERROR_DEVICE_LOST,
                     remembered ? "%s (%s; %s) is not used, as before: in a test, %s; hsae devices --test tries it again"
                                : "%s (%s; %s) is not used: in a test, %s; update the driver or choose another device",
                     info->id, info->name, info->driver, how);
}

/* The child's messages become those of this process. */
static hsae_status read_verdict(hsae_context *context, const json_t *answer)
{
    const json_t *messages = json_object_get(answer, "messages"), *status = json_object_get(answer, "status");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const char *text = json_string_value(json_object_get(message, "text"));
        json_int_t level = json_integer_value(json_object_get(message, "level"));
        if (text && level >= HSAE_LOG_ERROR && level <= HSAE_LOG_DEBUG)
            hsae_log(context, (hsae_log_level)level, "%s", text);
    }
    return json_is_integer(status) ? (hsae_status)json_integer_value(status) : HSAE_ERROR_DRIVER;
}

/* A device that computes on the processor stands still only when it hangs; others may be waited for while other programs use them. */
static hsae_status run_test(hsae_context *context, const hsae_device_info *info, json_t **record)
{
    const char *words[] = {"--test", info->id, NULL};
    double seconds = hsae_patience(context);
    json_t *answer = NULL;
    char how[400] = "";
    hsae_status status =
        hsae_trial_run(context, words, seconds / (info->type == HSAE_DEVICE_CPU ? 12 : 4), 10 * seconds, &answer, how, sizeof how);
    if (status)
        return status;
    if (!answer) {
        *record = json_pack("{s:o}", "how", hsae_json_text(how));
        return fail_tried(context, info, how, false);
    }
    status = read_verdict(context, answer);
    json_decref(answer);
    if (!status)
        *record = json_object();
    else if (status == HSAE_ERROR_DRIVER)
        *record = json_pack("{s:b}", "wrong", 1);
    return status;
}

hsae_status hsae_device_try(hsae_context *context, const char *id, bool again)
{
    HSAE_REQUIRE(context, context, id);
    struct hsae_driver_files files;
    struct hsae_trial_key key;
    hsae_device_info info;
    hsae_status status = hsae_device_find(context, id, &info);
    if (status)
        return status;
    if (!context->program || info.backend == HSAE_BACKEND_REF)
        return test_here(context, id, again);
    hsae_driver_files_find(info.backend, &files);
    hsae_trial_key(context, info.backend, &info, &files, &key);
    hsae_driver_files_free(&files);
    json_t *record = again ? NULL : hsae_trial_remember(context, &key);
    const char *how = json_string_value(json_object_get(record, "how"));
    if (record && !json_object_get(record, "wrong")) {
        status = how ? fail_tried(context, &info, how, true) : HSAE_OK;
    } else { /* one that computed wrong may do so no longer: a test takes little time */
        json_decref(record);
        record = NULL;
        if (!again)
            hsae_log(context, HSAE_LOG_INFO, "%s (%s) is tested before it is used", id, info.name);
        status = run_test(context, &info, &record);
        if (record)
            hsae_trial_keep(context, &key, record);
        if (!status)
            hsae_trial_note_passed(id);
        if (status == HSAE_ERROR_UNSUPPORTED && !record)
            status = test_here(context, id, again);
    }
    json_decref(record);
    return status;
}

/* ---- the child's side ---- */

static void collect(void *user, hsae_log_level level, const char *message)
{
    json_array_append_new(user, json_pack("{s:i, s:o}", "level", (int)level, "text", hsae_json_text(message)));
}

static json_t *answer_test(const char *id)
{
    hsae_context *context = NULL;
    json_t *messages = json_array();
    hsae_status status = hsae_context_create(&(hsae_context_params){.log = collect, .log_user = messages}, &context);
    if (!status)
        status = test_here(context, id, true);
    hsae_context_destroy(&context);
    return json_pack("{s:i, s:o}", "status", (int)status, "messages", messages);
}

static json_t *answer_look(hsae_backend backend)
{
    hsae_context *context = NULL;
    struct hsae_problems problems = {0};
    size_t devices = 0;
    if (hsae_context_create(NULL, &context) == HSAE_OK)
        hsae_drivers_look(context, backend, true, &problems, &devices);
    hsae_context_destroy(&context);
    json_t *answer = json_pack("{s:I, s:o}", "devices", (json_int_t)devices, "problems", hsae_problems_json(&problems));
    free(problems.items);
    return answer;
}

hsae_status hsae_device_probe(size_t count, char *const *words, char **answer)
{
    HSAE_REQUIRE(NULL, words, answer);
    *answer = NULL;
    const char *plain[2] = {"", ""};
    size_t plain_count = 0;
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(words[i], '=');
        char name[64];
        if (!equals && plain_count < 2)
            plain[plain_count++] = words[i];
        if (!equals || (size_t)(equals - words[i]) >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(equals - words[i]), words[i]);
        hsae_os_setenv(name, equals[1] || strcmp(name, hsae_setting_variable(HSAE_SETTING_CACHE_DIR)) == 0 ? equals + 1 : NULL);
    }
    json_t *json = NULL;
    for (int backend = HSAE_BACKEND_OPENCL; backend <= HSAE_BACKEND_VULKAN; backend++)
        if (strcmp(plain[0], hsae_backend_name((hsae_backend)backend)) == 0 && hsae_backend_is_built((hsae_backend)backend))
            json = answer_look((hsae_backend)backend);
    if (strcmp(plain[0], "--test") == 0)
        json = answer_test(plain[1]);
    *answer = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return *answer ? HSAE_OK : HSAE_ERROR_ARGUMENT;
}
