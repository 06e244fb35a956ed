/* replay FILE|FOLDER...: hands every file to the fuzz target that it is linked with, in the order of their names. */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static unsigned replayed;

static int replay_file(const char *path)
{
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &info)) {
        perror(path);
        return 1;
    }
    /* Exactly as long as the input, so that a byte too far is seen. */
    uint8_t *data = malloc((size_t)info.st_size);
    bool read = info.st_size == 0 || (data && fread(data, 1, (size_t)info.st_size, file) == (size_t)info.st_size);
    if (read) {
        LLVMFuzzerTestOneInput(data, (size_t)info.st_size);
        replayed++;
    }
    free(data);
    fclose(file);
    return !read;
}

static int replay(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort), failed = 0;
    if (count < 0)
        return replay_file(path);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            failed |= replay_file(name);
        free(entries[i]);
    }
    free(entries);
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
