/* SPDX-License-Identifier: MIT */
/* Reading the command line, and --help. */
#include "cli.h"
#include "suggest.h"

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

/* The position of a word among the arguments, and what is left of them. */
struct reader {
    const struct cli_command *command;
    const struct cli_option *options;
    struct cli_keys *keys;
    int argc, next;
    char **argv;
};

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
    case CLI_OUTPUT:
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

/* ---- what is wrong ---- */

/* `word`: as it was given, with `skipped` dashes. */
static int unknown_option(const struct reader *reader, const char *word, size_t skipped)
{
    char name[64], all[256] = "";
    int length = (int)strcspn(word, "=");
    struct suggestion nearest;
    size_t count = 0, used = 0;
    dashes(name, word + skipped, strcspn(word + skipped, "="));
    suggest_begin(&nearest, name);
    for (const struct cli_option *option = reader->options; option->name; option++, count++) {
        suggest_consider(&nearest, "--", option->name);
        if (used < sizeof all)
            used += (size_t)snprintf(all + used, sizeof all - used, "%s--%s", count ? ", " : "", option->name);
    }
    for (size_t i = 0; reader->keys && i < CONFIG_KEY_COUNT; i++)
        suggest_consider(&nearest, "--", config_keys[i].name);
#define COMMON(letter, name, help) suggest_consider(&nearest, "--", name);
    COMMON_OPTIONS(COMMON)
#undef COMMON
    if (*nearest.text)
        return cli_usage(reader->command->name, "unknown option %.*s; did you mean %s?", length, word, nearest.text);
    if (reader->keys || used >= sizeof all)
        return cli_usage(reader->command->name, "unknown option %.*s", length, word);
    return cli_usage(reader->command->name, "unknown option %.*s; there are %s", length, word, all);
}

/* Of a word with one dash. */
static int unknown_letters(const struct reader *reader, const char *word)
{
    const char *meant = NULL;
    if (word[1 + strspn(word + 1, "qvh")] == '\0')
        return cli_usage(reader->command->name, "unknown option %s; letters stand alone: -%c", word, word[1]);
    if (word[2])
        return unknown_option(reader, word, 1);
    for (const struct cli_option *option = reader->options; option->name && !meant; option++)
        meant = option->name[0] == word[1] ? option->name : NULL;
    return meant ? cli_usage(reader->command->name, "unknown option %s; did you mean --%s?", word, meant)
                 : cli_usage(reader->command->name, "unknown option %s", word);
}

static int wrong_value(const struct reader *reader, const char *name, const char *expected, enum suggest_kind kind, const char *text)
{
    char better[32], option[64];
    dashes(option, name, strlen(name));
    return suggest_number(text, kind, better)
               ? cli_usage(reader->command->name, "--%s takes %s, not '%s'; write %s", option, expected, text, better)
               : cli_usage(reader->command->name, "--%s takes %s, not '%s'", option, expected, text);
}

/* Whether the word is one of those that an argument lists, as in "paper|laptop|tiny". */
static bool is_choice(const char *argument, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = argument; at && strchr(argument, '|') && *at; at += strcspn(at, "|"), at += *at == '|')
        if (strncmp(at, word, length) == 0 && (at[length] == '|' || !at[length]))
            return true;
    return false;
}

/* Of a word that belongs to no option, where none are allowed. */
static int stray_word(const struct reader *reader, const char *word)
{
    const char *before = reader->next > 1 ? reader->argv[reader->next - 2] : "";
    char files[256] = "";
    size_t used = 0, count = 0;
    for (const struct cli_option *option = reader->options; option->name; option++) {
        const char *argument = option->argument ? option->argument : "";
        if (option->kind == CLI_FLAG && cli_is_option(before, option->name))
            return cli_usage(reader->command->name, "--%s takes no value, and '%s' belongs to no option%s", option->name, word,
                             strcmp(option->name, "json") == 0 ? "; what is printed goes to a file with > FILE" : "");
        if (is_choice(argument, word))
            return cli_usage(reader->command->name, "'%s' belongs to no option; did you mean --%s %s?", word, option->name, word);
        if ((strncmp(argument, "FILE", 4) == 0 || strncmp(argument, "PATH", 4) == 0 || strncmp(argument, "DIR", 3) == 0) && count++ < 3)
            used += (size_t)snprintf(files + used, sizeof files - used, "%s--%s %s", used ? ", " : "", option->name, argument);
    }
    if (!count)
        return cli_usage(reader->command->name, "'%s' belongs to no option; hsae %s takes options only", word, reader->command->name);
    return cli_usage(reader->command->name, "'%s' belongs to no option; files are given with an option: %s%s", word, files,
                     count > 3 ? " ..." : "");
}

