/* SPDX-License-Identifier: MIT */
#include "drivers.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = sizeof((struct hsae_driver_file *)0)->path };

enum hsae_os_library hsae_driver_loader(hsae_backend backend)
{
    return backend == HSAE_BACKEND_OPENCL ? HSAE_OS_OPENCL : HSAE_OS_VULKAN;
}

const char *hsae_backend_title(hsae_backend backend)
{
    static const char *const titles[] = {"reference", "OpenCL", "Vulkan"};
    return titles[backend];
}

const char *hsae_backend_name(hsae_backend backend)
{
    static const char *const names[] = {"ref", "opencl", "vulkan"};
    return names[backend];
}

/* ---- what a file says ---- */

/* The first line of an OpenCL driver's file. */
static void read_opencl(const char *text, char *library, size_t room)
{
    text += strspn(text, " \t\r\n");
    size_t length = strcspn(text, "\r\n");
    while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    if (length < room)
        snprintf(library, room, "%.*s", (int)length, text);
}

/* A Vulkan driver's is a manifest; a path with a slash that is relative begins at the manifest's folder. */
static void read_vulkan(const char *path, const char *text, size_t size, char *library, size_t room)
{
    struct hsae_json_error wrong;
    json_t *manifest = hsae_json_read(text, size, &wrong);
    const char *given = json_string_value(json_object_get(json_object_get(manifest, "ICD"), "library_path"));
    bool relative = given && !hsae_os_is_separator(*given) && strchr(given, '/');
    size_t folder = relative ? (size_t)(hsae_os_file_name(path) - path) : 0;
    if (given && folder + strlen(given) < room)
        snprintf(library, room, "%.*s%s", (int)folder, path, given);
    json_decref(manifest);
}

void hsae_driver_library(hsae_backend backend, const char *path, const char *text, size_t size, char *library, size_t room)
{
    library[0] = 0;
    if (backend == HSAE_BACKEND_OPENCL)
        read_opencl(text, library, room);
    else
        read_vulkan(path, text, size, library, room);
}

static void read_file(hsae_backend backend, struct hsae_driver_file *file)
{
    enum { MAX_BYTES = 1 << 16 };
    FILE *stream = hsae_os_kind(file->path) == HSAE_OS_FILE ? hsae_os_fopen(file->path, "rb") : NULL;
    char *text = stream ? malloc(MAX_BYTES + 1) : NULL;
    size_t size = text ? fread(text, 1, MAX_BYTES, stream) : 0;
    if (text) {
        text[size] = 0;
        hsae_driver_library(backend, file->path, text, size, file->library, sizeof file->library);
    }
    free(text);
    if (stream)
        fclose(stream);
}

/* ---- where the files are ---- */

static void add(hsae_backend backend, struct hsae_driver_files *files, const char *path)
{
    struct hsae_driver_file *grown = realloc(files->items, (files->count + 1) * sizeof *grown);
    if (!grown)
        return;
    files->items = grown;
    struct hsae_driver_file *file = &grown[files->count];
    *file = (struct hsae_driver_file){0};
    if (snprintf(file->path, sizeof file->path, "%s", path) >= (int)sizeof file->path)
        return;
    files->count++;
    read_file(backend, file);
}

static void add_folder(hsae_backend backend, struct hsae_driver_files *files, const char *folder)
{
    const char *ending = backend == HSAE_BACKEND_OPENCL ? ".icd" : ".json", *name;
    struct hsae_os_folder *open = hsae_os_folder_open(folder);
    while (open && (name = hsae_os_folder_next(open))) {
        char path[PATH_BYTES + 256];
        size_t length = strlen(name);
        if (length > strlen(ending) && strcmp(name + length - strlen(ending), ending) == 0) {
            snprintf(path, sizeof path, "%.*s/%s", PATH_BYTES, folder, name);
            add(backend, files, path);
        }
    }
    hsae_os_folder_close(open);
}

