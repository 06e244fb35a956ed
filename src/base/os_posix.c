/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* realpath, madvise, flock */
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#endif

#include "os.h"

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h> /* madvise */
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- paths ---- */

static enum hsae_os_kind kind_of(const struct stat *info)
{
    return S_ISREG(info->st_mode) ? HSAE_OS_FILE : S_ISDIR(info->st_mode) ? HSAE_OS_FOLDER : HSAE_OS_OTHER;
}

enum hsae_os_kind hsae_os_kind(const char *path)
{
    struct stat info;
    return stat(path, &info) ? HSAE_OS_NONE : kind_of(&info);
}

char *hsae_os_resolve(const char *path)
{
    struct stat info;
    return lstat(path, &info) && errno == ENOENT ? strdup(path) : realpath(path, NULL);
}

bool hsae_os_is_separator(char c)
{
    return c == '/';
}

char hsae_os_list_separator(void)
{
    return ':';
}

const char *hsae_os_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int hsae_os_make_folder(const char *path)
{
    return mkdir(path, 0777);
}

int hsae_os_make_private_folder(const char *path)
{
    return mkdir(path, 0700);
}

bool hsae_os_is_private(const char *path)
{
    struct stat info;
    if (stat(path, &info) || !S_ISDIR(info.st_mode))
        return true;
    return (info.st_uid == geteuid() || info.st_uid == 0) && !(info.st_mode & (S_IWGRP | S_IWOTH));
}

int hsae_os_remove(const char *path)
{
    return unlink(path);
}

int hsae_os_remove_folder(const char *path)
{
    return rmdir(path);
}

int hsae_os_rename(const char *from, const char *to)
{
    return rename(from, to);
}

struct hsae_os_folder *hsae_os_folder_open(const char *path)
{
    return (struct hsae_os_folder *)opendir(path);
}

const char *hsae_os_folder_next(struct hsae_os_folder *folder)
{
    struct dirent *entry;
    errno = 0;
    do
        entry = readdir((DIR *)folder);
    while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry ? entry->d_name : NULL;
}

void hsae_os_folder_close(struct hsae_os_folder *folder)
{
    if (folder)
        closedir((DIR *)folder);
}

const char *hsae_os_cache_folder(const char **tail)
{
    const char *base = hsae_os_getenv("XDG_CACHE_HOME");
    *tail = "/hsae";
    if (!base || !*base) {
        base = hsae_os_getenv("HOME");
        *tail = "/.cache/hsae";
    }
    return base;
}

int hsae_os_temporary_folder(char *path, size_t size)
{
    const char *parent = hsae_os_getenv("TMPDIR");
    snprintf(path, size, "%.1000s/hsae-XXXXXX", parent && *parent ? parent : "/tmp");
    return mkdtemp(path) ? 0 : -1;
}

int hsae_os_private_temporary(char *path, size_t size)
{
    const char *parent = hsae_os_getenv("TMPDIR");
    struct stat info;
    snprintf(path, size, "%.1000s/hsae-%lu", parent && *parent ? parent : "/tmp", (unsigned long)geteuid());
    mkdir(path, 0700);
    return !lstat(path, &info) && S_ISDIR(info.st_mode) && info.st_uid == geteuid() && hsae_os_is_private(path) ? 0 : -1;
}

char *hsae_os_program_path(char *path, size_t size)
{
#ifdef __APPLE__
    uint32_t most = (uint32_t)size;
    return _NSGetExecutablePath(path, &most) == 0 ? path : NULL;
#else
    ssize_t length = readlink("/proc/self/exe", path, size);
    if (length <= 0 || (size_t)length >= size)
        return NULL;
    path[length] = 0;
    return path;
#endif
}

uint64_t hsae_os_stamp(const char *path)
{
    struct stat info;
    if (stat(path, &info))
        return 0;
#ifdef __APPLE__
    const struct timespec changed = info.st_mtimespec;
#else
    const struct timespec changed = info.st_mtim;
#endif
    uint64_t stamp = 1;
    const uint64_t parts[] = {(uint64_t)info.st_size, (uint64_t)info.st_ino, (uint64_t)changed.tv_sec, (uint64_t)changed.tv_nsec};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        stamp = (stamp ^ parts[i]) * 0x9e3779b97f4a7c15u;
    return stamp | 1;
}

char *hsae_os_working_folder(char *path, size_t size)
{
    return getcwd(path, size);
}

/* ---- files ---- */

/* Until something has been written to the pipe, or the last writer has closed it; false with ETIMEDOUT after PIPE_SECONDS. */
static bool wait_for_writer(int pipe)
{
    enum { PIPE_SECONDS = 10 };
    struct pollfd poll_for = {.fd = pipe, .events = POLLIN};
    int ready = poll(&poll_for, 1, 1000 * PIPE_SECONDS);
    if (ready == 0)
        errno = ETIMEDOUT;
    return ready > 0;
}

