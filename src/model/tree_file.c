/* SPDX-License-Identifier: MIT */
#include "tree_file.h"
#include "base/json.h"
#include "slots.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* "8,16": what a tree is of. */
static void sizes_text(const hsae_model *model, char text[16 * HSAE_MAX_LEVELS])
{
    int used = 0;
    for (uint32_t l = 0; l < model->config.level_count; l++)
        used += snprintf(text + used, 12, "%s%u", l ? "," : "", (unsigned)model->config.levels[l]);
}

/* The slots of the parents alone. */
static size_t parent_slots(hsae_model *model, struct slot slots[HSAE_MODEL_SLOTS])
{
    size_t count = hsae_model_slots(model, slots), kept = 0;
    for (size_t i = 0; i < count; i++)
        if (slots[i].type == HSAE_TENSOR_I32)
            slots[kept++] = slots[i];
    return kept;
}

/* Parents of the level's features, and children of each. */
static json_t *level_json(const hsae_model *model, uint32_t level)
{
    const struct level_tensors *l = &model->levels[level], *below = l + 1;
    json_t *parents = level ? json_array() : json_null(), *children = json_null();
    char folder[32];
    snprintf(folder, sizeof folder, "level-%u", (unsigned)level);
    for (uint32_t i = 0; level && i < l->features; i++)
        json_array_append_new(parents, l->parent[i] < 0 ? json_null() : json_integer(l->parent[i]));
    if (level + 1 < model->config.level_count) {
        children = json_array();
        for (uint32_t i = 0; i < l->features; i++)
            json_array_append_new(children, json_array());
        for (uint32_t j = 0; j < below->features; j++)
            if (below->parent[j] >= 0)
                json_array_append_new(json_array_get(children, (size_t)below->parent[j]), json_integer((json_int_t)j));
    }
    return json_pack("{s:s, s:I, s:o, s:o}", "folder", folder, "features", (json_int_t)l->features, "parents", parents, "children",
                     children);
}

hsae_status hsae_tree_write(const hsae_context *context, const hsae_model *model, const char *folder)
{
    struct slot slots[HSAE_MODEL_SLOTS];
    struct hsae_new_tensor tensors[HSAE_MODEL_SLOTS];
    struct hsae_model copy = *model;
    char sizes[16 * HSAE_MAX_LEVELS], path[4096];
    size_t count = parent_slots(&copy, slots);
    sizes_text(model, sizes);
    const struct hsae_metadata metadata[] = {{"format", "hsae tree"}, {"levels", sizes}, {"version", "1"}};
    for (size_t i = 0; i < count; i++)
        tensors[i] = (struct hsae_new_tensor){
            .name = slots[i].name, .type = HSAE_TENSOR_I32, .rank = 1, .shape = {slots[i].shape[0]}, .data = hsae_slot_data(&slots[i])};
    snprintf(path, sizeof path, "%s/" HSAE_TREE_TENSORS, folder);
    hsae_status status = hsae_safetensors_write(context, path, metadata, 3, tensors, count);
    json_t *levels = json_array();
    for (uint32_t l = 0; l < model->config.level_count; l++)
        json_array_append_new(levels, level_json(model, l));
    json_t *tree = json_pack("{s:s, s:i, s:o}", "format", "hsae tree", "version", 1, "levels", levels);
    snprintf(path, sizeof path, "%s/" HSAE_TREE_JSON, folder);
    if (!status)
        return hsae_json_write(context, path, tree, JSON_REAL_PRECISION(17));
    json_decref(tree);
    return status;
}

void hsae_tree_clear(hsae_model *model)
{
    for (uint32_t l = 1; l < model->config.level_count; l++)
        memset(model->levels[l].parent, 0xff, model->levels[l].features * sizeof(int32_t));
}

hsae_status hsae_tree_read(const hsae_context *context, hsae_model *model, const char *folder)
{
    struct slot slots[HSAE_MODEL_SLOTS];
    struct hsae_safetensors *file = NULL;
    char sizes[16 * HSAE_MAX_LEVELS], path[4096];
    size_t count = parent_slots(model, slots);
    hsae_tree_clear(model);
    snprintf(path, sizeof path, "%s/" HSAE_TREE_TENSORS, folder);
    if (hsae_os_kind(path) == HSAE_OS_NONE)
        return HSAE_OK;
    hsae_status status = hsae_safetensors_open(context, path, &file);
    if (status)
        return status;
    const char *found = hsae_safetensors_metadata(file, "levels");
    sizes_text(model, sizes);
    if (found && strcmp(found, sizes) == 0) {
        status = hsae_slots_check(context, path, file, slots, count);
        if (!status)
            status = hsae_slots_read(context, path, file, slots, count, NULL);
    } else {
        hsae_log(context, HSAE_LOG_WARNING, "%s: not used: it is the tree of levels of %s features, imported are levels of %s", path,
                 found ? found : "unknown numbers of", sizes);
    }
    hsae_safetensors_close(&file);
    return status;
}
