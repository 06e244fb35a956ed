/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"

const char options_usage[] =
    "usage: checkgpu [--device ID|all] [--kernel GLOB] [--seed N] [--repeat N] [--bench] [--list] [--help]\n"
    "Tests every kernel on every device against the reference. Exit status: 0 passed, 1 failed, 2 usage, 77 nothing to test.\n"
    "  --device ID    that device alone, for instance opencl:0\n"
    "  --kernel GLOB  kernels of that name; * stands for any text, ? for any character\n"
    "  --seed N       of the cases; the default is the time\n"
    "  --repeat N     N times, each with the next seed\n"
    "  --bench        also times each kernel that passed: its best time of four; operations a second, where the test counts them, else\n"
    "                 bytes of all its buffers a second (modified ones count twice); how many times as fast as the reference it is\n"
    "  --list         prints the names of the kernels\n";

/* Whether all of `text` matches. */
static bool matches(const char *glob, const char *text)
{
    if (*glob == '*')
        return matches(glob + 1, text) || (*text && matches(glob, text + 1));
    if (!*glob || !*text)
        return *glob == *text;
    return (*glob == '?' || *glob == *text) && matches(glob + 1, text + 1);
}

bool options_want(const struct options *options, const char *kernel)
{
    return !options->kernel || matches(options->kernel, kernel);
}

static bool want_any(const struct options *options)
{
    for (u32 k = 0; k < HSAE_KERNEL_COUNT; k++)
        if (options_want(options, hsae_kernels[k].name))
            return true;
    return false;
}

static bool parse_number(const char *text, uint64_t *number)
{
    char *end;
    *number = strtoull(text, &end, 0);
    return *text && !*end;
}

/* An option without a value. */
static bool parse_flag(const char *word, struct options *options)
{
    bool *flag = strcmp(word, "--bench") == 0  ? &options->bench
                 : strcmp(word, "--list") == 0 ? &options->list
                 : strcmp(word, "--help") == 0 ? &options->help
                                               : NULL;
    if (flag)
        *flag = true;
    return flag != NULL;
}

static bool parse_value(const char *word, const char *value, struct options *options)
{
    if (strcmp(word, "--device") == 0)
        options->device = strcmp(value, "all") == 0 ? NULL : value;
    else if (strcmp(word, "--kernel") == 0)
        options->kernel = value;
    else if (strcmp(word, "--seed") == 0)
        return parse_number(value, &options->seed);
    else if (strcmp(word, "--repeat") == 0)
        return parse_number(value, &options->repeat) && options->repeat > 0;
    else
        return false;
    return true;
}

bool options_parse(int argc, char **argv, struct options *options)
{
    for (int k = 1; k < argc; k++) {
        if (parse_flag(argv[k], options))
            continue;
        if (k + 1 == argc || !parse_value(argv[k], argv[k + 1], options))
            return false;
        k++;
    }
    return want_any(options);
}
