/* SPDX-License-Identifier: MIT */
/* What the commands of `hsae` share: options, messages, signals, output. */
#ifndef HSAE_TOOLS_CLI_H
#define HSAE_TOOLS_CLI_H

#include "../../src/base/os.h"
#include "commands.h"
#include <hsae/hsae.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Exit statuses. An interrupted command exits with 128 + signal; CLI_PIPE: the reader of standard output has gone, as if by SIGPIPE. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_PIPE = 141 };
/* cli_parse: nothing to exit for, continue. */
enum { CLI_CONTINUE = -1 };

/* Everything below writes to standard error; a status line on the terminal is taken away first. */
typedef enum cli_verbosity { CLI_QUIET, CLI_NORMAL, CLI_VERBOSE } cli_verbosity;
extern cli_verbosity cli_verbose;
void cli_error(const char *format, ...) HSAE_OS_PRINTF(1, 2);
void cli_warning(const char *format, ...) HSAE_OS_PRINTF(1, 2);
void cli_note(const char *format, ...) HSAE_OS_PRINTF(1, 2); /* not with --quiet */
/* cli_error and a pointer to --help; CLI_USAGE. */
int cli_usage(const char *command, const char *format, ...) HSAE_OS_PRINTF(2, 3);
/* "cannot ACTION PATH: reason of errno; what to do"; CLI_FAILED. */
int cli_file_error(const char *action, const char *path);
int cli_out_of_memory(void);

/* The exit status of a command that ended with `status`; the library has logged the reason already. */
int cli_exit_status(hsae_status status);

/* The updating line at the bottom of a terminal; nothing elsewhere. At most ten a second unless `force`. */
bool cli_has_status_line(void);
void cli_status_line(bool force, const char *format, ...) HSAE_OS_PRINTF(2, 3);
void cli_clear_status_line(void);
/* A part of the line behind the bar; `shorter` (or NULL) takes its place where it is too long. */
struct cli_bar_part {
    const char *text, *shorter;
};
enum { CLI_BAR_PARTS = 3 };
/* "WHAT [===>      ]  37 %  PART  PART", as wide as the terminal: what does not fit is left out, the last parts first. `parts` (may be
 * NULL) end with a text of NULL. As often as cli_status_line. */
void cli_bar(bool force, const char *what, uint64_t done, uint64_t total, const struct cli_bar_part parts[CLI_BAR_PARTS]);
/* hsae_progress_fn that shows a share of the work; `user` is the verb. False once interrupted. */
bool cli_progress(void *user, uint64_t done, uint64_t total);

/* The first signal that asks for the end (hsae_os_program_catch) is remembered, and a second later the program ends, unless it has ended by
 * itself. While there is something to save it continues until that is saved; another signal ends it at once, unless that one only warns. */
void cli_catch_signals(void);
void cli_must_save(bool on);
/* 0: none yet. */
int cli_signal(void);

/* One command. `examples` ends each line with a newline. */
struct cli_command {
    const char *name;
    const char *summary;  /* one line of `hsae --help` */
    const char *synopsis; /* what follows the name */
    const char *examples;
    const char *const *brief; /* the options and keys that --help shows, up to a NULL; NULL: all. --help all shows all */
    int (*run)(const struct cli_command *command, int argc, char **argv);
};
/* hsae __probe: what the library runs to try drivers (hsae_context_params.program). Does not come back. */
void cli_probe(int argc, char **argv);
#define CLI_COMMAND(name) extern const struct cli_command cli_##name;
COMMANDS(CLI_COMMAND)
#undef CLI_COMMAND

/* Options. `value` points to what `kind` says and is left alone when the option is not given. */
struct cli_option {
    const char *name;
    enum cli_kind kind;
    void *value;
    const char *argument; /* its name in --help; NULL for a flag */
    const char *help;
};
/* An element of such a table from a line of commands.h. */
#define CLI_OPTION(name, kind, place, argument, help) {name, kind, &(place), argument, help},
struct cli_paths {
    const char **items;
    size_t count;
};
/* Configuration keys given as options, in their order. */
struct cli_keys {
    size_t count;
    struct {
        const char *name; /* "target_l0" */
        const char *text;
    } items[64];
};

/* Reads the words after the command. `keys` (NULL: the command has none) takes the configuration keys, `words` (NULL: none allowed) what is
 * not an option. Adds --help, --quiet and --verbose to `options`, which ends with a name of NULL. Paths are freed with free(items). */
