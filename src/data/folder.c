/* SPDX-License-Identifier: MIT */
#include "folder.h"
#include "base/os.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int hsae_natural_order(const char *left, const char *right)
{
    const char *a = left, *b = right;
    while (*a && *b) {
        if (!is_digit(*a) || !is_digit(*b)) {
            if (*a != *b)
                return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++;
            b++;
            continue;
        }
        a += strspn(a, "0");
        b += strspn(b, "0");
        size_t digits = strspn(a, "0123456789"), others = strspn(b, "0123456789");
        int order = digits != others ? (digits < others ? -1 : 1) : strncmp(a, b, digits);
        if (order)
            return order;
        a += digits;
        b += others;
    }
    if (*a || *b)
        return *a ? 1 : -1;
    return strcmp(left, right); /* leading zeros alone differ */
}

static int by_natural_order(const void *left, const void *right)
{
    return hsae_natural_order(*(char *const *)left, *(char *const *)right);
}

int hsae_folder_names(const char *folder, struct hsae_names *names)
{
    int error = hsae_names_read(folder, names);
    if (!error && names->count)
        qsort(names->items, names->count, sizeof *names->items, by_natural_order);
    return error;
}

bool hsae_ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);
    return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

static bool ends_with_any(const char *name, const char *const *ends, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (hsae_ends_with(name, ends[i]))
            return true;
    return false;
}

bool hsae_is_raw_name(const char *name)
{
    return hsae_ends_with(name, ".bin") || hsae_ends_with(name, ".raw");
}

bool hsae_is_data_name(const char *name, bool raw)
{
    static const char *const ends[] = {".safetensors", ".npy", ".arrow"};
    return ends_with_any(name, ends, sizeof ends / sizeof *ends) || (raw && hsae_is_raw_name(name));
}

bool hsae_is_unfinished_name(const char *name)
{
    static const char *const ends[] = {".part", ".partial", ".tmp", ".crdownload", ".download", ".incomplete", ".aria2"};
    return ends_with_any(name, ends, sizeof ends / sizeof *ends);
}

/* ---- NAME-00003-of-00004.EXTENSION ---- */

struct member {
    const char *name;
    size_t stem;     /* characters before "-00003" */
    const char *end; /* ".EXTENSION" */
    size_t digits;   /* of "00003" */
    uint64_t index, total;
};

static bool read_count(const char **at, uint64_t *out)
{
    size_t digits = strspn(*at, "0123456789");
    *out = 0;
    for (size_t i = 0; i < digits; i++)
        *out = 10 * *out + (uint64_t)((*at)[i] - '0');
    *at += digits;
    return digits > 0 && digits <= 9;
}

static bool read_member(const char *name, struct member *out)
{
    const char *dash = name;
    while ((dash = strchr(dash, '-'))) {
        const char *at = ++dash;
        if (!read_count(&at, &out->index))
            continue;
        out->digits = (size_t)(at - dash);
        if (strncmp(at, "-of-", 4) != 0)
            continue;
        at += 4;
        if (!read_count(&at, &out->total) || out->total == 0 || (*at && *at != '.'))
            continue;
        out->name = name;
        out->stem = (size_t)(dash - 1 - name);
        out->end = at;
        return true;
    }
    return false;
}

static bool same_family(const struct member *a, const struct member *b)
{
    return a->total == b->total && a->stem == b->stem && strncmp(a->name, b->name, a->stem) == 0 && strcmp(a->end, b->end) == 0;
}

/* Checks members[0] .. members[count - 1] of one set, in the order of their numbers, which start at 0 or 1. */
static hsae_status check_family(const hsae_context *context, const char *folder, const struct member *members, size_t count)
{
    const struct member *first = members;
    uint64_t base = first->index == 0 ? 0 : 1, expected = base;
    for (size_t i = 0; i < count && expected < base + first->total && members[i].index == expected; i++)
        expected++;
    if (expected == base + first->total && count == first->total)
        return HSAE_OK;
    if (expected == base + first->total)
        return hsae_fail(context, HSAE_ERROR_DATA,
                         "%s/%s: more than the %" PRIu64 " files that its name announces; leave out those of another set", folder,
                         members[count - 1].name, first->total);
    return hsae_fail(context, HSAE_ERROR_DATA,
                     "%s/%.*s-%0*" PRIu64 "-of-%s: is missing: the folder has %zu of the %" PRIu64
                     " files of this set; fetch it, or give the files that are to be read one by one",
                     folder, (int)first->stem, first->name, (int)first->digits, expected, first->name + first->stem + 1 + first->digits + 4,
                     count, first->total);
}

