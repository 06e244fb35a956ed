/* SPDX-License-Identifier: MIT */
/* run.json: command, data, device, begin and end of every session of a run: one `hsae train` each, an item of the array "parts". */
#include "run_record.h"

#include "run_command.h"
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

static json_t *session_json(const struct run_session *session)
{
    char directory[RUN_PATH], began[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (!hsae_os_working_folder(directory, sizeof directory))
        *directory = 0;
    if (gmtime_r(&now, &utc))
        strftime(began, sizeof began, "%Y-%m-%dT%H:%M:%SZ", &utc);
    char *command = run_command_text(session->argc, session->argv);
    if (!command)
        return NULL;
    json_t *object = json_pack("{s:s, s:o, s:s, s:{s:s, s:o, s:o}, s:s, s:I, s:s}", "command", command, "directory", text_json(directory),
                               "library_version", hsae_version(), "device", "id", session->device->id, "name",
                               text_json(session->device->name), "driver", text_json(session->device->driver), "began", began, "first_step",
                               (json_int_t)session->first_step, "end", "running");
    free(command);
    json_object_update(object, session->data);
    if (json_array_size(session->differences))
        json_object_set(object, "other_data", session->differences);
    if (session->explore)
        json_object_set_new(object, "explore", json_string(session->explore));
    if (session->from)
        json_object_set_new(object, "from", text_json(session->from));
    return object;
}

/* The sessions of the run up to `step`, where it is gone on from; the last of them ended there as far as the run is concerned. */
static json_t *earlier_sessions(const char *folder, uint64_t step)
{
    json_t *record = step && folder ? run_read_json(folder, record_name) : NULL, *kept = json_array(), *session;
    size_t index;
    json_array_foreach(json_object_get(record, "parts"), index, session)
    {
        const json_t *first = json_object_get(session, "first_step"), *last = json_object_get(session, "step");
        if (!json_is_integer(first) || (uint64_t)json_integer_value(first) >= step)
            continue;
        if (!json_is_integer(last) || (uint64_t)json_integer_value(last) > step)
            json_object_set_new(session, "step", json_integer((json_int_t)step));
        json_array_append(kept, session);
    }
    json_decref(record);
    return kept;
}

/* The list of files of a data set is written once; sessions that use the same files leave it out. The newest list before session
 * `index`.
 */
static json_t *files_before(const json_t *sessions, size_t index, const char *key)
{
    json_t *files = NULL;
    while (index > 0 && !files)
        files = json_object_get(json_object_get(json_array_get(sessions, --index), key), "files");
    return files;
}

static const char *const data_keys[] = {"data", "evaluation_data"};
enum { DATA_KEY_COUNT = sizeof data_keys / sizeof *data_keys };

json_t *run_record_session(const char *folder, uint64_t step)
{
    json_t *record = run_read_json(folder, record_name), *sessions = json_object_get(record, "parts"), *found = NULL;
    size_t at = json_array_size(sessions);
    while (at > 0) {
        found = json_array_get(sessions, --at);
        const json_t *first = json_object_get(found, "first_step");
        if (step == 0 || (json_is_integer(first) && (uint64_t)json_integer_value(first) < step))
            break;
    }
    for (size_t k = 0; k < DATA_KEY_COUNT && found; k++) {
        json_t *data = json_object_get(found, data_keys[k]), *files = files_before(sessions, at, data_keys[k]);
        if (json_is_object(data) && files && !json_object_get(data, "files"))
            json_object_set(data, "files", files);
    }
    json_incref(found);
    json_decref(record);
    return found;
}

int run_record_begin(const char *folder, const struct run_session *session)
{
    json_t *sessions = earlier_sessions(session->earlier, session->first_step), *new = session_json(session);
    for (size_t k = 0; k < DATA_KEY_COUNT; k++) {
        json_t *data = json_object_get(new, data_keys[k]), *files = files_before(sessions, json_array_size(sessions), data_keys[k]);
        if (files && json_equal(files, json_object_get(data, "files")))
            json_object_del(data, "files");
    }
    json_array_append_new(sessions, new);
    return run_write_json(folder, record_name, json_pack("{s:o}", "parts", sessions));
}

int run_record_end(const char *folder, const char *end, uint64_t step, double seconds, json_t *warnings)
{
    json_t *record = run_read_json(folder, record_name), *sessions = json_object_get(record, "parts");
    size_t count = json_array_size(sessions);
    if (!record)
        return CLI_DONE;
    json_t *session = count ? json_array_get(sessions, count - 1) : NULL;
    json_object_set_new(session, "end", json_string(end));
    json_object_set_new(session, "step", json_integer((json_int_t)step));
    json_object_set_new(session, "seconds", cli_json_number(seconds));
    if (json_array_size(warnings))
        json_object_set(session, "warnings", warnings);
    return run_write_json(folder, record_name, record);
}
