/* SPDX-License-Identifier: MIT */
/* Errors, the log, and the context that every program makes first.
 *
 * Every function that can fail returns an hsae_status. One message at HSAE_LOG_ERROR to the context's log callback says what went wrong,
 * where, and what to do about it. The library never prints, exits or aborts.
 *
 * Pointers must not be NULL unless the function says that they may. A function that returns a status gives ERROR_ARGUMENT and names the
 * argument; any other gives 0, NULL or nothing. */
#ifndef HSAE_STATUS_H
#define HSAE_STATUS_H

#include <hsae/settings.h>
#include <hsae/version.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* On Windows a program that links the static library defines HSAE_STATIC. */
#if defined(_WIN32) && defined(HSAE_BUILDING)
#define HSAE_API __declspec(dllexport)
#elif defined(_WIN32) && defined(HSAE_STATIC)
#define HSAE_API
#elif defined(_WIN32)
#define HSAE_API __declspec(dllimport)
#else
#define HSAE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, value, sentence): the one list of status codes. */
#define HSAE_STATUS_MAP(X)                                                \
    X(OK, 0, "success")                                                   \
    X(ERROR_ARGUMENT, -1, "an argument is not valid")                     \
    X(ERROR_CONFIG, -2, "the configuration is not valid")                 \
    X(ERROR_FILE, -3, "a file cannot be read or written")                 \
    X(ERROR_FORMAT, -4, "a file does not hold what it should")            \
    X(ERROR_DATA, -5, "the activations are not usable")                   \
    X(ERROR_MEMORY, -6, "out of host memory")                             \
    X(ERROR_DEVICE_MEMORY, -7, "out of device memory")                    \
    X(ERROR_NO_DEVICE, -8, "no such device")                              \
    X(ERROR_LIMIT, -9, "the device's limits do not allow this")           \
    X(ERROR_DRIVER, -10, "the device's driver failed")                    \
    X(ERROR_DEVICE_LOST, -11, "the device was lost")                      \
    X(ERROR_UNSUPPORTED, -12, "this build of the library cannot do this") \
    X(CANCELLED, -13, "stopped on request")                               \
    X(ERROR_DIVERGED, -14, "the training diverged")

typedef enum hsae_status {
#define HSAE_STATUS_ENUM(name, value, sentence) HSAE_##name = value,
    HSAE_STATUS_MAP(HSAE_STATUS_ENUM)
#undef HSAE_STATUS_ENUM
} hsae_status;

/* "ERROR_FILE" and "a file cannot be read or written". Static strings, never NULL; any thread. */
HSAE_API const char *hsae_status_name(hsae_status status);
HSAE_API const char *hsae_status_sentence(hsae_status status);

/* The message of the last failure in this thread, whether or not a context logs; "" where there was none. It stays until the thread's next
 * failure: read it after a status other than OK and CANCELLED. */
HSAE_API const char *hsae_last_error(void);

/* Of the library that runs, "0.1.0"; static string. Of the headers: hsae/version.h. */
HSAE_API const char *hsae_version(void);

typedef enum hsae_log_level { HSAE_LOG_ERROR, HSAE_LOG_WARNING, HSAE_LOG_INFO, HSAE_LOG_DEBUG } hsae_log_level;

/* `message` is one line without a newline, valid during the call. Drop the levels that you do not want: ERROR is what made a call fail,
 * WARNING what a user should know, INFO what was done, DEBUG the rest. May be called from any thread that is inside a library function. */
typedef void (*hsae_log_fn)(void *user, hsae_log_level level, const char *message);

/* Parameters of a context. Zero-initialise, set what differs. */
typedef struct hsae_context_params {
    hsae_log_fn log; /* NULL: messages are dropped */
    void *log_user;  /* first argument of `log` */
    /* const char *device, *cache_dir, *tuning ...: the settings, as text, copied. NULL: the variable of the environment; "": the default,
     * but of cache_dir: no cache. */
#define HSAE_SETTING_FIELD(NAME, field, KIND, text) const char *field;
    HSAE_SETTINGS(HSAE_SETTING_FIELD)
#undef HSAE_SETTING_FIELD
    /* Path of a program in which drivers are tried before this process loads them: it calls hsae_device_probe with the words that come
     * after its first one, "__probe", prints the answer, and ends. A driver that crashes or hangs there is left out with a warning, and
     * remembered in the cache folder. The program `hsae` is one. With it, the library sets environment variables before it loads drivers:
     * POCL_CACHE_DIR where PoCL could not write its own, OCL_ICD_VENDORS and VK_DRIVER_FILES where a driver is left out. So list or open
     * devices first while no other thread reads the environment. NULL: drivers are loaded untried. Copied. */
    const char *program;
    /* Called several times a second while a driver is being tried: true ends that with HSAE_CANCELLED. NULL: never. */
    bool (*stop)(void *user);
    void *stop_user; /* argument of `stop` */
} hsae_context_params;

/* Where the library logs and keeps compiled kernels. Every other object is made from a context, which must outlive it. It does not change
 * after creation: any number of threads may share one. */
typedef struct hsae_context hsae_context;

/* `params` NULL is all zero. Fails with ERROR_MEMORY only. */
HSAE_API hsae_status hsae_context_create(const hsae_context_params *params, hsae_context **out);
/* The text of a setting in this context, valid as long as it; "": the default holds. */
HSAE_API const char *hsae_context_setting(const hsae_context *context, hsae_setting setting);
/* Takes NULL and pointers to NULL; sets *context to NULL. */
HSAE_API void hsae_context_destroy(hsae_context **context);

/* Frees memory that a function of this library returned and documented as "free with hsae_free". Takes NULL. */
HSAE_API void hsae_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
