/* SPDX-License-Identifier: MIT */
/* The operating system: what ISO C and POSIX threads (on Windows: winpthreads) leave open. os_posix.c and os_windows.c implement it; the
 * library and the program `hsae` each contain the one that src/meson.build chose.
 *
 * Paths and names are UTF-8 on Windows and bytes elsewhere; what comes back has slashes. Files are binary. Functions fail as those of POSIX
 * do: with -1 or NULL, and errno set; on Windows, too. Any thread, unless it says otherwise. */
#ifndef HSAE_SRC_OS_H
#define HSAE_SRC_OS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A function like printf. To MinGW's compiler "printf" is the C runtime's of old, which knows no %zu; its headers name the one in use. */
#ifdef __MINGW_PRINTF_FORMAT
#define HSAE_OS_PRINTF(format_index, first) __attribute__((format(__MINGW_PRINTF_FORMAT, format_index, first)))
#else
#define HSAE_OS_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#endif

/* ---- paths ---- */

enum hsae_os_kind { HSAE_OS_NONE, HSAE_OS_FILE, HSAE_OS_FOLDER, HSAE_OS_OTHER };
/* What is at `path`, links followed. NONE: errno says why. */
enum hsae_os_kind hsae_os_kind(const char *path);
/* The path without links; of a path at which there is nothing, a copy. free(). */
char *hsae_os_resolve(const char *path);
/* Whether it parts the names of a path: a slash, and on Windows a backslash. */
bool hsae_os_is_separator(char c);
/* Parts the paths in a variable that lists some: a colon, on Windows a semicolon. */
char hsae_os_list_separator(void);
/* What is after the last separator: `path` where there is none. */
const char *hsae_os_file_name(const char *path);
int hsae_os_make_folder(const char *path);
/* The same, for this user alone. */
int hsae_os_make_private_folder(const char *path);
/* Makes the folder and those above it; `private`: the last one for this user alone. *made: one was not there. On an error `path` ends with
 * the folder that could not be made. */
int hsae_os_make_folders(char *path, bool private, bool *made);
/* Makes the name of a file or folder survive a power cut, where the file system can. */
void hsae_os_sync_parent(const char *path);
/* False: `path` is a folder in which others than this user and root may make files. On Windows: true. */
bool hsae_os_is_private(const char *path);
int hsae_os_remove(const char *path);
/* An empty one. */
int hsae_os_remove_folder(const char *path);
/* What is at `to` is replaced in one step, unless it is a folder, which must not be there. On Windows it fails where a process has the old
 * file open in a way that forbids it. */
int hsae_os_rename(const char *from, const char *to);

struct hsae_os_folder;
struct hsae_os_folder *hsae_os_folder_open(const char *path);
/* The names in it but "." and "..", in no order, valid until the next call; NULL: those were all (errno is 0), or an error. */
const char *hsae_os_folder_next(struct hsae_os_folder *folder);
/* Takes NULL. */
void hsae_os_folder_close(struct hsae_os_folder *folder);

/* ---- files, the same on every system (os_files.c) ---- */

/* What a user can do about an errno of a file that was to be opened, read or written: "; make room there ...", to follow strerror's text.
 * "" for those without advice. */
const char *hsae_os_advice(int error);
/* Names of temporary files, with the number of their process between the two. */
#define HSAE_OS_TEMPORARY_PREFIX ".hsae-"
#define HSAE_OS_TEMPORARY_SUFFIX ".tmp"
/* Removes the temporary files in this folder whose writers (file.h) were killed at work, and tells `removed` (may be NULL). Files that are
 * being written, by whichever process, stay. */
void hsae_os_sweep(const char *folder, void (*removed)(const char *path));

/* ---- places ---- */

/* The folder for files that can be made again: "base" or "base" + *tail. NULL: there is none. Valid until the thread's next call of this
 * function or of hsae_os_getenv. */
const char *hsae_os_cache_folder(const char **tail);
/* Makes a folder with a new name in $TMPDIR or where the system has such folders; `path` is that name, on a failure, too. */
int hsae_os_temporary_folder(char *path, size_t size);
/* A folder that this user has for files that can be made again, where temporary files are; made if it is not there. -1: there is none that
 * is private. */
