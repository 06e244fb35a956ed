/* SPDX-License-Identifier: MIT */
/* Windows 10 and later, through its wide functions. */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0A00

#include "os.h"

#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <limits.h>
#include <process.h>
#include <psapi.h>
#include <shellapi.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* WIDE: characters of a path, with the 0; TEXT: bytes of the same in UTF-8. */
enum { WIDE = 4096, TEXT = 3 * WIDE };
/* Locks forbid reading, so they are where no file has bytes. */
enum { LOCK_HIGH = 0x40000000 };

/* ---- errors and text ---- */

static int fail_as(int error)
{
    errno = error;
    return -1;
}

/* errno for the last error of this thread; -1. */
static int fail(void)
{
    static const struct {
        DWORD code;
        int error;
    } known[] = {
        {ERROR_FILE_NOT_FOUND, ENOENT},      {ERROR_PATH_NOT_FOUND, ENOENT},
        {ERROR_INVALID_DRIVE, ENOENT},       {ERROR_BAD_NETPATH, ENOENT},
        {ERROR_INVALID_NAME, ENOENT},        {ERROR_ACCESS_DENIED, EACCES},
        {ERROR_SHARING_VIOLATION, EACCES},   {ERROR_LOCK_VIOLATION, EWOULDBLOCK},
        {ERROR_FILE_EXISTS, EEXIST},         {ERROR_ALREADY_EXISTS, EEXIST},
        {ERROR_DIR_NOT_EMPTY, ENOTEMPTY},    {ERROR_DIRECTORY, ENOTDIR},
        {ERROR_DISK_FULL, ENOSPC},           {ERROR_HANDLE_DISK_FULL, ENOSPC},
        {ERROR_WRITE_PROTECT, EROFS},        {ERROR_NOT_ENOUGH_MEMORY, ENOMEM},
        {ERROR_OUTOFMEMORY, ENOMEM},         {ERROR_COMMITMENT_LIMIT, ENOMEM},
        {ERROR_TOO_MANY_OPEN_FILES, EMFILE}, {ERROR_FILENAME_EXCED_RANGE, ENAMETOOLONG},
        {ERROR_NOT_SUPPORTED, ENOTSUP},      {ERROR_INVALID_FUNCTION, ENOTSUP},
    };
    DWORD code = GetLastError();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == code)
            return fail_as(known[i].error);
    return fail_as(EIO);
}

/* `wide`, or NULL with errno. */
static const wchar_t *to_wide(const char *text, wchar_t wide[WIDE])
{
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, WIDE) > 0)
        return wide;
    fail_as(GetLastError() == ERROR_INSUFFICIENT_BUFFER ? ENAMETOOLONG : EILSEQ);
    return NULL;
}

/* `text`, with slashes where it is a path, or NULL with errno. */
static char *to_text(const wchar_t *wide, bool path, char *text, size_t size)
{
    if (!WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, (int)size, NULL, NULL)) {
        fail_as(ENAMETOOLONG);
        return NULL;
    }
    for (char *c = text; path && *c; c++)
        if (*c == '\\')
            *c = '/';
    return text;
}

/* ---- paths ---- */

static HANDLE open_handle(const char *path, DWORD access, DWORD how, DWORD flags)
{
    wchar_t wide[WIDE];
    if (!to_wide(path, wide))
        return INVALID_HANDLE_VALUE;
    /* Others may rename and remove what is open, as elsewhere. */
    HANDLE handle = CreateFileW(wide, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, how, flags, NULL);
    if (handle == INVALID_HANDLE_VALUE)
        fail();
    return handle;
}

static enum hsae_os_kind kind_of(HANDLE handle, BY_HANDLE_FILE_INFORMATION *info)
{
    if (GetFileType(handle) != FILE_TYPE_DISK)
        return HSAE_OS_OTHER;
    if (!GetFileInformationByHandle(handle, info)) {
        fail();
        return HSAE_OS_NONE;
    }
    return info->dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? HSAE_OS_FOLDER : HSAE_OS_FILE;
}

