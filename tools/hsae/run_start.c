/* SPDX-License-Identifier: MIT */
#include "run_start.h"

#include "run_data.h"
#include "run_record.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A path's folder. */
static void parent_of(const char *path, char folder[RUN_PATH])
{
    size_t length = (size_t)(hsae_os_file_name(path) - path);
    while (length > 1 && hsae_os_is_separator(path[length - 1]))
        length--;
    snprintf(folder, RUN_PATH, "%.*s", length ? (int)length : 1, length ? path : ".");
}

static bool same_folder(const char *left, const char *right)
{
    char *a = hsae_os_resolve(left), *b = hsae_os_resolve(right);
    bool same = a && b && strcmp(a, b) == 0;
    free(a);
    free(b);
    return same;
}

/* Whether the file is one of the folder, by whatever path the two are named. */
static bool lies_in(const char *folder, const char *file)
{
    char parent[RUN_PATH], path[RUN_PATH];
    parent_of(file, parent);
    if (same_folder(folder, parent))
        return true;
    char *resolved = hsae_os_resolve(file);
    int descriptor = resolved ? hsae_os_open(resolved, HSAE_OS_READ) : -1;
    bool found = false;
    if (descriptor >= 0) {
        run_path(path, folder, hsae_os_file_name(resolved));
        found = hsae_os_is_named(descriptor, path);
        hsae_os_close(descriptor);
    }
    free(resolved);
    return found;
}

/* The newest checkpoint of the folder that is whole, to `path`; "" where there is none. */
static int newest_checkpoint(hsae_context *context, const char *folder, char path[RUN_PATH])
{
    uint64_t *steps;
    size_t count;
    hsae_status found = HSAE_ERROR_FORMAT;
    *path = 0;
    int status = run_checkpoints(folder, &steps, &count);
    size_t left = count;
    /* Only what is damaged is passed over: going on from an older one would drop a newer one that could not be read just now. */
    while (status == CLI_DONE && left && found == HSAE_ERROR_FORMAT) {
        run_checkpoint_path(path, folder, steps[--left]);
        cli_show_errors(CLI_ERRORS_SOFT);
        found = hsae_checkpoint_check(context, path);
        cli_show_errors(CLI_ERRORS_SHOWN);
    }
    free(steps);
    if (status != CLI_DONE)
        return status;
    if (count && found != HSAE_OK) {
        cli_error("%s: the warning above says what is wrong with its %s; mend that, or start anew (--force, without --resume)", folder,
                  found == HSAE_ERROR_FORMAT ? "checkpoints, none of which is whole" : "newest checkpoint");
        return CLI_FAILED;
    }
    if (count)
        cli_note("resuming from %s", path);
    return CLI_DONE;
}

/* The checkpoint outside the folder from which its newest session began, to start->checkpoint; "" where that began elsewhere. */
static void checkpoint_outside(const char *folder, struct run_start *start)
{
    json_t *session = run_record_session(folder, 0);
    const char *from = json_string_value(json_object_get(session, "from"));
    if (from) {
        snprintf(start->checkpoint, RUN_PATH, "%s", from);
        parent_of(from, start->earlier);
        start->outside = true;
    }
    json_decref(session);
}

static int choose_auto(hsae_context *context, const char *folder, bool force, struct run_start *start)
{
    int status = newest_checkpoint(context, folder, start->checkpoint);
    snprintf(start->earlier, RUN_PATH, "%s", folder);
    if (status != CLI_DONE || *start->checkpoint)
        return status;
    if (!force && run_exists(folder)) {
        cli_error("%s holds a model, but no checkpoint to go on from: replace that run (--force), or choose another --out", folder);
        return CLI_FAILED;
    }
    start->own_config = !force && run_has_config(folder);
    if (start->own_config)
        checkpoint_outside(folder, start);
    if (*start->checkpoint) {
        start->own_config = false;
        cli_note("no checkpoint in %s yet: starting again from %s", folder, start->checkpoint);
    } else if (start->own_config) {
        cli_note("no checkpoint in %s yet: starting from the beginning, with the configuration of its config.json", folder);
    } else {
        *start->earlier = 0;
        start->replace = true;
        cli_note("no checkpoint in %s: starting from the beginning", folder);
    }
    return CLI_DONE;
}

static int choose_checkpoint(const char *folder, const char *checkpoint, bool force, struct run_start *start)
{
    snprintf(start->checkpoint, RUN_PATH, "%s", checkpoint);
    parent_of(checkpoint, start->earlier);
    if (hsae_os_kind(checkpoint) == HSAE_OS_NONE) /* the library will say so */
        return CLI_DONE;
    start->outside = !lies_in(folder, checkpoint);
    if (!start->outside) {
        snprintf(start->earlier, RUN_PATH, "%s", folder);
        return CLI_DONE;
    }
    start->again = !force && run_began(folder);
    start->replace = !start->again;
    if (force || !run_exists(folder))
        return CLI_DONE;
    cli_error("%s holds a run already, and %s is not one of its checkpoints: choose another --out, or replace that run (--force)", folder,
              checkpoint);
    return CLI_FAILED;
}

