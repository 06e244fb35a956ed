/* SPDX-License-Identifier: MIT */
/* Which model a command uses. */
#include "run_folder.h"

#include <stdlib.h>
#include <string.h>

bool cli_run_model(const char *folder, char path[RUN_PATH])
{
    uint64_t *steps = NULL;
    size_t count = 0;
    if (hsae_os_kind(folder) != HSAE_OS_FOLDER || !run_began(folder))
        return false;
    run_path(path, folder, "model.safetensors");
    bool found = hsae_os_kind(path) == HSAE_OS_FILE;
    if (!found && run_checkpoints(folder, &steps, &count) == CLI_DONE && count) {
        run_checkpoint_path(path, folder, steps[count - 1]);
        found = true;
    }
    free(steps);
    if (found)
        cli_note("model: %s", path);
    return found;
}

hsae_status cli_load_model(hsae_context *context, const char *path, hsae_model **out)
{
    char found[RUN_PATH];
    if (hsae_os_kind(path) != HSAE_OS_FOLDER)
        return hsae_model_load(context, path, out);
    if (cli_run_model(path, found))
        return hsae_model_load(context, found, out);
    cli_error("%s: a folder, but not that of a run with a model or a checkpoint; give what hsae train wrote", path);
    return HSAE_ERROR_FILE;
}
