/* SPDX-License-Identifier: MIT */
#include "context.h"
#include "os.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4096, PATH_BYTES = 4096 };

/* ---- settings ---- */

enum kind { TEXT, SWITCH, BIT, SCREENING, NUMBER };
static const char *const allowed[] = {
    [TEXT] = "any text", [SWITCH] = "on or off", [BIT] = "0 or 1", [SCREENING] = "0, 1, 8 or 16", [NUMBER] = "a number of at least 0"};

static const struct {
    const char *variable;
    size_t offset; /* in hsae_context_params */
    enum kind kind;
} settings[] = {
#define SETTING(NAME, field, KIND, text) {"HSAE_" #NAME, offsetof(hsae_context_params, field), KIND},
    HSAE_SETTINGS(SETTING)
#undef SETTING
};

const char *hsae_setting_variable(hsae_setting setting)
{
    return settings[setting].variable;
}

static bool is_allowed(enum kind kind, const char *text)
{
    char *end;
    switch (kind) {
    case TEXT:
        return true;
    case SWITCH:
        return strcmp(text, "on") == 0 || strcmp(text, "off") == 0;
    case BIT:
        return strcmp(text, "0") == 0 || strcmp(text, "1") == 0;
    case SCREENING:
        return is_allowed(BIT, text) || strcmp(text, "8") == 0 || strcmp(text, "16") == 0;
    case NUMBER:
        return strtod(text, &end) >= 0 && !*end;
    }
    return false;
}

/* From the parameters, else from the environment. False: out of memory. */
static bool read_settings(hsae_context *context, const hsae_context_params *params)
{
    for (size_t i = 0; i < HSAE_SETTING_COUNT; i++) {
        const char *given, *text;
        memcpy(&given, (const char *)params + settings[i].offset, sizeof given);
        text = given ? given : hsae_os_getenv(settings[i].variable);
        if (!text || (!*text && i != HSAE_SETTING_CACHE_DIR))
            continue;
        if (!is_allowed(settings[i].kind, text)) {
            hsae_log(context, HSAE_LOG_WARNING, "%s is \"%.80s\"; allowed: %s; the default holds", settings[i].variable, text,
                     allowed[settings[i].kind]);
            continue;
        }
        hsae_log(context, HSAE_LOG_DEBUG, "setting: %s=%s (%s)", settings[i].variable, text,
                 given ? "given by the program" : "from the environment");
        context->settings[i] = strdup(text);
        if (!context->settings[i])
            return false;
    }
    return true;
}

const char *hsae_setting_text(const hsae_context *context, hsae_setting setting)
{
    bool is_set = context && (unsigned)setting < HSAE_SETTING_COUNT && context->settings[setting];
    return is_set ? context->settings[setting] : "";
}

const char *hsae_context_setting(const hsae_context *context, hsae_setting setting)
{
    return context ? hsae_setting_text(context, setting) : NULL;
}

double hsae_setting_number(const hsae_context *context, hsae_setting setting, double automatic)
{
    const char *text = hsae_setting_text(context, setting);
    return *text ? strtod(text, NULL) : automatic;
}

/* ---- the context ---- */

/* The folder for the blob cache, or NULL for none; false: out of memory. */
static bool find_cache_dir(const char *wanted, char **out)
{
    const char *base = wanted, *tail = "";
    if (!base)
        base = hsae_os_cache_folder(&tail);
    *out = NULL;
    if (!base || !*base)
        return true;
    size_t size = strlen(base) + strlen(tail) + 1;
    *out = malloc(size);
    if (*out)
        snprintf(*out, size, "%s%s", base, tail);
    return *out;
}

/* Where no file can be made in the folder that the user named. */
static void warn_of_cache(const hsae_context *context)
{
    char path[PATH_BYTES];
    bool made;
    if (snprintf(path, sizeof path, "%s", context->cache_dir) < (int)sizeof path)
        (void)hsae_os_make_folders(path, true, &made);
    errno = ENAMETOOLONG;
    int file =
        snprintf(path, sizeof path, "%s/.new-XXXXXX", context->cache_dir) < (int)sizeof path ? hsae_os_open_temporary(path, true) : -1;
    if (file >= 0) {
        hsae_os_close(file);
        hsae_os_remove(path);
        return;
    }
    hsae_log(context, HSAE_LOG_WARNING,
             "HSAE_CACHE_DIR: no file can be made in %s (%s): compiled kernels and learned speeds are not kept; name a folder of your own",
             context->cache_dir, strerror(errno));
}

