/* SPDX-License-Identifier: MIT */
/* Drivers are strangers' code: they crash, hang, or are not there. Where the context has a program, they are tried in a child process
 * before this one loads them, and what came of it is remembered in the cache folder. */
#ifndef HSAE_SRC_DRIVERS_H
#define HSAE_SRC_DRIVERS_H

#include "base/context.h"

#include <hsae/device.h>
#include <jansson.h>
#include <stdbool.h>

/* ---- what is wrong ---- */

/* Zero-initialise; free(items). What does not fit into memory is dropped. */
struct hsae_problems {
    hsae_device_problem *items;
    size_t count;
};
/* `remedy`: what to do about it; NULL: not known. One that is there already is not added again. */
void hsae_problem_add(struct hsae_problems *problems, hsae_backend backend, const char *remedy, const char *format, ...)
    HSAE_OS_PRINTF(4, 5);

/* ---- the files that name drivers (driver_files.c) ---- */

struct hsae_driver_file {
    char path[1024];
    char library[1024]; /* as the file names it, relative paths resolved; "": it names none */
};
struct hsae_driver_files {
    struct hsae_driver_file *items; /* by path */
    size_t count;
    bool apart; /* one of them can be loaded alone */
};
/* The files from which the backend's loader would take drivers. hsae_driver_files_free. */
void hsae_driver_files_find(hsae_backend backend, struct hsae_driver_files *out);
/* The library that a file's text names, at most `room` bytes with the 0; "": none. `text` ends with a 0 after its size. */
void hsae_driver_library(hsae_backend backend, const char *path, const char *text, size_t size, char *library, size_t room);
void hsae_driver_files_free(struct hsae_driver_files *files);
/* Changes when a file, its library or the loader does. */
uint64_t hsae_driver_files_hash(hsae_backend backend, const struct hsae_driver_files *files);
enum hsae_os_library hsae_driver_loader(hsae_backend backend);
const char *hsae_backend_title(hsae_backend backend); /* "OpenCL" */
const char *hsae_backend_name(hsae_backend backend);  /* "opencl", as in ids */

/* ---- looking (driver_look.c): loads drivers into this process ---- */

/* Everything that is known to keep a backend's drivers from being used. `loads`: their libraries are loaded one by one, too. */
void hsae_drivers_look(hsae_context *context, hsae_backend backend, bool loads, struct hsae_problems *problems, size_t *devices);

/* ---- trying (driver_probe.c, tune/trial.c): in a child process ---- */

enum hsae_trust {
    HSAE_TRUST_MEMORY, /* what is remembered holds */
    HSAE_TRUST_FAULTS, /* what is remembered to crash or hang does; the others are looked at again */
    HSAE_TRUST_NONE,
};
/* Whether the backend's drivers may be loaded into this process; leaves out those which may not. The first call for a backend decides for
 * this process. Only with a context that has a program; the caller holds the lock of backend_table.c. CANCELLED. */
hsae_status hsae_drivers_ready(hsae_context *context, hsae_backend backend, enum hsae_trust trust, bool *usable);
/* What hsae_drivers_ready found; adds to `problems`. */
void hsae_drivers_problems(hsae_backend backend, struct hsae_problems *problems, size_t *devices);
/* Whether a child process has just tested this device, with success. */
bool hsae_trial_passed(const char *id);
void hsae_trial_note_passed(const char *id);
/* Whether `id` is a device; ready or not, drivers are loaded for that. ERROR_NO_DEVICE is logged. */
hsae_status hsae_device_find(hsae_context *context, const char *id, hsae_device_info *out);

/* Where PoCL could not write its cache folder, it gets another (driver_pocl.c). */
void hsae_pocl_prepare(hsae_context *context, const struct hsae_driver_files *files);

/* ---- both sides (driver_record.c) ---- */

/* What a trial depends on: the library, its kernels, drivers, environment, and of a device its name. */
struct hsae_trial_key {
    char version[32], id[32], name[256], driver[256];
    uint64_t kernels, files, environment;
};
void hsae_trial_key(const hsae_context *context, hsae_backend backend, const hsae_device_info *device,
                    const struct hsae_driver_files *files, struct hsae_trial_key *key);
json_t *hsae_trial_remember(hsae_context *context, const struct hsae_trial_key *key); /* NULL: nothing */
void hsae_trial_keep(hsae_context *context, const struct hsae_trial_key *key, const json_t *record);
/* Runs `program` "__probe" with these words, and with the context's settings. *answer: its JSON object, or NULL; then `how` says what
 * happened: "it crashed: signal 11 (SIGSEGV)". ERROR_UNSUPPORTED: no process could be started. */
hsae_status hsae_trial_run(hsae_context *context, const char *const *words, double still_seconds, double max_seconds, json_t **answer,
                           char *how, size_t how_size);
/* Seconds that a driver has for what it is asked ($HSAE_WAIT_SECONDS); infinite: it is waited for. */
double hsae_patience(const hsae_context *context);
/* A JSON string; bytes that are not UTF-8 become question marks. */
json_t *hsae_json_text(const char *text);
json_t *hsae_problems_json(const struct hsae_problems *problems);
void hsae_problems_read(hsae_backend backend, const json_t *array, struct hsae_problems *problems);

#endif
