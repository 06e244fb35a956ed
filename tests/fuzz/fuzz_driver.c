/* SPDX-License-Identifier: MIT */
/* Any text as a file that names a driver: the first byte says of which kind. */
#include "device/drivers.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { ROOM = 64 };
    if (!size)
        return 0;
    char *text = malloc(size), *library = malloc(ROOM);
    if (text && library) {
        memcpy(text, data + 1, size - 1);
        text[size - 1] = 0;
        hsae_driver_library(*data == 'v' ? HSAE_BACKEND_VULKAN : HSAE_BACKEND_OPENCL, "/a/folder/driver.json", text, size - 1, library,
                            ROOM);
        if (strlen(library) >= ROOM || (*data != 'v' && strchr(library, '\n')))
            abort();
    }
    free(text);
    free(library);
    return 0;
}
