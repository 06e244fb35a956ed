/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "file.h"
#include "json.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 1 << 20, MAX_JSON = 4096, MAX_FOUND = 80 };

/* LIST: one number for each level. A list is padded with NaN to HSAE_MAX_LEVELS; a single number fills it. So the two can be told apart,
 * whether `levels` comes before or after. */
enum kind { U32, U64, REAL, BOOL, CHOICE, LEVELS, LIST };

/* What a number may be; text for messages. Devices compute in float32. */
enum range { POSITIVE, NOT_NEGATIVE, SHARE, BELOW_ONE, FROM_0, FROM_1, ANY };
static const char *const range_text[] = {"a number above 0, from 1.2e-38 to 3.4e38", "0, or a number from 1.2e-38 to 3.4e38",
                                         "a number from 0 to 1", "a number from 0 to below 1"};

#define CHOICE_NAME(KEY, NAME, name) #name,
static const char *const choices_similarity[] = {HSAE_CHOICES_similarity(CHOICE_NAME) NULL};
static const char *const choices_sparsity_control[] = {HSAE_CHOICES_sparsity_control(CHOICE_NAME) NULL};
static const char *const choices_tree[] = {HSAE_CHOICES_tree(CHOICE_NAME) NULL};
static const char *const choices_center[] = {HSAE_CHOICES_center(CHOICE_NAME) NULL};
static const char *const choices_order[] = {HSAE_CHOICES_order(CHOICE_NAME) NULL};
#undef CHOICE_NAME

struct key {
    const char *name;
    size_t offset;
    enum kind kind;
    enum range range;
    const char *const *choices; /* CHOICE */
};

#define CHOICES_LEVELS(key) NULL
#define CHOICES_U32(key)    NULL
#define CHOICES_U64(key)    NULL
#define CHOICES_REAL(key)   NULL
#define CHOICES_LIST(key)   NULL
#define CHOICES_BOOL(key)   NULL
#define CHOICES_CHOICE(key) choices_##key
static const struct key keys[] = {
#define KEY(key, KIND, RANGE, initial, automatic, RESUME, help) {#key, offsetof(hsae_config, key), KIND, RANGE, CHOICES_##KIND(key)},
    HSAE_CONFIG_KEYS(KEY)
#undef KEY
};
enum { KEY_COUNT = sizeof keys / sizeof *keys };

_Static_assert(sizeof(hsae_sparsity_control) == sizeof(int) && sizeof(hsae_similarity) == sizeof(int) && sizeof(hsae_tree) == sizeof(int) &&
                   sizeof(hsae_center) == sizeof(int) && sizeof(hsae_order) == sizeof(int),
               "choices are stored as int");

static void *field(hsae_config *config, const struct key *key)
{
    return (char *)config + key->offset;
}

static const void *field_of(const hsae_config *config, const struct key *key)
{
    return (const char *)config + key->offset;
}

bool hsae_similarity_counts(hsae_similarity similarity)
{
    return similarity != HSAE_SIMILARITY_ENCODER && similarity != HSAE_SIMILARITY_DECODER;
}

void hsae_config_defaults(hsae_config *config)
{
    if (!config)
        return;
    *config = (hsae_config){0};
#define LIST_OF(...) {__VA_ARGS__}
#define INITIAL_LEVELS(key, initial)                                   \
    static const uint32_t initial_levels[] = LIST_OF initial;          \
    config->level_count = sizeof initial_levels / sizeof *config->key; \
    memcpy(config->key, initial_levels, sizeof initial_levels);
#define INITIAL_LIST(key, initial)            \
    for (int l = 0; l < HSAE_MAX_LEVELS; l++) \
        config->key[l] = initial;
#define INITIAL_U32(key, initial)                                   config->key = initial;
#define INITIAL_U64(key, initial)                                   config->key = initial;
#define INITIAL_REAL(key, initial)                                  config->key = initial;
#define INITIAL_BOOL(key, initial)                                  config->key = initial;
#define INITIAL_CHOICE(key, initial)                                config->key = initial;
#define INITIAL(key, KIND, RANGE, initial, automatic, RESUME, help) INITIAL_##KIND(key, initial)
    HSAE_CONFIG_KEYS(INITIAL)
#undef INITIAL
}

