/* SPDX-License-Identifier: MIT */
/* Reading the command line, and --help. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *help;
    enum { LEVELS, U32, U64, REAL, LIST, BOOL, CHOICE } kind;
} config_keys[] = {
#define CONFIG_KEY(key, KIND, RANGE, initial, automatic, RESUME, help) {#key, help, KIND},
    HSAE_CONFIG_KEYS(CONFIG_KEY)
#undef CONFIG_KEY
};
enum { CONFIG_KEY_COUNT = sizeof config_keys / sizeof *config_keys };

/* Whether the first `length` bytes of an option's word are `name`; '_' and '-' are the same. */
static bool same_name(const char *word, size_t length, const char *name)
{
    if (strlen(name) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (word[i] != name[i] && !((word[i] == '-' || word[i] == '_') && (name[i] == '-' || name[i] == '_')))
            return false;
    return true;
}

bool cli_is_option(const char *word, const char *name)
{
    return strncmp(word, "--", 2) == 0 && same_name(word + 2, strcspn(word + 2, "="), name);
}

/* Changes of one character that lead from a to b (Levenshtein). */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64], length = strlen(b);
    if (length >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j - 1] + 1 < changed)
                changed = row[j - 1] + 1;
            if (row[j] + 1 < changed)
                changed = row[j] + 1;
            row[j] = changed;
        }
    }
    return row[length];
}

/* The option of a key: - for _. */
static void dashes(char out[64], const char *name, size_t length)
{
    snprintf(out, 64, "%.*s", (int)length, name);
    for (char *c = out; *c; c++)
        if (*c == '_')
            *c = '-';
}

static void print_default(json_t *defaults, const char *key)
{
    char *text = json_dumps(json_object_get(defaults, key), JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (text && !(text[0] == '0' && text[1] == 0))
        printf(" (%s)", text);
    free(text);
}

/* Whether --help shows the option or key: all of them where `brief` is NULL. */
static bool is_shown(const char *const *brief, const char *name)
{
    if (!brief)
        return true;
    while (*brief && strcmp(*brief, name) != 0)
        brief++;
    return *brief;
}

static void print_keys(const char *const *brief)
{
    hsae_config config;
    hsae_config_defaults(&config);
    char *text = hsae_config_json(&config);
    json_t *defaults = text ? json_loads(text, 0, NULL) : NULL;
    if (!brief)
        puts("\nConfiguration (also keys of the JSON object in --config FILE, with _ for -):");
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        char name[64];
        if (!is_shown(brief, config_keys[i].name))
            continue;
        dashes(name, config_keys[i].name, strlen(config_keys[i].name));
        printf("  --%-22s %s", name, config_keys[i].help);
        print_default(defaults, config_keys[i].name);
        putchar('\n');
    }
    json_decref(defaults);
    hsae_free(text);
}

static int print_help(const struct cli_command *command, const struct cli_option *options, bool keys, bool all)
{
    const char *const *brief = all ? NULL : command->brief;
    printf("%s\n\nUsage: hsae %s %s\n\n", command->summary, command->name, command->synopsis);
    for (const struct cli_option *option = options; option->name; option++) {
        if (!is_shown(brief, option->name))
            continue;
        int width = printf("  --%s%s%s", option->name, option->argument ? " " : "", option->argument ? option->argument : "");
        printf("%s%*s %s\n", width > 26 ? "\n" : "", width > 26 ? 26 : 26 - width, "", option->help);
    }
#define COMMON(letter, name, help) printf("  -" letter ", --%-18s %s\n", name, help);
    if (!brief) {
        COMMON_OPTIONS(COMMON)
    }
#undef COMMON
    if (keys)
        print_keys(brief);
    if (brief)
        printf("\nThese matter most. All options: hsae %s --help all\n", command->name);
    printf("\nExamples:\n%s", command->examples);
    return CLI_DONE;
}

/* Keeps `candidate` as the nearest where it is nearer to `name` than `best`. */
static void consider(const char *name, const char *candidate, char nearest[64], size_t *best)
{
    char option[64];
    dashes(option, candidate, strlen(candidate));
    size_t distance = edit_distance(name, option);
    if (distance < *best) {
        *best = distance;
        memcpy(nearest, option, sizeof option);
    }
}

static int unknown_option(const struct cli_command *command, const char *word, const struct cli_option *options, bool keys)
{
    char name[64], nearest[64] = "";
    dashes(name, word, strcspn(word, "="));
    size_t best = strlen(name) / 2 + 1; /* anything further away is no typing error */
    for (; options->name; options++)
        consider(name, options->name, nearest, &best);
    for (size_t i = 0; keys && i < CONFIG_KEY_COUNT; i++)
        consider(name, config_keys[i].name, nearest, &best);
    return *nearest ? cli_usage(command->name, "unknown option --%s; did you mean --%s?", name, nearest)
                    : cli_usage(command->name, "unknown option --%s", name);
}

static bool add_path(struct cli_paths *paths, const char *path)
{
    const char **items = realloc(paths->items, (paths->count + 1) * sizeof *items);
    if (!items)
        return false;
    items[paths->count++] = path;
    paths->items = items;
    return true;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1];
}