enum hsae_os_kind hsae_os_kind(const char *path)
{
    BY_HANDLE_FILE_INFORMATION info;
    HANDLE handle = open_handle(path, FILE_READ_ATTRIBUTES, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
    if (handle == INVALID_HANDLE_VALUE)
        return HSAE_OS_NONE;
    enum hsae_os_kind kind = kind_of(handle, &info);
    CloseHandle(handle);
    return kind;
}

char *hsae_os_resolve(const char *path)
{
    wchar_t wide[WIDE];
    char text[TEXT];
    HANDLE handle = open_handle(path, FILE_READ_ATTRIBUTES, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
    if (handle == INVALID_HANDLE_VALUE)
        return errno == ENOENT ? _strdup(path) : NULL;
    DWORD length = GetFinalPathNameByHandleW(handle, wide, WIDE, FILE_NAME_NORMALIZED | VOLUME_NAME_DOS);
    if (length == 0)
        fail();
    CloseHandle(handle);
    if (length == 0 || length >= WIDE || !to_text(wide, true, text, sizeof text))
        return NULL;
    /* What comes is //?/C:/folder or //?/UNC/server/folder. */
    const char *plain = strncmp(text, "//?/", 4) == 0 ? text + 4 : text;
    if (strncmp(plain, "UNC/", 4) == 0)
        return _strdup(memcpy(text + 6, "//", 2));
    return _strdup(plain);
}

bool hsae_os_is_separator(char c)
{
    return c == '/' || c == '\\';
}

char hsae_os_list_separator(void)
{
    return ';';
}

const char *hsae_os_file_name(const char *path)
{
    const char *name = path;
    for (const char *c = path; *c; c++)
        if (hsae_os_is_separator(*c) || (*c == ':' && c == path + 1))
            name = c + 1;
    return name;
}

int hsae_os_make_folder(const char *path)
{
    wchar_t wide[WIDE];
    if (!to_wide(path, wide))
        return -1;
    if (CreateDirectoryW(wide, NULL))
        return 0;
    fail();
    return hsae_os_kind(path) == HSAE_OS_FOLDER ? fail_as(EEXIST) : -1; /* of "C:" it says that access is denied */
}

/* Folders below the user's own are private as they are. */
int hsae_os_make_private_folder(const char *path)
{
    return hsae_os_make_folder(path);
}

bool hsae_os_is_private(const char *path)
{
    (void)path;
    return true;
}

int hsae_os_remove(const char *path)
{
    wchar_t wide[WIDE];
    return !to_wide(path, wide) ? -1 : DeleteFileW(wide) ? 0 : fail();
}

int hsae_os_remove_folder(const char *path)
{
    wchar_t wide[WIDE];
    return !to_wide(path, wide) ? -1 : RemoveDirectoryW(wide) ? 0 : fail();
}

int hsae_os_rename(const char *from, const char *to)
{
    wchar_t wide_from[WIDE], wide_to[WIDE];
    if (!to_wide(from, wide_from) || !to_wide(to, wide_to))
        return -1;
    return MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) ? 0 : fail();
}

struct hsae_os_folder {
    HANDLE search;
    WIN32_FIND_DATAW found;
    bool first; /* `found` was not handed out yet */
    char name[3 * MAX_PATH + 1];
};

struct hsae_os_folder *hsae_os_folder_open(const char *path)
{
    char pattern[TEXT];
    wchar_t wide[WIDE];
    snprintf(pattern, sizeof pattern, "%s/*", path);
    if (!to_wide(pattern, wide))
        return NULL;
    struct hsae_os_folder *folder = malloc(sizeof *folder);
    if (!folder)
        return NULL;
    folder->first = true;
    folder->search = FindFirstFileW(wide, &folder->found);
    if (folder->search == INVALID_HANDLE_VALUE) {
        fail();
        free(folder);
        return NULL;
    }
    return folder;
}

const char *hsae_os_folder_next(struct hsae_os_folder *folder)
{
    while (folder->first || FindNextFileW(folder->search, &folder->found)) {
        folder->first = false;
        const char *name = to_text(folder->found.cFileName, false, folder->name, sizeof folder->name);
        if (!name || (strcmp(name, ".") != 0 && strcmp(name, "..") != 0))
            return name;
    }
    if (GetLastError() == ERROR_NO_MORE_FILES)
        errno = 0;
    else
        fail();
    return NULL;
}

void hsae_os_folder_close(struct hsae_os_folder *folder)
{
    if (folder)
        FindClose(folder->search);
    free(folder);
}

const char *hsae_os_cache_folder(const char **tail)
{
    *tail = "/hsae";
    return hsae_os_getenv("LOCALAPPDATA");
}

/* Puts something else in place of the six X at the end of `pattern`. */
static void fill_pattern(char *pattern, unsigned attempt)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz012345";
    LARGE_INTEGER now;
    QueryPerformanceCounter(&now);
    uint64_t bits = ((uint64_t)now.QuadPart ^ (uint64_t)GetCurrentThreadId() << 13 ^ attempt) * 0x9e3779b97f4a7c15u;
    for (char *c = pattern + strlen(pattern) - 6; *c; c++, bits <<= 5)
        *c = digits[bits >> 59];
}

