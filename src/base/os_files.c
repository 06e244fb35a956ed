/* SPDX-License-Identifier: MIT */
/* What is the same on every system: advice on errors of files, the sweep of temporary files, colors, launchers. */
#include "os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *hsae_os_advice(int error)
{
    switch (error) {
    case ENOENT:
        return "; check the path";
    case EACCES:
    case EPERM:
        return "; check its permissions and those of its folder (ls -ld), or choose another place";
    case ENOSPC:
#ifdef EDQUOT
    case EDQUOT:
#endif
        return "; make room there or choose another place, then try again";
    case EROFS:
        return "; choose a place that can be written to";
    case EFBIG:
        return "; raise the limit of file sizes (ulimit -f) or choose a file system that takes larger files";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files (ulimit -n)";
    case ENOTDIR:
    case EISDIR:
        return "; check the path: what should be a folder is a file, or the other way round";
    case ENAMETOOLONG:
        return "; choose a shorter path";
    case ENOMEM:
        return "; close other programs or raise the limit of memory (ulimit -v)";
    case ETIMEDOUT:
        return "; where it is a pipe, start its writer first";
    case EIO:
        return "; the disk itself reports a fault: see the system's log, and choose another one";
    default:
        return "";
    }
}

static bool is_temporary(const char *name)
{
    size_t length = strlen(name), prefix = strlen(HSAE_OS_TEMPORARY_PREFIX), suffix = strlen(HSAE_OS_TEMPORARY_SUFFIX);
    return length > prefix + suffix && !strncmp(name, HSAE_OS_TEMPORARY_PREFIX, prefix) &&
           !strcmp(name + length - suffix, HSAE_OS_TEMPORARY_SUFFIX);
}

void hsae_os_sweep(const char *folder, void (*removed)(const char *path))
{
    struct hsae_os_folder *entries = hsae_os_folder_open(folder);
    for (const char *name; entries && (name = hsae_os_folder_next(entries));) {
        uint64_t bytes;
        size_t size = strlen(folder) + 1 + strlen(name) + 1;
        char *path = is_temporary(name) ? malloc(size) : NULL;
        if (path)
            snprintf(path, size, "%s/%s", folder, name);
        int file = path ? hsae_os_open(path, HSAE_OS_CLAIM) : -1;
        /* A writer at work holds the lock. Without a lock, check that the name still is this file's: its writer may have renamed it, and
         * another one taken the name. */
        if (file >= 0 && hsae_os_describe(file, &bytes) == HSAE_OS_FILE && !hsae_os_lock(file) && hsae_os_is_named(file, path) &&
            !hsae_os_remove(path) && removed)
            removed(path);
        if (file >= 0)
            hsae_os_close(file);
        free(path);
    }
    hsae_os_folder_close(entries);
}

bool hsae_os_has_colors(void)
{
    const char *without = hsae_os_getenv("NO_COLOR");
    return hsae_os_has_terminal() && !(without && *without);
}

unsigned long hsae_os_launched(void)
{
    /* Open MPI's; of launchers with PMI, as MPICH's, Intel's and Slurm's. */
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const char *text = hsae_os_getenv(names[k]);
        if (text && strtoul(text, NULL, 10))
            return strtoul(text, NULL, 10);
    }
    return 1;
}
