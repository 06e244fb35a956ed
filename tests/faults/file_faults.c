/* SPDX-License-Identifier: MIT */
/* To be preloaded: HSAE_FAULT="CALL N ERROR" lets the N-th call (from 1) of CALL (fwrite, fflush, fsync, fclose, rename, unlink; any: of
 * all of them together) fail with this errno, and those after it, too, if there is a plus after it; ERROR 0 ends the process in its place,
 * as kill -9 would, and ERROR -1 lets the call wait for ever, as on a disk that hangs. The child in which drivers are tried has none. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    char call[16], plus;
    int at, error;
} fault;
static atomic_int calls;

/* The arguments are the program's, as glibc has it. */
__attribute__((constructor)) static void read_fault(int argc, char **argv)
{
    const char *text = argc > 1 && !strcmp(argv[1], "__probe") ? NULL : getenv("HSAE_FAULT");
    if (text && sscanf(text, "%15s %d %d%c", fault.call, &fault.at, &fault.error, &fault.plus) < 3)
        abort();
}

/* Whether this call fails; errno is set then. */
static bool fails(const char *call)
{
    if (strcmp(fault.call, call) != 0 && strcmp(fault.call, "any") != 0)
        return false;
    int number = atomic_fetch_add(&calls, 1) + 1;
    if (number != fault.at && !(fault.plus && number > fault.at))
        return false;
    if (!fault.error)
        raise(SIGKILL);
    while (fault.error < 0)
        pause();
    errno = fault.error;
    return true;
}

/* The C library's function of this name. */
#define REAL(type, name, ...)         \
    static type (*real)(__VA_ARGS__); \
    if (!real)                        \
        *(void **)&real = dlsym(RTLD_NEXT, #name);

size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    REAL(size_t, fwrite, const void *, size_t, size_t, FILE *)
    return fails("fwrite") ? 0 : real(data, size, count, file);
}

int fflush(FILE *file)
{
    REAL(int, fflush, FILE *)
    return fails("fflush") ? EOF : real(file);
}

int fsync(int file)
{
    REAL(int, fsync, int)
    return fails("fsync") ? -1 : real(file);
}

int fclose(FILE *file)
{
    REAL(int, fclose, FILE *)
    if (!fails("fclose"))
        return real(file);
    real(file);
    errno = fault.error;
    return EOF;
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *)
    return fails("rename") ? -1 : real(from, to);
}

int unlink(const char *path)
{
    REAL(int, unlink, const char *)
    return fails("unlink") ? -1 : real(path);
}
