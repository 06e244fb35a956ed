/* SPDX-License-Identifier: MIT */
/* The forward pass as launches of a sequence: load, encode or screen, lists, decode. Errors stick to the sequence (device/device.h). */
#ifndef HSAE_SRC_FORWARD_H
#define HSAE_SRC_FORWARD_H

#include "device_model.h"

/* hsae_shape_fit for its kernels; device_model->ranges and ->screens are set. */
void hsae_forward_fit(const struct device_model *device_model);
/* `raw` holds a batch in `format` (FORMAT_F32 ..). `floats`: it is made ready for hsae_record_encode, else for hsae_record_lists. */
void hsae_record_load(const struct device_model *device_model, struct hsae_sequence *sequence, struct hsae_buffer *raw, uint32_t format,
                      float scale, bool floats);
/* encode alone, for features of one range, at most device_model->chunk of them: their bits, and p in the scratch. */
void hsae_record_encode(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t first, uint32_t count);
/* encode or screen, and all lists; `owners`: also the segments of long features (kernels/args.h), NULL: none. */
void hsae_record_lists(const struct device_model *device_model, struct hsae_sequence *sequence, struct hsae_buffer *owners);
/* decode of `count` levels from `first` on. */
void hsae_record_decode(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t first, uint32_t count);
/* The parts of the device's shards of a level, and their sum: with c - x, as the level's residual, or alone, to `plain`. */
void hsae_record_sum(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t level, struct hsae_buffer *plain);
/* The sum of `count` parts, in the same two ways. */
void hsae_record_merge(const struct device_model *device_model, struct hsae_sequence *sequence, uint32_t level, uint32_t count,
                       struct hsae_buffer *partials, struct hsae_buffer *plain);

#endif
