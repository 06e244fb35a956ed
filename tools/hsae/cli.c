/* SPDX-License-Identifier: MIT */
/* Messages, signals and standard output. */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { RED = 31, YELLOW = 33 };

cli_verbosity cli_verbose = CLI_NORMAL;
static atomic_int errors; /* enum cli_errors */
static char name[24] = "hsae";
static bool serves;

/* Writes "hsae: KIND: " and the text, on terminals KIND in bold with a color; only the text where `kind` is NULL. */
static void say(const char *kind, int color, const char *format, va_list arguments)
{
    char text[4096];
    int length = vsnprintf(text, sizeof text, format, arguments);
    if (length >= (int)sizeof text)
        memcpy(text + sizeof text - 4, "...", 4);
    cli_clear_status_line();
    if (kind && hsae_os_has_colors())
        fprintf(stderr, "%s: \033[1;%dm%s:\033[0m %s\n", name, color, kind, text);
    else if (kind)
        fprintf(stderr, "%s: %s: %s\n", name, kind, text);
    else
        fprintf(stderr, "%s\n", text);
}

void cli_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("error", RED, format, arguments);
    va_end(arguments);
}

void cli_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("warning", YELLOW, format, arguments);
    va_end(arguments);
}

void cli_note(const char *format, ...)
{
    va_list arguments;
    if (cli_verbose == CLI_QUIET)
        return;
    va_start(arguments, format);
    say(NULL, 0, format, arguments);
    va_end(arguments);
}

int cli_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    if (serves)
        return CLI_USAGE;
    va_start(arguments, format);
    say("error", RED, format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try: hsae %s%s--help\n", command, *command ? " " : "");
    return CLI_USAGE;
}

int cli_file_error(const char *action, const char *path)
{
    cli_error("cannot %s %s: %s%s", action, path, strerror(errno), hsae_os_advice(errno));
    return CLI_FAILED;
}

int cli_out_of_memory(void)
{
    cli_error("out of memory");
    return CLI_FAILED;
}

int cli_exit_status(hsae_status status)
{
    if (status == HSAE_OK)
        return CLI_DONE;
    if (status == HSAE_CANCELLED)
        return cli_signal() ? 128 + cli_signal() : CLI_FAILED;
    return status == HSAE_ERROR_CONFIG ? CLI_USAGE : CLI_FAILED;
}

/* Of the first signal; 0: none yet. */
static atomic_int signal_number;
static atomic_bool something_to_save;
/* In which a command whose work has nothing to save may tidy up. */
static const double GRACE_SECONDS = 1;

/* In the thread that waits for signals. */
static void on_signal(int number)
{
    int none = 0;
    bool first = atomic_compare_exchange_strong(&signal_number, &none, number);
    if (!first && hsae_os_signal_warns(number))
        return;
    if (first && !atomic_load(&something_to_save))
        hsae_os_sleep(GRACE_SECONDS);
    if (first && atomic_load(&something_to_save))
        return;
    cli_clear_status_line();
    hsae_outputs_abandon();
    _Exit(128 + number);
}

void cli_catch_signals(void)
{
    hsae_os_program_catch(on_signal);
}

void cli_must_save(bool on)
{
    atomic_store(&something_to_save, on);
}

void cli_serve(unsigned process)
{
    snprintf(name, sizeof name, "hsae, process %u", process);
    serves = true;
    cli_verbose = CLI_QUIET;
    cli_must_save(true); /* what there is to save process 0 saves */
}

int cli_signal(void)
{
    return atomic_load(&signal_number);
}

static void on_log(void *user, hsae_log_level level, const char *message)
{
    (void)user;
    if (level == HSAE_LOG_ERROR && atomic_load(&errors) == CLI_ERRORS_SHOWN)
        cli_error("%s", message);
    else if (level <= HSAE_LOG_WARNING)
        cli_warning("%s", message);
    else if (level == HSAE_LOG_INFO || cli_verbose == CLI_VERBOSE)
        cli_note("%s", message);
}

hsae_context *cli_context(void)
{
    return cli_context_for(on_log, NULL);
}

static bool is_stopped(void *user)
{
    (void)user;
    return cli_signal() != 0;
}

hsae_context *cli_context_for(hsae_log_fn log, void *user)
{
    char program[4096];
    hsae_context *context = NULL;
    const hsae_context_params params = {
        .log = log, .log_user = user, .stop = is_stopped, .program = hsae_os_program_path(program, sizeof program)};
    if (hsae_context_create(&params, &context) != HSAE_OK)
        cli_out_of_memory();
    return context;
}

void cli_show_errors(enum cli_errors how)
{
    atomic_store(&errors, how);
}

bool cli_checks_devices(const hsae_context *context)
{
    return strcmp(hsae_context_setting(context, HSAE_SETTING_SELF_TEST), "off") != 0;
}

void cli_say_unchecked(void)
{
    cli_warning("HSAE_SELF_TEST=off uses the device all the same");
}

