/* SPDX-License-Identifier: MIT */
/* The check of a step: whether the device computes a real step of a run, at its own sizes, as the reference does.
 *
 * The self-test (tune/selftest.c) knows only small launches. Here a sample of the step's own rows and features is computed anew on the
 * host, in double, and compared within what rounding may do. The forward pass runs once more before the step, so that its lists are known
 * to be sound and the rows that the update will overwrite can be read; then the step is done as always, and what it left is compared. The
 * step's bits are those of an unchecked one.
 *
 * Host memory: the scalars of all features, some dozen rows for each sampled feature, and blocks of the batch; never a whole matrix. */
#ifndef HSAE_SRC_CHECK_H
#define HSAE_SRC_CHECK_H

#include "ref/bounds.h"
#include "trainer.h"

enum {
    CHECK_ROWS = 10,             /* sampled rows of the batch */
    CHECK_FAILURE_BYTES = 240,   /* of what is said of a failure */
    CHECK_BLOCK_BYTES = 4 << 20, /* of the batch that is read at a time */
    CHECK_RELATIVES = 48,        /* of a sampled feature, for its part of the structural constraint; with more it is left out */
};

/* With residuals below it, gradients, which go with their squares, and second moments, which go with those of gradients, stay floats. */
#define CHECK_MOST 1e7

/* A parent, sibling or child of a sampled feature. */
struct check_relative {
    u32 index;
    const f32 *decoder; /* [d] */
    double dot;         /* D_i . its D */
    double product;     /* sum over the batch of a_i times its activation */
};

/* Of a dead feature that gets ghost gradients: their sums over the batch, before the batch's mean. */
struct check_ghost {
    struct sum *decoder, *encoder; /* [d] */
    struct sum radial, bias;
    u32 rows; /* of the batch, so far */
};

/* A sampled feature: as it was before the step, and the sums over the batch that its update takes. Rows have d floats. */
struct check_feature {
    u32 index, level, flag;
    u32 begin, end; /* its pairs */
    u32 *pairs;     /* [end - begin][2] */
    u32 next;       /* the first of them in the rows that are read next */
    f32 *encoder, *encoder_v, *decoder, *decoder_v;
    double encoder_norm, decoder_norm;
    struct check_relative *relatives; /* the parent, if there is one, comes first, then siblings, then children */
    u32 relative_count, children;     /* `children`: the first child among them */
    bool crowded;                     /* it has more relatives than are read */
    /* Sums over the batch, by column: of the gradients of D (a G) and of E (q x), of their terms' absolute values, and how far q may carry.
     */
    double *decoder_sum, *decoder_scale, *encoder_sum, *encoder_scale, *encoder_carried;
    u32 active; /* pairs that count there */
    struct sum radial, bias, threshold, squares;
    struct check_ghost *ghost; /* NULL: it gets none, or others of its level stand for it */
};

/* A sampled row's active features of a level, by rank: as in `samples`. */
struct check_list {
    u32 *entries; /* [count][2] */
    u32 count;
};

/* A list on the device: the first `words` words of a buffer. A short one is read whole when a part of it is first asked for. */
struct check_words {
    struct hsae_buffer *buffer;
    uint64_t words;
    u32 *all;
};

struct check_block;
struct check {
    hsae_trainer *trainer;
    struct frame *frame;
    char *failure;              /* what is wrong; "": nothing */
    struct check_block *blocks; /* all memory */
    /* Whole arrays of the step, as before the update. */
    u32 step_params[PARAM_WORDS], level_info[(HSAE_MAX_LEVELS + 1) * LEVEL_WORDS];
    u32 *feature_scalars, *tree, *flags, *decoder_rows, *last_fired, *step_state, *starts, *sample_starts, *active_count;
    f32 *bias, *bias_v; /* [L][stride] */
    struct check_words pairs, samples, positions;
    u32 rows[CHECK_ROWS], row_count;
    struct check_list *lists; /* [row_count][L] */
    f32 *residuals;           /* [L][row_count][d] */
    struct check_feature *features;
    u32 feature_count;
    struct estimate *ghosts[HSAE_MAX_LEVELS]; /* alpha y + R of the first ghost_rows sampled rows, by column; NULL: no ghost gradients */
    u32 ghost_rows[HSAE_MAX_LEVELS];
    f32 *ghost_weights[HSAE_MAX_LEVELS]; /* [padded], after the step */
    u32 block_rows;                      /* rows of the batch that are read at a time, a multiple of 32 */
    bool diverged; /* a right residual is beyond CHECK_MOST: the update is not compared, and the next step is checked instead */
    double seconds;
};