hsae_status hsae_context_create(const hsae_context_params *params, hsae_context **out)
{
    HSAE_REQUIRE(NULL, out);
    static const hsae_context_params defaults;
    if (!params)
        params = &defaults;
    *out = NULL;
    hsae_context *context = calloc(1, sizeof *context);
    if (!context)
        return HSAE_ERROR_MEMORY;
    context->log = params->log;
    context->log_user = params->log_user;
    context->stop = params->stop;
    context->stop_user = params->stop_user;
    context->program = params->program ? strdup(params->program) : NULL;
    if (!read_settings(context, params) || !find_cache_dir(context->settings[HSAE_SETTING_CACHE_DIR], &context->cache_dir) ||
        (params->program && !context->program)) {
        hsae_context_destroy(&context);
        return HSAE_ERROR_MEMORY;
    }
    if (context->cache_dir && !hsae_os_is_private(context->cache_dir)) {
        hsae_log(
            context, HSAE_LOG_WARNING,
            "the cache folder %s is not used: other users may write there, and could put wrong kernels into it; make it your own (chown) "
            "and chmod go-w it, or set HSAE_CACHE_DIR to another folder",
            context->cache_dir);
        free(context->cache_dir);
        context->cache_dir = NULL;
    }
    if (context->cache_dir && context->settings[HSAE_SETTING_CACHE_DIR])
        warn_of_cache(context);
    *out = context;
    return HSAE_OK;
}

void hsae_context_destroy(hsae_context **context)
{
    if (!context || !*context)
        return;
    for (size_t i = 0; i < HSAE_SETTING_COUNT; i++)
        free((*context)->settings[i]);
    free((*context)->cache_dir);
    free((*context)->program);
    free(*context);
    *context = NULL;
}

void hsae_free(void *memory)
{
    free(memory);
}

static _Thread_local char last_error[LINE_BYTES];

const char *hsae_last_error(void)
{
    return last_error;
}

static void log_line(const hsae_context *context, hsae_log_level level, const char *format, va_list values)
{
    const bool logs = context && context->log;
    if (!logs && level != HSAE_LOG_ERROR)
        return;
    char line[LINE_BYTES];
    vsnprintf(line, sizeof line, format, values);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) /* names in files may hold anything, escape sequences for terminals too */
            *c = ' ';
    if (level == HSAE_LOG_ERROR)
        memcpy(last_error, line, strlen(line) + 1);
    if (logs)
        context->log(context->log_user, level, line);
}

void hsae_log(const hsae_context *context, hsae_log_level level, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    log_line(context, level, format, values);
    va_end(values);
}

hsae_status hsae_fail(const hsae_context *context, hsae_status status, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    log_line(context, HSAE_LOG_ERROR, format, values);
    va_end(values);
    return status;
}

size_t hsae_first_null(const void *const *pointers, size_t count)
{
    size_t index = 0;
    while (index < count && pointers[index])
        index++;
    return index;
}

hsae_status hsae_fail_null(const hsae_context *context, const char *function, const char *names, size_t index)
{
    while (index--)
        names = strchr(names, ',') + 2;
    return hsae_fail(context, HSAE_ERROR_ARGUMENT, "%s: the argument `%.*s` is NULL", function, (int)strcspn(names, ","), names);
}

hsae_status hsae_fail_memory(const hsae_context *context, uint64_t bytes, const char *less, const char *what, ...)
{
    char text[200];
    va_list values;
    va_start(values, what);
    vsnprintf(text, sizeof text, what, values);
    va_end(values);
    return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for %s: %" PRIu64 " bytes asked for%s%s", text, bytes, less ? "; use " : "",
                     less ? less : "");
}