int hsae_os_temporary_folder(char *path, size_t size)
{
    wchar_t wide[WIDE];
    char text[TEXT];
    const char *parent = hsae_os_getenv("TMPDIR");
    if (!parent || !*parent) {
        DWORD length = GetTempPathW(WIDE, wide); /* ends with a backslash */
        parent = length && length < WIDE ? to_text(wide, true, text, sizeof text) : NULL;
    }
    if (!parent)
        parent = ".";
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        const char *slash = *hsae_os_file_name(parent) ? "/" : "";
        snprintf(path, size, "%.1000s%shsae-XXXXXX", parent, slash);
        fill_pattern(path, attempt);
        if (hsae_os_make_folder(path) == 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return -1;
}

int hsae_os_private_temporary(char *path, size_t size)
{
    wchar_t wide[WIDE];
    char text[TEXT];
    DWORD length = GetTempPathW(WIDE, wide);
    if (!length || length >= WIDE || !to_text(wide, true, text, sizeof text))
        return -1;
    snprintf(path, size, "%shsae", text);
    return hsae_os_make_folder(path) == 0 || errno == EEXIST ? 0 : -1;
}

char *hsae_os_program_path(char *path, size_t size)
{
    wchar_t wide[WIDE];
    DWORD length = GetModuleFileNameW(NULL, wide, WIDE);
    return length && length < WIDE ? to_text(wide, true, path, size) : NULL;
}

uint64_t hsae_os_stamp(const char *path)
{
    BY_HANDLE_FILE_INFORMATION info;
    HANDLE handle = open_handle(path, FILE_READ_ATTRIBUTES, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
    if (handle == INVALID_HANDLE_VALUE)
        return 0;
    uint64_t stamp = 0;
    if (GetFileInformationByHandle(handle, &info)) {
        const DWORD parts[] = {info.nFileSizeHigh, info.nFileSizeLow, info.ftLastWriteTime.dwHighDateTime,
                               info.ftLastWriteTime.dwLowDateTime};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            stamp = (stamp ^ parts[i]) * 0x9e3779b97f4a7c15u;
        stamp |= 1;
    }
    CloseHandle(handle);
    return stamp;
}

char *hsae_os_working_folder(char *path, size_t size)
{
    wchar_t wide[WIDE];
    DWORD length = GetCurrentDirectoryW(WIDE, wide);
    return length && length < WIDE ? to_text(wide, true, path, size) : NULL;
}

/* ---- files ---- */

static HANDLE handle_of(int file)
{
    return (HANDLE)_get_osfhandle(file);
}

static int to_descriptor(HANDLE handle, int flags)
{
    if (handle == INVALID_HANDLE_VALUE)
        return -1;
    int file = _open_osfhandle((intptr_t)handle, flags | _O_BINARY | _O_NOINHERIT);
    if (file < 0)
        CloseHandle(handle);
    return file;
}

FILE *hsae_os_fopen(const char *path, const char *mode)
{
    bool read = *mode == 'r', append = *mode == 'a';
    HANDLE handle = open_handle(path, read ? GENERIC_READ : GENERIC_WRITE,
                                read     ? OPEN_EXISTING
                                : append ? OPEN_ALWAYS
                                         : CREATE_ALWAYS,
                                FILE_ATTRIBUTE_NORMAL);
    int file = to_descriptor(handle, read ? _O_RDONLY : append ? _O_APPEND : 0);
    FILE *stream = file < 0 ? NULL : _fdopen(file, read ? "rb" : append ? "ab" : "wb");
    if (!stream && file >= 0)
        _close(file);
    if (!stream && errno == EACCES && hsae_os_kind(path) == HSAE_OS_FOLDER)
        errno = EISDIR;
    return stream;
}

int hsae_os_open(const char *path, enum hsae_os_open how)
{
    static const struct {
        DWORD access, how, flags;
    } ways[] = {
        [HSAE_OS_READ] = {GENERIC_READ, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS}, /* folders open, too, and are told apart later */
        [HSAE_OS_NEW] = {GENERIC_WRITE, CREATE_NEW, FILE_ATTRIBUTE_NORMAL},
        [HSAE_OS_LOCK] = {GENERIC_READ | GENERIC_WRITE, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL},
        [HSAE_OS_CLAIM] = {GENERIC_READ | GENERIC_WRITE, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT},
    };
    if (how == HSAE_OS_PARENT)
        return fail_as(EACCES);
    HANDLE handle = open_handle(path, ways[how].access, ways[how].how, ways[how].flags);
    return to_descriptor(handle, how == HSAE_OS_READ ? _O_RDONLY : 0);
}

int hsae_os_duplicate(int file)
{
    return _dup(file);
}

void hsae_os_close(int file)
{
    _close(file);
}

int hsae_os_open_temporary(char *pattern, bool keep)
{
    HANDLE handle = INVALID_HANDLE_VALUE;
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        fill_pattern(pattern, attempt);
        handle = open_handle(pattern, GENERIC_READ | GENERIC_WRITE | (keep ? 0 : DELETE), CREATE_NEW,
                             keep ? FILE_ATTRIBUTE_NORMAL : FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE);
        if (handle != INVALID_HANDLE_VALUE || errno != EEXIST)
            break;
    }
    return to_descriptor(handle, 0);
}

enum hsae_os_kind hsae_os_describe(int file, uint64_t *size)
{
    BY_HANDLE_FILE_INFORMATION info = {0};
    enum hsae_os_kind kind = kind_of(handle_of(file), &info);
    *size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    return kind;
}

/* FILETIME counts steps of 100 nanoseconds. */
uint64_t hsae_os_modified(int file)
{
    FILETIME time;
    if (!GetFileTime(handle_of(file), NULL, NULL, &time))
        return 0;
    return ((uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime) * 100;
}

bool hsae_os_is_named(int file, const char *path)
{
    BY_HANDLE_FILE_INFORMATION info, named;
    HANDLE handle = open_handle(path, FILE_READ_ATTRIBUTES, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT);
    if (handle == INVALID_HANDLE_VALUE)
        return false;
    bool same = kind_of(handle_of(file), &info) == HSAE_OS_FILE && kind_of(handle, &named) == HSAE_OS_FILE &&
                info.dwVolumeSerialNumber == named.dwVolumeSerialNumber && info.nFileIndexHigh == named.nFileIndexHigh &&
                info.nFileIndexLow == named.nFileIndexLow;
    CloseHandle(handle);
    return same;
}

int hsae_os_lock(int file)
{
    OVERLAPPED place = {.OffsetHigh = LOCK_HIGH};
    if (LockFileEx(handle_of(file), LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &place))
        return 0;
    fail();
    return errno;
}

int hsae_os_sync(int file)
{
    return FlushFileBuffers(handle_of(file)) ? 0 : fail();
}

ptrdiff_t hsae_os_read_at(int file, void *out, size_t size, uint64_t offset)
{
    OVERLAPPED place = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
    DWORD most = size < 1 << 30 ? (DWORD)size : 1 << 30, done;
    if (ReadFile(handle_of(file), out, most, &done, &place))
        return done;
    return GetLastError() == ERROR_HANDLE_EOF ? 0 : fail();
}

ptrdiff_t hsae_os_read_input(void *out, size_t size, bool (*stop)(void))
{
    (void)stop;
    return _read(_fileno(stdin), out, size < INT_MAX ? (unsigned)size : INT_MAX);
}

/* Windows takes such hints only when a file is opened, or makes of them reads that are waited for. */
void hsae_os_expect_random(int file)
{
    (void)file;
}

void hsae_os_expect(int file, uint64_t offset, uint64_t size)
{
    (void)file, (void)offset, (void)size;
}

/* Windows cannot lock folders. So a file in the folder is the lock: no other process can open it, and it is removed when it is closed, also
 * by the end of the process. */
int hsae_os_lock_folder(const char *path, int *lock)
{
    char name[TEXT];
    wchar_t wide[WIDE];
    *lock = -1;
    snprintf(name, sizeof name, "%s/.hsae-lock", path);
    if (!to_wide(name, wide))
        return errno;
    HANDLE handle = CreateFileW(wide, GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_HIDDEN | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        bool held = GetLastError() == ERROR_SHARING_VIOLATION;
        fail();
        return held ? EWOULDBLOCK : errno;
    }
    *lock = to_descriptor(handle, 0);
    return *lock < 0 ? errno : 0;
}

void hsae_os_unlock_folder(const char *path, int lock, bool remove)
{
    _close(lock);
    if (remove)
        hsae_os_remove_folder(path);
}

FILE *hsae_os_text_open(struct hsae_os_text *text)
{
    wchar_t wide[WIDE];
    char folder[TEXT], pattern[TEXT + 16];
    *text = (struct hsae_os_text){0};
    DWORD length = GetTempPathW(WIDE, wide);
    if (!length || length >= WIDE || !to_text(wide, true, folder, sizeof folder))
        return NULL;
    snprintf(pattern, sizeof pattern, "%shsae-XXXXXX", folder);
    int file = hsae_os_open_temporary(pattern, false);
    text->file = file < 0 ? NULL : _fdopen(file, "w+b");
    if (!text->file && file >= 0)
        _close(file);
    return text->file;
}

char *hsae_os_text_close(struct hsae_os_text *text)
{
    bool good = fflush(text->file) == 0 && !ferror(text->file);
    __int64 size = good ? _ftelli64(text->file) : -1;
    char *out = size >= 0 ? malloc((size_t)size + 1) : NULL;
    if (out) {
        rewind(text->file);
        good = fread(out, 1, (size_t)size, text->file) == (size_t)size;
        out[size] = 0;
    }
    fclose(text->file);
    if (good)
        return out;
    free(out);
    return NULL;
}

/* ---- libraries ---- */

static const char *const library_names[] = {
    [HSAE_OS_OPENCL] = "OpenCL.dll", [HSAE_OS_VULKAN] = "vulkan-1.dll", [HSAE_OS_CLBLAST] = "clblast.dll"};

void *hsae_os_library_open(enum hsae_os_library library)
{
    wchar_t wide[WIDE];
    /* The program's folder and the system's, not the working folder, in which anybody may have put one. */
    return to_wide(library_names[library], wide) ? LoadLibraryExW(wide, NULL, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS) : NULL;
}

void *hsae_os_library_open_file(const char *name, char *error, size_t size)
{
    wchar_t wide[WIDE];
    void *library = to_wide(name, wide) ? LoadLibraryExW(wide, NULL, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS) : NULL;
    if (!library)
        snprintf(error, size, "%s: error %lu", name, GetLastError());
    return library;
}

const char *hsae_os_library_name(enum hsae_os_library library)
{
    return library_names[library];
}

uint64_t hsae_os_library_stamp(const char *name)
{
    wchar_t wide[WIDE], found[WIDE];
    char text[TEXT];
    if (!to_wide(name, wide) || !SearchPathW(NULL, wide, NULL, WIDE, found, NULL) || !to_text(found, true, text, sizeof text))
        return 0;
    return hsae_os_stamp(text);
}

void *hsae_os_library_symbol(void *library, const char *name)
{
    FARPROC function = GetProcAddress(library, name);
    void *symbol;
    memcpy(&symbol, &function, sizeof symbol);
    return symbol;
}

void hsae_os_library_close(void *library)
{
    FreeLibrary(library);
}

/* ---- the machine ---- */

double hsae_os_seconds(void)
{
    LARGE_INTEGER now, second;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&second);
    return (double)now.QuadPart / (double)second.QuadPart;
}

void hsae_os_sleep(double seconds)
{
    double until = hsae_os_seconds() + seconds;
    do /* Sleep() knows milliseconds, and 0 lets another thread run */
        Sleep((DWORD)(1e3 * seconds));
    while (hsae_os_seconds() < until);
}

/* Of times in 100 ns. */
static double sum_seconds(FILETIME kernel, FILETIME user)
{
    return 1e-7 * (double)(((uint64_t)kernel.dwHighDateTime << 32 | kernel.dwLowDateTime) +
                           ((uint64_t)user.dwHighDateTime << 32 | user.dwLowDateTime));
}

double hsae_os_others_seconds(void)
{
    static _Thread_local double most; /* both clocks tick some times a second, not always together: the difference may fall */
    FILETIME created, ended, kernel, user, own_kernel, own_user;
    if (!GetProcessTimes(GetCurrentProcess(), &created, &ended, &kernel, &user) ||
        !GetThreadTimes(GetCurrentThread(), &created, &ended, &own_kernel, &own_user))
        return most;
    double seconds = sum_seconds(kernel, user) - sum_seconds(own_kernel, own_user);
    most = seconds > most ? seconds : most;
    return most;
}

uint64_t hsae_os_memory(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : SIZE_MAX;
}

unsigned hsae_os_processors(void)
{
    DWORD count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return count ? count : 1;
}

uint64_t hsae_os_peak_memory(void)
{
    PROCESS_MEMORY_COUNTERS counters;
    return K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters) ? counters.PeakWorkingSetSize : 0;
}

