/* SPDX-License-Identifier: MIT */
#include "shape.h"
#include "quirks.h"

#include <stdlib.h>
#include <string.h>

/* A CPU through OpenCL: one work-item a group with the machine's own vectors in registers; independent items run as a loop. */
static struct hsae_kernel_shape cpu_shape(enum hsae_kernel kernel, uint32_t width)
{
    struct hsae_kernel_shape shape = {.group_size = 1, .columns = 1, .vector_width = width};
    switch (hsae_kernels[kernel].work) {
    case HSAE_WORK_TILE:
        /* columns x 32 / width accumulators: 24 of 32 AVX-512 registers, 12 of 16 AVX ones, 8 narrow ones. */
        shape.columns = width == 16 ? 12 : width == 8 ? 3 : 1;
        break;
    case HSAE_WORK_ROW:
        /* `update` keeps the sums of a whole row of up to 4096 columns in the first cache, so that it reads the samples' rows once. */
        shape.columns = kernel == HSAE_KERNEL_update ? 4096 / width : width < 16 ? 4 : 12;
        break;
    case HSAE_WORK_COLUMN:
        shape.columns = 4;
        break;
    case HSAE_WORK_ITEM:
        shape.group_size = 32;
        break;
    case HSAE_WORK_TEAM: /* two have a body for one, and lists_fill is faster so */
        shape.group_size =
            kernel == HSAE_KERNEL_samples_count || kernel == HSAE_KERNEL_samples_base || kernel == HSAE_KERNEL_lists_fill ? 1 : 32;
        break;
    case HSAE_WORK_CHAIN:
        shape.columns = 12; /* a fused multiply-add takes 4 to 5 cycles, two start in each */
        break;
    case HSAE_WORK_STREAM:
        shape.columns = 256;
        break;
    case HSAE_WORK_SINGLE:
        break;
    }
    return shape;
}

/* Those that walk over a feature's pairs. */
static bool walks(enum hsae_kernel kernel)
{
    return kernel == HSAE_KERNEL_update || kernel == HSAE_KERNEL_segment_rows;
}

/* Makers, by PCI id. */
enum { AMD = 0x1002, NVIDIA = 0x10de, INTEL = 0x8086 };

static bool fits(const struct hsae_device *device, enum hsae_kernel kernel, const struct hsae_kernel_shape *shape)
{
    const hsae_limits *limits = &device->info.limits;
    struct hsae_tile tile;
    return hsae_shape_tile(shape, &tile) && shape->group_size <= limits->max_group_size &&
           (!device->max_kernel_group_size[kernel] || shape->group_size <= device->max_kernel_group_size[kernel]) &&
           hsae_local_bytes(kernel, shape) <= limits->max_local_bytes;
}

/* Intel's data centre GPUs, whose compiler takes 32 lanes and leaves each 64 registers. */
static bool has_few_registers(const struct hsae_device *device)
{
    return device->vendor == INTEL && device->info.limits.max_local_bytes > 65536;
}

/* encode on a GPU or a software Vulkan device: the first tile that fits, from the maker's row of the ladder on. The rows were chosen by
 * what offline compilers make of them (tests/offline), not by measurement. */
static struct hsae_kernel_shape encode_shape(const struct hsae_device *device, bool software)
{
    static const struct hsae_kernel_shape ladder[] = {
        /* 128 features x 128 samples, 8 x 8 an item: 127 to 137 registers; 86 % of the inner loop is FMAs (RADV). A step of 16 takes 30
         * registers more, which spill on gfx1100; rows of 8 floats need no padding. */
        {.group_size = 256, .columns = 8, .tile_vectors = 2, .tile_words = 4, .tile_step = 8, .tile_prefetch = 1, .vector_width = 4},
        /* 32 x 64, 4 x 8 an item: 73 to 96 registers, 3.5 KiB. */
        {.group_size = 64, .columns = 4, .tile_vectors = 2, .tile_words = 2, .tile_step = 8, .tile_prefetch = 1, .vector_width = 4},
        /* 8 x 128 from memory, for Intel: weights are uniform loads; 77 % of the inner loop is FMAs (acm-g10, 16 lanes a SIMD). */
        {.group_size = 32, .columns = 8, .tile_vectors = 1, .tile_words = 4, .vector_width = 4},
        /* 6 x 128: the most that does not spill where Intel's compiler takes 32 lanes, as for devices with more than 64 KiB (pvc). */
        {.group_size = 32, .columns = 6, .tile_vectors = 1, .tile_words = 4, .vector_width = 4},
        /* A bitmap word an item: without the barrier for which software devices pay dearly. */
        {.group_size = 8, .columns = 1, .vector_width = 4},
    };
    const size_t last = sizeof ladder / sizeof *ladder - 1;
    size_t row = device->vendor == AMD || device->vendor == NVIDIA ? 0 : device->vendor != INTEL ? 1 : 2;
    if (has_few_registers(device))
        row = 3;
    if (software)
        row = last;
    while (row < last && !fits(device, HSAE_KERNEL_encode, &ladder[row]))
        row++;
    return ladder[row];
}