static void add_place(hsae_backend backend, struct hsae_driver_files *files, const char *place)
{
    if (hsae_os_kind(place) == HSAE_OS_FOLDER)
        add_folder(backend, files, place);
    else
        add(backend, files, place);
}

static void add_usual(hsae_backend backend, struct hsae_driver_files *files)
{
    char folder[PATH_BYTES];
    for (size_t i = 0; hsae_os_driver_folder(hsae_driver_loader(backend), i, folder, sizeof folder); i++) {
        add_folder(backend, files, folder);
        files->apart = true;
    }
}

/* $OCL_ICD_VENDORS: a folder, a file, a file's name in the usual folder, or a library. */
static void find_opencl(struct hsae_driver_files *files)
{
    const char *vendors = hsae_os_getenv("OCL_ICD_VENDORS"), *libraries = hsae_os_getenv("OCL_ICD_FILENAMES");
    char usual[PATH_BYTES], path[2 * PATH_BYTES + 2];
    if (libraries && *libraries) /* which loaders treat in different ways */
        return;
    if (!vendors || !*vendors) {
        add_usual(HSAE_BACKEND_OPENCL, files);
        return;
    }
    size_t length = strlen(vendors);
    bool bare = !strchr(vendors, '/') && length > 4 && strcmp(vendors + length - 4, ".icd") == 0;
    if (bare && hsae_os_driver_folder(HSAE_OS_OPENCL, 0, usual, sizeof usual))
        snprintf(path, sizeof path, "%s/%.*s", usual, PATH_BYTES, vendors);
    else
        snprintf(path, sizeof path, "%.*s", PATH_BYTES, vendors);
    files->apart = hsae_os_kind(path) == HSAE_OS_FOLDER;
    add_place(HSAE_BACKEND_OPENCL, files, path);
}

static void find_vulkan(struct hsae_driver_files *files)
{
    const char *list = hsae_os_getenv("VK_DRIVER_FILES");
    char place[PATH_BYTES];
    if (!list || !*list)
        list = hsae_os_getenv("VK_ICD_FILENAMES");
    if (!list || !*list) {
        add_usual(HSAE_BACKEND_VULKAN, files);
        list = hsae_os_getenv("VK_ADD_DRIVER_FILES");
    }
    for (size_t length; list && *list; list += length + (list[length] != 0)) {
        length = strcspn(list, (const char[]){hsae_os_list_separator(), 0});
        snprintf(place, sizeof place, "%.*s", (int)length, list);
        if (length)
            add_place(HSAE_BACKEND_VULKAN, files, place);
        files->apart = true;
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct hsae_driver_file *)a)->path, ((const struct hsae_driver_file *)b)->path);
}

void hsae_driver_files_find(hsae_backend backend, struct hsae_driver_files *out)
{
    *out = (struct hsae_driver_files){0};
    if (backend == HSAE_BACKEND_OPENCL)
        find_opencl(out);
    else
        find_vulkan(out);
    if (out->count)
        qsort(out->items, out->count, sizeof *out->items, by_path);
}

void hsae_driver_files_free(struct hsae_driver_files *files)
{
    free(files->items);
    *files = (struct hsae_driver_files){0};
}

uint64_t hsae_driver_files_hash(hsae_backend backend, const struct hsae_driver_files *files)
{
    uint64_t stamp = hsae_os_library_stamp(hsae_os_library_name(hsae_driver_loader(backend)));
    uint64_t hash = hsae_hash(HSAE_HASH_START, &stamp, sizeof stamp);
    for (size_t i = 0; i < files->count; i++) {
        const struct hsae_driver_file *file = &files->items[i];
        const uint64_t stamps[] = {hsae_os_stamp(file->path), *file->library ? hsae_os_library_stamp(file->library) : 0};
        hash = hsae_hash(hsae_hash(hash, file->path, strlen(file->path) + 1), stamps, sizeof stamps);
    }
    return hash;
}
