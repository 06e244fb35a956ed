/* SPDX-License-Identifier: MIT */
#include "run_command.h"

#include "run_folder.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* "HSAE_SCREEN=1 " for each of the library's variables. */
static void print_variables(FILE *file)
{
    for (char **variable = hsae_os_environment(); *variable; variable++) {
        const char *value = strchr(*variable, '=');
        if (!value || strncmp(*variable, "HSAE_", 5) != 0)
            continue;
        fprintf(file, "%.*s", (int)(value + 1 - *variable), *variable);
        text_shell(file, value + 1);
        fputc(' ', file);
    }
}

char *run_command_text(int argc, char **argv)
{
    struct hsae_os_text text;
    FILE *file = hsae_os_text_open(&text);
    if (!file)
        return NULL;
    print_variables(file);
    fputs("hsae train", file);
    for (int i = 0; i < argc; i++) {
        fputc(' ', file);
        text_shell(file, argv[i]);
    }
    return hsae_os_text_close(&text);
}

static void print_option(FILE *file, const char *name, const char *value)
{
    if (!value)
        return;
    fprintf(file, " --%s ", name);
    text_shell(file, value);
}

char *run_explore_text(const struct cli_paths *data, const struct cli_input *input, const char *folder)
{
    struct cli_paths tokens = {0};
    struct hsae_os_text text;
    char path[RUN_PATH];
    FILE *file = NULL;
    bool all = cli_find_tokens(data, &tokens);
    for (size_t i = 0; i < tokens.count && all; i++)
        all = hsae_os_kind(tokens.items[i]) == HSAE_OS_FILE;
    cli_free_tokens(&tokens);
    if (!all || !(file = hsae_os_text_open(&text)))
        return NULL;
    fputs("hsae explore", file);
    run_path(path, folder, "model.safetensors");
    print_option(file, "model", path);
    fputs(" --data", file);
    for (size_t i = 0; i < data->count; i++) {
        fputc(' ', file);
        text_shell(file, data->items[i]);
    }
    print_option(file, "tensor", input->tensor);
    if (input->dim)
        fprintf(file, " --dim %" PRIu64, input->dim);
    print_option(file, "dtype", input->dtype);
    run_path(path, folder, "forest.html");
    print_option(file, "out", path);
    return hsae_os_text_close(&text);
}

/* Whether the option of this word, whose value is `value`, is left out of a command. */
static bool left_out(const struct run_command *command, const char *word, const char *value)
{
    return cli_is_option(word, "resume") || (command->key && cli_is_option(word, command->key)) ||
           (cli_is_option(word, "stop-after") && strtoull(value, NULL, 10) <= command->step);
}

/* Flags that are said anew, or make no sense any more. */
static bool dropped_flag(const struct run_command *command, const char *word)
{
    return cli_is_option(word, "force") || (command->anew && cli_is_option(word, "other-data"));
}

/* "--adam-eps 1e-06" */
static void print_key(const char *key, double value)
{
    fputs(" --", stderr);
    for (const char *c = key; *c; c++)
        fputc(*c == '_' ? '-' : *c, stderr);
    fprintf(stderr, " %.3g", value);
}

void run_print_command(const struct run_command *command)
{
    char path[RUN_PATH];
    const char *device = hsae_context_setting(command->context, HSAE_SETTING_DEVICE);
    bool named = !*device, resumed = false;
    fputs("  hsae train", stderr);
    for (int i = 0; i < command->argc; i++) {
        const char *word = command->argv[i], *equals = strchr(word, '=');
        named |= cli_is_option(word, "device");
        resumed |= cli_is_option(word, "resume");
        if (left_out(command, word, equals ? equals + 1 : i + 1 < command->argc ? command->argv[i + 1] : "")) {
            i += !equals;
        } else if (!dropped_flag(command, word)) {
            fputc(' ', stderr);
            text_shell(stderr, word);
        }
    }
    if (!named) {
        fputs(" --device ", stderr);
        text_shell(stderr, device);
    }
    if (command->key)
        print_key(command->key, command->value);
    if (resumed && command->anew) { /* its configuration was not in its words */
        run_path(path, command->folder, "config.json");
        fputs(" --config ", stderr);
        text_shell(stderr, path);
    }
    fputs(!command->anew ? " --resume auto\n" : run_exists(command->folder) || run_began(command->folder) ? " --force\n" : "\n", stderr);
}
