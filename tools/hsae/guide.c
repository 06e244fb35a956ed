/* SPDX-License-Identifier: MIT */
/* Writes the manual and the completions of shells from the tables of commands, configuration keys and settings. Runs while the project is
 * built:
 *
 *     guide man|bash|zsh|fish OUT [TEMPLATE]
 *
 * The manual's template is roff. A line `@synopsis`, `@common`, `@settings`, `@keys` or `@options COMMAND` becomes a part of the manual.
 * `@keys` and
 * `@options` end with `@end`; a line `@text NAME` between them begins a text that stands in place of the table's line about that option. */
#include "commands.h"

#include <hsae/config_keys.h>
#include <hsae/settings.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 64, MAX_TEXT = 65536 };

struct option {
    const char *name;
    const char *argument; /* NULL: a flag */
    const char *help;
    const char *initial; /* the default of a key; NULL: `help` says it */
};
struct command {
    const char *name, *summary, *synopsis;
    const struct option *options; /* up to a name of NULL */
};

#define OPTION(name, kind, place, argument, help) {name, argument, help, NULL},
#define TABLE(command)                            static const struct option options_##command[] = {OPTIONS_##command(OPTION){NULL, NULL, NULL, NULL}};
COMMANDS(TABLE)

#define COMMAND(command) {#command, SUMMARY_##command, SYNOPSIS_##command, options_##command},
static const struct command commands[] = {COMMANDS(COMMAND)};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

#define COMMON(letter, name, help) {name, NULL, help, NULL},
static const struct option common[] = {COMMON_OPTIONS(COMMON){NULL, NULL, NULL, NULL}};

/* What a key takes. */
#define JOIN(KEY, NAME, name)                                   "|" #name
#define ARGUMENT_LEVELS(key)                                    "LIST"
#define ARGUMENT_U32(key)                                       "N"
#define ARGUMENT_U64(key)                                       "N"
#define ARGUMENT_REAL(key)                                      "X"
#define ARGUMENT_LIST(key)                                      "LIST"
#define ARGUMENT_BOOL(key)                                      "true|false"
#define ARGUMENT_CHOICE(key)                                    &(HSAE_CHOICES_##key(JOIN))[1] /* after the first bar */
#define UNWRAP(...)                                             #__VA_ARGS__
#define INITIAL_LEVELS(initial)                                 UNWRAP initial
#define INITIAL_U32(initial)                                    #initial
#define INITIAL_U64(initial)                                    #initial
#define INITIAL_REAL(initial)                                   #initial
#define INITIAL_LIST(initial)                                   #initial
#define INITIAL_BOOL(initial)                                   #initial
#define INITIAL_CHOICE(initial)                                 NULL /* the first */
#define KEY(key, KIND, RANGE, initial, automatic, RESUME, help) {#key, ARGUMENT_##KIND(key), help, INITIAL_##KIND(initial)},
static const struct option keys[] = {HSAE_CONFIG_KEYS(KEY){NULL, NULL, NULL, NULL}};

#define SETTING(NAME, field, KIND, text) {"HSAE_" #NAME, NULL, text, NULL},
static const struct option settings[] = {HSAE_SETTINGS(SETTING){NULL, NULL, NULL, NULL}};

static FILE *out;

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "guide: %s: %s\n", what, name);
    exit(1);
}

static bool has_keys(const struct command *command)
{
    return strcmp(command->name, "train") == 0;
}

/* A key's option: - for _. */
static void put_name(const char *name)
{
    for (; *name; name++)
        fputc(*name == '_' ? '-' : *name, out);
}

/* ---- the manual ---- */

static void put_roff(const char *text)
{
    for (; *text; text++)
        if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
}

static void put_sentence(const char *text)
{
    fputs("\\&", out); /* a line may begin with a dot */
    if (*text >= 'a' && *text <= 'z')
        fputc(*text++ - 'a' + 'A', out);
    put_roff(text);
    fputs(*text && text[strlen(text) - 1] == '.' ? "\n" : ".\n", out);
}

static void put_synopsis(void)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "%s.B hsae %s\n\\&", i ? ".br\n" : "", commands[i].name);
        put_roff(commands[i].synopsis);
        fputc('\n', out);
    }
    fputs(".br\n.B hsae \\-\\-version\n|\n.B \\-\\-help\n", out);
}