static int by_family(const void *left, const void *right)
{
    const struct member *a = left, *b = right;
    size_t shorter = a->stem < b->stem ? a->stem : b->stem;
    int order = strncmp(a->name, b->name, shorter);
    if (!order && a->stem != b->stem)
        order = a->stem < b->stem ? -1 : 1;
    if (!order)
        order = strcmp(a->end, b->end);
    if (!order && a->total != b->total)
        order = a->total < b->total ? -1 : 1;
    return order ? order : a->index < b->index ? -1 : a->index > b->index;
}

hsae_status hsae_folder_check_whole(const hsae_context *context, const char *folder, const struct hsae_names *names, bool raw)
{
    hsae_status status = HSAE_OK;
    size_t count = 0;
    struct member *members = malloc((names->count + 1) * sizeof *members);
    if (!members)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory", folder);
    for (size_t i = 0; i < names->count; i++)
        if (hsae_is_data_name(names->items[i], raw) && read_member(names->items[i], &members[count]))
            count++;
    qsort(members, count, sizeof *members, by_family);
    for (size_t i = 0, length; i < count && !status; i += length) {
        for (length = 1; i + length < count && same_family(&members[i], &members[i + length]);)
            length++;
        status = check_family(context, folder, members + i, length);
    }
    free(members);
    return status;
}

/* ---- NAME_3.EXTENSION ---- */

static bool read_numbered(const char *name, struct member *out)
{
    const char *end = strrchr(name, '.'), *at;
    size_t begin = end ? (size_t)(end - name) : 0;
    while (begin > 0 && is_digit(name[begin - 1]))
        begin--;
    *out = (struct member){.name = name, .stem = begin, .end = end};
    at = name + begin;
    return end && read_count(&at, &out->index);
}

/* The member before the first missing number. False: none is missing, or so many that the numbers are no count. */
static bool find_gap(const struct member *members, size_t count, struct member *before)
{
    uint64_t span = members[count - 1].index - members[0].index + 1, missing = span - count;
    if (count < 3 || missing == 0 || missing > count / 3)
        return false;
    for (size_t i = 0; i + 1 < count; i++)
        if (members[i].index + 1 != members[i + 1].index) {
            *before = members[i];
            return true;
        }
    return false;
}

hsae_status hsae_folder_find_gap(const hsae_context *context, const char *folder, const struct hsae_names *names, bool raw)
{
    struct member *members = malloc((names->count + 1) * sizeof *members), before;
    size_t count = 0;
    if (!members)
        return hsae_fail(context, HSAE_ERROR_MEMORY, "%s: out of memory for the names of %zu files", folder, names->count);
    for (size_t i = 0; i <= names->count; i++) {
        struct member next;
        bool numbered = i < names->count && hsae_is_data_name(names->items[i], raw) && read_numbered(names->items[i], &next);
        if (count && (!numbered || !same_family(&next, members) || next.index <= members[count - 1].index)) {
            if (find_gap(members, count, &before)) {
                hsae_log(context, HSAE_LOG_WARNING, "%s: no file has the number that follows %s; if one is missing, fetch it", folder,
                         before.name);
                break;
            }
            count = 0;
        }
        if (numbered)
            members[count++] = next;
    }
    free(members);
    return HSAE_OK;
}

/* ---- lists of names ---- */

enum { SHOWN = 8, RESERVED = 32 };

void hsae_name_list_add(struct hsae_name_list *list, const char *name, const char *what)
{
    size_t left = sizeof list->text - RESERVED - list->used;
    list->count++;
    if (list->shown == SHOWN || list->shown + 1 < list->count)
        return;
    int length = snprintf(list->text + list->used, left, what ? "%s%s (%s)" : "%s%s", list->shown ? ", " : "", name, what);
    if (length < 0 || (size_t)length >= left) {
        list->text[list->used] = '\0';
        return;
    }
    list->used += (size_t)length;
    list->shown++;
}

const char *hsae_name_list_end(struct hsae_name_list *list)
{
    if (list->count > list->shown)
        snprintf(list->text + list->used, sizeof list->text - list->used, list->shown ? " and %zu more" : "%zu", list->count - list->shown);
    return list->text;
}

/* ---- folders within the folder ---- */

static bool has(const char *folder, const char *name)
{
    char *path = hsae_path_join(folder, name);
    bool is = path && hsae_os_kind(path) == HSAE_OS_FILE;
    free(path);
    return is;
}

enum hsae_inner_folder hsae_inner_folder(const char *path, bool raw)
{
    struct hsae_names names;
    bool data = false;
    if (has(path, "state.json"))
        return HSAE_INNER_SPLIT;
    if (has(path, "config.json") && (has(path, "metrics.jsonl") || has(path, "run.json")))
        return HSAE_INNER_RUN;
    if (hsae_names_read(path, &names))
        return HSAE_INNER_OTHER;
    for (size_t i = 0; i < names.count && !data; i++)
        data = hsae_is_data_name(names.items[i], raw);
    hsae_names_free(&names);
    return data ? HSAE_INNER_DATA : HSAE_INNER_OTHER;
}
