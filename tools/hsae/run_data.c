/* SPDX-License-Identifier: MIT */
#include "run_data.h"

#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- as JSON ---- */

static json_t *full_path(const char *path)
{
    char *resolved = hsae_os_resolve(path);
    json_t *text = text_json(resolved ? resolved : path);
    free(resolved);
    return text;
}

static json_t *file_json(const hsae_data_file *file)
{
    return json_pack("{s:o, s:I, s:s, s:o}", "path", full_path(file->path), "rows", (json_int_t)file->rows, "dtype",
                     cli_dtype_name(file->dtype), "tensor", file->tensor ? text_json(file->tensor) : json_null());
}

/* `first`: of its rows among those of its files. */
static json_t *dataset_json(const hsae_dataset *data, const struct cli_paths *paths, uint64_t first)
{
    char fingerprint[20];
    uint64_t number, all = 0;
    if (hsae_dataset_fingerprint(data, &number) != HSAE_OK)
        return NULL;
    json_t *list = json_array(), *files = json_array();
    for (size_t i = 0; i < paths->count; i++)
        json_array_append_new(list, text_json(paths->items[i]));
    for (size_t i = 0; i < hsae_dataset_file_count(data); i++) {
        json_array_append_new(files, file_json(hsae_dataset_file(data, i)));
        all += hsae_dataset_file(data, i)->rows;
    }
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, number);
    json_t *object = json_pack("{s:o, s:I, s:I, s:I, s:I, s:s, s:o}", "paths", list, "rows", (json_int_t)hsae_dataset_rows(data), "dim",
                               (json_int_t)hsae_dataset_dim(data), "first_row", (json_int_t)first, "all_rows", (json_int_t)all,
                               "fingerprint", fingerprint, "files", files);
    if (!object)
        cli_out_of_memory();
    return object;
}

json_t *run_data_json(const struct run_data *data)
{
    const struct cli_paths *eval_paths = data->eval_paths->count ? data->eval_paths : data->paths;
    json_t *training = data->data ? dataset_json(data->data, data->paths, 0) : train_stream_json(data->stream, data->paths);
    json_t *evaluation =
        data->held_out ? dataset_json(data->held_out, eval_paths, data->holdout > 0 ? hsae_dataset_rows(data->data) : 0) : json_null();
    if (!training || !evaluation) {
        json_decref(training);
        json_decref(evaluation);
        return NULL;
    }
    json_t *object = json_pack("{s:o, s:o, s:o}", "data", training, "evaluation_data", evaluation, "holdout",
                               data->holdout > 0 ? json_real(data->holdout) : json_null());
    if (!object)
        cli_out_of_memory();
    return object;
}

/* ---- differences ---- */

HSAE_OS_PRINTF(2, 3)
static void add(json_t *differences, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(differences, text_json(text));
}

static long long integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "200 rows", or "200 rows (of 2000, from row 1800 on)". */
static void rows_text(const json_t *data, char text[128])
{
    long long rows = integer(data, "rows"), all = integer(data, "all_rows");
    if (!all || all == rows)
        snprintf(text, 128, "%lld rows", rows);
    else
        snprintf(text, 128, "%lld rows (of %lld, from row %lld on)", rows, all, integer(data, "first_row"));
}

static bool same(const json_t *before, const json_t *now, const char *key)
{
    return json_equal(json_object_get(before, key), json_object_get(now, key));
}

