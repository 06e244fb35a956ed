/* SPDX-License-Identifier: MIT */
/* Child processes on Windows. Drivers are named in the registry there, and their files are not looked for. */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0A00

#include "os_child.h"

#include <windows.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIPE_INPUT, PIPE_OUTPUT, PIPE_ERRORS, PIPES };
enum { COMMAND = 8192 }; /* characters of a command line */

struct hsae_os_process {
    PROCESS_INFORMATION info;
    HANDLE job, ends[PIPES]; /* ours; NULL: closed */
};

static void close_handle(HANDLE *handle)
{
    if (*handle)
        CloseHandle(*handle);
    *handle = NULL;
}

/* Adds a word as the C runtime takes command lines apart: quoted, backslashes doubled where a quote follows. */
static bool add_word(wchar_t line[COMMAND], size_t *size, const char *word)
{
    wchar_t wide[COMMAND];
    size_t slashes = 0;
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, word, -1, wide, COMMAND) || *size + 2 * wcslen(wide) + 4 >= COMMAND)
        return false;
    if (*size)
        line[(*size)++] = L' ';
    line[(*size)++] = L'"';
    for (const wchar_t *c = wide;; c++) {
        if (*c == L'\\') {
            slashes++;
            continue;
        }
        for (size_t i = 0; i < (*c == L'"' || !*c ? 2 * slashes : slashes); i++)
            line[(*size)++] = L'\\';
        slashes = 0;
        if (!*c)
            break;
        if (*c == L'"')
            line[(*size)++] = L'\\';
        line[(*size)++] = *c;
    }
    line[(*size)++] = L'"';
    line[*size] = 0;
    return true;
}

/* The process, with these handles and no others, suspended. */
static bool create_process(struct hsae_os_process *process, wchar_t line[COMMAND], HANDLE theirs[PIPES])
{
    SIZE_T size = 0;
    InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    LPPROC_THREAD_ATTRIBUTE_LIST attributes = malloc(size);
    if (!attributes || !InitializeProcThreadAttributeList(attributes, 1, 0, &size)) {
        free(attributes);
        return false;
    }
    STARTUPINFOEXW info = {.StartupInfo = {.cb = sizeof info,
                                           .dwFlags = STARTF_USESTDHANDLES,
                                           .hStdInput = theirs[PIPE_INPUT],
                                           .hStdOutput = theirs[PIPE_OUTPUT],
                                           .hStdError = theirs[PIPE_ERRORS]},
                           .lpAttributeList = attributes};
    bool good = UpdateProcThreadAttribute(attributes, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, theirs, PIPES * sizeof *theirs, NULL, NULL) &&
                CreateProcessW(NULL, line, NULL, NULL, TRUE,
                               EXTENDED_STARTUPINFO_PRESENT | CREATE_SUSPENDED | CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW, NULL, NULL,
                               &info.StartupInfo, &process->info);
    DeleteProcThreadAttributeList(attributes);
    free(attributes);
    return good;
}

static bool start(struct hsae_os_process *process, const char *const *words)
{
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = {.BasicLimitInformation = {.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}};
    HANDLE theirs[PIPES] = {NULL};
    wchar_t line[COMMAND];
    size_t size = 0;
    bool good = true;
    for (size_t i = 0; words[i] && good; i++)
        good = add_word(line, &size, words[i]);
    for (int i = 0; i < PIPES && good; i++) {
        good =
            CreatePipe(i == PIPE_INPUT ? &theirs[i] : &process->ends[i], i == PIPE_INPUT ? &process->ends[i] : &theirs[i], &inherited, 0);
        good = good && SetHandleInformation(process->ends[i], HANDLE_FLAG_INHERIT, 0);
    }
    good = good && create_process(process, line, theirs);
    for (int i = 0; i < PIPES; i++)
        close_handle(&theirs[i]);
    if (!good)
        return false;
    /* What it starts ends with it. */
    process->job = CreateJobObjectW(NULL, NULL);
    if (process->job && SetInformationJobObject(process->job, JobObjectExtendedLimitInformation, &limit, sizeof limit))
        AssignProcessToJobObject(process->job, process->info.hProcess);
    ResumeThread(process->info.hThread);
    return true;
}

