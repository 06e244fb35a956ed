/* SPDX-License-Identifier: MIT */
#include "context.h"
#include "os.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4096 };

/* The folder for the blob cache, or NULL for none; false: out of memory. */
static bool find_cache_dir(const char *wanted, char **out)
{
    const char *base = wanted ? wanted : hsae_os_getenv("HSAE_CACHE_DIR"), *tail = "";
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
    if (!find_cache_dir(params->cache_dir, &context->cache_dir) || (params->program && !context->program)) {
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
    *out = context;
    return HSAE_OK;
}

void hsae_context_destroy(hsae_context **context)
{
    if (!context || !*context)
        return;
    free((*context)->cache_dir);
    free((*context)->program);
    free(*context);
    *context = NULL;
}

void hsae_free(void *memory)
{
    free(memory);
}

static void log_line(const hsae_context *context, hsae_log_level level, const char *format, va_list values)
{
    if (!context || !context->log)
        return;
    char line[LINE_BYTES];
    vsnprintf(line, sizeof line, format, values);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) /* names in files may hold anything, escape sequences for terminals too */
            *c = ' ';
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
