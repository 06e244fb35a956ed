/* SPDX-License-Identifier: MIT */
/* Child processes, and where drivers are. */
#define _DEFAULT_SOURCE
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#include <libproc.h>
#endif

#include "os_child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- running one ---- */

enum { INPUT, OUTPUT, ERRORS, PIPES };

struct hsae_os_process {
    pid_t id;
    int ends[PIPES]; /* ours; -1: closed */
};

static void close_end(int *end)
{
    if (*end >= 0)
        close(*end);
    *end = -1;
}

/* A pipe that other children do not get, above the standard descriptors. */
static int open_pipe(int pipe_ends[2])
{
    int raw[2];
    if (pipe(raw))
        return errno;
    int error = 0;
    for (int i = 0; i < 2; i++) {
        pipe_ends[i] = fcntl(raw[i], F_DUPFD_CLOEXEC, 3);
        error = pipe_ends[i] < 0 ? errno : error;
        close(raw[i]);
    }
    return error;
}

static int spawn(struct hsae_os_process *process, const char *const *words, const int theirs[PIPES])
{
    static const int defaults[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ, SIGXCPU, SIGUSR1, SIGUSR2, SIGQUIT, SIGCHLD};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, reset;
    sigemptyset(&none);
    sigemptyset(&reset);
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        sigaddset(&reset, defaults[i]);
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (!error) {
        for (int i = 0; i < PIPES && !error; i++)
            error = posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
        /* A group of its own, which can be ended with all that drivers start. */
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &reset);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        if (!error)
            error = posix_spawn(&process->id, words[0], &actions, &attributes, (char *const *)words, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static int start(struct hsae_os_process *process, const char *const *words)
{
    int theirs[PIPES] = {-1, -1, -1}, error = 0;
    for (int i = 0; i < PIPES && !error; i++) {
        int both[2] = {-1, -1};
        error = open_pipe(both);
        theirs[i] = both[i != INPUT];
        process->ends[i] = both[i == INPUT];
    }
    if (!error)
        error = spawn(process, words, theirs);
    for (int i = 0; i < PIPES; i++) {
        close_end(&theirs[i]);
        if (!error && i != INPUT)
            fcntl(process->ends[i], F_SETFL, O_NONBLOCK);
    }
    return error;
}

struct hsae_os_process *hsae_os_process_start(const char *const *words)
{
    struct hsae_os_process *process = malloc(sizeof *process);
    if (!process)
        return NULL;
    *process = (struct hsae_os_process){.ends = {-1, -1, -1}};
    int error = start(process, words);
    if (!error)
        return process;
    hsae_os_process_close(process);
    errno = error;
    return NULL;
}

void hsae_os_process_close(struct hsae_os_process *process)
{
    for (int i = 0; i < PIPES; i++)
        close_end(&process->ends[i]);
    free(process);
}

void hsae_os_process_wait(struct hsae_os_process *process, double seconds)
{
    struct pollfd polled[2] = {{.fd = process->ends[OUTPUT], .events = POLLIN}, {.fd = process->ends[ERRORS], .events = POLLIN}};
    bool open = polled[0].fd >= 0 || polled[1].fd >= 0;
    poll(polled, 2, (int)(1e3 * (open ? seconds : 0.002))); /* it ends soon after it has closed both */
}

size_t hsae_os_process_read(struct hsae_os_process *process, enum hsae_os_stream stream, char *bytes, size_t size)
{
    int *end = &process->ends[stream == HSAE_OS_OUTPUT ? OUTPUT : ERRORS];
    ssize_t got = *end >= 0 ? read(*end, bytes, size) : 0;
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        close_end(end);
    return got > 0 ? (size_t)got : 0;
}

double hsae_os_process_seconds(const struct hsae_os_process *process)
{
#ifdef __APPLE__
    struct rusage_info_v2 info;
    if (proc_pid_rusage(process->id, RUSAGE_INFO_V2, (rusage_info_t *)&info))
        return -1;
    return 1e-9 * (double)(info.ri_user_time + info.ri_system_time);
#else
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(process->id, &clock) || clock_gettime(clock, &time))
        return -1;
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
#endif
}

/* One that the system does not end, since its driver waits for hardware, is left alone after two seconds. */
void hsae_os_process_kill(struct hsae_os_process *process)
{
    kill(-process->id, SIGKILL);
    for (int i = 0; i < 100 && waitpid(process->id, NULL, WNOHANG) == 0; i++)
        hsae_os_sleep(0.02);
}

static void say_how(int status, char *how, size_t size)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGSEGV, " (SIGSEGV)"}, {SIGABRT, " (SIGABRT)"}, {SIGBUS, " (SIGBUS)"},   {SIGILL, " (SIGILL)"},
                 {SIGFPE, " (SIGFPE)"},   {SIGKILL, " (SIGKILL)"}, {SIGTRAP, " (SIGTRAP)"}, {SIGSYS, " (SIGSYS)"}};
    const char *name = "";
    for (size_t i = 0; WIFSIGNALED(status) && i < sizeof names / sizeof *names; i++)
        if (names[i].number == WTERMSIG(status))
            name = names[i].name;
    if (WIFSIGNALED(status))
        snprintf(how, size, "signal %d%s", WTERMSIG(status), name);
    else if (WEXITSTATUS(status))
        snprintf(how, size, "exit status %d", WEXITSTATUS(status));
}

