/* SPDX-License-Identifier: MIT */
/* What the proxies of the OpenCL and Vulkan loaders share. HSAE_FAULT="LOADER N KIND", or @FILE with that text: the N-th call (from 1; 0:
 * none) of this loader, OpenCL or vulkan, that can fail does so. KIND:
 *   lost         the device is lost: all later calls fail, too
 *   memory       out of device memory
 *   host         out of host memory
 *   build        the driver's compiler fails; only calls that compile are counted
 *   wrong        the driver's compiler drops what multiply-adds add to; kernels that it is given are counted
 *   portability  no call fails: a Vulkan driver that is none by the book, as MoltenVK is one
 *   apple        that driver, and an OpenCL driver for the same GPU, which tell nothing but its name
 *   rusticl      an OpenCL driver of that name, whose profiling says 1 ns for each launch
 *   drop         no call fails: of a launch of more than N work-groups only the first one runs; with a fourth word (OpenCL), of that
 *                kernel alone
 *   small        the driver of a device that has little of everything (enum small), and takes no more than that
 *   abort        the driver ends the process with SIGABRT
 *   crash        with SIGSEGV
 *   hang         the call never comes back
 *   absent       no call fails: the driver has no devices
 * HSAE_FAULT_COUNT=FILE: how many calls were counted, written at the end. The real loaders are $HSAE_REAL_OpenCL and $HSAE_REAL_vulkan. */
#ifndef HSAE_TESTS_FAULTS_H
#define HSAE_TESTS_FAULTS_H

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { LOST, MEMORY, HOST, BUILD, WRONG, PORTABILITY, APPLE, RUSTICL, DROP, SMALL, ABORT, CRASH, HANG, ABSENT, KINDS };
/* OpenCL has one limit for SMALL_BUFFER, SMALL_ALLOCATION and SMALL_BINDING, and none for SMALL_GROUPS. */
enum small {
    SMALL_MEMORY = 1 << 20,
    SMALL_BUFFER = 8448,
    SMALL_ALLOCATION = 8704,
    SMALL_BINDING = 8192,
    SMALL_ITEMS = 16,    /* of a work-group */
    SMALL_ITEMS_X = 8,   /* in its first dimension */
    SMALL_LOCAL = 64,    /* bytes */
    SMALL_GROUPS = 64,   /* in each of x and y */
    SMALL_BINDINGS = 21, /* storage buffers */
    SMALL_ARGUMENTS = 128,
};

static const char *const kind_names[] = {"lost",    "memory", "host",  "build", "wrong", "portability", "apple",
                                         "rusticl", "drop",   "small", "abort", "crash", "hang",        "absent"};
static void *real_library;
static bool counts; /* not the other loader's proxy */
static int fault_at;
static enum kind fault_kind;
static char fault_kernel[32]; /* "": all */
static atomic_int calls;
static atomic_bool gone;

static void drain(void); /* what is under way on the real device ends before it is lost */

__attribute__((constructor)) static void read_fault(void)
{
    const char *text = getenv("HSAE_FAULT"), *path = getenv("HSAE_REAL_" LOADER);
    char loader[16] = "", name[16] = "", line[80] = "";
    FILE *file = text && *text == '@' ? fopen(text + 1, "r") : NULL;
    if (file) {
        text = fgets(line, sizeof line, file);
        fclose(file);
    }
    real_library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!real_library || !text || sscanf(text, "%15s %d %15s %31s", loader, &fault_at, name, fault_kernel) < 3)
        abort();
    counts = strcmp(loader, LOADER) == 0;
    for (int kind = 0; kind < KINDS; kind++)
        if (strcmp(name, kind_names[kind]) == 0)
            fault_kind = (enum kind)kind;
}

/* Of the processes of one command the one with the most calls counts. */
__attribute__((destructor)) static void write_count(void)
{
    const char *path = getenv("HSAE_FAULT_COUNT");
    int most = 0;
    FILE *file = counts && path ? fopen(path, "r") : NULL;
    if (file && fscanf(file, "%d", &most) != 1)
        most = 0;
    if (file)
        fclose(file);
    file = counts && path && atomic_load(&calls) >= most ? fopen(path, "w") : NULL;
    if (!file)
        return;
    fprintf(file, "%d\n", atomic_load(&calls));
    fclose(file);
}

/* The call that does not come back, in a process without a sanitizer's handlers. */
static void end(void)
{
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    while (fault_kind == HANG)
        pause();
    raise(fault_kind == ABORT ? SIGABRT : SIGSEGV);
}

/* Whether this call fails. */
static bool fails(bool builds)
{
    bool ends = fault_kind == ABORT || fault_kind == CRASH || fault_kind == HANG;
    if (atomic_load(&gone))
        return true;
    if (!counts || (fault_kind > BUILD && !ends) || (fault_kind == BUILD && !builds) || atomic_fetch_add(&calls, 1) + 1 != fault_at)
        return false;
    if (ends)
        end();
    if (fault_kind == LOST) {
        drain();
        atomic_store(&gone, true);
    }
    return true;
}

/* Whether a launch of that many work-groups loses all but the first. */
static bool drops(uint64_t groups)
{
    return counts && fault_kind == DROP && groups > (uint64_t)fault_at;
}

/* Whether this kernel is compiled wrong. */
static bool miscompiles(void)
{
    return counts && fault_kind == WRONG && atomic_fetch_add(&calls, 1) + 1 == fault_at;
}

/* ISO C has no cast from an object pointer to a function pointer. */
static void find(const char *name, void *function, size_t size)
{
    void *symbol = dlsym(real_library, name);
    if (!symbol)
        abort();
    memcpy(function, &symbol, size);
}

#endif