void hsae_config_stored_defaults(hsae_config *config)
{
    if (!config)
        return;
    hsae_config_defaults(config);
    config->max_norm = 0;
    config->decay_steps = 0;
    config->sparsity_control = HSAE_SPARSITY_CONTROL_PENALTY;
}

/* Writing values */

struct text {
    char *data;
    size_t size, used;
};

HSAE_OS_PRINTF(2, 3) static void append(struct text *text, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text->data + text->used, text->size - text->used, format, values);
    va_end(values);
    text->used += (size_t)length;
    if (text->used >= text->size)
        text->used = text->size - 1;
}

/* The shortest text that reads back as the same number, with a point whatever the locale. */
static void append_real(struct text *text, double value)
{
    char number[40];
    if (value == floor(value) && fabs(value) < 1e15) { /* 50, not 5e+01 */
        append(text, "%.0f", value);
        return;
    }
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(number, sizeof number, "%.*g", precision, value);
        if (strtod(number, NULL) == value)
            break;
    }
    const char *point = localeconv()->decimal_point, *found = strstr(number, point);
    if (found)
        append(text, "%.*s.%s", (int)(found - number), number, found + strlen(point));
    else
        append(text, "%s", number);
}

/* Number of values that were given for a LIST; HSAE_MAX_LEVELS for a single number, which is meant for all levels. */
static uint32_t list_length(const double *values)
{
    uint32_t length = 0;
    while (length < HSAE_MAX_LEVELS && !isnan(values[length]))
        length++;
    return length;
}

static uint32_t level_count(const hsae_config *config)
{
    return config->level_count < HSAE_MAX_LEVELS ? config->level_count : HSAE_MAX_LEVELS;
}

static void append_list(struct text *text, const hsae_config *config, const double *values)
{
    uint32_t length = list_length(values), count = length < HSAE_MAX_LEVELS ? length : level_count(config);
    bool same = count == level_count(config);
    for (uint32_t l = 1; l < count; l++)
        same &= values[l] == values[0];
    if (same) {
        append_real(text, values[0]);
        return;
    }
    for (uint32_t l = 0; l < count; l++) {
        append(text, l ? ", " : "[");
        append_real(text, values[l]);
    }
    append(text, "]");
}

static uint64_t integer_at(const hsae_config *config, const struct key *key)
{
    uint64_t wide;
    uint32_t narrow;
    if (key->kind == U64) {
        memcpy(&wide, field_of(config, key), sizeof wide);
        return wide;
    }
    memcpy(&narrow, field_of(config, key), sizeof narrow);
    return narrow;
}

/* As JSON. */
static void append_value(struct text *text, const hsae_config *config, const struct key *key)
{
    const void *value = field_of(config, key);
    uint64_t number;
    switch (key->kind) {
    case U32:
    case U64:
        append(text, "%" PRIu64, integer_at(config, key));
        break;
    case REAL:
        append_real(text, *(const double *)value);
        break;
    case BOOL:
        append(text, *(const bool *)value ? "true" : "false");
        break;
    case CHOICE:
        number = integer_at(config, key);
        for (uint64_t i = 0; key->choices[i]; i++)
            if (i == number)
                append(text, "\"%s\"", key->choices[i]);
        break;
    case LEVELS:
        append(text, "[");
        for (uint32_t l = 0; l < level_count(config); l++)
            append(text, "%s%" PRIu32, l ? ", " : "", config->levels[l]);
        append(text, "]");
        break;
    case LIST:
        append_list(text, config, value);
        break;
    }
}

char *hsae_config_json(const hsae_config *config)
{
    if (!config)
        return NULL;
    struct text text = {malloc(MAX_JSON), MAX_JSON, 0};
    if (!text.data)
        return NULL;
    for (int i = 0; i < KEY_COUNT; i++) {
        append(&text, "%s\"%s\": ", i ? ", " : "{", keys[i].name);
        append_value(&text, config, &keys[i]);
    }
    append(&text, "}");
    return text.data;
}

/* Checking */

/* U32, U64 */
static int least(const struct key *key)
{
    return key->range == FROM_1;
}