/* update, segment_rows and decode keep sums of rows in registers: of whole rows, up to 3072 columns wide or 768 (decode), where compilers
 * are known not to spill (tests/offline). */
static struct hsae_kernel_shape row_shape(const struct hsae_device *device, enum hsae_kernel kernel)
{
    bool known = device->vendor == AMD || device->vendor == NVIDIA || device->vendor == INTEL, wide = known && !has_few_registers(device);
    uint32_t group = kernel == HSAE_KERNEL_decode ? 64 : wide ? 256 : 128;
    return (struct hsae_kernel_shape){.group_size = group, .columns = wide ? 3 : 1, .vector_width = 4};
}

/* A GPU: lanes share rows, so that they read side by side, and what would be a long walk for one of them. A software Vulkan device pays
 * dearly for barriers: small groups of single lanes. */
static struct hsae_kernel_shape gpu_shape(const struct hsae_device *device, enum hsae_kernel kernel, bool software)
{
    struct hsae_kernel_shape shape = {.group_size = 64, .columns = 1, .vector_width = 4};
    enum hsae_work work = hsae_kernels[kernel].work;
    if (work == HSAE_WORK_CHAIN || work == HSAE_WORK_STREAM)
        shape.columns = 8;
    else if (walks(kernel) || kernel == HSAE_KERNEL_decode)
        shape = row_shape(device, kernel);
    else if (work == HSAE_WORK_SINGLE)
        shape.group_size = 1024;
    else if (work == HSAE_WORK_COLUMN)
        shape.group_size = 512;
    else if (work == HSAE_WORK_TEAM && !software) {
        shape.group_size = 256;
        shape.columns = kernel == HSAE_KERNEL_lists_count ? 8 : kernel == HSAE_KERNEL_relink_count ? 16 : 32;
    }
    if (software)
        shape.group_size = work == HSAE_WORK_ROW || work == HSAE_WORK_SINGLE ? 1 : 8;
    return shape;
}

static struct hsae_kernel_shape default_shape(const struct hsae_device *device, enum hsae_kernel kernel)
{
    const hsae_device_info *info = &device->info;
    bool cpu = info->type == HSAE_DEVICE_CPU;
    struct hsae_kernel_shape shape = {.group_size = 1, .columns = 1, .vector_width = 4};
    if (info->backend == HSAE_BACKEND_OPENCL && cpu) {
        uint32_t width = info->limits.vector_width;
        shape = cpu_shape(kernel, width >= 16 ? 16 : width >= 8 ? 8 : 4);
    } else if (info->backend != HSAE_BACKEND_REF) {
        shape = kernel == HSAE_KERNEL_encode ? encode_shape(device, cpu) : gpu_shape(device, kernel, cpu);
    }
    while (shape.group_size > 1 && !fits(device, kernel, &shape))
        shape.group_size /= 2;
    return shape;
}

bool hsae_shape_one_item(const struct hsae_device *device, enum hsae_kernel kernel)
{
    return walks(kernel) && device->quirks & HSAE_QUIRK_ONE_ITEM_UPDATE;
}