static void put_entry(const struct option *option, const char *text)
{
    fputs(".TP\n\\fB\\-\\-", out);
    for (const char *c = option->name; *c; c++)
        fputs(*c == '_' || *c == '-' ? "\\-" : (const char[]){*c, 0}, out);
    fputs("\\fR", out);
    if (option->argument) {
        fputs(" \\fI", out);
        put_roff(option->argument);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    if (text)
        fputs(text, out);
    else
        put_sentence(option->help);
    if (option->initial && strcmp(option->initial, "0") != 0) {
        fputs("Default: ", out);
        put_roff(option->initial);
        fputs(".\n", out);
    }
}

/* The texts of one table, by the place of their option. */
struct texts {
    char *of[MAX_OPTIONS];
};

static size_t find(const struct option *options, const char *name)
{
    size_t at = 0;
    while (options[at].name && strcmp(options[at].name, name) != 0)
        at++;
    if (!options[at].name)
        fail("there is no such option", name);
    return at;
}

static void put_common(void)
{
#define COMMON_ENTRY(letter, name, help)                          \
    fputs(".TP\n.BR \\-" letter " \", \" \\-\\-" name "\n", out); \
    put_sentence(help);
    COMMON_OPTIONS(COMMON_ENTRY)
}

/* Up to `@end`. */
static void put_table(FILE *template, const struct option *options)
{
    struct texts texts = {{NULL}};
    char line[4096], *text = NULL;
    while (fgets(line, sizeof line, template) && strncmp(line, "@end", 4) != 0) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "@text ", 6) == 0) {
            size_t at = find(options, line + 6);
            text = texts.of[at] = calloc(1, MAX_TEXT);
            if (!text)
                fail("out of memory", line);
        } else if (!text || strlen(text) + strlen(line) + 2 > MAX_TEXT) {
            fail("a line that is of no option, or one too many", line);
        } else {
            strcat(strcat(text, line), "\n");
        }
    }
    for (size_t i = 0; options[i].name; i++) {
        put_entry(&options[i], texts.of[i]);
        free(texts.of[i]);
    }
}

static void put_settings(void)
{
    for (const struct option *setting = settings; setting->name; setting++) {
        fprintf(out, ".TP\n.B %s\n", setting->name);
        put_roff(setting->help);
        fputc('\n', out);
    }
}

static void write_manual(FILE *template)
{
    char line[4096];
    while (fgets(line, sizeof line, template)) {
        line[strcspn(line, "\n")] = 0;
        size_t command = 0;
        while (strncmp(line, "@options ", 9) == 0 && command < COMMAND_COUNT && strcmp(line + 9, commands[command].name) != 0)
            command++;
        if (*line != '@')
            fprintf(out, "%s\n", line);
        else if (strcmp(line, "@synopsis") == 0)
            put_synopsis();
        else if (strcmp(line, "@common") == 0)
            put_common();
        else if (strcmp(line, "@settings") == 0)
            put_settings();
        else if (strcmp(line, "@keys") == 0)
            put_table(template, keys);
        else if (strncmp(line, "@options ", 9) == 0 && command < COMMAND_COUNT)
            put_table(template, commands[command].options);
        else
            fail("a line that is not known", line);
    }
}

/* ---- completions ---- */

/* The values that an argument lists, "f32 f16 bf16"; "": it lists none, or any text may stand there. */
static void choices_of(const char *argument, char choices[256])
{
    size_t used = 0;
    choices[0] = 0;
    if (!argument || !strchr(argument, '|'))
        return;
    for (size_t length; *argument; argument += length + (argument[length] == '|')) {
        length = strcspn(argument, "|");
        if (*argument >= 'a' && *argument <= 'z' && used + length + 2 < 256)
            used += (size_t)sprintf(choices + used, "%s%.*s", used ? " " : "", (int)length, argument);
    }
}

static bool takes_files(const char *argument)
{
    return strncmp(argument, "PATH", 4) == 0 || strncmp(argument, "FILE", 4) == 0 || strncmp(argument, "DIR", 3) == 0;
}

/* Calls `put` for every option of a command. */
static void each_option(const struct command *command, void (*put)(const struct command *command, const struct option *option))
{
    for (const struct option *option = command->options; option->name; option++)
        put(command, option);
    for (const struct option *key = keys; has_keys(command) && key->name; key++)
        put(command, key);
    for (const struct option *option = common; option->name; option++)
        put(command, option);
}

static void bash_word(const struct command *command, const struct option *option)
{
    (void)command;
    fputs(" --", out);
    put_name(option->name);
}

