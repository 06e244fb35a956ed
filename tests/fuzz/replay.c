/* SPDX-License-Identifier: MIT */
/* replay FILE|FOLDER...: hands every file to the fuzz target that it is linked with, in the order of their names. */
#include "fuzz.h"

#include "base/file.h"

#include <string.h>

static unsigned replayed;

static int replay_file(const char *path)
{
    uint64_t size = 0;
    FILE *file = hsae_os_fopen(path, "rb");
    if (!file || hsae_os_describe(fileno(file), &size) == HSAE_OS_NONE) {
        perror(path);
        return 1;
    }
    /* Exactly as long as the input, so that a byte too far is seen. */
    uint8_t *data = malloc((size_t)size);
    bool read = size == 0 || (data && fread(data, 1, (size_t)size, file) == (size_t)size);
    if (read) {
        LLVMFuzzerTestOneInput(data, (size_t)size);
        replayed++;
    }
    free(data);
    fclose(file);
    return !read;
}

static int replay(const char *path)
{
    struct hsae_names names;
    int failed = 0;
    if (hsae_names_read(path, &names))
        return replay_file(path);
    for (size_t i = 0; i < names.count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, names.items[i]);
        failed |= replay_file(name);
    }
    hsae_names_free(&names);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    printf("%u inputs\n", replayed);
    return failed || !replayed;
}