/* A list whose numbers are words of their own, "128, 256". CLI_CONTINUE: it is one word. */
static int scattered_list(const struct reader *reader, const char *name, const char *text)
{
    static const char list[] = "0123456789.,";
    char joined[128], option[64];
    size_t used = (size_t)snprintf(joined, sizeof joined, "%s", text);
    int next = reader->next;
    for (; next < reader->argc && strspn(reader->argv[next], list) == strlen(reader->argv[next]) && used < sizeof joined; next++) {
        bool comma = joined[used - 1] == ',' || reader->argv[next][0] == ',';
        used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%s", comma ? "" : ",", reader->argv[next]);
    }
    dashes(option, name, strlen(name));
    if (next > reader->next)
        return cli_usage(reader->command->name, "--%s is a list with commas and without spaces: --%s %s", option, option, joined);
    if (!*text || text[strspn(text, "0123456789.,eE+-")])
        return cli_usage(reader->command->name, "--%s takes numbers with commas between them, as %s, not '%s'", option,
                         strcmp(name, "levels") == 0 ? "128,256" : "20,40", text);
    return CLI_CONTINUE;
}

static bool is_given(const struct cli_option *option)
{
    return option->kind == CLI_PATHS ? ((const struct cli_paths *)option->value)->count > 0 : *(const char **)option->value != NULL;
}

int cli_need(const struct cli_command *command, const struct cli_option *options, const char *names)
{
    const char *help = "";
    char missing[256] = "";
    size_t used = 0, count = 0;
    for (size_t length; *names; names += length + (names[length] == ' ')) {
        const struct cli_option *option = options;
        length = strcspn(names, " ");
        while (option->name && !same_name(names, length, option->name))
            option++;
        if (!option->name || is_given(option) || used >= sizeof missing)
            continue;
        used += (size_t)snprintf(missing + used, sizeof missing - used, "%s--%s %s", used ? ", " : "", option->name, option->argument);
        help = option->help;
        count++;
    }
    return count == 0   ? CLI_CONTINUE
           : count == 1 ? cli_usage(command->name, "%s is missing: %s", missing, help)
                        : cli_usage(command->name, "options are missing: %s", missing);
}

/* ---- reading ---- */

/* The value of the option `word`: what follows its '=', else the next word. NULL: there is none. */
static const char *option_text(struct reader *reader, const char *word)
{
    const char *equals = strchr(word, '=');
    if (equals)
        return equals + 1;
    return reader->next < reader->argc && strncmp(reader->argv[reader->next], "--", 2) != 0 ? reader->argv[reader->next++] : NULL;
}

/* Whether the option has no value: what follows is another option, or nothing. */
static bool stands_alone(const struct reader *reader, const char *word)
{
    return !strchr(word, '=') && !(reader->next < reader->argc && !is_option(reader->argv[reader->next]));
}

