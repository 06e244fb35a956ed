/* SPDX-License-Identifier: MIT */
/* The command line of checkgpu. */
#ifndef HSAE_TESTS_OPTIONS_H
#define HSAE_TESTS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    const char *device; /* NULL: all */
    const char *kernel; /* a glob; NULL: all */
    uint64_t seed, repeat;
    bool bench, list, help;
};

extern const char options_usage[];

/* False: the words are not understood, or no kernel has such a name. */
bool options_parse(int argc, char **argv, struct options *options);
/* Whether a kernel of that name was asked for. */
bool options_want(const struct options *options, const char *kernel);

#endif