struct hsae_kernel_shape hsae_shape(const struct hsae_device *device, enum hsae_kernel kernel, uint32_t ranges)
{
    const struct hsae_kernel_shape *tuned = &device->tuning.shape[kernel];
    struct hsae_kernel_shape shape = tuned->group_size ? *tuned : default_shape(device, kernel);
    if (shape.group_size > 1 && hsae_shape_one_item(device, kernel))
        shape = default_shape(device, kernel);
    shape.ranges = ranges;
    return shape;
}

void hsae_shape_fit(struct hsae_device *device, enum hsae_kernel kernel, uint32_t ranges)
{
    struct hsae_kernel_shape shape = hsae_shape(device, kernel, ranges);
    bool ask = device->ops->kernel_items && !device->max_kernel_group_size[kernel] && !device->tuning.shape[kernel].group_size;
    while (ask && shape.group_size > 1) {
        uint32_t allowed = device->ops->kernel_items(device, kernel, &shape), *most = &device->max_kernel_group_size[kernel];
        ask = allowed && allowed < shape.group_size;
        if (allowed && (!*most || allowed < *most))
            *most = allowed;
        shape = hsae_shape(device, kernel, ranges);
    }
}

uint32_t hsae_screens(const struct hsae_device *device)
{
    const hsae_device_info *info = &device->info;
    const char *wish = hsae_setting_text(device->context, HSAE_SETTING_SCREEN);
    /* Of x86 processors, in units of multiply-adds of floats: 16-bit numbers 2, with AVX-512 VNNI 16-bit numbers 2 and 8-bit numbers 4. */
    const uint32_t faster = hsae_has_vnni(info) ? 8 : 16;
    if (info->backend == HSAE_BACKEND_REF)
        return 0;
    if (*wish)
        return strcmp(wish, "1") == 0 ? faster : (uint32_t)strtoul(wish, NULL, 10);
    return hsae_compiles_for_x86(info) ? faster : 0;
}

/* ---- the search space ---- */

/* Values of a field, up to the first 0. */
struct axes {
    uint32_t groups[8], columns[12], widths[4];
};

/* Whether work-items, or teams of them, are all that a kernel has: any group size will do. */
static bool is_items(enum hsae_kernel kernel)
{
    return (hsae_kernels[kernel].work == HSAE_WORK_TEAM || hsae_kernels[kernel].work == HSAE_WORK_ITEM) &&
           kernel != HSAE_KERNEL_relink_count && kernel != HSAE_KERNEL_relink_best;
}

/* Kernels whose rows are taken COLS vectors at a time. */
static bool has_columns(enum hsae_kernel kernel)
{
    return kernel == HSAE_KERNEL_decode || walks(kernel) || kernel == HSAE_KERNEL_family_dot;
}

/* A CPU's rows are a loop of one work-item. */
static struct axes cpu_axes(enum hsae_kernel kernel)
{
    if (is_items(kernel))
        return (struct axes){.groups = {1, 8, 16, 32, 64, 128}};
    if (has_columns(kernel) && kernel != HSAE_KERNEL_segment_rows) /* which CPUs do not run */
        return (struct axes){.columns = {1, 2, 3, 4, 6, 8, 12, 16, 32, 256, 1024}, .widths = {4, 8, 16}};
    if (hsae_kernels[kernel].work == HSAE_WORK_TILE)
        return (struct axes){.columns = {1, 2, 3, 4, 5, 6, 8, 10, 12, 13, 14}, .widths = {4, 8, 16}};
    return (struct axes){.groups = {0}};
}

static struct axes gpu_axes(enum hsae_kernel kernel)
{
    enum hsae_work work = hsae_kernels[kernel].work;
    if (has_columns(kernel))
        return (struct axes){.groups = {1, 8, 32, 64, 128, 256}, .columns = {1, 2, 3, 4, 5}};
    if (kernel == HSAE_KERNEL_screen || kernel == HSAE_KERNEL_screen8)
        return (struct axes){.groups = {1, 8, 32, 64}, .columns = {1, 2, 4}};
    if (work == HSAE_WORK_TEAM)
        return (struct axes){.groups = {1, 8, 32, 64, 128, 256}, .columns = {1, 8, 16, 32, 64}};
    if (work == HSAE_WORK_COLUMN)
        return (struct axes){.groups = {8, 64, 128, 256, 512}, .columns = {1, 2}};
    if (work == HSAE_WORK_SINGLE)
        return (struct axes){.groups = {1, 8, 64, 128, 256, 512, 1024}};
    if (is_items(kernel) || (work == HSAE_WORK_ROW && kernel != HSAE_KERNEL_relink_rows))
        return (struct axes){.groups = {1, 8, 32, 64, 128, 256}};
    return (struct axes){.groups = {0}};
}

