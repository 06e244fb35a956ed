/* SPDX-License-Identifier: MIT */
/* hsae collect: activations of a language model, in files that hsae train reads. */
#include "lm.h"

#include <stdlib.h>

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct lm_collection collection = {.lm = LM_OPTIONS_DEFAULT, .shard_rows = 32768, .outlier = 10};
    const struct cli_option options[] = {OPTIONS_collect(CLI_OPTION){0}};
    int status = cli_parse(command, argc, argv, options, NULL, NULL);
    if (status == CLI_CONTINUE)
        status = cli_need(command, options, "gguf text out");
    const char *problem = status == CLI_CONTINUE ? lm_options_problem(&collection.lm) : NULL;
    if (!problem && collection.shard_rows == 0)
        problem = "--shard-rows takes 1 or more";
    if (status == CLI_CONTINUE && problem)
        status = cli_usage(command->name, "%s", problem);
    hsae_context *context = status == CLI_CONTINUE ? cli_context() : NULL;
    if (status == CLI_CONTINUE)
        status = context ? lm_collect(context, &collection) : CLI_FAILED;
    hsae_context_destroy(&context);
    free(collection.lm.text.items);
    return status;
}

const struct cli_command cli_collect = {
    .name = "collect",
    .summary = SUMMARY_collect,
    .synopsis = SYNOPSIS_collect,
    .examples = "  hsae collect --gguf model.gguf --layer 14 --text books/ --tokens 1000000 --out activations\n"
                "  hsae train --data activations --out runs/first --steps 20000\n\n"
                "A sequence is a part of one document. Where --layer finds no tensor l_out-N, the tensors of that layer are listed, for\n"
                "--activation. The same command goes on after the last whole shard.\n",
    .run = run,
};
