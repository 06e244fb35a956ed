/* SPDX-License-Identifier: MIT */
#include "tensor_choice.h"
#include "folder.h"

#include <stdio.h>
#include <string.h>

static bool can_hold_vectors(const struct hsae_tensor *tensor, hsae_dtype *dtype)
{
    *dtype = tensor->type == HSAE_TENSOR_F16 ? HSAE_DTYPE_F16 : tensor->type == HSAE_TENSOR_BF16 ? HSAE_DTYPE_BF16 : HSAE_DTYPE_F32;
    return (tensor->rank == 2 || tensor->rank == 3) && (tensor->type == HSAE_TENSOR_F32 || *dtype != HSAE_DTYPE_F32);
}

/* Whether names are the same but for their digits. */
static bool same_stem(const char *a, const char *b)
{
    static const char digits[] = "0123456789";
    for (;; a++, b++) {
        a += strspn(a, digits);
        b += strspn(b, digits);
        if (*a != *b || !*a)
            return *a == *b;
    }
}

static hsae_status several(const hsae_context *context, const char *path, const struct hsae_safetensors *file,
                           const struct hsae_tensor *first)
{
    struct hsae_name_list list = {0};
    bool pieces = true;
    hsae_dtype dtype;
    for (size_t i = 0; i < hsae_safetensors_count(file); i++) {
        const struct hsae_tensor *tensor = hsae_safetensors_at(file, i);
        char shape[192], about[256];
        if (!tensor->count || !can_hold_vectors(tensor, &dtype))
            continue;
        snprintf(about, sizeof about, "%s %s", tensor->type_name, hsae_shape_text(shape, tensor->rank, tensor->shape));
        hsae_name_list_add(&list, tensor->name, about);
        pieces &= same_stem(tensor->name, first->name) && tensor->shape[tensor->rank - 1] == first->shape[first->rank - 1];
    }
    return hsae_fail(context, HSAE_ERROR_FORMAT, "%s: %zu of its tensors can hold activation vectors: %s; choose one with --tensor NAME%s",
                     path, list.count, hsae_name_list_end(&list),
                     pieces ? " (the tensors of a file are not joined: to read all, write them as one, with numpy.concatenate or torch.cat)"
                            : "");
}

hsae_status hsae_choose_tensor(const hsae_context *context, const char *path, const struct hsae_safetensors *file, const char *name,
                               const struct hsae_tensor **out, hsae_dtype *dtype)
{
    char shape[192];
    size_t count = hsae_safetensors_count(file);
    const struct hsae_tensor *tensor = name ? hsae_safetensors_find(file, name) : NULL;
    if (name && !tensor)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: there is no tensor \"%s\" among its %zu, of which the first is \"%s\"; \"hsae info\" lists them", path, name,
                         count, count ? hsae_safetensors_at(file, 0)->name : "");
    if (name && !can_hold_vectors(tensor, dtype))
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: tensor \"%s\" is %s %s; F32, F16 or BF16 of 2 or 3 dimensions is read: convert it, or name another", path,
                         name, tensor->type_name, hsae_shape_text(shape, tensor->rank, tensor->shape));
    const struct hsae_tensor *none = NULL;
    for (size_t i = 0; !name && i < count; i++) {
        const struct hsae_tensor *candidate = hsae_safetensors_at(file, i);
        hsae_dtype found;
        if (!can_hold_vectors(candidate, &found))
            continue;
        if (!candidate->count) {
            none = candidate;
            continue;
        }
        if (tensor)
            return several(context, path, file, tensor);
        tensor = candidate;
        *dtype = found;
    }
    if (!tensor && none) {
        tensor = none;
        can_hold_vectors(none, dtype);
    }
    if (!tensor)
        return hsae_fail(context, HSAE_ERROR_FORMAT,
                         "%s: none of its %zu tensors is F32, F16 or BF16 of 2 or 3 dimensions, as activations must be; convert one", path,
                         count);
    *out = tensor;
    return HSAE_OK;
}

const char *hsae_own_file(const struct hsae_safetensors *file)
{
    const char *format = hsae_safetensors_metadata(file, "format");
    if (format && strcmp(format, "hsae") == 0)
        return "a model or checkpoint of hsae";
    if (format && strcmp(format, "hsae tree") == 0)
        return "a tree of hsae";
    if ((format && strcmp(format, "hsae features") == 0) || hsae_safetensors_find(file, "levels.0.indptr"))
        return "features that hsae encode wrote";
    return NULL;
}