/* Large pages need a privilege that users do not have. */
void *hsae_os_pages(size_t page, size_t size)
{
    return _aligned_malloc(size, page);
}

void hsae_os_pages_free(void *memory)
{
    _aligned_free(memory);
}

/* ---- the process ---- */

long hsae_os_process(void)
{
    return _getpid();
}

/* Of the process: the C runtime has none that are empty. */
const char *hsae_os_getenv(const char *name)
{
    static _Thread_local char text[TEXT];
    wchar_t wide[WIDE], value[WIDE];
    if (!to_wide(name, wide))
        return NULL;
    SetLastError(ERROR_SUCCESS);
    DWORD length = GetEnvironmentVariableW(wide, value, WIDE);
    return length >= WIDE || (!length && GetLastError() != ERROR_SUCCESS) ? NULL : to_text(value, false, text, sizeof text);
}

/* The C runtime's copy and the process's, which drivers see. */
void hsae_os_setenv(const char *name, const char *value)
{
    wchar_t wide[WIDE], wide_value[WIDE] = L"";
    if (!to_wide(name, wide) || (value && !to_wide(value, wide_value)))
        return;
    _wputenv_s(wide, wide_value); /* takes it away where the value is empty */
    if (value && !*value)
        SetEnvironmentVariableW(wide, L"");
}

