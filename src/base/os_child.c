/* SPDX-License-Identifier: MIT */
/* Child processes: how long one may take, and what is kept of what it writes. */
#include "os_child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A process that uses less processor time between two looks makes no progress: some thread may wake up now and then. */
#define PROGRESS_SECONDS 1e-3
/* At most so much of the time between two looks counts: this process may have been stopped, or got no processor itself. */
#define MAX_LOOK_SECONDS 0.1

struct run {
    struct hsae_os_child *child;
    struct hsae_os_process *process;
    size_t size, capacity;                                /* of child->output */
    char line[sizeof((struct hsae_os_child *)0)->errors]; /* of standard error, so far */
    size_t line_size;
};

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
        } else if (bytes[i] != '\r' && run->line_size + 1 < sizeof run->line) {
            run->line[run->line_size++] = bytes[i];
            run->line[run->line_size] = 0;
            memcpy(run->child->errors, run->line, run->line_size + 1);
        }
}

static void read_streams(struct run *run)
{
    char bytes[4096];
    size_t got;
    while ((got = hsae_os_process_read(run->process, HSAE_OS_OUTPUT, bytes, sizeof bytes)))
        keep_output(run, bytes, got);
    while ((got = hsae_os_process_read(run->process, HSAE_OS_ERRORS, bytes, sizeof bytes)))
        keep_errors(run, bytes, got);
}

static enum hsae_os_ending watch(struct run *run)
{
    struct hsae_os_child *child = run->child;
    double last = hsae_os_seconds(), all = 0, still = 0, used = 0;
    for (;;) {
        hsae_os_process_wait(run->process, 0.05);
        bool ended = hsae_os_process_ended(run->process, child->how, sizeof child->how);
        read_streams(run);
        if (ended)
            return child->how[0] ? HSAE_OS_DIED : HSAE_OS_ENDED;
        if (child->stop && child->stop(child->user))
            return HSAE_OS_STOPPED;
        double now = hsae_os_seconds(), counts = now - last < MAX_LOOK_SECONDS ? now - last : MAX_LOOK_SECONDS;
        double processor = hsae_os_process_seconds(run->process);
        last = now;
        all += counts;
        still += counts;
        if (processor < 0 || processor > used + PROGRESS_SECONDS) {
            used = processor;
            still = 0;
        }
        if (child->still_seconds > 0 && still > child->still_seconds)
            return HSAE_OS_STILL;
        if (child->max_seconds > 0 && all > child->max_seconds)
            return HSAE_OS_TOO_LONG;
    }
}

enum hsae_os_ending hsae_os_run(struct hsae_os_child *child)
{
    child->output = NULL;
    child->errors[0] = child->how[0] = 0;
    struct run run = {.child = child, .process = hsae_os_process_start(child->words)};
    if (!run.process)
        return HSAE_OS_NOT_STARTED;
    enum hsae_os_ending ending = watch(&run);
    if (ending != HSAE_OS_ENDED && ending != HSAE_OS_DIED)
        hsae_os_process_kill(run.process);
    hsae_os_process_close(run.process);
    return ending;
}
