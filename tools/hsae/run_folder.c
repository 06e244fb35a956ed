/* SPDX-License-Identifier: MIT */
#include "run_folder.h"

#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char config_name[] = "config.json", metrics_name[] = "metrics.jsonl", model_name[] = "model.safetensors";

void run_path(char path[RUN_PATH], const char *folder, const char *name)
{
    snprintf(path, RUN_PATH, "%s/%s", folder, name);
}

void run_checkpoint_path(char path[RUN_PATH], const char *folder, uint64_t step)
{
    snprintf(path, RUN_PATH, "%s/checkpoint-%" PRIu64 ".safetensors", folder, step);
}

int run_make_folders(const char *folder, bool *made)
{
    char path[RUN_PATH];
    *made = false;
    if (strlen(folder) > RUN_PATH - 64) {
        errno = ENAMETOOLONG;
        return cli_file_error("make the folder", folder);
    }
    snprintf(path, sizeof path, "%s", folder);
    return hsae_os_make_folders(path, false, made) ? cli_file_error("make the folder", path) : CLI_DONE;
}

static void say_removed(const char *path)
{
    if (cli_verbose == CLI_VERBOSE)
        cli_note("%s: removed; its writer was stopped", path);
}

int run_lock(const char *folder, struct run_lock *lock)
{
    *lock = (struct run_lock){.lock = -1};
    int status = run_make_folders(folder, &lock->made);
    if (status != CLI_DONE)
        return status;
    errno = hsae_os_lock_folder(folder, &lock->lock);
    if (lock->lock < 0 && errno != EWOULDBLOCK)
        return cli_file_error("use the folder", folder);
    if (errno == 0) {
        hsae_os_sweep(folder, say_removed);
        return CLI_DONE;
    }
    if (errno == EWOULDBLOCK) {
        cli_error("%s: another process is training into this folder; wait for its end, stop it, or choose another --out", folder);
        return CLI_FAILED;
    }
    cli_warning("%s: its file system has no locks (%s): make sure that no other run uses this folder", folder, strerror(errno));
    return CLI_DONE;
}

void run_unlock(const char *folder, struct run_lock *lock)
{
    if (lock->lock < 0)
        return;
    hsae_os_unlock_folder(folder, lock->lock, lock->made);
    lock->lock = -1;
}