/* Stores the text of one option; false where it is not what the option takes. */
static bool store(const struct cli_option *option, const char *text)
{
    char *end;
    errno = 0;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)option->value = true;
        return true;
    case CLI_TEXT:
        *(const char **)option->value = text;
        return *text;
    case CLI_COUNT: {
        unsigned long long count = strtoull(text, &end, 10);
        *(uint64_t *)option->value = count;
        return text[0] >= '0' && text[0] <= '9' && !*end && !errno && count <= INT64_MAX;
    }
    case CLI_SHARE:
    case CLI_ABOVE:
    case CLI_AT_LEAST_0: {
        double number = strtod(text, &end);
        bool allowed = option->kind == CLI_SHARE ? number > 0 && number < 1 : option->kind == CLI_ABOVE ? number > 0 : number >= 0;
        *(double *)option->value = number;
        return *text && !*end && allowed && isfinite(number);
    }
    case CLI_PATHS:
        return *text && add_path(option->value, text);
    }
    return false;
}

static const char *expectation(enum cli_kind kind)
{
    return kind == CLI_COUNT        ? "a whole number"
           : kind == CLI_SHARE      ? "a number above 0 and below 1"
           : kind == CLI_ABOVE      ? "a number above 0"
           : kind == CLI_AT_LEAST_0 ? "a number of at least 0"
                                    : "something that is not empty";
}

/* The position of a word among the arguments, and what is left of them. */
struct reader {
    const struct cli_command *command;
    int argc, next;
    char **argv;
};

/* The value of the option `word`: what follows its '=', else the next word. NULL: there is none. */
static const char *option_text(struct reader *reader, const char *word)
{
    const char *equals = strchr(word, '=');
    if (equals)
        return equals + 1;
    return reader->next < reader->argc ? reader->argv[reader->next++] : NULL;
}

static int read_option(struct reader *reader, const char *word, const struct cli_option *option)
{
    const char *name = reader->command->name;
    const char *text = NULL;
    if (option->kind == CLI_FLAG) {
        if (strchr(word, '='))
            return cli_usage(name, "--%s takes no value", option->name);
    } else if (!(text = option_text(reader, word)) || (strncmp(text, "--", 2) == 0 && !strchr(word, '='))) {
        return cli_usage(name, "--%s needs a value: --%s %s", option->name, option->name, option->argument);
    }
    if (!store(option, text))
        return cli_usage(name, "--%s takes %s, not '%s'", option->name, expectation(option->kind), text);
    while (option->kind == CLI_PATHS && reader->next < reader->argc && !is_option(reader->argv[reader->next]))
        if (!store(option, reader->argv[reader->next++]))
            return cli_usage(name, "--%s: a path is empty", option->name);
    return CLI_CONTINUE;
}

/* Whether the word, which is a key, has no value: what follows is another option, or nothing. */
static bool stands_alone(const struct reader *reader, const char *word)
{
    return !strchr(word, '=') && !(reader->next < reader->argc && !is_option(reader->argv[reader->next]));
}

static int read_long(struct reader *reader, const char *word, const struct cli_option *options, struct cli_keys *keys)
{
    size_t length = strcspn(word, "=");
    for (const struct cli_option *option = options; option->name; option++)
        if (same_name(word, length, option->name))
            return read_option(reader, word, option);
    for (size_t i = 0; keys && i < CONFIG_KEY_COUNT; i++) {
        if (!same_name(word, length, config_keys[i].name))
            continue;
        const char *text = config_keys[i].kind == BOOL && stands_alone(reader, word) ? "true" : option_text(reader, word);
        if (!text)
            return cli_usage(reader->command->name, "--%.*s needs a value", (int)length, word);
        if (keys->count == sizeof keys->items / sizeof *keys->items)
            return cli_usage(reader->command->name, "too many configuration keys");
        keys->items[keys->count].name = config_keys[i].name;
        keys->items[keys->count++].text = text;
        return CLI_CONTINUE;
    }
    return unknown_option(reader->command, word, options, keys != NULL);
}

int cli_parse(const struct cli_command *command, int argc, char **argv, const struct cli_option *options, struct cli_keys *keys,
              struct cli_paths *words)
{
    struct reader reader = {.command = command, .argc = argc, .argv = argv};
    bool only_words = false;
    /* --help wins wherever it stands. */
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return print_help(command, options, keys != NULL, i + 1 < argc && strcmp(argv[i + 1], "all") == 0);
    while (reader.next < argc) {
        const char *word = argv[reader.next++];
        int status = CLI_CONTINUE;
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (only_words || !is_option(word)) {
            if (!words)
                return cli_usage(command->name, "'%s' is not an option", word);
            if (!add_path(words, word))
                return cli_out_of_memory();
        } else if (strcmp(word, "-q") == 0 || strcmp(word, "--quiet") == 0) {
            cli_verbose = CLI_QUIET;
        } else if (strcmp(word, "-v") == 0 || strcmp(word, "--verbose") == 0) {
            cli_verbose = CLI_VERBOSE;
        } else if (word[1] != '-') {
            status = cli_usage(command->name, "unknown option %s", word);
        } else {
            status = read_long(&reader, word + 2, options, keys);
        }
        if (status != CLI_CONTINUE)
            return status;
    }
    return CLI_CONTINUE;
}
