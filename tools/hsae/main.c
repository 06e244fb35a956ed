/* SPDX-License-Identifier: MIT */
/* hsae: hierarchical sparse autoencoders from the command line. */
#include "cli.h"
#include "suggest.h"

#include <string.h>

#define COMMAND(name) &cli_##name,
static const struct cli_command *const commands[] = {COMMANDS(COMMAND)};
#undef COMMAND
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static int help(void)
{
    puts("hsae trains hierarchical sparse autoencoders on activations of language models, and uses them.\n\n"
         "Usage: hsae COMMAND [OPTION]...\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    puts("\n  --help     this text; `hsae COMMAND --help` or `hsae help COMMAND`: all about a command\n"
         "  --version  the version\n\n"
         "Results go to standard output, everything else to standard error.\n"
         "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n\n"
         "Examples:\n"
         "  hsae devices\n"
         "  hsae train --data activations/ --out runs/first --levels 2048,4096,8192 --steps 20000 --holdout 0.05\n"
         "  hsae eval --model runs/first/model.safetensors --data held-out/");
    return CLI_DONE;
}

static const struct cli_command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i]->name) == 0)
            return commands[i];
    return NULL;
}

static int unknown(const char *word)
{
    struct suggestion nearest;
    suggest_begin(&nearest, word);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        suggest_consider(&nearest, "", commands[i]->name);
    suggest_consider(&nearest, "", "help");
    suggest_consider(&nearest, "--", "version");
    if (*word == '-' && *nearest.text != '-')
        return cli_usage("", "the command comes first, then its options: hsae COMMAND %s", word);
    return *nearest.text ? cli_usage("", "unknown %s '%s'; did you mean %s?", *word == '-' ? "option" : "command", word, nearest.text)
                         : cli_usage("", "unknown command '%s'", word);
}

static int run(int argc, char **argv)
{
    if (argc < 2)
        return cli_usage("", "a command is missing");
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help();
    if (strcmp(word, "--version") == 0) {
        printf("hsae %s\n", hsae_version());
        return CLI_DONE;
    }
    if (strcmp(word, "help") == 0 && argc == 2)
        return help();
    if (strcmp(word, "help") == 0) { /* help train: train --help */
        const struct cli_command *command = find(argv[2]);
        char *words[] = {"--help", argc > 3 ? argv[3] : NULL};
        return command ? command->run(command, argc > 3 ? 2 : 1, words) : unknown(argv[2]);
    }
    const struct cli_command *command = find(word);
    return command ? command->run(command, argc - 2, argv + 2) : unknown(word);
}

int main(int argc, char **argv)
{
    hsae_os_program_begin(&argc, &argv);
    if (argc > 1 && strcmp(argv[1], "__probe") == 0)
        cli_probe(argc - 2, argv + 2);
    cli_catch_signals();
    return cli_finish_output(run(argc, argv));
}
