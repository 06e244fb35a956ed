/* SPDX-License-Identifier: MIT */
#include "drivers.h"

#include "backend_table.h"

#include <stdlib.h>
#include <string.h>

/* What to install. */
static const struct {
    const char *loader, *driver;
} packages[] = {
    [HSAE_BACKEND_OPENCL] = {"install ocl-icd-libopencl1 (Debian, Ubuntu), ocl-icd (Fedora, Arch)",
                             "install the driver of the GPU: nvidia-opencl-icd, intel-opencl-icd or rocm-opencl-icd, or for the CPU "
                             "pocl-opencl-icd (Debian, Ubuntu) or pocl (Fedora, Arch)"},
    [HSAE_BACKEND_VULKAN] = {"install libvulkan1 (Debian, Ubuntu), vulkan-loader (Fedora), vulkan-icd-loader (Arch)",
                             "install the driver of the GPU: mesa-vulkan-drivers (Debian, Ubuntu, Fedora), vulkan-radeon or vulkan-intel "
                             "(Arch), or NVIDIA's"},
};

static void check_files(hsae_backend backend, const struct hsae_driver_files *files, bool loads, struct hsae_problems *problems)
{
    for (size_t i = 0; i < files->count; i++) {
        const struct hsae_driver_file *file = &files->items[i];
        bool absent = hsae_os_kind(file->path) == HSAE_OS_NONE, named = strchr(file->path, '/');
        char error[400];
        if (absent && named)
            hsae_problem_add(problems, backend, "name another in the environment, or unset the variable", "%s driver %s is not there",
                             hsae_backend_title(backend), file->path);
        else if (!absent && !*file->library && (strstr(file->path, ".icd") || strstr(file->path, ".json")))
            hsae_problem_add(problems, backend, "install the package of that driver again, or remove the file",
                             "%s driver %s names no library", hsae_backend_title(backend), file->path);
        else if (loads && *file->library && !hsae_os_library_open_file(file->library, error, sizeof error))
            hsae_problem_add(problems, backend, "install the package of that driver again, or what its library needs; or remove the file",
                             "%s driver %s does not load: %s", hsae_backend_title(backend), file->path, error);
    }
}

/* hsae_log_fn: warnings of a driver that fails. */
struct listener {
    hsae_backend backend;
    struct hsae_problems *problems;
};
static void listen(void *user, hsae_log_level level, const char *message)
{
    const struct listener *listener = user;
    if (level <= HSAE_LOG_WARNING)
        hsae_problem_add(listener->problems, listener->backend, NULL, "%s", message);
}

static void check_none(hsae_backend backend, const struct hsae_driver_files *files, struct hsae_problems *problems)
{
    const char *title = hsae_backend_title(backend);
    char names[300] = "";
    size_t used = 0;
    if (!files->count && hsae_os_library_name(hsae_driver_loader(backend)))
        hsae_problem_add(problems, backend, packages[backend].driver, "no %s driver is installed", title);
    for (size_t i = 0; i < files->count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", hsae_os_file_name(files->items[i].path));
    if (files->count)
        hsae_problem_add(problems, backend, packages[backend].driver, "no %s driver has a device (%s)", title, names);
}

void hsae_drivers_look(hsae_context *context, hsae_backend backend, bool loads, struct hsae_problems *problems, size_t *devices)
{
    struct listener listener = {backend, problems};
    struct hsae_context own = *context;
    struct hsae_driver_files files;
    hsae_device_info *list = NULL;
    void *loader = hsae_os_library_open(hsae_driver_loader(backend));
    *devices = 0;
    if (!loader) {
        hsae_problem_add(problems, backend, packages[backend].loader, "the %s loader %s is not installed", hsae_backend_title(backend),
                         hsae_os_library_name(hsae_driver_loader(backend)));
        return;
    }
    own.log = listen;
    own.log_user = &listener;
    hsae_driver_files_find(backend, &files);
    hsae_backend_enumerate(&own, backend, &list, devices);
    hsae_backend_explain(&own, backend, problems);
    check_files(backend, &files, loads, problems);
    if (!*devices)
        check_none(backend, &files, problems);
    hsae_driver_files_free(&files);
    free(list);
}
