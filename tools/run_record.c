/* run.json: command, data, device, begin and end of every part of a run. */
#include "run_record.h"

#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char record_name[] = "run.json";

json_t *run_read_json(const char *folder, const char *name)
{
    char path[RUN_PATH];
    json_error_t error;
    run_path(path, folder, name);
    if (hsae_os_kind(path) == HSAE_OS_NONE)
        return NULL;
    FILE *file = hsae_os_fopen(path, "rb");
    if (!file) {
        cli_warning("%s: left out: %s", path, strerror(errno));
        return NULL;
    }
    json_t *object = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
    fclose(file);
    if (!object)
        cli_warning("%s: left out: line %d: %s", path, error.line, error.text);
    return object;
}

int run_write_json(const char *folder, const char *name, json_t *object)
{
    char path[RUN_PATH];
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    if (!text)
        return cli_out_of_memory();
    run_path(path, folder, name);
    int status = run_write_text(path, text);
    free(text);
    return status;
}

/* What a shell needs to do the same again, the library's variables included. NULL: out of memory. */
static char *command_line(const struct run_part *part)
{
    struct hsae_os_text text;
    FILE *file = hsae_os_text_open(&text);
    if (!file)
        return NULL;
    for (char **variable = hsae_os_environment(); *variable; variable++) {
        const char *value = strchr(*variable, '=');
        if (!value || strncmp(*variable, "HSAE_", 5) != 0)
            continue;
        fprintf(file, "%.*s", (int)(value + 1 - *variable), *variable);
        text_shell(file, value + 1);
        fputc(' ', file);
    }
    fputs("hsae train", file);
    for (int i = 0; i < part->argc; i++) {
        fputc(' ', file);
        text_shell(file, part->argv[i]);
    }
    return hsae_os_text_close(&text);
}

static json_t *data_json(const hsae_dataset *data, const struct cli_paths *paths)
{
    json_t *list = json_array();
    for (size_t i = 0; i < paths->count; i++)
        json_array_append_new(list, text_json(paths->items[i]));
    return json_pack("{s:o, s:I, s:I}", "paths", list, "rows", (json_int_t)hsae_dataset_rows(data), "dim",
                     (json_int_t)hsae_dataset_dim(data));
}

static json_t *part_json(const struct run_part *part)
{
    char directory[RUN_PATH], began[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (!hsae_os_working_folder(directory, sizeof directory))
        *directory = 0;
    if (gmtime_r(&now, &utc))
        strftime(began, sizeof began, "%Y-%m-%dT%H:%M:%SZ", &utc);
    char *command = command_line(part);
    if (!command)
        return NULL;
    const struct cli_paths *eval_paths = part->eval_paths->count ? part->eval_paths : part->data_paths;
    json_t *object =
        json_pack("{s:s, s:o, s:s, s:{s:s, s:o, s:o}, s:o, s:o, s:s, s:I, s:s}", "command", command, "directory", text_json(directory),
                  "library_version", hsae_version(), "device", "id", part->device->id, "name", text_json(part->device->name), "driver",
                  text_json(part->device->driver), "data", data_json(part->data, part->data_paths), "evaluation_data",
                  part->held_out ? data_json(part->held_out, eval_paths) : json_null(), "began", began, "first_step",
                  (json_int_t)part->first_step, "end", "running");
    free(command);
    return object;
}

/* The parts of the run up to `step`, where it is gone on from; the last of them ended there as far as the run is concerned. */
static json_t *earlier_parts(const char *folder, uint64_t step)
{
    json_t *record = step ? run_read_json(folder, record_name) : NULL, *kept = json_array(), *part;
    size_t index;
    json_array_foreach(json_object_get(record, "parts"), index, part)
    {
        const json_t *first = json_object_get(part, "first_step"), *last = json_object_get(part, "step");
        if (!json_is_integer(first) || (uint64_t)json_integer_value(first) >= step)
            continue;
        if (!json_is_integer(last) || (uint64_t)json_integer_value(last) > step)
            json_object_set_new(part, "step", json_integer((json_int_t)step));
        json_array_append(kept, part);
    }
    json_decref(record);
    return kept;
}

int run_record_begin(const char *folder, const struct run_part *part)
{
    json_t *parts = earlier_parts(folder, part->first_step);
    json_array_append_new(parts, part_json(part));
    return run_write_json(folder, record_name, json_pack("{s:o}", "parts", parts));
}

int run_record_end(const char *folder, const char *end, uint64_t step, double seconds, json_t *warnings)
{
    json_t *record = run_read_json(folder, record_name), *parts = json_object_get(record, "parts");
    size_t count = json_array_size(parts);
    if (!record)
        return CLI_DONE;
    json_t *part = count ? json_array_get(parts, count - 1) : NULL;
    json_object_set_new(part, "end", json_string(end));
    json_object_set_new(part, "step", json_integer((json_int_t)step));
    json_object_set_new(part, "seconds", cli_json_number(seconds));
    if (json_array_size(warnings))
        json_object_set(part, "warnings", warnings);
    return run_write_json(folder, record_name, record);
}
