/* SPDX-License-Identifier: MIT */
#include "drivers.h"

#include "base/json.h"
#include "kernels/code.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char kind[] = "trial";

/* ---- problems ---- */

void hsae_problem_add(struct hsae_problems *problems, hsae_backend backend, const char *remedy, const char *format, ...)
{
    hsae_device_problem problem = {.backend = backend};
    va_list values;
    va_start(values, format);
    vsnprintf(problem.what, sizeof problem.what, format, values);
    va_end(values);
    snprintf(problem.remedy, sizeof problem.remedy, "%s", remedy ? remedy : "");
    for (size_t i = 0; i < problems->count; i++)
        if (strcmp(problems->items[i].what, problem.what) == 0)
            return;
    hsae_device_problem *grown = realloc(problems->items, (problems->count + 1) * sizeof *grown);
    if (!grown)
        return;
    problems->items = grown;
    grown[problems->count++] = problem;
}

json_t *hsae_json_text(const char *text)
{
    size_t size = strlen(text);
    char *copy = malloc(size + 1);
    if (!copy)
        return NULL;
    for (size_t i = 0, length; i < size; i += length) {
        length = hsae_utf8_size(text + i, size - i);
        memcpy(copy + i, length ? text + i : "?", length ? length : 1);
        length = length ? length : 1;
    }
    json_t *json = json_stringn(copy, size);
    free(copy);
    return json;
}

json_t *hsae_problems_json(const struct hsae_problems *problems)
{
    json_t *array = json_array();
    for (size_t i = 0; i < problems->count; i++)
        json_array_append_new(array, json_pack("{s:o, s:o}", "what", hsae_json_text(problems->items[i].what), "remedy",
                                               hsae_json_text(problems->items[i].remedy)));
    return array;
}

void hsae_problems_read(hsae_backend backend, const json_t *array, struct hsae_problems *problems)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *problem = json_array_get(array, i);
        const char *what = json_string_value(json_object_get(problem, "what"));
        if (what)
            hsae_problem_add(problems, backend, json_string_value(json_object_get(problem, "remedy")), "%s", what);
    }
}

/* ---- memory ---- */

/* Variables that tell of a session and not of drivers: they differ from one start to the next. */
static bool tells_of_drivers(const char *variable)
{
    static const char *const others[] = {
        "BASH", "COLORTERM", "COLUMNS", "DBUS_",   "HIST", "INVOCATION", "JOURNAL", "LINES=",   "LSB_",      "LS_COLORS", "MAIL=",
        "MAKE", "MALLOC_",   "MFLAGS",  "OLDPWD=", "PBS_", "PS1=",       "PWD=",    "SHELL",    "SHLVL=",    "SLURM_",    "SSH_",
        "STY=", "SYSTEMD",   "TERM",    "TMPDIR=", "TMUX", "VTE_",       "WINDOW",  "XDG_SESS", "XDG_VTNR=", "_=",        "GNOME_TERM",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(variable, others[i], strlen(others[i])) == 0)
            return false;
    return true;
}

/* "HSAE_SCREEN=1" */
struct setting_word {
    char text[4096 + 64];
};

/* What a child process is told of a setting. */
static void setting_word(const hsae_context *context, hsae_setting setting, struct setting_word *out)
{
    const char *text = setting != HSAE_SETTING_CACHE_DIR ? hsae_setting_text(context, setting)
                       : context->cache_dir              ? context->cache_dir
                                                         : "";
    snprintf(out->text, sizeof out->text, "%s=%.4096s", hsae_setting_variable(setting), text);
}

static bool is_setting(const char *variable)
{
    size_t length = strcspn(variable, "=");
    for (size_t i = 0; i < HSAE_SETTING_COUNT; i++)
        if (strlen(hsae_setting_variable((hsae_setting)i)) == length &&
            memcmp(hsae_setting_variable((hsae_setting)i), variable, length) == 0)
            return true;
    return false;
}

/* In any order. A driver may go by any variable: the folders on the PATH, those of libraries, its own. Of the context's settings those
 * count that change what a driver is asked to do. */
static uint64_t environment_hash(const hsae_context *context)
{
    struct setting_word word;
    uint64_t sum = 0;
    for (char **variable = hsae_os_environment(); variable && *variable; variable++)
        if (tells_of_drivers(*variable) && !is_setting(*variable))
            sum += hsae_hash(HSAE_HASH_START, *variable, strlen(*variable));
    for (int i = 0; i < HSAE_SETTING_COUNT; i++) {
        if (i == HSAE_SETTING_CACHE_DIR || i == HSAE_SETTING_DEVICE || i == HSAE_SETTING_SELF_TEST || !context->settings[i])
            continue;
        setting_word(context, (hsae_setting)i, &word);
        sum += hsae_hash(HSAE_HASH_START, word.text, strlen(word.text));
    }
    return sum;
}