struct list {
    struct hsae_kernel_shape *out;
    size_t count;
};

static void add_shape(struct list *list, const struct hsae_kernel_shape *shape)
{
    size_t at = 0;
    while (at < list->count && memcmp(&list->out[at], shape, sizeof *shape) != 0)
        at++;
    if (at == list->count && at < HSAE_MAX_SHAPES)
        list->out[list->count++] = *shape;
}

/* Registers of encode's sums: more spill even where there are 32. */
enum { CPU_SUMS = 28 };

static void add_product(struct list *list, const struct hsae_device *device, enum hsae_kernel kernel, const struct axes *axes,
                        const struct hsae_kernel_shape *first)
{
    struct hsae_kernel_shape shape = *first;
    for (size_t g = 0; g == 0 || axes->groups[g]; g++)
        for (size_t c = 0; c == 0 || axes->columns[c]; c++)
            for (size_t w = 0; w == 0 || axes->widths[w]; w++) {
                shape.group_size = axes->groups[0] ? axes->groups[g] : first->group_size;
                shape.columns = axes->columns[0] ? axes->columns[c] : first->columns;
                shape.vector_width = axes->widths[0] ? axes->widths[w] : first->vector_width;
                bool fit = fits(device, kernel, &shape) && shape.vector_width <= first->vector_width;
                if (fit && (hsae_kernels[kernel].work != HSAE_WORK_TILE || shape.columns * 32 / shape.vector_width <= CPU_SUMS))
                    add_shape(list, &shape);
            }
}

/* Registers hold columns x tile_vectors vectors of sums: not more than 64 floats, the default's number for large GPUs. */
static void add_tiles(struct list *list, const struct hsae_device *device)
{
    static const uint32_t groups[] = {8, 16, 32, 64, 128, 256}, columns[] = {1, 2, 4, 6, 8}, vectors[] = {0, 1, 2}, words[] = {1, 2, 4},
                          steps[] = {0, 8, 16};
    for (size_t at = 0; at < 6 * 5 * 3 * 3 * 3 * 2 * 2; at++) {
        size_t rest = at / 12;
        struct hsae_kernel_shape shape = {.group_size = groups[rest % 6],
                                          .columns = columns[rest / 6 % 5],
                                          .ranges = 1,
                                          .vector_width = 4,
                                          .tile_vectors = vectors[rest / 30 % 3],
                                          .tile_words = words[at % 3],
                                          .tile_step = steps[rest / 90],
                                          .tile_pad = at / 3 % 2,
                                          .tile_prefetch = at / 6 % 2};
        if (fits(device, HSAE_KERNEL_encode, &shape) && shape.columns * (shape.tile_vectors ? shape.tile_vectors : 8) <= 16)
            add_shape(list, &shape);
    }
}

size_t hsae_shape_space(const struct hsae_device *device, enum hsae_kernel kernel, struct hsae_kernel_shape out[HSAE_MAX_SHAPES])
{
    const hsae_device_info *info = &device->info;
    struct list list = {.out = out};
    struct hsae_kernel_shape first = default_shape(device, kernel);
    first.ranges = 1;
    add_shape(&list, &first);
    if (info->backend == HSAE_BACKEND_REF)
        return list.count;
    bool cpu = info->backend == HSAE_BACKEND_OPENCL && info->type == HSAE_DEVICE_CPU;
    struct axes axes = cpu ? cpu_axes(kernel) : gpu_axes(kernel);
    add_product(&list, device, kernel, &axes, &first);
    if (kernel == HSAE_KERNEL_encode && !cpu)
        add_tiles(&list, device);
    return list.count;
}