static void append_allowed(struct text *text, const struct key *key)
{
    switch (key->kind) {
    case U32:
        append(text, "an integer from %d to %" PRIu32, least(key), UINT32_MAX);
        break;
    case U64:
        append(text, "an integer from %d to %" PRId64, least(key), INT64_MAX);
        break;
    case REAL:
        append(text, "%s", range_text[key->range]);
        break;
    case BOOL:
        append(text, "true or false");
        break;
    case CHOICE:
        for (int i = 0; key->choices[i]; i++)
            append(text, "%s\"%s\"", i == 0 ? "" : key->choices[i + 1] ? ", " : " or ", key->choices[i]);
        break;
    case LEVELS:
        append(text, "a list of 1 to %d integers from 1 to %" PRId32 ", strictly increasing", HSAE_MAX_LEVELS, INT32_MAX);
        break;
    case LIST:
        append(text, "%s, or a list of one for each level", range_text[key->range]);
        break;
    }
}

static hsae_status fail_value(const hsae_context *context, const char *origin, const struct key *key, const char *found)
{
    char allowed[256];
    struct text text = {allowed, sizeof allowed, 0};
    append_allowed(&text, key);
    return hsae_fail(context, HSAE_ERROR_CONFIG, "%s: %s is %.*s%s; allowed: %s", origin, key->name, MAX_FOUND, found,
                     strlen(found) > MAX_FOUND ? "..." : "", allowed);
}

static bool number_in_range(double value, enum range range)
{
    switch (range) {
    case POSITIVE:
        return value >= FLT_MIN && value <= FLT_MAX;
    case NOT_NEGATIVE:
        return value == 0 || number_in_range(value, POSITIVE); /* what is less would be 0 in a kernel */
    case SHARE:
        return value >= 0 && value <= 1;
    case BELOW_ONE:
        return value >= 0 && value < 1;
    default: /* of integers */
        return false;
    }
}

static bool levels_in_range(const hsae_config *config)
{
    if (config->level_count < 1 || config->level_count > HSAE_MAX_LEVELS)
        return false;
    for (uint32_t l = 0; l < config->level_count; l++)
        if (config->levels[l] < 1 || config->levels[l] > INT32_MAX || (l && config->levels[l] <= config->levels[l - 1]))
            return false;
    return true;
}

static bool in_range(const hsae_config *config, const struct key *key)
{
    const double *values = field_of(config, key);
    uint32_t count = 1;
    switch (key->kind) {
    case U32:
    case U64:
        return integer_at(config, key) >= (uint64_t)least(key) && integer_at(config, key) <= INT64_MAX;
    case BOOL:
        return true;
    case CHOICE:
        for (uint64_t i = 0; key->choices[i]; i++)
            if (i == integer_at(config, key))
                return true;
        return false;
    case LEVELS:
        return levels_in_range(config);
    case LIST:
        count = list_length(values) < HSAE_MAX_LEVELS ? list_length(values) : level_count(config);
        break;
    case REAL:
        break;
    }
    for (uint32_t l = 0; l < count; l++)
        if (!number_in_range(values[l], key->range))
            return false;
    return count > 0;
}

hsae_status hsae_config_check(const hsae_context *context, const hsae_config *config, const char *origin)
{
    for (int i = 0; i < KEY_COUNT; i++) {
        char found[MAX_JSON / 8] = "";
        struct text text = {found, sizeof found, 0};
        if (in_range(config, &keys[i]))
            continue;
        append_value(&text, config, &keys[i]);
        return fail_value(context, origin, &keys[i], found);
    }
    for (int i = 0; i < KEY_COUNT; i++) {
        uint32_t length = keys[i].kind == LIST ? list_length(field_of(config, &keys[i])) : HSAE_MAX_LEVELS;
        if (length < HSAE_MAX_LEVELS && length != config->level_count)
            return hsae_fail(context, HSAE_ERROR_CONFIG, "%s: %s has %" PRIu32 " values for %" PRIu32 " levels", origin, keys[i].name,
                             length, config->level_count);
    }
    for (uint32_t l = 0; l < config->level_count; l++)
        if (config->target_l0[l] > config->levels[l])
            return hsae_fail(context, HSAE_ERROR_CONFIG,
                             "%s: target_l0 of level %" PRIu32 " is %g; allowed: at most the level's %" PRIu32
                             " features; set target_l0 lower",
                             origin, l, config->target_l0[l], config->levels[l]);
    if (config->shards > HSAE_MAX_SHARDS || (config->shards & (config->shards - 1)))
        return hsae_fail(context, HSAE_ERROR_CONFIG, "%s: shards is %" PRIu32 "; allowed: a power of two up to %d", origin, config->shards,
                         HSAE_MAX_SHARDS);
    return HSAE_OK;
}