/* The newest checkpoint of another run's folder. */
static int choose_folder(hsae_context *context, const char *folder, const char *resume, bool force, struct run_start *start)
{
    char path[RUN_PATH];
    int status = newest_checkpoint(context, resume, path);
    if (status != CLI_DONE || *path)
        return status == CLI_DONE ? choose_checkpoint(folder, path, force, start) : status;
    cli_error("--resume %s: no checkpoint in this folder; give a checkpoint-*.safetensors, or the folder of a run that has one", resume);
    return CLI_FAILED;
}

int run_start_choose(hsae_context *context, const char *folder, const char *resume, bool force, struct run_start *start)
{
    *start = (struct run_start){0};
    bool is_folder = resume && hsae_os_kind(resume) == HSAE_OS_FOLDER;
    if (resume && (strcmp(resume, "auto") == 0 || (is_folder && same_folder(folder, resume))))
        return choose_auto(context, folder, force, start);
    if (is_folder)
        return choose_folder(context, folder, resume, force, start);
    if (resume)
        return choose_checkpoint(folder, resume, force, start);
    if (!force && run_exists(folder)) {
        cli_error("%s holds a run already: go on with it (--resume auto), replace it (--force), or choose another --out", folder);
        return CLI_FAILED;
    }
    start->again = !force && run_began(folder);
    start->replace = !start->again;
    return CLI_DONE;
}

hsae_status run_start_config(hsae_context *context, const char *folder, uint32_t dim, hsae_config *config)
{
    char path[RUN_PATH];
    run_path(path, folder, "config.json");
    hsae_config_defaults(config);
    hsae_status status = hsae_config_load(context, config, path);
    if (status == HSAE_OK)
        status = hsae_config_resolve(context, config, dim);
    if (status != HSAE_OK)
        cli_error("%s: the configuration of its run cannot be used; mend %s, or start anew (--force, without --resume)", folder, path);
    return status;
}

/* A line for each key that differs. */
static void compare_configs(const hsae_config *before, const hsae_config *now, json_t *differences)
{
    char *texts[2] = {hsae_config_json(before), hsae_config_json(now)};
    json_t *old = texts[0] ? json_loads(texts[0], 0, NULL) : NULL, *new = texts[1] ? json_loads(texts[1], 0, NULL) : NULL, *value;
    const char *key;
    json_object_foreach(new, key, value)
    {
        char line[512];
        if (json_equal(value, json_object_get(old, key)))
            continue;
        char *was = json_dumps(json_object_get(old, key), JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        char *is = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        snprintf(line, sizeof line, "%s: %s in the run, %s now", key, was ? was : "?", is ? is : "?");
        json_array_append_new(differences, json_string(line));
        free(was);
        free(is);
    }
    json_decref(old);
    json_decref(new);
    hsae_free(texts[0]);
    hsae_free(texts[1]);
}

/* The lines, each after "\n  "; free(). NULL: out of memory. */
static char *lines_text(const json_t *lines)
{
    struct hsae_os_text text;
    FILE *file = hsae_os_text_open(&text);
    for (size_t i = 0; file && i < json_array_size(lines); i++)
        fprintf(file, "\n  %s", json_string_value(json_array_get(lines, i)));
    return file ? hsae_os_text_close(&text) : NULL;
}

int run_start_check_again(hsae_context *context, const char *folder, const hsae_config *config, uint32_t dim, const json_t *data)
{
    hsae_config before;
    if (run_start_config(context, folder, dim, &before) != HSAE_OK)
        return CLI_FAILED;
    json_t *differences = json_array(), *session = run_record_session(folder, 0);
    compare_configs(&before, config, differences);
    if (session)
        run_data_compare(session, data, differences);
    json_decref(session);
    int status = json_array_size(differences) ? CLI_FAILED : CLI_DONE;
    char *text = lines_text(differences);
    if (status == CLI_DONE)
        cli_note("%s: its run ended before the first checkpoint and is begun again", folder);
    else
        cli_error("%s holds another run, which ended before its first checkpoint:%s\n"
                  "Begin that one again (--resume auto), replace it (--force), or choose another --out.",
                  folder, text ? text : "");
    free(text);
    json_decref(differences);
    return status;
}

int run_start_compare(const struct run_start *start, const char *folder, uint64_t step, const json_t *data, bool other_data,
                      json_t **differences)
{
    *differences = NULL;
    json_t *session = *start->earlier ? run_record_session(start->earlier, step) : NULL;
    if (!session)
        return CLI_DONE;
    json_t *lines = json_array();
    run_data_compare(session, data, lines);
    json_decref(session);
    char *text = lines_text(lines);
    int status = CLI_DONE;
    if (json_array_size(lines) && other_data) {
        cli_warning("%s: the data differ from those of the run:%s", folder, text ? text : "");
    } else if (json_array_size(lines)) {
        cli_error("%s: the data differ from those of the run:%s\nGive the data as they were, or add --other-data to go on with these.",
                  folder, text ? text : "");
        status = CLI_FAILED;
    }
    free(text);
    if (status == CLI_DONE && json_array_size(lines))
        *differences = json_incref(lines);
    json_decref(lines);
    return status;
}

void run_start_say_dropped(const char *folder, uint64_t step)
{
    uint64_t *steps;
    size_t count;
    if (run_checkpoints(folder, &steps, &count) == CLI_DONE && count && steps[count - 1] > step)
        cli_note("going back to step %" PRIu64 ": later checkpoints, up to that of step %" PRIu64 ", go when the next one is written", step,
                 steps[count - 1]);
    free(steps);
}
