/* SPDX-License-Identifier: MIT */
/* PoCL has no device where it cannot write its cache folder. */
#include "drivers.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

/* Whether a file can be made in the folder, which is made if it is not there. */
static bool can_write(const char *folder)
{
    char path[PATH_BYTES];
    bool made;
    snprintf(path, sizeof path, "%s", folder);
    if (hsae_os_make_folders(path, false, &made) || snprintf(path, sizeof path, "%s/.hsae-XXXXXX", folder) >= (int)sizeof path)
        return false;
    int file = hsae_os_open_temporary(path, false);
    if (file < 0)
        return false;
    hsae_os_close(file);
    return true;
}

/* Where PoCL would keep what it compiles; false: nowhere of the user's own. */
static bool own_folder(char folder[PATH_BYTES])
{
    static const struct {
        const char *variable, *tail;
    } places[] = {{"POCL_CACHE_DIR", ""}, {"XDG_CACHE_HOME", "/pocl/kcache"}, {"HOME", "/.cache/pocl/kcache"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *base = hsae_os_getenv(places[i].variable);
        if (base && *base)
            return snprintf(folder, PATH_BYTES, "%s%s", base, places[i].tail) < PATH_BYTES;
    }
    return false;
}

static bool is_pocl(const struct hsae_driver_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        if (strstr(files->items[i].path, "pocl") || strstr(files->items[i].library, "pocl"))
            return true;
    return false;
}

void hsae_pocl_prepare(hsae_context *context, const struct hsae_driver_files *files)
{
    char own[PATH_BYTES] = "", folder[PATH_BYTES], base[PATH_BYTES];
    if (!is_pocl(files) || (own_folder(own) && can_write(own)))
        return;
    const char *given = hsae_os_getenv("POCL_CACHE_DIR");
    hsae_log_level level = given && *given ? HSAE_LOG_INFO : HSAE_LOG_DEBUG;
    bool cached = context->cache_dir && snprintf(folder, sizeof folder, "%s/pocl", context->cache_dir) < (int)sizeof folder;
    if (cached)
        hsae_cache_make_folder(context);
    if ((!cached || !can_write(folder)) && !(hsae_os_private_temporary(base, sizeof base) == 0 &&
                                             snprintf(folder, sizeof folder, "%s/pocl", base) < (int)sizeof folder && can_write(folder))) {
        hsae_log(context, HSAE_LOG_DEBUG, "there is no cache folder for PoCL");
        return;
    }
    hsae_log(context, level, "opencl: PoCL keeps what it compiles in %s, since %s%s", folder, own,
             *own ? " cannot be written" : "HOME is not set");
    hsae_os_setenv("POCL_CACHE_DIR", folder);
}