int cli_parse(const struct cli_command *command, int argc, char **argv, const struct cli_option *options, struct cli_keys *keys,
              struct cli_paths *words);

/* Whether the options named in `names`, "data out", were given; CLI_CONTINUE: all were, else what cli_usage said. Those take a text or
 * paths. */
int cli_need(const struct cli_command *command, const struct cli_option *options, const char *names);

/* Whether the word is --NAME or --NAME=VALUE, as cli_parse reads them. */
bool cli_is_option(const char *word, const char *name);

/* The library, with its messages on standard error. NULL after a message. */
hsae_context *cli_context(void);
hsae_context *cli_context_for(hsae_log_fn log, void *user);
/* How the library's errors are shown from here on: as warnings where something is only tried. */
enum cli_errors { CLI_ERRORS_SHOWN, CLI_ERRORS_SOFT };
void cli_show_errors(enum cli_errors how);
/* Of a process that serves process 0 of several: messages say which process has them; wrong usage, which process 0 tells, and notes are
 * left out; signals are process 0's. */
void cli_serve(unsigned process);
/* Whether devices are tested and steps checked (HSAE_SELF_TEST), and how to use a device that failed. */
bool cli_checks_devices(const hsae_context *context);
void cli_say_unchecked(void);
/* Opens a device that is tested first, unless the user does not want that. */
hsae_status cli_open_tested(hsae_context *context, const char *id, hsae_device **out);
/* The same of `id`, or of the best device that works; says which and why. */
hsae_status cli_open_device(hsae_context *context, const char *id, hsae_device **out);
/* The same of "ID,ID ...": the first one to *out, joined with the others, which are the caller's to close after it. */
struct cli_devices {
    hsae_device **items;
    uint32_t count;
};
hsae_status cli_open_devices(hsae_context *context, const char *ids, hsae_device **out, struct cli_devices *others);
void cli_close_devices(struct cli_devices *devices);
/* How data sets are read: INPUT_OPTIONS of commands.h. */
struct cli_input {
    const char *tensor, *dtype;
    uint64_t dim;
};
/* The type that --dtype names, f32 where it is not given; --dim is checked, too. */
hsae_status cli_input_dtype(const struct cli_input *input, hsae_dtype *out);
hsae_status cli_open_data(hsae_context *context, const struct cli_paths *paths, const struct cli_input *input, hsae_dataset **out);
/* The tokens.jsonl that is or would be beside each path of the data, each once where it would follow itself. False: out of memory. */
bool cli_find_tokens(const struct cli_paths *data, struct cli_paths *tokens);
void cli_free_tokens(struct cli_paths *tokens);
/* One line about the data of a run: files, tensor, types, rows, width. */
void cli_note_data(const hsae_dataset *dataset);
/* Which rows a session leaves out: ROW_OPTIONS of commands.h. */
struct cli_rows {
    double max_norm; /* below 0: not given */
    bool skip_bad;
};
#define CLI_ROWS_DEFAULT \
    {                    \
        -1, false        \
    }
/* Puts what the options say in the place of the model's rule. */
hsae_status cli_leave_out(hsae_session *session, const hsae_dataset *dataset, const struct cli_rows *rows);
/* A note on the rows of `dataset` that were left out, if there are any. */
void cli_note_left_out(const hsae_left_out *left_out, double norm_limit, const hsae_dataset *dataset);
/* "f32" */
const char *cli_dtype_name(hsae_dtype dtype);

/* Whether a command that wrote files says so on standard output: neither with --quiet nor with --json. */
bool cli_says_results(bool json);
/* NaN becomes null. */
json_t *cli_json_number(double value);
/* Prints the object as one line on standard output and releases it. */
int cli_print_json(json_t *object);
/* Whether all of standard output has arrived: `status`, or CLI_FAILED after a message. */
int cli_finish_output(int status);

/* The table of an evaluation, and its object as `hsae eval --json` prints it. */
void cli_print_evaluation(const hsae_evaluation *evaluation, const hsae_config *config);
json_t *cli_evaluation_json(const hsae_evaluation *evaluation, const hsae_config *config);
/* Evaluates `model` on `dataset`, with progress. `rows` NULL: the model's rule. */
hsae_status cli_evaluate(hsae_device *device, const hsae_model *model, const hsae_dataset *dataset, const struct cli_rows *rows,
                         hsae_evaluation *out);

#endif