int hsae_os_private_temporary(char *path, size_t size);
char *hsae_os_working_folder(char *path, size_t size);
/* The program that this process runs; NULL: not known. */
char *hsae_os_program_path(char *path, size_t size);
/* A number that changes when the file at `path` is replaced or written; 0: there is no file. */
uint64_t hsae_os_stamp(const char *path);

/* ---- files ---- */

/* As fopen(). To be read, a pipe must get a writer within 10 seconds, else ETIMEDOUT. */
FILE *hsae_os_fopen(const char *path, const char *mode);

enum hsae_os_open {
    HSAE_OS_READ,   /* a pipe without a writer does not block */
    HSAE_OS_NEW,    /* to be written; EEXIST where there is something */
    HSAE_OS_LOCK,   /* to be locked, made if it is not there */
    HSAE_OS_CLAIM,  /* to be locked and removed: must be there, and no link */
    HSAE_OS_PARENT, /* the path's folder, to be synced. EACCES where folders cannot be opened, as on Windows, where a rename is on disk
                     * when the call returns */
};
/* A descriptor, for hsae_os_close and fdopen(). */
int hsae_os_open(const char *path, enum hsae_os_open how);
/* Another one of the same open file: locks end with the last. */
int hsae_os_duplicate(int file);
void hsae_os_close(int file);
/* A new file: six X at the end of `pattern` become its name. One that is not to be kept has no name any more, or loses it when it is
 * closed. */
int hsae_os_open_temporary(char *pattern, bool keep);
/* Never NONE, unless with errno. */
enum hsae_os_kind hsae_os_describe(int file, uint64_t *size);
/* When the bytes of the open file were last changed, in nanoseconds of the file system's clock; 0 where it cannot be told. */
uint64_t hsae_os_modified(int file);
/* Whether `path`, which is no link, names this open file. */
bool hsae_os_is_named(int file, const char *path);
/* Does not wait. 0, or an errno: EWOULDBLOCK where another open file holds it; others where the file system has no locks. */
int hsae_os_lock(int file);
/* Until all of the file, or the names of the folder, would survive a power cut. */
int hsae_os_sync(int file);
/* As pread(). */
ptrdiff_t hsae_os_read_at(int file, void *out, size_t size, uint64_t offset);
/* Bytes of standard input as soon as there are some. 0: its end. ECANCELED: `stop`, called some times a second, said so; Windows does not
 * call it. One thread at a time. */
ptrdiff_t hsae_os_read_input(void *out, size_t size, bool (*stop)(void));
/* Hints: the file will be read here and there; these bytes of it soon. */
void hsae_os_expect_random(int file);
void hsae_os_expect(int file, uint64_t offset, uint64_t size);

/* A folder that one process has for itself: 0, or an errno as hsae_os_lock's. *lock is -1 where the folder cannot be opened, and needs
 * hsae_os_unlock_folder otherwise, whatever comes back; `remove`: the folder, too, if it is empty. */
int hsae_os_lock_folder(const char *path, int *lock);
void hsae_os_unlock_folder(const char *path, int lock, bool remove);

/* A text of any length, to be written as a file. */
struct hsae_os_text {
    FILE *file;
    char *text;
    size_t size;
};
FILE *hsae_os_text_open(struct hsae_os_text *text);
/* The text; free(). NULL: not all of it arrived. */
char *hsae_os_text_close(struct hsae_os_text *text);

/* ---- libraries ---- */

enum hsae_os_library { HSAE_OS_OPENCL, HSAE_OS_VULKAN, HSAE_OS_CLBLAST };
/* NULL: it is not installed. */
void *hsae_os_library_open(enum hsae_os_library library);
/* A function, to be copied into a pointer of its type; NULL: there is none of that name. */
void *hsae_os_library_symbol(void *library, const char *name);
/* A library by its name or its path; NULL: `error` says why. */
void *hsae_os_library_open_file(const char *name, char *error, size_t size);
/* Its name, as messages call it. */
const char *hsae_os_library_name(enum hsae_os_library library);
/* hsae_os_stamp of the file that opening this library by that name would take, as far as it can be told without opening it. */
uint64_t hsae_os_library_stamp(const char *name);
void hsae_os_library_close(void *library);
/* The index-th folder in which the loader of OpenCL or Vulkan looks for files that name drivers; false: there are no more. Windows keeps
 * them in the registry: none. */
bool hsae_os_driver_folder(enum hsae_os_library loader, size_t index, char *path, size_t size);
/* The index-th file of a device that is there, and which this user may not open; false: there are no more. */
bool hsae_os_forbidden_device(size_t index, char *path, size_t size);

