/* SPDX-License-Identifier: MIT */
/* A training step: its buffers, its recording, its way through the device. */
#ifndef HSAE_SRC_STEP_H
#define HSAE_SRC_STEP_H

#include "trainer.h"

/* ---- step_buffers.c ---- */

/* What every step needs beyond the device model. */
hsae_status hsae_step_buffers(hsae_trainer *trainer);
/* What the step that is recorded next needs, too. */
hsae_status hsae_record_buffers(hsae_trainer *trainer);
/* Buffers for as many dead features as ghost_capacity says. */
hsae_status hsae_ghost_buffers(hsae_trainer *trainer);
/* A staging buffer for a batch of `dtype`. */
hsae_status hsae_raw_buffer(const struct device_model *device_model, hsae_dtype dtype, struct hsae_buffer **out);
/* Drops what was recorded; no step may be in flight. */
void hsae_step_drop_recording(hsae_trainer *trainer);
void hsae_step_release(hsae_trainer *trainer);
/* Dead features served by one ghost_rows launch. */
uint32_t hsae_ghost_chunk(const struct device_model *device_model);
/* Segments that there is room for. */
uint32_t hsae_segment_room(const struct device_model *device_model);
/* Which launches the step has: of segments, of the constraint, of ghost gradients. */
bool hsae_uses_segments(const struct device_model *device_model);
bool hsae_uses_constraint(const hsae_trainer *trainer);
bool hsae_uses_ghosts(const hsae_trainer *trainer);
/* Whether sparsity control shifts thresholds. */
bool hsae_shifts_thresholds(const hsae_config *config);
/* Most steps of decay in a row's update. */
uint32_t hsae_decay_steps(const hsae_config *config);

/* ---- step_record.c ---- */

/* Records all frames anew. */
hsae_status hsae_step_record(hsae_trainer *trainer);
/* The same, but only if the tree needs other launches than those recorded. */
hsae_status hsae_step_rerecord(hsae_trainer *trainer);
/* The start of a step alone: the forward pass up to its lists. */
void hsae_record_step_lists(const hsae_trainer *trainer, struct hsae_sequence *sequence, const struct frame *frame);
/* Of the launch that ends a step. */
struct finish_step_args hsae_finish_step_args(const hsae_trainer *trainer);

/* ---- step.c ---- */

/* Learning rate of step t (from 1), where it is submitted next. */
double hsae_step_rate(const hsae_trainer *trainer, uint64_t step);
/* Writes the parameters of the frame's step. */
hsae_status hsae_write_step_params(hsae_trainer *trainer, struct frame *frame);
/* Writes the parameters of the frame's step and submits it. */
hsae_status hsae_step_submit(hsae_trainer *trainer, struct frame *frame);
/* Makes room for what a halted step needed, as its status says, records the step anew and clears the halt. */
hsae_status hsae_step_grow(hsae_trainer *trainer, const u32 status_words[REPORT_WORDS]);
/* Waits until at most `leave` steps are in flight. Steps that were halted are done again with more room (longer lists, ghost launches). */
hsae_status hsae_step_drain(hsae_trainer *trainer, int leave);
/* Variance explained of a level, in the last step that was waited for. */
double hsae_step_explained(const hsae_trainer *trainer, uint32_t level);
/* Before batches of `dtype` are staged: the step is recorded for them, unless it was. */
hsae_status hsae_step_set_dtype(hsae_trainer *trainer, hsae_dtype dtype);

#endif