static int read_option(struct reader *reader, const char *word, const struct cli_option *option)
{
    static const enum suggest_kind numbers[] = {[CLI_COUNT] = SUGGEST_WHOLE,
                                                [CLI_SHARE] = SUGGEST_SHARE,
                                                [CLI_ABOVE] = SUGGEST_NUMBER,
                                                [CLI_AT_LEAST_0] = SUGGEST_NUMBER,
                                                [CLI_PATHS] = SUGGEST_NUMBER};
    const char *name = reader->command->name;
    const char *text = NULL;
    if (option->kind == CLI_FLAG) {
        if (strchr(word, '='))
            return cli_usage(name, "--%s takes no value", option->name);
    } else if (option->kind == CLI_OUTPUT && stands_alone(reader, word)) {
        text = "-";
    } else if (!(text = option_text(reader, word))) {
        return cli_usage(name, "--%s needs a value: --%s %s", option->name, option->name, option->argument);
    }
    if (!store(option, text))
        return wrong_value(reader, option->name, expectation(option->kind), numbers[option->kind], text);
    while (option->kind == CLI_PATHS && reader->next < reader->argc && !is_option(reader->argv[reader->next]))
        if (!store(option, reader->argv[reader->next++]))
            return cli_usage(name, "--%s: a path is empty", option->name);
    if (option->argument && (strcmp(option->argument, "LIST") == 0 || strcmp(option->argument, "L0") == 0))
        return scattered_list(reader, option->name, text);
    return CLI_CONTINUE;
}

/* Whether a text can be a key's value at all; what is allowed, the library knows. */
static int check_key(const struct reader *reader, size_t key, const char *text)
{
    const char *name = config_keys[key].name;
    char *end;
    switch (config_keys[key].kind) {
    case U32:
    case U64:
        if (!*text || text[strspn(text, "0123456789")])
            return wrong_value(reader, name, "a whole number", SUGGEST_WHOLE, text);
        return CLI_CONTINUE;
    case REAL:
        (void)strtod(text, &end);
        if (!*text || *end)
            return wrong_value(reader, name, "a number", SUGGEST_NUMBER, text);
        return CLI_CONTINUE;
    case LEVELS:
    case LIST:
        return scattered_list(reader, name, text);
    case BOOL:
    case CHOICE:
        break;
    }
    return CLI_CONTINUE;
}

static int read_key(struct reader *reader, const char *word, size_t key)
{
    static const char *const arguments[] = {
        [LEVELS] = "LIST", [U32] = "N", [U64] = "N", [REAL] = "X", [LIST] = "LIST", [BOOL] = "true|false", [CHOICE] = "NAME"};
    struct cli_keys *keys = reader->keys;
    const char *text = config_keys[key].kind == BOOL && stands_alone(reader, word) ? "true" : option_text(reader, word);
    if (!text)
        return cli_usage(reader->command->name, "%s needs a value: %s %s", word - 2, word - 2, arguments[config_keys[key].kind]);
    if (keys->count == sizeof keys->items / sizeof *keys->items)
        return cli_usage(reader->command->name, "too many configuration keys");
    keys->items[keys->count].name = config_keys[key].name;
    keys->items[keys->count++].text = text;
    return check_key(reader, key, text);
}

static int read_long(struct reader *reader, const char *word)
{
    size_t length = strcspn(word, "=");
    for (const struct cli_option *option = reader->options; option->name; option++)
        if (same_name(word, length, option->name))
            return read_option(reader, word, option);
    for (size_t i = 0; reader->keys && i < CONFIG_KEY_COUNT; i++)
        if (same_name(word, length, config_keys[i].name))
            return read_key(reader, word, i);
#define COMMON(letter, long_name, help)     \
    if (same_name(word, length, long_name)) \
        return cli_usage(reader->command->name, "--%s takes no value", long_name);
    COMMON_OPTIONS(COMMON)
#undef COMMON
    return unknown_option(reader, word - 2, 2);
}

int cli_parse(const struct cli_command *command, int argc, char **argv, const struct cli_option *options, struct cli_keys *keys,
              struct cli_paths *words)
{
    struct reader reader = {.command = command, .options = options, .keys = keys, .argc = argc, .argv = argv};
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
                return stray_word(&reader, word);
            if (!add_path(words, word))
                return cli_out_of_memory();
        } else if (strcmp(word, "-q") == 0 || strcmp(word, "--quiet") == 0) {
            cli_verbose = CLI_QUIET;
        } else if (strcmp(word, "-v") == 0 || strcmp(word, "--verbose") == 0) {
            cli_verbose = CLI_VERBOSE;
        } else if (word[1] != '-') {
            status = unknown_letters(&reader, word);
        } else {
            status = read_long(&reader, word + 2);
        }
        if (status != CLI_CONTINUE)
            return status;
    }
    return CLI_CONTINUE;
}