struct hsae_os_process *hsae_os_process_start(const char *const *words)
{
    struct hsae_os_process *process = calloc(1, sizeof *process);
    if (!process)
        return NULL;
    if (start(process, words))
        return process;
    hsae_os_process_close(process);
    errno = EIO;
    return NULL;
}

void hsae_os_process_close(struct hsae_os_process *process)
{
    close_handle(&process->job);
    close_handle(&process->info.hProcess);
    close_handle(&process->info.hThread);
    for (int i = 0; i < PIPES; i++)
        close_handle(&process->ends[i]);
    free(process);
}

/* Pipes cannot be waited for together with the process, so they are looked at often. */
void hsae_os_process_wait(struct hsae_os_process *process, double seconds)
{
    WaitForSingleObject(process->info.hProcess, seconds < 0.02 ? (DWORD)(1e3 * seconds) : 20);
}

size_t hsae_os_process_read(struct hsae_os_process *process, enum hsae_os_stream stream, char *bytes, size_t size)
{
    HANDLE end = process->ends[stream == HSAE_OS_OUTPUT ? PIPE_OUTPUT : PIPE_ERRORS];
    DWORD there = 0, got = 0;
    if (!PeekNamedPipe(end, NULL, 0, NULL, &there, NULL) || !there || !ReadFile(end, bytes, there < size ? there : (DWORD)size, &got, NULL))
        return 0;
    return got;
}

double hsae_os_process_seconds(const struct hsae_os_process *process)
{
    FILETIME created, ended, kernel, user;
    if (!GetProcessTimes(process->info.hProcess, &created, &ended, &kernel, &user))
        return -1;
    return 1e-7 * (double)(((uint64_t)kernel.dwHighDateTime << 32 | kernel.dwLowDateTime) +
                           ((uint64_t)user.dwHighDateTime << 32 | user.dwLowDateTime));
}

/* What it has started ends when the job's handle is closed. */
void hsae_os_process_kill(struct hsae_os_process *process)
{
    TerminateProcess(process->info.hProcess, 1);
}

bool hsae_os_process_ended(struct hsae_os_process *process, char *how, size_t size)
{
    DWORD code = 1;
    if (WaitForSingleObject(process->info.hProcess, 0) != WAIT_OBJECT_0)
        return false;
    GetExitCodeProcess(process->info.hProcess, &code);
    if (code)
        snprintf(how, size, code < 0x80000000 ? "exit status %lu" : "exception 0x%lx", code);
    return true;
}

/* Without a read that waits: until that ends, Windows lets nobody ask for the type of the handle, and the C runtime of a driver's library
 * does so when it is loaded. */
static void *wait_for_parent(void *user)
{
    HANDLE input = GetStdHandle(STD_INPUT_HANDLE);
    (void)user;
    while (PeekNamedPipe(input, NULL, 0, NULL, NULL, NULL))
        Sleep(50);
    if (GetLastError() == ERROR_BROKEN_PIPE) /* else it is none of hsae_os_run's */
        TerminateProcess(GetCurrentProcess(), 1);
    return NULL;
}

void hsae_os_child_begin(void)
{
    pthread_t thread;
    /* No window that says that the program has stopped working. */
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    if (GetFileType(GetStdHandle(STD_INPUT_HANDLE)) == FILE_TYPE_PIPE && hsae_os_thread_start(&thread, wait_for_parent, NULL) == 0)
        pthread_detach(thread);
}

bool hsae_os_driver_folder(enum hsae_os_library loader, size_t index, char *path, size_t size)
{
    (void)loader, (void)index, (void)path, (void)size;
    return false;
}

bool hsae_os_forbidden_device(size_t index, char *path, size_t size)
{
    (void)index, (void)path, (void)size;
    return false;
}
