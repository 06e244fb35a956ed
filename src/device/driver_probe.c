/* SPDX-License-Identifier: MIT */
/* Drivers of a backend, tried before they are loaded. */
#include "drivers.h"

#include "device.h"

#include <stdlib.h>
#include <string.h>

/* What this process has found out, by backend; under the lock of backend_table.c. */
static struct {
    bool known, usable;
    json_t *record;
} states[HSAE_BACKEND_VULKAN + 1];

/* A record: "bad": [{"driver": path, or "" for all of them, "how"}], "problems", "devices". */

/* ---- one look ---- */

enum { HOW_BYTES = 400 };

/* *problems stays NULL where it went wrong, as `how` says. */
static hsae_status look(hsae_context *context, hsae_backend backend, const char *const *settings, json_t **answer, char how[HOW_BYTES])
{
    const char *words[8] = {hsae_backend_name(backend)};
    double seconds = hsae_patience(context);
    for (size_t i = 0; settings && settings[i] && i < 6; i++)
        words[i + 1] = settings[i];
    return hsae_trial_run(context, words, seconds / 12, seconds, answer, how, HOW_BYTES);
}

/* ---- one driver of several ---- */

/* A folder with copies of some of the files; what it names stays in the order that it had. */
static bool copy_files(const struct hsae_driver_files *files, const bool *chosen, const char *folder)
{
    bool good = true;
    for (size_t i = 0; i < files->count && good; i++) {
        char path[4096];
        if (!chosen[i])
            continue;
        snprintf(path, sizeof path, "%.2000s/%s", folder, hsae_os_file_name(files->items[i].path));
        FILE *file = hsae_os_fopen(path, "wb");
        good = file && fprintf(file, "%s\n", files->items[i].library) > 0;
        good = file && fclose(file) == 0 && good;
    }
    return good;
}

static void remove_copies(const struct hsae_driver_files *files, const char *folder)
{
    for (size_t i = 0; i < files->count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%.2000s/%s", folder, hsae_os_file_name(files->items[i].path));
        hsae_os_remove(path);
    }
    hsae_os_remove_folder(folder);
}

/* The driver alone, found good (*answer) or bad (`how`). */
static hsae_status look_at_one(hsae_context *context, hsae_backend backend, const struct hsae_driver_files *files, size_t index,
                               json_t **answer, char how[HOW_BYTES])
{
    char folder[1200] = "", first[2048], second[2048];
    bool *chosen = calloc(files->count, sizeof *chosen);
    hsae_status status = HSAE_ERROR_UNSUPPORTED;
    if (!chosen)
        return HSAE_ERROR_MEMORY;
    chosen[index] = true;
    if (backend == HSAE_BACKEND_VULKAN) {
        snprintf(first, sizeof first, "VK_DRIVER_FILES=%s", files->items[index].path);
        snprintf(second, sizeof second, "VK_ICD_FILENAMES=%s", files->items[index].path);
        const char *settings[] = {first, second, "VK_ADD_DRIVER_FILES=", NULL};
        status = look(context, backend, settings, answer, how);
    } else if (hsae_os_temporary_folder(folder, sizeof folder) == 0) {
        snprintf(first, sizeof first, "OCL_ICD_VENDORS=%s", folder);
        const char *settings[] = {first, NULL};
        if (copy_files(files, chosen, folder))
            status = look(context, backend, settings, answer, how);
        remove_copies(files, folder);
    }
    free(chosen);
    return status;
}

static json_t *bad_json(const char *driver, const char *how)
{
    return json_pack("{s:o, s:o}", "driver", hsae_json_text(driver), "how", hsae_json_text(how));
}

/* All together went wrong, as `how` says: which of them is it? */
static hsae_status find_bad(hsae_context *context, hsae_backend backend, const struct hsae_driver_files *files, const char *how,
                            json_t *record)
{
    struct hsae_problems problems = {0};
    json_t *bad = json_object_get(record, "bad");
    json_int_t devices = 0;
    hsae_status status = HSAE_OK;
    for (size_t i = 0; files->apart && files->count > 1 && i < files->count && !status; i++) {
        json_t *answer = NULL;
        char alone[HOW_BYTES];
        status = look_at_one(context, backend, files, i, &answer, alone);
        if (!status && !answer)
            json_array_append_new(bad, bad_json(files->items[i].path, alone));
        hsae_problems_read(backend, json_object_get(answer, "problems"), &problems);
        devices += json_integer_value(json_object_get(answer, "devices"));
        json_decref(answer);
    }
    if (status != HSAE_CANCELLED) {
        if (json_array_size(bad) == 0)
            json_array_append_new(bad, bad_json(files->count == 1 ? files->items[0].path : "", how));
        status = HSAE_OK;
    }
    json_object_set_new(record, "problems", hsae_problems_json(&problems));
    json_object_set_new(record, "devices", json_integer(devices));
    free(problems.items);
    return status;
}

/* *record stays NULL where no process could be started. */
static hsae_status try(hsae_context *context, hsae_backend backend, const struct hsae_driver_files *files, json_t **record)
{
    json_t *answer = NULL;
    char how[HOW_BYTES] = "";
    hsae_status status = look(context, backend, NULL, &answer, how);
    if (status)
        return status == HSAE_ERROR_UNSUPPORTED ? HSAE_OK : status;
    json_t *out = json_pack("{s:[]}", "bad");
    if (answer) {
        json_object_set(out, "problems", json_object_get(answer, "problems"));
        json_object_set(out, "devices", json_object_get(answer, "devices"));
    } else {
        status = find_bad(context, backend, files, how, out);
    }
    json_decref(answer);
    if (status)
        json_decref(out);
    else
        *record = out;
    return status;
}