/* check.c: zeroed memory that lasts as long as the check; NULL after a message. */
void *hsae_check_alloc(struct check *check, uint64_t count, size_t size);
/* Rows `rows` (ascending) of a tensor to out [count][d]. */
hsae_status hsae_check_rows(struct check *check, const struct ranged *tensor, const u32 *rows, u32 count, f32 *out);
/* A row of each sampled feature, to out [feature_count][d]: those of its number, or where `decoder_rows` says. */
hsae_status hsae_check_tensor(struct check *check, const struct ranged *tensor, const u32 *decoder_rows, f32 **out);
/* `words` words of a buffer from word `first` on, into memory of the check's. */
hsae_status hsae_check_words(struct check *check, struct hsae_buffer *buffer, uint64_t first, uint64_t words, void *out);
/* The same of a part of a list. */
hsae_status hsae_check_part(struct check *check, struct check_words *list, uint64_t first, uint64_t words, void *out);
/* Starts reading the lists anew. */
void hsae_check_open_lists(struct check *check);
/* Rows of a plain buffer of rows, to out [count][d]. */
hsae_status hsae_check_buffer_rows(struct check *check, struct hsae_buffer *buffer, const u32 *rows, u32 count, f32 *out);
/* Whether a value is where the estimate allows it; not where it is NaN. Where the right value is beyond floats, or close to that, anything
 * goes: the run diverges, which is not the device's fault. */
static inline bool hsae_check_near(double found, struct estimate wanted)
{
    if (!(fabs(wanted.value) + wanted.off < 1e30))
        return true;
    return fabs(found - wanted.value) <= wanted.off + bound_ulps(1, wanted.value);
}
/* ERROR_DRIVER, and "in step T KERNEL is wrong: ..." to `failure`. */
hsae_status hsae_check_fail(const struct check *check, const char *kernel, const char *format, ...) HSAE_OS_PRINTF(3, 4);
/* The same of a figure that was found and one that was expected. */
hsae_status hsae_check_off(const struct check *check, const char *kernel, const char *what, double found, struct estimate wanted);
double hsae_check_dot(const f32 *a, const f32 *b, u32 count);
/* A row of the data [d] as `load` makes it, to x [d]; returns its length. */
double hsae_check_normalise(const hsae_model *model, const float *raw, f32 *x);
/* A pre-activation, b + e . x; `scale`: |e| |x|. */
struct estimate hsae_check_preactivation(const f32 *encoder, double bias, const f32 *x, u32 dim, double scale);

/* What check_step.c asks for. check_lists.c: what the forward pass made up to its lists. */
hsae_status hsae_check_flags(struct check *check);
hsae_status hsae_check_starts(struct check *check);
/* The pairs of all features, and that the sampled rows' lists have the same ones. */
hsae_status hsae_check_lists(struct check *check);
/* Who of the sampled features was active, where the last steps' activity is kept. */
hsae_status hsae_check_history(struct check *check);
/* The pre-activations from which the thresholds started. */
hsae_status hsae_check_looks(struct check *check);
/* The batch and the sampled features' pairs, from a look at all rows. */
hsae_status hsae_check_encode(struct check *check);
/* check_decode.c: the residuals of the sampled rows, which it keeps. */
hsae_status hsae_check_decode(struct check *check);
/* The device's, to out [L][row_count][d]. */
hsae_status hsae_check_residuals(struct check *check, f32 *out);
/* check_ghosts.c: whether a level's dead features get ghost gradients in this step. */
bool hsae_check_has_ghosts(const struct check *check, u32 level);
/* Before the step: what they should reconstruct on sampled rows. */
hsae_status hsae_check_expect_ghosts(struct check *check);
/* After it: that they did, and the weights of all rows. loss: as on the device. */
hsae_status hsae_check_ghosts(struct check *check, f32 *loss);
/* One row's part of a feature's ghost gradients; ghost: alpha y + R of the row, by the device. */
void hsae_check_add_ghost(const struct check *check, struct check_feature *f, u32 row, const f32 *x, const f32 *ghost);
/* check_update.c: all that came of the step. */
hsae_status hsae_check_update(struct check *check);

#endif
