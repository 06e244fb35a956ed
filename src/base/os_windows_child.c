/* SPDX-License-Identifier: MIT */
/* Child processes on Windows. Drivers are named in the registry there, and their files are not looked for. */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0A00

#include "os.h"

#include <windows.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIPE_INPUT, PIPE_OUTPUT, PIPE_ERRORS, PIPES };
enum { COMMAND = 8192 }; /* characters of a command line */
/* As in os_posix_child.c. */
#define PROGRESS_SECONDS 1e-3
#define MAX_SECONDS      0.1

struct run {
    struct hsae_os_child *child;
    PROCESS_INFORMATION process;
    HANDLE job, ends[PIPES]; /* NULL: closed */
    size_t size, capacity;
    char line[256];
    size_t line_size;
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
static bool create_process(struct run *run, wchar_t line[COMMAND], HANDLE theirs[PIPES])
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
                               &info.StartupInfo, &run->process);
    DeleteProcThreadAttributeList(attributes);
    free(attributes);
    return good;
}

static bool start(struct run *run)
{
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = {.BasicLimitInformation = {.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}};
    HANDLE theirs[PIPES] = {NULL};
    wchar_t line[COMMAND];
    size_t size = 0;
    bool good = true;
    for (size_t i = 0; run->child->words[i] && good; i++)
        good = add_word(line, &size, run->child->words[i]);
    for (int i = 0; i < PIPES && good; i++) {
        good = CreatePipe(i == PIPE_INPUT ? &theirs[i] : &run->ends[i], i == PIPE_INPUT ? &run->ends[i] : &theirs[i], &inherited, 0);
        good = good && SetHandleInformation(run->ends[i], HANDLE_FLAG_INHERIT, 0);
    }
    good = good && create_process(run, line, theirs);
    for (int i = 0; i < PIPES; i++)
        close_handle(&theirs[i]);
    if (!good)
        return false;
    /* What it starts ends with it. */
    run->job = CreateJobObjectW(NULL, NULL);
    if (run->job && SetInformationJobObject(run->job, JobObjectExtendedLimitInformation, &limit, sizeof limit))
        AssignProcessToJobObject(run->job, run->process.hProcess);
    ResumeThread(run->process.hThread);
    return true;
}

static double processor_seconds(HANDLE process)
{
    FILETIME created, ended, kernel, user;
    if (!GetProcessTimes(process, &created, &ended, &kernel, &user))
        return -1;
    return 1e-7 * (double)(((uint64_t)kernel.dwHighDateTime << 32 | kernel.dwLowDateTime) +
                           ((uint64_t)user.dwHighDateTime << 32 | user.dwLowDateTime));
}

static void keep_output(struct run *run, const char *bytes, size_t size)
{
    if (run->size + size >= run->capacity) {
        size_t capacity = 2 * (run->size + size) + 4096;
        char *grown = realloc(run->child->output, capacity);
        if (!grown)
            return;
        run->child->output = grown;
        run->capacity = capacity;
    }
    memcpy(run->child->output + run->size, bytes, size);
    run->size += size;
    run->child->output[run->size] = 0;
}

static void keep_errors(struct run *run, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] == '\n') {
            run->line_size = 0;
        } else if (bytes[i] != '\r' && run->line_size + 1 < sizeof run->line) {
            run->line[run->line_size++] = bytes[i];
            run->line[run->line_size] = 0;
            memcpy(run->child->errors, run->line, run->line_size + 1);
        }
}

static void read_end(struct run *run, int which)
{
    char bytes[4096];
    DWORD there = 0, got = 0;
    while (run->ends[which] && PeekNamedPipe(run->ends[which], NULL, 0, NULL, &there, NULL) && there &&
           ReadFile(run->ends[which], bytes, there < sizeof bytes ? there : sizeof bytes, &got, NULL) && got) {
        if (which == PIPE_OUTPUT)
            keep_output(run, bytes, got);
        else
            keep_errors(run, bytes, got);
    }
}

static enum hsae_os_ending watch(struct run *run)
{
    const struct hsae_os_child *child = run->child;
    double last = hsae_os_seconds(), all = 0, still = 0, used = 0;
    for (;;) {
        bool ended = WaitForSingleObject(run->process.hProcess, 20) == WAIT_OBJECT_0;
        read_end(run, PIPE_OUTPUT);
        read_end(run, PIPE_ERRORS);
        if (ended) {
            DWORD code = 1;
            GetExitCodeProcess(run->process.hProcess, &code);
            if (code == 0)
                return HSAE_OS_ENDED;
            snprintf(run->child->how, sizeof run->child->how, code < 0x80000000 ? "exit status %lu" : "exception 0x%lx", code);
            return HSAE_OS_DIED;
        }
        if (child->stop && child->stop(child->user))
            return HSAE_OS_STOPPED;
        double now = hsae_os_seconds(), counts = now - last < MAX_SECONDS ? now - last : MAX_SECONDS;
        double processor = processor_seconds(run->process.hProcess);
        last = now;
        all += counts;
        still += counts;
        if (processor < 0 || processor > used + PROGRESS_SECONDS) {
            used = processor;
            still = 0;
        }
        if (child->still_seconds > 0 && still > child->still_seconds)
            return HSAE_OS_STILL;
        if (child->most_seconds > 0 && all > child->most_seconds)
            return HSAE_OS_TOO_LONG;
    }
}

enum hsae_os_ending hsae_os_run(struct hsae_os_child *child)
{
    struct run run = {.child = child};
    enum hsae_os_ending ending = HSAE_OS_NOT_STARTED;
    child->output = NULL;
    child->errors[0] = child->how[0] = 0;
    if (start(&run))
        ending = watch(&run);
    else
        errno = EIO;
    if (ending != HSAE_OS_NOT_STARTED && ending != HSAE_OS_ENDED && ending != HSAE_OS_DIED)
        TerminateProcess(run.process.hProcess, 1);
    close_handle(&run.job);
    close_handle(&run.process.hProcess);
    close_handle(&run.process.hThread);
    for (int i = 0; i < PIPES; i++)
        close_handle(&run.ends[i]);
    return ending;
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