/* An open file to be read. Opening does not block, whatever is at `path`; afterwards reading does. */
static int open_to_read(const char *path)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
    if (file < 0)
        return -1;
    if (fstat(file, &info) || (S_ISFIFO(info.st_mode) && !wait_for_writer(file)) || fcntl(file, F_SETFL, O_RDONLY)) {
        error = errno;
        close(file);
        errno = error;
        return -1;
    }
    return file;
}

FILE *hsae_os_fopen(const char *path, const char *mode)
{
    if (*mode != 'r')
        return fopen(path, mode);
    int file = open_to_read(path);
    FILE *stream = file < 0 ? NULL : fdopen(file, mode);
    if (file >= 0 && !stream)
        close(file);
    return stream;
}

static int open_parent(const char *path)
{
    const char *name = hsae_os_file_name(path);
    size_t length = name == path ? 1 : (size_t)(name - path);
    char *folder = malloc(length + 1);
    if (!folder)
        return -1;
    memcpy(folder, name == path ? "." : path, length);
    folder[length] = 0;
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    return file;
}

int hsae_os_open(const char *path, enum hsae_os_open how)
{
    switch (how) {
    case HSAE_OS_READ:
        return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    case HSAE_OS_NEW:
        return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    case HSAE_OS_LOCK:
        return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    case HSAE_OS_CLAIM:
        return open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    case HSAE_OS_PARENT:
        return open_parent(path);
    }
    errno = EINVAL;
    return -1;
}

int hsae_os_duplicate(int file)
{
    return fcntl(file, F_DUPFD_CLOEXEC, 0);
}

void hsae_os_close(int file)
{
    close(file);
}

int hsae_os_open_temporary(char *pattern, bool keep)
{
    int file = mkstemp(pattern);
    if (file >= 0 && !keep)
        unlink(pattern);
    return file;
}

enum hsae_os_kind hsae_os_describe(int file, uint64_t *size)
{
    struct stat info;
    if (fstat(file, &info))
        return HSAE_OS_NONE;
    *size = (uint64_t)info.st_size;
    return kind_of(&info);
}

uint64_t hsae_os_modified(int file)
{
    struct stat info;
    if (fstat(file, &info))
        return 0;
#ifdef __APPLE__
    const struct timespec *time = &info.st_mtimespec;
#else
    const struct timespec *time = &info.st_mtim;
#endif
    return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
}

bool hsae_os_is_named(int file, const char *path)
{
    struct stat info, named;
    return !fstat(file, &info) && !lstat(path, &named) && named.st_dev == info.st_dev && named.st_ino == info.st_ino;
}

int hsae_os_lock(int file)
{
    return flock(file, LOCK_EX | LOCK_NB) ? errno : 0;
}

int hsae_os_sync(int file)
{
    return fsync(file);
}

ptrdiff_t hsae_os_read_at(int file, void *out, size_t size, uint64_t offset)
{
    return pread(file, out, size, (off_t)offset);
}

ptrdiff_t hsae_os_read_input(void *out, size_t size, bool (*stop)(void))
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready;
    while ((ready = poll(&input, 1, 100)) == 0)
        if (stop()) {
            errno = ECANCELED;
            return -1;
        }
    return ready < 0 ? -1 : read(STDIN_FILENO, out, size);
}

void hsae_os_expect_random(int file)
{
#ifdef POSIX_FADV_RANDOM
    posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
#else
    (void)file;
#endif
}