static const char *const dtype_names[] = {[HSAE_DTYPE_F32] = "f32", [HSAE_DTYPE_F16] = "f16", [HSAE_DTYPE_BF16] = "bf16"};
enum { DTYPE_COUNT = sizeof dtype_names / sizeof *dtype_names };

const char *cli_dtype_name(hsae_dtype dtype)
{
    return dtype_names[dtype];
}

bool cli_find_tokens(const struct cli_paths *data, struct cli_paths *tokens)
{
    tokens->items = calloc(data->count, sizeof *tokens->items);
    for (size_t i = 0; i < data->count && tokens->items; i++) {
        const char *path = data->items[i], *name = hsae_os_file_name(path);
        bool folder = hsae_os_kind(path) == HSAE_OS_FOLDER;
        int length = folder ? (int)strlen(path) : name > path ? (int)(name - path) - 1 : 0;
        size_t size = strlen(path) + sizeof "/tokens.jsonl";
        char *found = malloc(size);
        if (!found)
            return false;
        snprintf(found, size, "%.*s%stokens.jsonl", length, path, length || name > path ? "/" : "");
        if (tokens->count && strcmp(tokens->items[tokens->count - 1], found) == 0)
            free(found);
        else
            tokens->items[tokens->count++] = found;
    }
    return tokens->items;
}

void cli_free_tokens(struct cli_paths *tokens)
{
    for (size_t i = 0; i < tokens->count; i++)
        free((char *)tokens->items[i]);
    free(tokens->items);
}

hsae_status cli_input_dtype(const struct cli_input *input, hsae_dtype *out)
{
    int dtype = 0;
    while (input->dtype && dtype < DTYPE_COUNT && strcmp(input->dtype, dtype_names[dtype]) != 0)
        dtype++;
    *out = (hsae_dtype)dtype;
    if (dtype == DTYPE_COUNT)
        cli_error("--dtype takes f32, f16 or bf16, not '%s'", input->dtype);
    else if (input->dim > UINT32_MAX)
        cli_error("--dim %" PRIu64 " is more than can be; at most %u", input->dim, UINT32_MAX);
    else
        return HSAE_OK;
    return HSAE_ERROR_CONFIG;
}

hsae_status cli_open_data(hsae_context *context, const struct cli_paths *paths, const struct cli_input *input, hsae_dataset **out)
{
    hsae_dtype dtype;
    hsae_status status = cli_input_dtype(input, &dtype);
    if (!status && input->dtype && !input->dim) {
        cli_error("--dtype is of raw files, which need --dim");
        status = HSAE_ERROR_CONFIG;
    }
    if (status)
        return status;
    hsae_dataset_params params = {
        .paths = paths->items, .path_count = paths->count, .tensor = input->tensor, .dim = (uint32_t)input->dim, .dtype = dtype};
    return hsae_dataset_open(context, &params, out);
}

/* `data: 4 files (a-00000.npy to a-00003.npy), tensor "activations", f16 and f32, the first 93389 of 98304 rows of width 576` */
void cli_note_data(const hsae_dataset *dataset)
{
    size_t count = hsae_dataset_file_count(dataset);
    const hsae_data_file *first = hsae_dataset_file(dataset, 0), *last = hsae_dataset_file(dataset, count - 1);
    char files[512], tensor[256] = "", types[32] = "", part[48] = "";
    bool has[DTYPE_COUNT] = {false};
    uint64_t rows = 0;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        has[hsae_dataset_file(dataset, i)->dtype] = true;
        rows += hsae_dataset_file(dataset, i)->rows;
    }
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (has[i])
            used += (size_t)snprintf(types + used, sizeof types - used, "%s%s", used ? " and " : "", dtype_names[i]);
    if (count == 1)
        snprintf(files, sizeof files, "%s", first->path);
    else
        snprintf(files, sizeof files, "%zu files (%.200s to %.200s)", count, hsae_os_file_name(first->path), hsae_os_file_name(last->path));
    if (first->tensor)
        snprintf(tensor, sizeof tensor, ", %s \"%.200s\"", strcmp(first->format, "arrow") == 0 ? "column" : "tensor", first->tensor);
    if (hsae_dataset_rows(dataset) < rows)
        snprintf(part, sizeof part, "the first %" PRIu64 " of ", hsae_dataset_rows(dataset));
    cli_note("data: %s%s, %s, %s%" PRIu64 " rows of width %u", files, tensor, types, part, rows, hsae_dataset_dim(dataset));
}

bool cli_says_results(bool json)
{
    return !json && cli_verbose != CLI_QUIET;
}

json_t *cli_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

int cli_print_json(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    if (!text)
        return cli_out_of_memory();
    puts(text);
    free(text);
    return CLI_DONE;
}

int cli_finish_output(int status)
{
    cli_clear_status_line();
    if (fflush(stdout) == 0 && !ferror(stdout) && fclose(stdout) == 0)
        return status;
    if (hsae_os_output_is_closed())
        return status ? status : CLI_PIPE;
    cli_file_error("write", "standard output");
    return status ? status : CLI_FAILED;
}
