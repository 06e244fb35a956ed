/* SPDX-License-Identifier: MIT */
/* Child processes, and where drivers are. */
#define _DEFAULT_SOURCE
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#include <libproc.h>
#endif

#include "os.h"

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
/* A process of little CPU time between two looks stands still: a thread that wakes up now and then is no progress. */
#define PROGRESS_SECONDS 1e-3
/* Time that counts of one look: a parent that was stopped, or got no processor itself, has lost no patience. */
#define MAX_SECONDS 0.1

struct run {
    struct hsae_os_child *child;
    pid_t process;
    int ends[PIPES]; /* ours; -1: closed */
    size_t size, capacity;
    char line[256]; /* of standard error, so far */
    size_t line_size;
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

static int spawn(struct run *run, const int theirs[PIPES])
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
            error = posix_spawn(&run->process, run->child->words[0], &actions, &attributes, (char *const *)run->child->words, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static int start(struct run *run)
{
    int theirs[PIPES] = {-1, -1, -1}, error = 0;
    for (int i = 0; i < PIPES && !error; i++) {
        int both[2] = {-1, -1};
        error = open_pipe(both);
        theirs[i] = both[i != INPUT];
        run->ends[i] = both[i == INPUT];
    }
    if (!error)
        error = spawn(run, theirs);
    for (int i = 0; i < PIPES; i++) {
        close_end(&theirs[i]);
        if (error)
            close_end(&run->ends[i]);
        else if (i != INPUT)
            fcntl(run->ends[i], F_SETFL, O_NONBLOCK);
    }
    return error;
}

/* Seconds of processor time so far; below 0: not known. */
static double processor_seconds(pid_t process)
{
#ifdef __APPLE__
    struct rusage_info_v2 info;
    if (proc_pid_rusage(process, RUSAGE_INFO_V2, (rusage_info_t *)&info))
        return -1;
    return 1e-9 * (double)(info.ri_user_time + info.ri_system_time);
#else
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(process, &clock) || clock_gettime(clock, &time))
        return -1;
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
#endif
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

/* The last line that is not empty. */
static void keep_errors(struct run *run, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] == '\n') {
            run->line_size = 0;
        } else if (run->line_size + 1 < sizeof run->line) {
            run->line[run->line_size++] = bytes[i];
            run->line[run->line_size] = 0;
            memcpy(run->child->errors, run->line, run->line_size + 1);
        }
}

/* Reads what is there; whether that was not the end. */
static void read_end(struct run *run, int which)
{
    char bytes[4096];
    ssize_t got = 0;
    while (run->ends[which] >= 0 && (got = read(run->ends[which], bytes, sizeof bytes)) > 0) {
        if (which == OUTPUT)
            keep_output(run, bytes, (size_t)got);
        else
            keep_errors(run, bytes, (size_t)got);
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        close_end(&run->ends[which]);
}

static void read_ends(struct run *run, double seconds)
{
    struct pollfd polled[2] = {{.fd = run->ends[OUTPUT], .events = POLLIN}, {.fd = run->ends[ERRORS], .events = POLLIN}};
    bool open = polled[0].fd >= 0 || polled[1].fd >= 0;
    if (poll(polled, 2, (int)(1e3 * (open ? seconds : 0.002))) > 0)
        for (int i = 0; i < 2; i++)
            if (polled[i].revents)
                read_end(run, OUTPUT + i);
}

/* Ends it and all that it started. One that the system does not let go of, for its driver waits for hardware, is left alone. */
static void end_by_force(pid_t process)
{
    kill(-process, SIGKILL);
    for (int i = 0; i < 100 && waitpid(process, NULL, WNOHANG) == 0; i++)
        hsae_os_sleep(0.02);
}

static void say_how(int status, char how[48])
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
        snprintf(how, 48, "signal %d%s", WTERMSIG(status), name);
    else
        snprintf(how, 48, "exit status %d", WEXITSTATUS(status));
}

static enum hsae_os_ending watch(struct run *run)
{
    const struct hsae_os_child *child = run->child;
    double last = hsae_os_seconds(), all = 0, still = 0, used = 0;
    for (;;) {
        int status;
        read_ends(run, 0.05);
        pid_t ended = waitpid(run->process, &status, WNOHANG);
        if (ended == run->process) {
            read_end(run, OUTPUT);
            read_end(run, ERRORS);
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return HSAE_OS_ENDED;
            say_how(status, run->child->how);
            return HSAE_OS_DIED;
        }
        if (ended < 0 && errno != EINTR) { /* the host program reaps its children on its own */
            snprintf(run->child->how, sizeof run->child->how, "an unknown end");
            return HSAE_OS_DIED;
        }
        if (child->stop && child->stop(child->user)) {
            end_by_force(run->process);
            return HSAE_OS_STOPPED;
        }
        double now = hsae_os_seconds(), counts = now - last < MAX_SECONDS ? now - last : MAX_SECONDS;
        double processor = processor_seconds(run->process);
        last = now;
        all += counts;
        still += counts;
        if (processor < 0 || processor > used + PROGRESS_SECONDS) {
            used = processor;
            still = 0;
        }
        bool hangs = child->still_seconds > 0 && still > child->still_seconds;
        if (hangs || (child->most_seconds > 0 && all > child->most_seconds)) {
            end_by_force(run->process);
            return hangs ? HSAE_OS_STILL : HSAE_OS_TOO_LONG;
        }
    }
}

enum hsae_os_ending hsae_os_run(struct hsae_os_child *child)
{
    struct run run = {.child = child, .ends = {-1, -1, -1}};
    child->output = NULL;
    child->errors[0] = child->how[0] = 0;
    int error = start(&run);
    if (error) {
        errno = error;
        return HSAE_OS_NOT_STARTED;
    }
    enum hsae_os_ending ending = watch(&run);
    for (int i = 0; i < PIPES; i++)
        close_end(&run.ends[i]);
    return ending;
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