void hsae_os_expect(int file, uint64_t offset, uint64_t size)
{
#ifdef POSIX_FADV_WILLNEED
    posix_fadvise(file, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
#else
    (void)file, (void)offset, (void)size;
#endif
}

int hsae_os_lock_folder(const char *path, int *lock)
{
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *lock < 0 ? errno : hsae_os_lock(*lock);
}

void hsae_os_unlock_folder(const char *path, int lock, bool remove)
{
    if (remove)
        rmdir(path);
    close(lock);
}

FILE *hsae_os_text_open(struct hsae_os_text *text)
{
    *text = (struct hsae_os_text){0};
    text->file = open_memstream(&text->text, &text->size);
    return text->file;
}

char *hsae_os_text_close(struct hsae_os_text *text)
{
    if (fclose(text->file) == 0)
        return text->text;
    free(text->text);
    return NULL;
}

/* ---- libraries ---- */

static const char *const library_names[][2] = {
    [HSAE_OS_OPENCL] = {"libOpenCL.so.1"},
#ifdef __APPLE__
    [HSAE_OS_VULKAN] = {"libvulkan.1.dylib", "libMoltenVK.dylib"},
#else
    [HSAE_OS_VULKAN] = {"libvulkan.so.1"},
#endif
    [HSAE_OS_CLBLAST] = {"libclblast.so.1"},
};

void *hsae_os_library_open(enum hsae_os_library library)
{
    const char *const(*names)[2] = library_names;
    void *handle = dlopen(names[library][0], RTLD_NOW | RTLD_LOCAL);
    return handle || !names[library][1] ? handle : dlopen(names[library][1], RTLD_NOW | RTLD_LOCAL);
}

void *hsae_os_library_symbol(void *library, const char *name)
{
    return dlsym(library, name);
}

void hsae_os_library_close(void *library)
{
    dlclose(library);
}

void *hsae_os_library_open_file(const char *name, char *error, size_t size)
{
    void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (!library)
        snprintf(error, size, "%s", dlerror());
    return library;
}

const char *hsae_os_library_name(enum hsae_os_library library)
{
    return library_names[library][0];
}

/* A name without a slash is found by way of $LD_LIBRARY_PATH, or of a cache that is written when packages are installed. */
uint64_t hsae_os_library_stamp(const char *name)
{
    const char *folders = hsae_os_getenv("LD_LIBRARY_PATH");
    char path[4096];
    if (strchr(name, '/'))
        return hsae_os_stamp(name);
    for (size_t length; folders && *folders; folders += length + (folders[length] == ':')) {
        length = strcspn(folders, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)length, folders, name);
        uint64_t stamp = length ? hsae_os_stamp(path) : 0;
        if (stamp)
            return stamp;
    }
    return hsae_os_stamp("/etc/ld.so.cache");
}

/* ---- the machine ---- */

double hsae_os_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

double hsae_os_others_seconds(void)
{
    struct timespec process, thread;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &process);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &thread);
    return (double)(process.tv_sec - thread.tv_sec) + 1e-9 * (double)(process.tv_nsec - thread.tv_nsec);
}

void hsae_os_sleep(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)(1e9 * (seconds - floor(seconds)))};
    while (nanosleep(&time, &time) && errno == EINTR)
        ;
}

uint64_t hsae_os_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : SIZE_MAX;
}

unsigned hsae_os_processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}

uint64_t hsae_os_peak_memory(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : 1024 * (uint64_t)usage.ru_maxrss;
}

void *hsae_os_pages(size_t page, size_t size)
{
    void *memory = NULL;
    if (posix_memalign(&memory, page, size))
        return NULL;
#ifdef MADV_HUGEPAGE
    madvise(memory, size, MADV_HUGEPAGE); /* without them it is slower, nothing else */
#endif
    return memory;
}

void hsae_os_pages_free(void *memory)
{
    free(memory);
}

/* ---- the process ---- */

long hsae_os_process(void)
{
    return (long)getpid();
}

const char *hsae_os_getenv(const char *name)
{
    return getenv(name);
}

void hsae_os_setenv(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

char **hsae_os_environment(void)
{
    return environ;
}

int hsae_os_thread_start(pthread_t *thread, void *(*run)(void *), void *user)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, run, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* ---- the program ---- */

/* Started with one of the three standard streams closed, the next file that is opened would take its number, and text for the terminal
 * would go into that file. */
static void fill_standard_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != stream)
            _exit(EXIT_FAILURE); /* open() takes the lowest free number, so there is no /dev/null */
}

/* A data set keeps every file open, and the customary limit is there for the sake of select(2), which is not used here. */
void hsae_os_program_begin(int *argc, char ***argv)
{
    struct rlimit limit;
    (void)argc, (void)argv;
    fill_standard_streams();
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static struct {
    sigset_t signals;
    void (*stop)(int signal);
} caught;

static void *wait_for_signals(void *unused)
{
    int number;
    while (sigwait(&caught.signals, &number) == 0)
        caught.stop(number);
    return unused;
}

/* A thread waits for the signals, and every other thread blocks them. So no call of any thread is interrupted, and the handlers that LLVM
 * installs in PoCL's and Mesa's drivers never see one of these signals. */
void hsae_os_program_catch(void (*stop)(int signal))
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};
    pthread_t thread;
    caught.stop = stop;
    sigemptyset(&caught.signals);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction old;
        /* Under nohup the program is to survive its terminal. */
        if (sigaction(signals[i], NULL, &old) == 0 && (signals[i] != SIGHUP || old.sa_handler != SIG_IGN))
            sigaddset(&caught.signals, signals[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &caught.signals, NULL);
    if (hsae_os_thread_start(&thread, wait_for_signals, NULL) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &caught.signals, NULL); /* the signals end the program, as they do by default */
}

bool hsae_os_signal_warns(int signal)
{
    return signal == SIGUSR1 || signal == SIGUSR2 || signal == SIGXCPU;
}

bool hsae_os_output_is_closed(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) > 0 && (output.revents & POLLERR) != 0;
}

bool hsae_os_has_terminal(void)
{
    const char *term = hsae_os_getenv("TERM");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

unsigned hsae_os_terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
