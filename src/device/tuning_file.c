/* SPDX-License-Identifier: MIT */
#include "tuning_file.h"

#include "base/file.h"
#include "base/json.h"
#include "shape.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fields of a shape in the file: first the required ones, then the optional ones, 0 where they are missing. */
#define NEEDED_FIELDS(X) X(group_size) X(columns) X(vector_width)
#define TILE_FIELDS(X)   X(tile_vectors) X(tile_words) X(tile_step) X(tile_pad) X(tile_prefetch)

static const char FORMAT[] = "hsae tuning 1";

char *hsae_tune_path(hsae_context *context)
{
    if (!context)
        return NULL;
    const char *file = hsae_setting_text(context, HSAE_SETTING_TUNING), *name = "/tuning.json";
    if (*file)
        return strcmp(file, "off") != 0 ? strdup(file) : NULL;
    size_t size = context->cache_dir ? strlen(context->cache_dir) + strlen(name) + 1 : 0;
    char *path = size ? malloc(size) : NULL;
    if (path)
        snprintf(path, size, "%s%s", context->cache_dir, name);
    return path;
}

/* ---- the device's entry ---- */

/* What an entry must agree in. NULL: out of memory, or a driver whose name is no text. */
static json_t *identity(const struct hsae_device *device)
{
    static const char *const backends[] = {"ref", "opencl", "vulkan"}, *const types[] = {"cpu", "integrated", "discrete", "virtual"};
    const hsae_device_info *info = &device->info;
    return json_pack("{s:s%, s:s%, s:s, s:s}", "name", info->name, strlen(info->name), "driver", info->driver, strlen(info->driver),
                     "backend", backends[info->backend], "type", types[info->type]);
}

static bool is_entry_of(const json_t *entry, const json_t *device)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)device, key, value)
    {
        if (!json_equal(value, json_object_get(entry, key)))
            return false;
    }
    return true;
}

/* The index of the device's entry, or their number. */
static size_t find_entry(const json_t *devices, const json_t *device)
{
    size_t at = 0;
    while (at < json_array_size(devices) && !(device && is_entry_of(json_array_get(devices, at), device)))
        at++;
    return at;
}

/* ---- reading ---- */

/* Where a warning is about: "FILE: encode". */
struct place {
    const struct hsae_device *device;
    const char *origin, *kernel;
};

static bool read_field(const struct place *place, const json_t *shape, const char *name, bool needed, uint32_t *out)
{
    const json_t *value = json_object_get(shape, name);
    json_int_t number = json_integer_value(value);
    if (!value && !needed)
        return true;
    if (json_is_integer(value) && number >= 0 && number <= UINT32_MAX) {
        *out = (uint32_t)number;
        return true;
    }
    hsae_log(place->device->context, HSAE_LOG_WARNING, "%s: %s: %s %s; the kernel's default is used", place->origin, place->kernel, name,
             value ? "is not a number from 0 to 4294967295" : "is missing");
    return false;
}

static bool read_shape(const struct place *place, const json_t *object, struct hsae_kernel_shape *shape)
{
    bool good = true;
    *shape = (struct hsae_kernel_shape){.ranges = 1};
#define READ_NEEDED(field) good = good && read_field(place, object, #field, true, &shape->field);
#define READ_TILE(field)   good = good && read_field(place, object, #field, false, &shape->field);
    NEEDED_FIELDS(READ_NEEDED)
    TILE_FIELDS(READ_TILE)
    return good;
}

/* Whether tuning could have chosen it here: shapes of another machine, or made by hand, may not be runnable, and are in no test. */
static bool is_in_space(const struct hsae_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape)
{
    struct hsae_kernel_shape *space = malloc(HSAE_MAX_SHAPES * sizeof *space);
    size_t count = space ? hsae_shape_space(device, kernel, space) : 0, at = 0;
    while (at < count && memcmp(&space[at], shape, sizeof *shape) != 0)
        at++;
    free(space);
    return at < count;
}

static enum hsae_kernel find_kernel(const char *name)
{
    int kernel = 0;
    while (kernel < HSAE_KERNEL_COUNT && strcmp(name, hsae_kernels[kernel].name) != 0)
        kernel++;
    return (enum hsae_kernel)kernel;
}