/* Reading values */

static bool store_integer(hsae_config *config, const struct key *key, const json_t *value)
{
    json_int_t number = json_integer_value(value);
    uint64_t wide = (uint64_t)number;
    uint32_t narrow = (uint32_t)number;
    if (!json_is_integer(value) || number < 0 || (key->kind == U32 && number > UINT32_MAX))
        return false;
    memcpy(field(config, key), key->kind == U64 ? (const void *)&wide : &narrow, key->kind == U64 ? sizeof wide : sizeof narrow);
    return true;
}

static bool store_choice(hsae_config *config, const struct key *key, const json_t *value)
{
    for (int i = 0; json_is_string(value) && key->choices[i]; i++)
        if (strcmp(key->choices[i], json_string_value(value)) == 0) {
            memcpy(field(config, key), &i, sizeof i);
            return true;
        }
    return false;
}

static bool store_levels(hsae_config *config, const json_t *value)
{
    size_t count = json_array_size(value);
    if (count > HSAE_MAX_LEVELS)
        return false;
    memset(config->levels, 0, sizeof config->levels);
    config->level_count = (uint32_t)count;
    for (size_t l = 0; l < count; l++) {
        json_int_t features = json_integer_value(json_array_get(value, l)); /* 0 where it is none, which is out of range */
        config->levels[l] = features > 0 && features <= INT32_MAX ? (uint32_t)features : 0;
    }
    return true;
}

static bool store_list(double *values, const json_t *value)
{
    size_t count = json_array_size(value);
    if (json_is_array(value) ? count < 1 || count > HSAE_MAX_LEVELS : !json_is_number(value))
        return false;
    for (size_t l = 0; l < HSAE_MAX_LEVELS; l++) {
        const json_t *number = json_is_array(value) ? json_array_get(value, l) : value;
        if (number && !json_is_number(number))
            return false;
        values[l] = number ? json_number_value(number) + 0.0 : NAN; /* no -0: it is written as an integer */
    }
    return true;
}

/* Stores a value; false: it has the wrong type. */
static bool store(hsae_config *config, const struct key *key, const json_t *value)
{
    switch (key->kind) {
    case U32:
    case U64:
        return store_integer(config, key, value);
    case REAL:
        *(double *)field(config, key) = json_number_value(value) + 0.0;
        return json_is_number(value);
    case BOOL:
        *(bool *)field(config, key) = json_is_true(value);
        return json_is_boolean(value);
    case CHOICE:
        return store_choice(config, key, value);
    case LEVELS:
        return store_levels(config, value);
    case LIST:
        return store_list(field(config, key), value);
    }
    return false;
}

/* Levenshtein's distance, of at most the first 31 characters. */
static int distance(const char *left, const char *right)
{
    enum { LENGTH = 32 };
    int row[LENGTH], columns = 0;
    for (; columns < LENGTH - 1 && right[columns]; columns++)
        row[columns] = columns;
    row[columns] = columns;
    for (int i = 0; i < LENGTH - 1 && left[i]; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int k = 0; k < columns; k++) {
            int best = diagonal + (left[i] != right[k]);
            if (row[k] + 1 < best)
                best = row[k] + 1;
            if (row[k + 1] + 1 < best)
                best = row[k + 1] + 1;
            diagonal = row[k + 1];
            row[k + 1] = best;
        }
    }
    return row[columns];
}

