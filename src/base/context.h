/* SPDX-License-Identifier: MIT */
/* The context's insides: logging, and the blob cache that both drivers use. */
#ifndef HSAE_SRC_CONTEXT_H
#define HSAE_SRC_CONTEXT_H

#include "os.h"
#include <hsae/status.h>
#include <stdbool.h>

struct hsae_context {
    hsae_log_fn log;
    void *log_user;
    char *cache_dir;                    /* NULL: no cache */
    char *settings[HSAE_SETTING_COUNT]; /* NULL: the default */
    char *program;                      /* in which drivers are tried; NULL: in none */
    bool (*stop)(void *user);
    void *stop_user;
};

/* "HSAE_DEVICE" */
const char *hsae_setting_variable(hsae_setting setting);
/* As hsae_context_setting, and "" of no context. */
const char *hsae_setting_text(const hsae_context *context, hsae_setting setting);
/* A setting that is a number; `automatic` where it is not set, or the context is NULL. */
double hsae_setting_number(const hsae_context *context, hsae_setting setting, double automatic);

/* Formats one line and hands it to the log callback. */
void hsae_log(const hsae_context *context, hsae_log_level level, const char *format, ...) HSAE_OS_PRINTF(3, 4);
/* hsae_log at HSAE_LOG_ERROR, then `status`: `return hsae_fail(context, HSAE_ERROR_FILE, "...", ...)`. */
hsae_status hsae_fail(const hsae_context *context, hsae_status status, const char *format, ...) HSAE_OS_PRINTF(3, 4);

/* In a public function that returns a status, before anything else: ERROR_ARGUMENT, with a message that names it, where one of the pointers
 * is NULL. `context` is evaluated only then, and may be NULL. */
#define HSAE_REQUIRE(context, ...)                                                      \
    do {                                                                                \
        const void *const required[] = {__VA_ARGS__};                                   \
        size_t missing = hsae_first_null(required, sizeof required / sizeof *required); \
        if (missing < sizeof required / sizeof *required)                               \
            return hsae_fail_null(context, __func__, #__VA_ARGS__, missing);            \
    } while (0)
/* The index of the first pointer that is NULL; `count`: none is. */
size_t hsae_first_null(const void *const *pointers, size_t count);
/* ERROR_ARGUMENT: of `names`, with commas between them, the index-th is NULL. */
hsae_status hsae_fail_null(const hsae_context *context, const char *function, const char *names, size_t index);

/* The same of ERROR_MEMORY: "out of memory for WHAT: so many bytes asked for; use LESS". `less` ("a smaller batch"), what the user may set
 * for that to be less; NULL: nothing is. */
hsae_status hsae_fail_memory(const hsae_context *context, uint64_t bytes, const char *less, const char *what, ...) HSAE_OS_PRINTF(4, 5);

/* 64-bit FNV-1a, going on from `hash`; HSAE_HASH_START begins one. */
#define HSAE_HASH_START 0xcbf29ce484222325u
uint64_t hsae_hash(uint64_t hash, const void *data, size_t size);

/* The blob cache (cache.c): opaque bytes under a key that names everything they depend on. Reading a missing or damaged blob gives NULL;
 * a write that fails is forgotten. *data is the caller's, free(). A folder that others may write is not used: what it holds may be theirs.
 */
void hsae_cache_read(const hsae_context *context, const char *kind, const void *key, size_t key_size, void **data, size_t *size);
void hsae_cache_write(const hsae_context *context, const char *kind, const void *key, size_t key_size, const void *data, size_t size);
/* While one process compiles, others that share the folder wait and then read what it made. (Two processes that compiled the same program
 * at the same time left a broken binary of PoCL 3.1 in the cache, on which it aborts.) A wait of 5 seconds is said in the log; after 10
 * minutes it ends without the lock. -1 where there is no cache: nothing is locked. */
int hsae_cache_lock(const hsae_context *context);
void hsae_cache_unlock(int lock);
/* Makes the cache's folder where it is not there; whether that worked shows when a file in it is opened. */
void hsae_cache_make_folder(const hsae_context *context);

#endif
