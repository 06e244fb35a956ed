/* SPDX-License-Identifier: MIT */
/* Any text as a configuration; what is accepted must survive being written and read again. */
#include "base/config.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hsae_context *context = fuzz_context();
    hsae_config config, again;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    hsae_config_defaults(&config);
    char *equals = strchr(text, '=');
    if (equals) { /* key=value, as on the command line */
        *equals = '\0';
        (void)hsae_config_set(context, &config, text, equals + 1);
    } else {
        (void)hsae_config_parse(context, &config, text, "fuzz");
    }
    free(text);
    if (hsae_config_check(context, &config, "fuzz"))
        return 0;
    char *first = hsae_config_json(&config);
    hsae_config_defaults(&again);
    if (!first || hsae_config_parse(context, &again, first, "fuzz"))
        abort();
    char *second = hsae_config_json(&again);
    if (!second || strcmp(first, second) != 0)
        abort();
    free(first);
    free(second);
    config.steps += config.steps == 0;
    if (hsae_config_resolve(context, &config, 64))
        abort();
    return 0;
}