/* NULL: there is no such key; that is logged. */
static const struct key *find_key(const hsae_context *context, const char *name, const char *origin)
{
    const struct key *nearest = NULL;
    int least = 0;
    for (int i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    for (int i = 0; i < KEY_COUNT; i++) {
        int edits = distance(keys[i].name, name);
        if (!nearest || edits < least) {
            nearest = &keys[i];
            least = edits;
        }
    }
    hsae_fail(context, HSAE_ERROR_CONFIG, "%s: unknown key \"%.*s\"; did you mean \"%s\"?", origin, MAX_FOUND, name, nearest->name);
    return NULL;
}

static bool set_value(hsae_config *config, const struct key *key, const json_t *value)
{
    hsae_config changed = *config;
    if (!store(&changed, key, value) || !in_range(&changed, key))
        return false;
    *config = changed;
    return true;
}

hsae_status hsae_config_parse(hsae_context *context, hsae_config *config, const char *json, const char *origin)
{
    HSAE_REQUIRE(context, context, config, json, origin);
    const char *name;
    json_t *value;
    struct hsae_json_error wrong;
    hsae_status status = HSAE_OK;
    hsae_config changed = *config;
    json_t *object = hsae_json_read(json, strlen(json), &wrong);
    if (!object && wrong.no_memory)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", origin);
    if (!object)
        return hsae_fail(context, HSAE_ERROR_CONFIG, "%s: not valid JSON: %s (line %u, column %u); mend it there", origin, wrong.text,
                         wrong.line, wrong.column);
    if (!json_is_object(object))
        status = hsae_fail(context, HSAE_ERROR_CONFIG, "%s: the configuration is not a JSON object", origin);
    json_object_foreach(object, name, value)
    {
        const struct key *key = find_key(context, name, origin);
        if (!key) {
            status = HSAE_ERROR_CONFIG;
        } else if (!set_value(&changed, key, value)) {
            char *found = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
            status = fail_value(context, origin, key, found ? found : "of a size beyond memory");
            free(found);
        }
        if (status)
            break;
    }
    json_decref(object);
    if (!status)
        *config = changed;
    return status;
}

hsae_status hsae_config_read(hsae_context *context, const char *path, char **json)
{
    HSAE_REQUIRE(context, context, path, json);
    hsae_status status = HSAE_ERROR_FILE;
    char *text = NULL;
    *json = NULL;
    FILE *file = hsae_os_fopen(path, "rb");
    if (!file) {
        status = hsae_fail_reading(context, path, errno);
        goto error;
    }
    text = malloc(MAX_FILE + 1);
    if (!text) {
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", path);
        goto error;
    }
    size_t size = fread(text, 1, MAX_FILE + 1, file);
    if (ferror(file)) {
        status = hsae_fail_reading(context, path, errno);
        goto error;
    }
    if (size > MAX_FILE || memchr(text, '\0', size)) {
        status = hsae_fail(context, HSAE_ERROR_CONFIG, "%s: not a configuration: %s", path,
                           size > MAX_FILE ? "it has more than 1 MiB" : "it is not text");
        goto error;
    }
    text[size] = '\0';
    fclose(file);
    *json = text;
    return HSAE_OK;
error:
    free(text);
    if (file)
        fclose(file);
    return status;
}

hsae_status hsae_config_load(hsae_context *context, hsae_config *config, const char *path)
{
    HSAE_REQUIRE(context, context, config, path);
    char *json;
    hsae_status status = hsae_config_read(context, path, &json);
    if (!status)
        status = hsae_config_parse(context, config, json, path);
    free(json);
    return status;
}

/* Command-line text as JSON. A JSON null, which no key takes: the text is no value. NULL: out of memory. */
static json_t *integer_from_text(const char *text)
{
    size_t length = strlen(text);
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    return length && strspn(text, "0123456789") == length && errno == 0 ? json_integer(value) : json_null();
}

static json_t *real_from_text(const char *text)
{
    char number[64], *end;
    const char *point = strchr(text, '.');
    size_t length = strlen(text);
    if (!length || strspn(text, "0123456789+-.eE") != length || length > sizeof number / 2)
        return json_null();
    /* strtod wants the locale's decimal point. */
    snprintf(number, sizeof number, "%.*s%s%s", point ? (int)(point - text) : (int)length, text, point ? localeconv()->decimal_point : "",
             point ? point + 1 : "");
    double value = strtod(number, &end);
    return *end || !isfinite(value) ? json_null() : json_real(value);
}

static json_t *list_from_text(const char *text, json_t *(*element)(const char *text))
{
    json_t *list = json_array();
    for (const char *next = text; list; text = next + 1) {
        char piece[40];
        size_t length = strcspn(text, ",");
        next = text + length;
        snprintf(piece, sizeof piece, "%.*s", (int)(length < sizeof piece ? length : 0), text);
        if (json_array_append_new(list, element(piece))) {
            json_decref(list);
            list = NULL;
        }
        if (!*next)
            break;
    }
    return list;
}

static json_t *value_from_text(const struct key *key, const char *text)
{
    switch (key->kind) {
    case U32:
    case U64:
        return integer_from_text(text);
    case REAL:
        return real_from_text(text);
    case BOOL:
        return strcmp(text, "true") == 0 ? json_true() : strcmp(text, "false") == 0 ? json_false() : json_null();
    case CHOICE:
        return hsae_is_utf8(text, strlen(text)) ? json_string(text) : json_null();
    case LEVELS:
        return list_from_text(text, integer_from_text);
    case LIST:
        return strchr(text, ',') ? list_from_text(text, real_from_text) : real_from_text(text);
    }
    return NULL;
}

hsae_status hsae_config_set(hsae_context *context, hsae_config *config, const char *key, const char *text)
{
    HSAE_REQUIRE(context, context, config, key, text);
    static const char origin[] = "configuration";
    const struct key *known = find_key(context, key, origin);
    if (!known)
        return HSAE_ERROR_CONFIG;
    json_t *value = value_from_text(known, text);
    char quoted[MAX_FOUND + 8];
    snprintf(quoted, sizeof quoted, "\"%.*s\"", MAX_FOUND, text);
    hsae_status status = HSAE_OK;
    if (!value)
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", origin);
    else if (!set_value(config, known, value))
        status = fail_value(context, origin, known, quoted);
    else if (known->offset == offsetof(hsae_config, max_norm))
        config->norm_limit = 0;
    json_decref(value);
    return status;
}

/* Automatic values */

static double between(double least, double value, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* In order of the keys: a formula may use those before it. */
static void fill_automatic(hsae_config *config, double d)
{
#define AUTOMATIC_NUMBER(key, type, automatic) \
    if (config->key == 0)                      \
        config->key = (type)(automatic);
#define AUTOMATIC_U32(key, automatic)  AUTOMATIC_NUMBER(key, uint32_t, automatic)
#define AUTOMATIC_U64(key, automatic)  AUTOMATIC_NUMBER(key, uint64_t, automatic)
#define AUTOMATIC_REAL(key, automatic) AUTOMATIC_NUMBER(key, double, automatic)
#define AUTOMATIC_LIST(key, automatic)                                            \
    for (uint32_t l = 0; l < config->level_count; l++) {                          \
        const double target = config->target_l0[l], features = config->levels[l]; \
        (void)target, (void)features;                                             \
        AUTOMATIC_NUMBER(key[l], double, automatic)                               \
    }
#define AUTOMATIC_LEVELS(key, automatic)
#define AUTOMATIC_BOOL(key, automatic)
#define AUTOMATIC_CHOICE(key, automatic)
#define AUTOMATIC(key, KIND, RANGE, initial, automatic, RESUME, help) AUTOMATIC_##KIND(key, automatic)
    HSAE_CONFIG_KEYS(AUTOMATIC)
#undef AUTOMATIC
}

hsae_status hsae_config_resolve(hsae_context *context, hsae_config *config, uint32_t dim)
{
    HSAE_REQUIRE(context, context, config);
    static const char origin[] = "configuration";
    hsae_status status = hsae_config_check(context, config, origin);
    if (status)
        return status;
    if (config->steps == 0)
        return hsae_fail(context, HSAE_ERROR_CONFIG, "%s: steps is 0; allowed: the number of steps to train, at least 1", origin);
    if (dim == 0)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "%s: activations of width 0", origin);
    fill_automatic(config, dim);
    return HSAE_OK;
}