bool hsae_os_process_ended(struct hsae_os_process *process, char *how, size_t size)
{
    int status;
    pid_t ended = waitpid(process->id, &status, WNOHANG);
    if (ended == process->id)
        say_how(status, how, size);
    else if (ended < 0 && errno != EINTR) /* the host program has waited for all its children */
        snprintf(how, size, "an unknown end");
    else
        return false;
    return true;
}

/* ---- being one ---- */

static void *wait_for_parent(void *user)
{
    char byte;
    (void)user;
    ssize_t got;
    do
        got = read(STDIN_FILENO, &byte, 1);
    while (got > 0 || (got < 0 && errno == EINTR));
    kill(0, SIGKILL); /* what drivers started, too */
    return NULL;
}

void hsae_os_child_begin(void)
{
    pthread_t thread;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (getpgrp() == getpid() && hsae_os_thread_start(&thread, wait_for_parent, NULL) == 0)
        pthread_detach(thread);
}

/* ---- where drivers are ---- */

bool hsae_os_driver_folder(enum hsae_os_library loader, size_t index, char *path, size_t size)
{
    const char *config = hsae_os_getenv("XDG_CONFIG_HOME"), *data = hsae_os_getenv("XDG_DATA_HOME"), *home = hsae_os_getenv("HOME");
    const struct {
        const char *base, *tail;
    } folders[] = {
        {config, "/vulkan/icd.d"},
        {config ? NULL : home, "/.config/vulkan/icd.d"},
        {"/etc/xdg", "/vulkan/icd.d"},
        {"/etc", "/vulkan/icd.d"},
        {data, "/vulkan/icd.d"},
        {data ? NULL : home, "/.local/share/vulkan/icd.d"},
        {"/usr/local/share", "/vulkan/icd.d"},
        {"/usr/share", "/vulkan/icd.d"},
        {"/opt/homebrew/share", "/vulkan/icd.d"},
    };
    if (loader == HSAE_OS_OPENCL) {
        snprintf(path, size, "/etc/OpenCL/vendors");
        return index == 0;
    }
    if (index >= sizeof folders / sizeof *folders)
        return false;
    snprintf(path, size, "%s%s", folders[index].base ? folders[index].base : "/nonexistent", folders[index].tail);
    return true;
}

bool hsae_os_forbidden_device(size_t index, char *path, size_t size)
{
    static const char *const fixed[] = {"/dev/kfd", "/dev/nvidiactl", "/dev/nvidia0"};
    size_t found = 0;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (access(fixed[i], F_OK) == 0 && access(fixed[i], R_OK | W_OK) && found++ == index) {
            snprintf(path, size, "%s", fixed[i]);
            return true;
        }
    DIR *folder = opendir("/dev/dri");
    struct dirent *entry;
    bool is = false;
    while (folder && !is && (entry = readdir(folder))) {
        if (strncmp(entry->d_name, "renderD", 7) != 0)
            continue;
        snprintf(path, size, "/dev/dri/%s", entry->d_name);
        is = access(path, R_OK | W_OK) && found++ == index;
    }
    if (folder)
        closedir(folder);
    return is;
}