static void bash_choices(const struct command *command, const struct option *option)
{
    char choices[256];
    choices_of(option->argument, choices);
    if (!option->argument || (!*choices && takes_files(option->argument)))
        return;
    fprintf(out, "        '%s --", command->name);
    put_name(option->name);
    fprintf(out, "') COMPREPLY=($(compgen %s-W '%s' -- \"$word\")); return ;;\n", strstr(option->argument, "FILE") ? "-f " : "", choices);
}

static void write_bash(void)
{
    fputs("# bash completion for hsae\n_hsae()\n{\n    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} "
          "command=${COMP_WORDS[1]} options\n    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W '",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "%s ", commands[i].name);
    fputs("--help --version' -- \"$word\"))\n        return\n    fi\n    case \"$command $before\" in\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        each_option(&commands[i], bash_choices);
    fputs("    esac\n    case \"$command\" in\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "        %s) options='", commands[i].name);
        each_option(&commands[i], bash_word);
        fputs("' ;;\n", out);
    }
    fputs("    esac\n    if [[ $word == -* ]]; then\n        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n    else\n"
          "        compopt -o filenames 2>/dev/null\n        COMPREPLY=($(compgen -f -- \"$word\"))\n    fi\n}\ncomplete -F _hsae hsae\n",
          out);
}

/* Within '...' of a shell; what zsh's _arguments takes for itself gets a backslash. */
static void put_quoted(const char *text, bool zsh)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", out);
        else if (zsh && strchr("[]:\\", *text))
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
}

static void zsh_option(const struct command *command, const struct option *option)
{
    char choices[256];
    (void)command;
    choices_of(option->argument, choices);
    fputs(" \\\n        '*--", out);
    put_name(option->name);
    fputc('[', out);
    put_quoted(option->help, true);
    fputc(']', out);
    if (option->argument && *choices && !strstr(option->argument, "FILE"))
        fprintf(out, ":value:(%s)", choices);
    else if (option->argument) {
        fputc(':', out);
        put_quoted(option->argument, true);
        fputs(takes_files(option->argument) ? ":_files" : ": ", out);
    }
    fputc('\'', out);
}

static void write_zsh(void)
{
    fputs("#compdef hsae\n# zsh completion for hsae\n_hsae()\n{\n    local -a commands\n    commands=(\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "        '%s:", commands[i].name);
        put_quoted(commands[i].summary, true);
        fputs("'\n", out);
    }
    fputs(
        "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n    local command=$words[2]\n"
        "    shift words\n    (( CURRENT-- ))\n    case $command in\n",
        out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "    %s) _arguments", commands[i].name);
        each_option(&commands[i], zsh_option);
        fputs(" \\\n        '*:file:_files' ;;\n", out);
    }
    fputs("    esac\n}\n_hsae \"$@\"\n", out);
}

static void fish_option(const struct command *command, const struct option *option)
{
    char choices[256];
    choices_of(option->argument, choices);
    fprintf(out, "complete -c hsae -n '__fish_seen_subcommand_from %s' -l ", command->name);
    put_name(option->name);
    if (option->argument)
        fputs(takes_files(option->argument) ? " -r -F" : " -x", out);
    if (*choices)
        fprintf(out, " -a '%s'", choices);
    fputs(" -d '", out);
    for (const char *c = option->help; *c; c++)
        fputs(*c == '\'' ? "\\'" : (const char[]){*c, 0}, out);
    fputs("'\n", out);
}

static void write_fish(void)
{
    fputs("# fish completion for hsae\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "complete -c hsae -n __fish_use_subcommand -f -a %s -d '%s'\n", commands[i].name, commands[i].summary);
        each_option(&commands[i], fish_option);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    FILE *template = argc > 3 ? fopen(argv[3], "r") : NULL;
    out = argc > 2 ? fopen(argv[2], "w") : NULL;
    if (!out || (strcmp(what, "man") == 0) != (template != NULL))
        fail("usage: guide man|bash|zsh|fish OUT [TEMPLATE]", what);
    if (strcmp(what, "man") == 0)
        write_manual(template);
    else if (strcmp(what, "bash") == 0)
        write_bash();
    else if (strcmp(what, "zsh") == 0)
        write_zsh();
    else if (strcmp(what, "fish") == 0)
        write_fish();
    else
        fail("not known", what);
    if (template)
        fclose(template);
    if (fclose(out))
        fail("cannot write", argv[2]);
    return 0;
}
