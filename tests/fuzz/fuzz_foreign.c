/* SPDX-License-Identifier: MIT */
/* Any bytes as the configuration of an SAE of Gemma Scope 2 and of Llama Scope, beside weights that are good. */
#include "data/safetensors.h"
#include "fuzz.h"

#include <hsae/exchange.h>

static char folder[256];
static const char *const files[] = {"scope-2/config.json", "scope-2/params.safetensors", "llama/hyperparams.json",
                                    "llama/checkpoints/final.safetensors"};
static const char *const folders[] = {"llama/checkpoints", "llama", "scope-2"};

static const char *inside(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void remove_files(void)
{
    for (size_t k = 0; k < sizeof files / sizeof *files; k++)
        hsae_os_remove(inside(files[k]));
    for (size_t k = 0; k < sizeof folders / sizeof *folders; k++)
        hsae_os_remove_folder(inside(folders[k]));
    hsae_os_remove_folder(folder);
}

/* Two features of width 2. */
static void write_weights(const char *path, const char *const names[5], size_t count)
{
    static const float numbers[] = {0.5f, -1, 2, 0.25f};
    struct hsae_new_tensor tensors[5] = {0};
    for (size_t k = 0; k < count; k++)
        tensors[k] = (struct hsae_new_tensor){
            .name = names[k], .type = HSAE_TENSOR_F32, .rank = k < 2 ? 2 : 1, .shape = {2, k < 2 ? 2 : 0}, .data = numbers};
    if (hsae_safetensors_write(fuzz_context(), path, NULL, 0, tensors, count))
        abort();
}

/* In memory. */
static void prepare(void)
{
    if (hsae_os_kind("/dev/shm") == HSAE_OS_FOLDER)
        hsae_os_setenv("TMPDIR", "/dev/shm");
    if (hsae_os_temporary_folder(folder, sizeof folder))
        abort();
    for (size_t k = sizeof folders / sizeof *folders; k-- > 0;)
        if (hsae_os_make_folder(inside(folders[k])))
            abort();
    write_weights(inside(files[1]), (const char *const[]){"w_enc", "w_dec", "b_enc", "b_dec", "threshold"}, 5);
    write_weights(inside(files[3]), (const char *const[]){"encoder.weight", "decoder.weight", "encoder.bias", "decoder.bias", NULL}, 4);
    atexit(remove_files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!*folder)
        prepare();
    for (int kind = 0; kind < 2; kind++) {
        hsae_model *model;
        FILE *file = fopen(inside(files[2 * kind]), "wb");
        if (!file || fwrite(data, 1, size, file) != size || fclose(file))
            abort();
        const char *path = inside(kind ? "llama" : "scope-2");
        if (!hsae_model_import(fuzz_context(), &path, 1, &model))
            hsae_model_free(&model);
    }
    return 0;
}