static bool read_kernel(struct hsae_device *device, const char *origin, const char *name, const json_t *object)
{
    const struct place place = {device, origin, name};
    enum hsae_kernel kernel = find_kernel(name);
    struct hsae_kernel_shape shape;
    if (kernel == HSAE_KERNEL_COUNT) {
        hsae_log(device->context, HSAE_LOG_WARNING, "%s: there is no kernel %s", origin, name);
        return false;
    }
    if (!read_shape(&place, object, &shape))
        return false;
    if (!is_in_space(device, kernel, &shape)) {
        hsae_log(device->context, HSAE_LOG_WARNING,
                 "%s: %s: group_size %" PRIu32 ", columns %" PRIu32 ", vector_width %" PRIu32 ", tile %" PRIu32 " %" PRIu32 " %" PRIu32
                 " %" PRIu32 " %" PRIu32 " is no shape that tuning may choose on %s; the default is used",
                 origin, name, shape.group_size, shape.columns, shape.vector_width, shape.tile_vectors, shape.tile_words, shape.tile_step,
                 shape.tile_pad, shape.tile_prefetch, device->info.id);
        return false;
    }
    device->tuning.shape[kernel] = shape;
    return true;
}

static void read_file(struct hsae_device *device, const json_t *file, const char *origin)
{
    const json_t *format = json_object_get(file, "format"), *devices = json_object_get(file, "devices");
    if (!json_is_string(format) || strcmp(json_string_value(format), FORMAT) != 0 || !json_is_array(devices)) {
        hsae_log(device->context, HSAE_LOG_WARNING, "%s: ignored: not a tuning file (\"format\": \"%s\", \"devices\": [...])", origin,
                 FORMAT);
        return;
    }
    json_t *wanted = identity(device);
    const json_t *entry = json_array_get(devices, find_entry(devices, wanted));
    json_t *kernels = json_object_get(entry, "kernels"), *object;
    const char *name;
    unsigned count = 0;
    json_object_foreach(kernels, name, object)
    {
        count += read_kernel(device, origin, name, object);
    }
    hsae_log(device->context, HSAE_LOG_DEBUG, "%s: shapes of %u kernels from %s", device->info.id, count, origin);
    json_decref(wanted);
}

void hsae_tuning_parse(struct hsae_device *device, const char *text, size_t size, const char *origin)
{
    struct hsae_json_error wrong;
    device->tuning = (struct hsae_tuning){.loaded = true};
    json_t *file = hsae_json_read(text, size, &wrong);
    if (file)
        read_file(device, file, origin);
    else if (wrong.no_memory)
        hsae_log(device->context, HSAE_LOG_WARNING, "%s: ignored: out of memory", origin);
    else
        hsae_log(device->context, HSAE_LOG_WARNING, "%s: ignored: not valid JSON: %s (line %u, column %u)", origin, wrong.text, wrong.line,
                 wrong.column);
    json_decref(file);
}

