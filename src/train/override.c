/* SPDX-License-Identifier: MIT */
/* The configuration of a run that is gone on with: its own, but for the few keys that may change. */
#include "base/context.h"
#include <hsae/trainer.h>

#include <inttypes.h>
#include <string.h>

/* Only these keys may differ; each change is said in the log. */
static hsae_status check_overrides(hsae_context *context, const hsae_config *old, const hsae_config *config)
{
    hsae_config rest = *config;
    rest.steps = old->steps;
    rest.lr = old->lr;
    rest.rho = old->rho;
    rest.perturb = old->perturb;
    rest.skip_bad_rows = old->skip_bad_rows;
    memcpy(rest.target_l0, old->target_l0, sizeof rest.target_l0);
    char *before = hsae_config_json(old), *after = hsae_config_json(&rest);
    hsae_status status = HSAE_OK;
    if (!before || !after)
        status = hsae_fail(context, HSAE_ERROR_MEMORY, "out of memory for a configuration");
    else if (strcmp(before, after) != 0)
        status = hsae_fail(context, HSAE_ERROR_CONFIG,
                           "on resuming only steps, lr, target_l0, rho, perturb and skip_bad_rows may change; the run has %s, wanted is %s",
                           before, after);
#define SAY(key)                            \
    if (!status && config->key != old->key) \
    hsae_log(context, HSAE_LOG_INFO, #key " changed from %g to %g", (double)old->key, (double)config->key)
    SAY(steps);
    SAY(lr);
    SAY(rho);
    SAY(perturb);
    SAY(skip_bad_rows);
#undef SAY
    for (uint32_t l = 0; l < config->level_count && !status; l++)
        if (config->target_l0[l] != old->target_l0[l])
            hsae_log(context, HSAE_LOG_INFO, "target_l0 of level %" PRIu32 " changed from %g to %g", l, old->target_l0[l],
                     config->target_l0[l]);
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