static const char *whole(const char *path)
{
    return path;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The names of the files, of which `named` takes the part that counts; free(). NULL: out of memory. */
static const char **file_names(const json_t *files, const char *(*named)(const char *path), bool sorted)
{
    size_t count = json_array_size(files);
    const char **names = malloc((count + 1) * sizeof *names);
    for (size_t i = 0; names && i < count; i++)
        names[i] = named(string(json_array_get(files, i), "path"));
    if (names && sorted)
        qsort(names, count, sizeof *names, by_text);
    return names;
}

/* The first place where two lists of as many names differ; `count`: they do not. */
static size_t first_difference(const json_t *before, const json_t *now, const char *(*named)(const char *path), bool sorted)
{
    size_t count = json_array_size(now), at = 0;
    const char **old = file_names(before, named, sorted), **new = file_names(now, named, sorted);
    while (old && new &&at < count && strcmp(old[at], new[at]) == 0)
        at++;
    free(old);
    free(new);
    return at;
}

/* Whether the files are the same, by their paths or at least by their names, and only their order is another; said if so. */
static bool reordered(const char *what, const json_t *before, const json_t *now, const char *(*named)(const char *path),
                      json_t *differences)
{
    size_t count = json_array_size(now), at = first_difference(before, now, named, false);
    if (at == count || first_difference(before, now, named, true) < count)
        return false;
    add(differences, "%s: the files have another order: number %zu is %s in the run, %s now", what, at + 1,
        string(json_array_get(before, at), "path"), string(json_array_get(now, at), "path"));
    return true;
}

/* The first file in which dtype or tensor are not what they were. */
static void compare_contents(const char *what, const json_t *before, const json_t *now, json_t *differences)
{
    static const char *const keys[] = {"dtype", "tensor"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        for (size_t i = 0; i < json_array_size(now); i++) {
            const json_t *old = json_array_get(before, i), *new = json_array_get(now, i);
            if (same(old, new, keys[k]))
                continue;
            add(differences, "%s: %s %s in the run, %s now (%s)", what, keys[k], string(old, keys[k]), string(new, keys[k]),
                string(new, "path"));
            break;
        }
}

/* `changed`: the rows are known to be others. */
static void compare_files(const char *what, const json_t *before, const json_t *now, bool changed, json_t *differences)
{
    size_t count = json_array_size(now);
    bool as_many = json_array_size(before) == count;
    if (as_many && (reordered(what, before, now, whole, differences) || reordered(what, before, now, hsae_os_file_name, differences)))
        return;
    if (as_many && changed)
        compare_contents(what, before, now, differences);
    size_t at = as_many ? first_difference(before, now, whole, false) : 0;
    if (as_many && at == count)
        return;
    if (!changed)
        cli_note("%s: the files are others than in the run, but their rows are the same", what);
    else if (!as_many)
        add(differences, "%s: %zu files in the run, %zu now", what, json_array_size(before), count);
    else
        add(differences, "%s: file number %zu is %s in the run, %s now", what, at + 1, string(json_array_get(before, at), "path"),
            string(json_array_get(now, at), "path"));
}

/* A record without a fingerprint has the paths as they were given in its directory. */
static void compare_paths(const char *what, const json_t *session, const json_t *before, const json_t *now, json_t *differences)
{
    const json_t *old = json_object_get(before, "paths"), *new = json_object_get(now, "paths");
    size_t count = json_array_size(old);
    bool differ = count != json_array_size(new);
    for (size_t i = 0; i < count && !differ; i++) {
        char path[4096];
        const char *given = json_string_value(json_array_get(old, i));
        snprintf(path, sizeof path, "%s/%s", string(session, "directory"), given ? given : "");
        json_t *was = full_path(given && hsae_os_is_separator(*given) ? given : path);
        json_t *is = full_path(json_string_value(json_array_get(new, i)));
        differ = !json_equal(was, is);
        json_decref(was);
        json_decref(is);
    }
    if (differ)
        add(differences, "%s: other paths than in the run, whose record says no more", what);
}

static void compare_dataset(const char *what, const json_t *session, const json_t *before, const json_t *now, json_t *differences)
{
    char old[128], new[128];
    bool known = json_is_string(json_object_get(before, "fingerprint"));
    bool other_rows = !same(before, now, "rows") || (known && (!same(before, now, "all_rows") || !same(before, now, "first_row")));
    bool other_dim = !same(before, now, "dim"), other_values = known && !same(before, now, "fingerprint");
    if (other_rows) {
        rows_text(before, old);
        rows_text(now, new);
        add(differences, "%s: %s in the run, %s now", what, old, new);
    }
    if (other_dim)
        add(differences, "%s: vectors of %lld numbers in the run, of %lld now", what, integer(before, "dim"), integer(now, "dim"));
    if (other_values && json_is_string(json_object_get(before, "source")) && json_is_string(json_object_get(now, "source"))) {
        add(differences, "%s: %s in the run, %s now", what, string(before, "source"), string(now, "source"));
        return;
    }
    if (integer(before, "buffer_rows") != integer(now, "buffer_rows"))
        add(differences, "%s: --buffer %lld in the run, %lld now", what, integer(before, "buffer_rows"), integer(now, "buffer_rows"));
    if (other_values && !other_rows && !other_dim)
        add(differences, "%s: the rows hold other values (fingerprint %s in the run, %s now)", what, string(before, "fingerprint"),
            string(now, "fingerprint"));
    if (!known)
        compare_paths(what, session, before, now, differences);
    else
        compare_files(what, json_object_get(before, "files"), json_object_get(now, "files"), other_rows || other_dim || other_values,
                      differences);
}

static void share_text(const json_t *share, char text[64])
{
    if (json_is_number(share))
        snprintf(text, 64, "%g", json_number_value(share));
    else
        snprintf(text, 64, "not given");
}

void run_data_compare(const json_t *before, const json_t *now, json_t *differences)
{
    char old[128], new[128];
    const json_t *holdout = json_object_get(before, "holdout"); /* NULL: an older record */
    const json_t *evaluation = json_object_get(before, "evaluation_data"), *evaluation_now = json_object_get(now, "evaluation_data");
    if (holdout && !json_equal(holdout, json_object_get(now, "holdout"))) {
        share_text(holdout, old);
        share_text(json_object_get(now, "holdout"), new);
        add(differences, "--holdout: %s in the run, %s now", old, new);
    }
    compare_dataset("training data", before, json_object_get(before, "data"), json_object_get(now, "data"), differences);
    if (!json_is_object(evaluation))
        return;
    if (json_is_object(evaluation_now)) {
        compare_dataset("evaluation data", before, evaluation, evaluation_now, differences);
        return;
    }
    rows_text(evaluation, old);
    add(differences, "evaluation data: %s in the run, none now", old);
}