/* ---- leaving drivers out ---- */

static bool is_bad(const json_t *bad, const char *driver)
{
    bool is = false;
    json_t *text = hsae_json_text(driver);
    for (size_t i = 0; i < json_array_size(bad); i++)
        is = is || json_equal(text, json_object_get(json_array_get(bad, i), "driver"));
    json_decref(text);
    return is;
}

/* So that the loader, which was not opened yet, sees the good ones only; false: it cannot be told. */
static bool set_drivers(hsae_context *context, hsae_backend backend, const struct hsae_driver_files *files, const bool *good)
{
    char list[8192] = "", folder[2048];
    const char separator[] = {hsae_os_list_separator(), 0};
    size_t used = 0;
    if (backend == HSAE_BACKEND_VULKAN) {
        for (size_t i = 0; i < files->count && used < sizeof list; i++)
            if (good[i])
                used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? separator : "", files->items[i].path);
        if (used >= sizeof list)
            return false;
        hsae_os_setenv("VK_DRIVER_FILES", list);
        hsae_os_setenv("VK_ICD_FILENAMES", list);
        hsae_os_setenv("VK_ADD_DRIVER_FILES", NULL);
        return true;
    }
    uint64_t hash = HSAE_HASH_START;
    for (size_t i = 0; i < files->count; i++)
        if (good[i])
            hash = hsae_hash(hash, files->items[i].path, strlen(files->items[i].path) + 1);
    if (!context->cache_dir ||
        snprintf(folder, sizeof folder, "%s/drivers-%016llx", context->cache_dir, (unsigned long long)hash) >= (int)sizeof folder)
        return false;
    hsae_cache_make_folder(context);
    hsae_os_make_private_folder(folder);
    if (!hsae_os_is_private(folder) || !copy_files(files, good, folder))
        return false;
    hsae_os_setenv("OCL_ICD_VENDORS", folder);
    return true;
}

/* Whether some drivers are left that may be loaded. */
static bool leave_out(hsae_context *context, hsae_backend backend, const struct hsae_driver_files *files, const json_t *bad)
{
    size_t left = 0;
    bool *good = calloc(files->count + 1, sizeof *good), usable = false;
    for (size_t i = 0; i < files->count && good; i++) {
        good[i] = !is_bad(bad, files->items[i].path);
        left += good[i];
    }
    if (good && left && !is_bad(bad, ""))
        usable = set_drivers(context, backend, files, good);
    free(good);
    return usable;
}

static void warn(hsae_context *context, hsae_backend backend, const json_t *bad, bool remembered)
{
    for (size_t i = 0; i < json_array_size(bad); i++) {
        const json_t *entry = json_array_get(bad, i);
        const char *driver = json_string_value(json_object_get(entry, "driver")), *how = json_string_value(json_object_get(entry, "how"));
        hsae_log(context, HSAE_LOG_WARNING,
                 remembered ? "the %s driver%s%s is left out, as before: %s; hsae devices --test tries it again"
                            : "the %s driver%s%s is left out: asked for its devices, %s; update it or remove it",
                 hsae_backend_title(backend), driver && *driver ? " " : "", driver ? driver : "", how ? how : "it fails");
    }
}

/* ---- the front ---- */

hsae_status hsae_drivers_ready(hsae_context *context, hsae_backend backend, enum hsae_trust trust, bool *usable)
{
    struct hsae_driver_files files;
    struct hsae_trial_key key;
    *usable = states[backend].usable;
    if (states[backend].known)
        return HSAE_OK;
    hsae_driver_files_find(backend, &files);
    if (backend == HSAE_BACKEND_OPENCL)
        hsae_pocl_prepare(context, &files);
    hsae_trial_key(context, backend, NULL, &files, &key);
    json_t *record = trust == HSAE_TRUST_NONE ? NULL : hsae_trial_remember(context, &key);
    if (record && trust == HSAE_TRUST_FAULTS && !json_array_size(json_object_get(record, "bad"))) {
        json_decref(record);
        record = NULL;
    }
    bool remembered = record;
    hsae_status status = record ? HSAE_OK : try(context, backend, &files, &record);
    if (!status) {
        const json_t *bad = json_object_get(record, "bad");
        if (record && !remembered)
            hsae_trial_keep(context, &key, record);
        warn(context, backend, bad, remembered);
        *usable = json_array_size(bad) ? leave_out(context, backend, &files, bad) : true;
        states[backend].known = true;
        states[backend].usable = *usable;
        states[backend].record = record;
    }
    hsae_driver_files_free(&files);
    return status;
}

void hsae_drivers_problems(hsae_backend backend, struct hsae_problems *problems, size_t *devices)
{
    const json_t *record = states[backend].record, *bad = json_object_get(record, "bad");
    for (size_t i = 0; i < json_array_size(bad); i++) {
        const json_t *entry = json_array_get(bad, i);
        const char *driver = json_string_value(json_object_get(entry, "driver")), *how = json_string_value(json_object_get(entry, "how"));
        hsae_problem_add(problems, backend, "update it or remove it; hsae devices --test tries it again",
                         "the %s driver%s%s is left out: %s", hsae_backend_title(backend), driver && *driver ? " " : "",
                         driver ? driver : "", how ? how : "it fails");
        if (problems->count)
            problems->items[problems->count - 1].left_out = true;
    }
    hsae_problems_read(backend, json_object_get(record, "problems"), problems);
    *devices = (size_t)json_integer_value(json_object_get(record, "devices"));
}
