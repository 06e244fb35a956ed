/* SPDX-License-Identifier: MIT */
/* The configuration of a run that is gone on with: its own, but for the few keys that may change. */
#include "base/context.h"
#include <hsae/trainer.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGES, FIXED };

static void say_changes(hsae_context *context, const hsae_config *old, const hsae_config *config)
{
#define SAY_NUMBER(key)          \
    if (config->key != old->key) \
        hsae_log(context, HSAE_LOG_INFO, #key " changed from %g to %g", (double)old->key, (double)config->key);
#define SAY_U32(key)    SAY_NUMBER(key)
#define SAY_U64(key)    SAY_NUMBER(key)
#define SAY_REAL(key)   SAY_NUMBER(key)
#define SAY_BOOL(key)   SAY_NUMBER(key)
#define SAY_CHOICE(key) SAY_NUMBER(key)
#define SAY_LEVELS(key)
#define SAY_LIST(key)                                  \
    for (uint32_t l = 0; l < config->level_count; l++) \
        if (config->key[l] != old->key[l])             \
            hsae_log(context, HSAE_LOG_INFO, #key " of level %" PRIu32 " changed from %g to %g", l, old->key[l], config->key[l]);
#define SAY(key, KIND, RANGE, initial, automatic, RESUME, help) \
    if (RESUME == CHANGES) {                                    \
        SAY_##KIND(key)                                         \
    }
    HSAE_CONFIG_KEYS(SAY)
#undef SAY
}

/* "steps, lr and rho": the keys that may change. */
static void list_keys(char text[256])
{
    static const char *const names[] = {
#define NAME_CHANGES(key) #key,
#define NAME_FIXED(key)
#define NAME(key, KIND, RANGE, initial, automatic, RESUME, help) NAME_##RESUME(key)
        HSAE_CONFIG_KEYS(NAME)
#undef NAME
    };
    enum { COUNT = sizeof names / sizeof *names };
    for (size_t i = 0, used = 0; i < COUNT && used < 256; i++)
        used += (size_t)snprintf(text + used, 256 - used, "%s%s", i == 0 ? "" : i + 1 < COUNT ? ", " : " and ", names[i]);
}

/* The keys that differ, to `text`: "levels is [8, 16] in the run, not [8, 32]". False: out of memory. */
static bool list_differences(const char *before, const char *after, char text[512])
{
    json_t *old = json_loads(before, 0, NULL), *new = json_loads(after, 0, NULL), *value;
    const char *key;
    size_t used = 0;
    json_object_foreach(new, key, value)
    {
        char *was = json_dumps(json_object_get(old, key), JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        char *is = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        if (was && is && strcmp(was, is) != 0 && used < 512)
            used += (size_t)snprintf(text + used, 512 - used, "%s%s is %s in the run, not %s", used ? "; " : "", key, was, is);
        free(was);
        free(is);
    }
    if (used >= 512)
        memcpy(text + 508, "...", 4);
    json_decref(old);
    json_decref(new);
    return used > 0;
}

/* Only the keys of CHANGES may differ; each change is said in the log. */
static hsae_status check_overrides(hsae_context *context, const hsae_config *old, const hsae_config *config)
{
    char allowed[256], differences[512];
    hsae_config rest = *config;
#define KEEP(key, KIND, RANGE, initial, automatic, RESUME, help) \
    if (RESUME == CHANGES)                                       \
        memcpy(&rest.key, &old->key, sizeof rest.key);
    HSAE_CONFIG_KEYS(KEEP)
#undef KEEP
    char *before = hsae_config_json(old), *after = hsae_config_json(&rest);
    hsae_status status = HSAE_OK;
    list_keys(allowed);
    bool same = before && after && strcmp(before, after) == 0;
    if (!before || !after || (!same && !list_differences(before, after, differences)))
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for a configuration");
    else if (!same)
        status = hsae_fail(context, HSAE_ERROR_CONFIG, "on resuming only %s may change: %s", allowed, differences);
    else
        say_changes(context, old, config);
    hsae_free(before);
    hsae_free(after);
    return status;
}

hsae_status hsae_config_override(hsae_context *context, const hsae_config *run, uint32_t dim, hsae_override_fn overrides, void *user,
                                 hsae_config *out)
{
    HSAE_REQUIRE(context, context, run, out);
    hsae_config old = *run;
    hsae_status status = hsae_config_resolve(context, &old, dim);
    if (status)
        return status;
    hsae_config config = old;
    if (overrides)
        status = overrides(user, &config);
    config.norm_limit = config.norm_limit == 0 ? old.norm_limit : config.norm_limit;
    if (!status)
        status = hsae_config_resolve(context, &config, dim);
    if (!status)
        status = check_overrides(context, &old, &config);
    if (!status)
        *out = config;
    return status;
}