static int ascending(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The step in the name of a checkpoint; false for every other name. */
static bool checkpoint_step(const char *name, uint64_t *step)
{
    char path[64];
    if (sscanf(name, "checkpoint-%" SCNu64 ".safetensors", step) != 1)
        return false;
    snprintf(path, sizeof path, "checkpoint-%" PRIu64 ".safetensors", *step);
    return strcmp(path, name) == 0;
}

int run_checkpoints(const char *folder, uint64_t **steps, size_t *count)
{
    *steps = NULL;
    *count = 0;
    struct hsae_os_folder *entries = hsae_os_folder_open(folder);
    if (!entries)
        return errno == ENOENT ? CLI_DONE : cli_file_error("read the folder", folder);
    for (const char *name; (name = hsae_os_folder_next(entries));) {
        uint64_t step;
        if (!checkpoint_step(name, &step))
            continue;
        uint64_t *more = realloc(*steps, (*count + 1) * sizeof *more);
        if (!more) {
            hsae_os_folder_close(entries);
            return cli_out_of_memory();
        }
        *steps = more;
        more[(*count)++] = step;
    }
    hsae_os_folder_close(entries);
    if (*count)
        qsort(*steps, *count, sizeof **steps, ascending);
    return CLI_DONE;
}

static bool exists(const char *folder, const char *name)
{
    char path[RUN_PATH];
    run_path(path, folder, name);
    return hsae_os_kind(path) != HSAE_OS_NONE;
}

bool run_exists(const char *folder)
{
    uint64_t *steps;
    size_t count;
    bool found = run_checkpoints(folder, &steps, &count) == CLI_DONE && count > 0;
    free(steps);
    return found || exists(folder, model_name);
}

bool run_has_config(const char *folder)
{
    return exists(folder, config_name);
}

bool run_began(const char *folder)
{
    return run_has_config(folder) && (exists(folder, "run.json") || exists(folder, metrics_name));
}

static int remove_file(const char *path)
{
    return hsae_os_remove(path) && errno != ENOENT ? cli_file_error("remove", path) : CLI_DONE;
}

int run_remove_file(const char *folder, const char *name)
{
    char path[RUN_PATH];
    run_path(path, folder, name);
    return remove_file(path);
}

int run_remove(const char *folder)
{
    const char *const names[] = {config_name, metrics_name, model_name, "run.json", "evaluation.json", "report.html"};
    char path[RUN_PATH];
    uint64_t *steps;
    size_t count;
    int status = run_checkpoints(folder, &steps, &count);
    for (size_t i = 0; i < count && status == CLI_DONE; i++) {
        run_checkpoint_path(path, folder, steps[i]);
        status = remove_file(path);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names && status == CLI_DONE; i++)
        status = run_remove_file(folder, names[i]);
    free(steps);
    return status;
}

int run_prune(const char *folder, uint64_t before, uint64_t step, uint64_t keep)
{
    uint64_t *steps;
    size_t count, kept = 0;
    int status = run_checkpoints(folder, &steps, &count);
    for (size_t i = count; i-- && status == CLI_DONE;) {
        char path[RUN_PATH];
        bool other = steps[i] > step || (steps[i] > before && steps[i] < step);
        if (!other && kept++ < keep)
            continue;
        run_checkpoint_path(path, folder, steps[i]);
        status = remove_file(path);
    }
    free(steps);
    return status;
}

FILE *run_output_open(struct run_output *output, const char *path)
{
    *output = (struct run_output){.path = path};
    if (hsae_output_open(NULL, path, &output->output) == HSAE_OK)
        output->file = hsae_output_stream(output->output);
    else
        cli_file_error("write", path);
    return output->file;
}

int run_output_commit(struct run_output *output)
{
    return hsae_output_commit(&output->output) == HSAE_OK ? CLI_DONE : cli_file_error("write", output->path);
}

int run_output_discard(struct run_output *output, int status)
{
    hsae_output_discard(&output->output);
    return status;
}

int run_write_text(const char *path, const char *text)
{
    struct run_output output;
    if (!run_output_open(&output, path))
        return CLI_FAILED;
    fputs(text, output.file);
    return run_output_commit(&output);
}

int run_cut_metrics(const char *folder, uint64_t step)
{
    char path[RUN_PATH], *line = NULL;
    size_t capacity = 0;
    struct run_output output;
    run_path(path, folder, metrics_name);
    FILE *old = hsae_os_fopen(path, "r");
    if (!old)
        return errno == ENOENT ? CLI_DONE : cli_file_error("read", path);
    if (!run_output_open(&output, path)) {
        fclose(old);
        return CLI_FAILED;
    }
    for (size_t length; (length = text_read_line(old, &line, &capacity)) > 0;) {
        json_t *object = line[length - 1] == '\n' ? json_loads(line, 0, NULL) : NULL;
        const json_t *at = json_object_get(object, "step");
        if (json_is_integer(at) && json_integer_value(at) >= 0 && (uint64_t)json_integer_value(at) <= step)
            fputs(line, output.file);
        json_decref(object);
    }
    free(line);
    fclose(old);
    return run_output_commit(&output);
}

int run_compare(const char *path, const char *other)
{
    FILE *a = hsae_os_fopen(path, "rb"), *b = a ? hsae_os_fopen(other, "rb") : NULL;
    int status = CLI_DONE;
    if (!b)
        status = cli_file_error("read", a ? other : path);
    for (uint64_t position = 0; status == CLI_DONE; position++) {
        int byte = getc(a);
        if (byte != getc(b)) {
            cli_error("%s and %s differ from byte %" PRIu64 " on", path, other, position);
            status = CLI_FAILED;
        }
        if (byte == EOF)
            break;
    }
    if (a)
        fclose(a);
    if (b)
        fclose(b);
    return status;
}
