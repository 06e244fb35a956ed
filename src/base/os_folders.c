/* SPDX-License-Identifier: MIT */
/* What every system does in the same way with folders. */
#include "os.h"

#include <errno.h>

void hsae_os_sync_parent(const char *path)
{
    int folder = hsae_os_open(path, HSAE_OS_PARENT);
    if (folder < 0)
        return;
    hsae_os_sync(folder);
    hsae_os_close(folder);
}

int hsae_os_make_folders(char *path, bool private, bool *made)
{
    *made = false;
    for (char *c = path + (*path != 0);; c++) {
        const char separator = *c;
        if (separator && !hsae_os_is_separator(separator))
            continue;
        *c = 0;
        if ((private && !separator ? hsae_os_make_private_folder(path) : hsae_os_make_folder(path)) == 0) {
            *made = true;
            hsae_os_sync_parent(path);
        } else if (errno != EEXIST) {
            return -1;
        }
        if (!separator)
            return 0;
        *c = separator;
    }
}
