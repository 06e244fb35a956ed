/* SPDX-License-Identifier: MIT */
/* Any bytes as cfg.json of an SAE of SAELens and, after the first zero byte, as the tree.safetensors beside it. */
#include "fuzz.h"
#include "model/model.h"

#include <hsae/exchange.h>
#include <string.h>

static char folder[256], exported[288];

static void remove_files(void)
{
    static const char *const names[] = {"level-0/cfg.json",
                                        "level-0/sae_weights.safetensors",
                                        "level-0",
                                        "level-1/cfg.json",
                                        "level-1/sae_weights.safetensors",
                                        "level-1",
                                        "tree.safetensors",
                                        "tree.json",
                                        "."};
    char path[512];
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        snprintf(path, sizeof path, "%s/%s", exported, names[k]);
        if (hsae_os_remove(path))
            hsae_os_remove_folder(path);
    }
    hsae_os_remove_folder(exported);
    hsae_os_remove_folder(folder);
}

/* A folder in memory with two SAEs. */
static void prepare(void)
{
    hsae_config config;
    hsae_model *model;
    if (hsae_os_kind("/dev/shm") == HSAE_OS_FOLDER)
        hsae_os_setenv("TMPDIR", "/dev/shm");
    hsae_config_defaults(&config);
    config.level_count = 2;
    config.levels[0] = 2;
    config.levels[1] = 4;
    if (hsae_os_temporary_folder(folder, sizeof folder) || hsae_model_alloc(fuzz_context(), &config, 2, &model))
        abort();
    model->scale = 1;
    for (uint32_t l = 0; l < 2; l++)
        for (uint32_t i = 0; i < config.levels[l]; i++)
            model->levels[l].threshold[i] = model->levels[l].decoder_weight[2 * i] = 1;
    snprintf(exported, sizeof exported, "%s/exported", folder);
    if (hsae_model_export(fuzz_context(), model, HSAE_EXPORT_SAELENS, exported, NULL, 0))
        abort();
    hsae_model_free(&model);
    atexit(remove_files);
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", exported, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hsae_model *model;
    if (!*folder)
        prepare();
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t first = zero ? (size_t)(zero - data) : size;
    write_file("level-0/cfg.json", data, first);
    write_file("tree.safetensors", zero ? zero + 1 : data, zero ? size - first - 1 : 0);
    const char *path = exported;
    if (!hsae_model_import(fuzz_context(), &path, 1, &model))
        hsae_model_free(&model);
    return 0;
}
