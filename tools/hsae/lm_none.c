/* SPDX-License-Identifier: MIT */
/* In the place of the other lm_*.c, in a program that was built without libllama. */
#include "lm.h"

static void say(void)
{
    cli_error(
        "--gguf: this hsae was built without llama.cpp's libllama; build it with -Dllama=enabled, where pkg-config finds llama.pc, or "
        "make activations with tools/collect_activations.py");
}

hsae_status lm_stream_open(const struct lm_options *options, const char *dtype, struct train_stream *stream)
{
    (void)options, (void)dtype, (void)stream;
    say();
    return HSAE_ERROR_CONFIG;
}

int lm_collect(hsae_context *context, const struct lm_collection *collection)
{
    (void)context, (void)collection;
    say();
    return CLI_FAILED;
}