/* The whole file; free(). NULL: errno says why. */
static char *read_text(const char *path, size_t *size)
{
    enum { MAX_BYTES = 1 << 24 };
    FILE *file = hsae_os_fopen(path, "rb");
    char *text = file ? malloc(MAX_BYTES) : NULL;
    if (text)
        *size = fread(text, 1, MAX_BYTES, file);
    if (text && ferror(file)) {
        free(text);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text;
}

void hsae_tuning_load(struct hsae_device *device)
{
    if (device->tuning.loaded)
        return;
    device->tuning.loaded = true;
    if (device->info.backend == HSAE_BACKEND_REF)
        return;
    bool given = *hsae_setting_text(device->context, HSAE_SETTING_TUNING);
    char *path = hsae_tune_path(device->context), *text;
    size_t size = 0;
    if (!path)
        return;
    errno = 0;
    text = read_text(path, &size);
    if (text)
        hsae_tuning_parse(device, text, size, path);
    else if (errno != ENOENT || given)
        hsae_log(device->context, HSAE_LOG_WARNING, "%s: the tuning file cannot be read: %s; default shapes are used", path,
                 strerror(errno));
    free(text);
    free(path);
}

/* ---- writing ---- */

static json_t *shape_json(const struct hsae_kernel_shape *shape)
{
    json_t *object = json_object();
#define WRITE_NEEDED(field) json_object_set_new(object, #field, json_integer(shape->field));
#define WRITE_TILE(field)  \
    if (shape->field != 0) \
    WRITE_NEEDED(field)
    NEEDED_FIELDS(WRITE_NEEDED)
    TILE_FIELDS(WRITE_TILE)
    return object;
}

/* The times that led to a shape, for who reads the file. */
static void add_times(json_t *shape, const char *kernel, const hsae_tune_result *result)
{
    for (uint32_t k = 0; result && k < result->kernel_count; k++)
        if (result->kernels[k].name == kernel) {
            json_object_set_new(shape, "default_ms", json_real(1e3 * result->kernels[k].default_seconds));
            json_object_set_new(shape, "tuned_ms", json_real(1e3 * result->kernels[k].tuned_seconds));
        }
}

static json_t *entry_json(const struct hsae_device *device, const hsae_tune_result *result)
{
    json_t *entry = identity(device), *kernels = entry ? json_object() : NULL;
    for (int kernel = 0; kernel < HSAE_KERNEL_COUNT; kernel++)
        if (device->tuning.shape[kernel].group_size) {
            json_t *shape = shape_json(&device->tuning.shape[kernel]);
            add_times(shape, hsae_kernels[kernel].name, result);
            json_object_set_new(kernels, hsae_kernels[kernel].name, shape);
        }
    json_object_set_new(entry, "kernels", kernels);
    return entry;
}

/* What is at `path`, or a file without devices. */
static hsae_status open_file(const hsae_context *context, const char *path, json_t **out)
{
    struct hsae_json_error wrong;
    *out = NULL;
    if (hsae_os_kind(path) == HSAE_OS_NONE && errno == ENOENT) {
        *out = json_pack("{s:s, s:[]}", "format", FORMAT, "devices");
        return *out ? HSAE_OK : hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for %s", path);
    }
    size_t size = 0;
    char *text = read_text(path, &size);
    if (!text)
        return hsae_fail_reading(context, path, errno);
    *out = hsae_json_read(text, size, &wrong);
    free(text);
    if (wrong.no_memory)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for %s", path);
    const char *format = json_string_value(json_object_get(*out, "format"));
    if (format && strcmp(format, FORMAT) == 0 && json_is_array(json_object_get(*out, "devices")))
        return HSAE_OK;
    return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: not a tuning file%s%s; it is left as it is: move it away or name another", path,
                     *out ? "" : ": ", *out ? "" : wrong.text);
}

static hsae_status save(struct hsae_device *device, const hsae_tune_result *result, const char *path)
{
    json_t *file = NULL, *entry = entry_json(device, result), *wanted = identity(device);
    hsae_status status = wanted && entry
                             ? open_file(device->context, path, &file)
                             : hsae_fail(device->context, HSAE_ERROR_MEMORY, "out of memory for the tuning of %s", device->info.id);
    json_t *devices = json_object_get(file, "devices");
    if (!status) {
        json_array_remove(devices, find_entry(devices, wanted));
        json_array_append(devices, entry);
        status = hsae_json_write(device->context, path, json_incref(file), JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    }
    json_decref(wanted);
    json_decref(entry);
    json_decref(file);
    return status;
}

hsae_status hsae_tune_save(hsae_device *device, const hsae_tune_result *result, const char *path)
{
    HSAE_REQUIRE(NULL, device);
    char *own = path ? NULL : hsae_tune_path(device->context);
    if (!path && !own)
        return hsae_fail(device->context, HSAE_ERROR_FILE,
                         "there is no tuning file to write: HSAE_TUNING is \"off\", or there is no folder "
                         "for compiled kernels; name a file");
    if (own)
        hsae_cache_make_folder(device->context);
    hsae_status status = save(device, result, path ? path : own);
    free(own);
    return status;
}