char **hsae_os_environment(void)
{
    return _environ;
}

int hsae_os_thread_start(pthread_t *thread, void *(*run)(void *), void *user)
{
    return pthread_create(thread, NULL, run, user);
}

/* ---- the program ---- */

void hsae_os_program_begin(int *argc, char ***argv)
{
    int count = 0;
    wchar_t **words = CommandLineToArgvW(GetCommandLineW(), &count);
    char **texts = words ? calloc((size_t)count + 1, sizeof *texts) : NULL;
    bool good = texts;
    for (int i = 0; i < count && good; i++) {
        int size = WideCharToMultiByte(CP_UTF8, 0, words[i], -1, NULL, 0, NULL, NULL);
        texts[i] = malloc((size_t)size + 1);
        good = texts[i] && to_text(words[i], false, texts[i], (size_t)size + 1);
    }
    if (good) { /* else those of the runtime, in which some characters may be missing; they live until the end */
        *argc = count;
        *argv = texts;
    }
    LocalFree(words);
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    SetConsoleOutputCP(CP_UTF8);
    _setmaxstdio(2048);
}

static void (*stop_program)(int signal);

static BOOL WINAPI on_control(DWORD event)
{
    bool key = event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT;
    stop_program(key ? SIGINT : SIGTERM);
    if (!key) /* the process ends when this returns, and some seconds later anyhow: until then it may finish */
        Sleep(INFINITE);
    return TRUE;
}

void hsae_os_program_catch(void (*stop)(int signal))
{
    stop_program = stop;
    SetConsoleCtrlHandler(on_control, TRUE);
}

bool hsae_os_signal_warns(int signal)
{
    (void)signal;
    return false;
}

bool hsae_os_output_is_closed(void)
{
    return errno == EPIPE || errno == EINVAL; /* the C runtime's errors for a pipe whose reader has closed it */
}

bool hsae_os_has_terminal(void)
{
    HANDLE terminal = GetStdHandle(STD_ERROR_HANDLE);
    DWORD mode;
    return GetConsoleMode(terminal, &mode) && SetConsoleMode(terminal, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

unsigned hsae_os_terminal_width(void)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_ERROR_HANDLE), &info))
        return 0;
    return (unsigned)(info.srWindow.Right - info.srWindow.Left) + 1;
}