/* ---- the machine ---- */

/* Of a clock that never steps back. */
double hsae_os_seconds(void);
/* At least that long, and with luck not much longer. */
void hsae_os_sleep(double seconds);
/* Processor time in seconds that the other threads of this process, those that have ended included, have used so far. */
double hsae_os_others_seconds(void);
/* Bytes that are built in; SIZE_MAX: not known. */
uint64_t hsae_os_memory(void);
/* Processors that are switched on; 1 where that is not known. */
unsigned hsae_os_processors(void);
/* Most bytes that this process had resident so far; 0: not known. */
uint64_t hsae_os_peak_memory(void);
/* Memory aligned to `page`, a power of 2; on pages of that size where the system can. */
void *hsae_os_pages(size_t page, size_t size);
void hsae_os_pages_free(void *memory);

/* ---- the process ---- */

long hsae_os_process(void);
/* A variable that may hold a path; valid until the thread's next call. */
const char *hsae_os_getenv(const char *name);
/* NULL: it is not set afterwards. Not while another thread reads variables. */
void hsae_os_setenv(const char *name, const char *value);
/* How many processes a launcher such as mpirun says that it has started of this program; 1: none says so. */
unsigned long hsae_os_launched(void);
/* "NAME=value", up to a NULL. */
char **hsae_os_environment(void);

/* ---- child processes ---- */

enum hsae_os_ending {
    HSAE_OS_ENDED,       /* with exit status 0 */
    HSAE_OS_DIED,        /* of a signal, or with another status */
    HSAE_OS_STILL,       /* it used no processor for too long: ended by force */
    HSAE_OS_TOO_LONG,    /* ended by force */
    HSAE_OS_STOPPED,     /* `stop` said so: ended by force */
    HSAE_OS_NOT_STARTED, /* errno says why */
};
struct hsae_os_child {
    const char *const *words; /* the program's path, then its arguments, up to a NULL */
    double still_seconds;     /* without progress of its processor time; 0: no limit */
    double max_seconds;       /* 0: no limit */
    bool (*stop)(void *user); /* called some times a second; NULL: never */
    void *user;
    /* What comes back. */
    char *output;     /* standard output, ends with a 0; free(); NULL: out of memory, or not started */
    char errors[256]; /* the last line of standard error */
    char how[48];     /* DIED: "signal 11 (SIGSEGV)" */
};
/* Runs a program until it ends or has to. Its standard input is a pipe that closes with this process (hsae_os_child_begin). */
enum hsae_os_ending hsae_os_run(struct hsae_os_child *child);
/* For the program that hsae_os_run runs: from here on it ends at once when its parent does, and leaves no file when it crashes. */
void hsae_os_child_begin(void);

/* A thread that no signal comes to: those are the program's. 0 or an errno. */
int hsae_os_thread_start(pthread_t *thread, void *(*run)(void *), void *user);

/* ---- the program: called by main's thread ---- */

/* First thing in main: standard streams that are closed become the null device, as many open files as the system allows, and on Windows
 * arguments in UTF-8 and a standard output whose bytes arrive as they are. */
void hsae_os_program_begin(int *argc, char ***argv);
/* Before any other thread is made. `stop` is called by a thread of its own, once for each signal that asks the program to end: SIGINT,
 * SIGTERM, SIGHUP (unless it is ignored, as under nohup), SIGUSR1, SIGUSR2 and SIGXCPU; on Windows for Ctrl-C, and for the end of the
 * console or of the session. No system call is interrupted. A closed pipe and a file grown too large become errors of writing. */
void hsae_os_program_catch(void (*stop)(int signal));
/* Whether a batch system sends this signal as a warning before its time limit, perhaps more than once: SIGUSR1, SIGUSR2, SIGXCPU. */
bool hsae_os_signal_warns(int signal);
/* After writing to standard output has failed: whether the reason is that its reader has closed the pipe. */
bool hsae_os_output_is_closed(void);
/* Whether standard error is a terminal that lines can be taken away from (\r, \033[K), and how many columns it has; 0: not known. */
bool hsae_os_has_terminal(void);
unsigned hsae_os_terminal_width(void);
/* Whether that terminal takes colors: NO_COLOR is not set (os_files.c). */
bool hsae_os_has_colors(void);

#endif