void hsae_trial_key(const hsae_context *context, hsae_backend backend, const hsae_device_info *device,
                    const struct hsae_driver_files *files, struct hsae_trial_key *key)
{
    memset(key, 0, sizeof *key); /* padding, too */
    snprintf(key->version, sizeof key->version, "%s", hsae_version());
    snprintf(key->id, sizeof key->id, "%s", device ? device->id : hsae_backend_name(backend));
    if (device) {
        memcpy(key->name, device->name, strlen(device->name));
        memcpy(key->driver, device->driver, strlen(device->driver));
        key->kernels = hsae_kernel_code_hash();
    }
    key->files = hsae_driver_files_hash(backend, files);
    key->environment = environment_hash(context);
}

json_t *hsae_trial_remember(hsae_context *context, const struct hsae_trial_key *key)
{
    struct hsae_json_error wrong;
    void *text = NULL;
    size_t size = 0;
    hsae_cache_read(context, kind, key, sizeof *key, &text, &size);
    json_t *record = text ? hsae_json_read(text, size, &wrong) : NULL;
    free(text);
    return record;
}

void hsae_trial_keep(hsae_context *context, const struct hsae_trial_key *key, const json_t *record)
{
    char *text = json_dumps(record, JSON_COMPACT);
    if (text)
        hsae_cache_write(context, kind, key, sizeof *key, text, strlen(text));
    free(text);
}

/* ---- the child ---- */

double hsae_patience(const hsae_context *context)
{
    double seconds = hsae_setting_number(context, HSAE_SETTING_WAIT_SECONDS, 120);
    return seconds > 0 ? seconds : INFINITY;
}

enum { MAX_WORDS = 16 };

/* Its last line: drivers may print, too. */
static json_t *read_answer(const char *output)
{
    struct hsae_json_error wrong;
    size_t size = output ? strlen(output) : 0;
    while (size && output[size - 1] == '\n')
        size--;
    size_t begin = size;
    while (begin && output[begin - 1] != '\n')
        begin--;
    json_t *answer = size ? hsae_json_read(output + begin, size - begin, &wrong) : NULL;
    if (json_is_object(answer))
        return answer;
    json_decref(answer);
    return NULL;
}

hsae_status hsae_trial_run(hsae_context *context, const char *const *words, double still_seconds, double max_seconds, json_t **answer,
                           char *how, size_t how_size)
{
    const char *all[MAX_WORDS + HSAE_SETTING_COUNT + 3] = {context->program, "__probe"};
    struct setting_word *settings = calloc(HSAE_SETTING_COUNT, sizeof *settings);
    size_t count = 2;
    if (!settings)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for a trial of a driver");
    for (size_t i = 0; words[i] && i < MAX_WORDS; i++)
        all[count++] = words[i];
    for (int i = 0; i < HSAE_SETTING_COUNT; i++) {
        setting_word(context, (hsae_setting)i, &settings[i]);
        all[count++] = settings[i].text;
    }
    struct hsae_os_child child = {
        .words = all, .stop = context->stop, .user = context->stop_user, .still_seconds = still_seconds, .max_seconds = max_seconds};
    enum hsae_os_ending ending = hsae_os_run(&child);
    free(settings);
    *answer = ending == HSAE_OS_ENDED ? read_answer(child.output) : NULL;
    free(child.output);
    const char *said = *child.errors ? "; it printed: " : "";
    switch (ending) {
    case HSAE_OS_STOPPED:
        return HSAE_CANCELLED;
    case HSAE_OS_NOT_STARTED:
        hsae_log(context, HSAE_LOG_DEBUG, "drivers are used untried: %s cannot be run: %s", context->program, strerror(errno));
        return HSAE_ERROR_UNSUPPORTED;
    case HSAE_OS_STILL:
        snprintf(how, how_size, "it hangs: no progress in %.3g s%s%s", still_seconds, said, child.errors);
        break;
    case HSAE_OS_TOO_LONG:
        snprintf(how, how_size, "it hangs: not done after %.3g s%s%s", max_seconds, said, child.errors);
        break;
    case HSAE_OS_DIED:
        snprintf(how, how_size, "it crashes: %s%s%s", child.how, said, child.errors);
        break;
    case HSAE_OS_ENDED:
        snprintf(how, how_size, "it ends the process%s%s", said, child.errors);
    }
    return HSAE_OK;
}
