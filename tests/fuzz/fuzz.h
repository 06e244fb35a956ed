/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. A target takes any bytes: fuzz_NAME.c is run by libFuzzer, and by replay.c on corpus/NAME in the tests. */
#ifndef HSAE_TESTS_FUZZ_H
#define HSAE_TESTS_FUZZ_H

#include <hsae/hsae.h>

#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Without a callback no message would be formatted. */
static inline void fuzz_drop(void *user, hsae_log_level level, const char *message)
{
    (void)user;
    (void)level;
    (void)message;
}

static inline hsae_context *fuzz_context(void)
{
    static hsae_context *context;
    if (!context && hsae_context_create(&(hsae_context_params){.log = fuzz_drop, .cache_dir = ""}, &context))
        abort();
    return context;
}

/* The path of a file that holds these bytes, until the next call: in memory, where there is GNU's memfd_create. */
#ifdef MFD_CLOEXEC
static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[64];
    static int file = -1;
    if (file < 0) {
        file = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (file < 0 || ftruncate(file, 0) || ftruncate(file, (off_t)size) || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
    return path;
}
#else
static char fuzz_folder[256], fuzz_path[272];

static inline void fuzz_remove(void)
{
    hsae_os_remove(fuzz_path);
    hsae_os_remove_folder(fuzz_folder);
}

static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    if (!*fuzz_folder) {
        if (hsae_os_temporary_folder(fuzz_folder, sizeof fuzz_folder) || atexit(fuzz_remove))
            abort();
        snprintf(fuzz_path, sizeof fuzz_path, "%s/input", fuzz_folder);
    }
    FILE *file = hsae_os_fopen(fuzz_path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file))
        abort();
    return fuzz_path;
}
#endif

#endif
