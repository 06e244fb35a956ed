/* SPDX-License-Identifier: MIT */
/* The trainer's insides, shared by the files of this folder. */
#ifndef HSAE_SRC_TRAINER_H
#define HSAE_SRC_TRAINER_H

#include <hsae/trainer.h>

#include "data/reader.h"
#include "forest_slices.h"
#include "model/slots.h"

enum { HSAE_IN_FLIGHT = 3 }; /* steps submitted before the host waits for the first of them */

/* A frame: one of the steps in flight, and what the host writes for it and reads from it. */
struct frame {
    struct hsae_buffer *raw, *step_params, *step_report; /* staging */
    struct hsae_sequence *sequence;                      /* recorded for these buffers */
    struct hsae_sequence *rest;                          /* with a crew: what follows the exchange of sums */
    uint32_t dead[HSAE_MAX_LEVELS];                      /* with a crew: dead features of all devices */
    uint64_t ticket;                                     /* 0: idle */
    uint64_t step;
    double rate; /* learning rate */
};

struct hsae_trainer {
    hsae_context *context;
    hsae_device *device;
    hsae_config config; /* resolved */
    uint32_t dim;
    struct crew *crew; /* with other devices (crew.h); NULL: alone */
    struct device_model device_model;
    struct ranged encoder_v, decoder_v;
    struct hsae_buffer *bias_v, *last_fired, *feature_sums, *dots, *pair_terms, *squares;
    struct hsae_buffer *owners, *sums;  /* of segments (kernels/args.h); exist once a step with such is recorded */
    struct forest_slices forest_slices; /* of the forest as it is */
    bool checks;                        /* steps are checked (check.h): not on the reference device, nor where the caller wants none */
    bool wrong;                         /* a check failed: what the trainer holds is not to be saved */
    struct first_looks *looks;          /* at the pre-activations from which the thresholds start; NULL once they are checked, or resumed */
    struct checked {
        uint64_t steps; /* that were checked; below: what one of them had */
        bool calibrated, tree;
        uint64_t ghosts; /* dead features that were served */
        bool links;      /* a hierarchy update was checked */
    } checked;
    /* Exist while ghost launches are recorded: of each level that has some, and the gradients of a chunk of dead features. */
    struct hsae_buffer *ghost[HSAE_MAX_LEVELS], *ghost_losses[HSAE_MAX_LEVELS], *ghost_weights[HSAE_MAX_LEVELS], *ghost_rows;
    uint32_t ghost_capacity[HSAE_MAX_LEVELS]; /* dead features that the recorded step serves */
    hsae_dtype dtype;                         /* of raw batches */
    struct frame frame[HSAE_IN_FLIGHT];
    uint64_t step;       /* steps submitted and, once settled, done */
    bool has_tree;       /* some feature has a parent */
    bool recorded;       /* the recorded step fits the tree */
    uint64_t recordings; /* how often steps were recorded */
    bool timed;          /* steps are recorded as timed sequences */
    bool calibrating;    /* the next step is timed, to calibrate kernel speeds (calibration.h) */
    struct calibration {
        int row, doublings; /* calibration steps in a row; how often the time to the next was doubled */
        bool next, stopped; /* one more follows in the row; calibration is off */
        bool calibrated;    /* the first row has ended: steps are recorded in longer launches */
        double due;         /* clock seconds of the next; 0: not set */
        double began;       /* clock seconds of the last step's submission */
        double recording;   /* seconds that recording took in this row */
    } calibration;
    float *mean; /* [d] */
    float scale;
    hsae_left_out left_out; /* of the rows drawn up to and with `step` */
    uint64_t data_rows;     /* of the last run's data set; UINT64_MAX: none yet */
    bool bad_row;           /* the last run ended at one that is not finite */
    struct {
        uint64_t samples, buffer_rows, rows, hash; /* as in struct train_state; samples 0: there was no source yet */
    } source;
    int32_t *parents[HSAE_MAX_LEVELS];
    bool large_family;        /* some feature was said to have too many children */
    u32 status[REPORT_WORDS]; /* of the last step that was waited for */
    double status_rate;       /* its learning rate */
    struct {
        f32 given, value; /* given 1: hsae_trainer_set_lr's rate, 0: the schedule holds */
    } rate;
    struct {
        uint64_t steps;
        double l0[HSAE_MAX_LEVELS], explained[HSAE_MAX_LEVELS];
    } figures;                  /* sums of the steps that were waited for since the last metrics */
    bool unchecked;             /* figures that are not finite end nothing: for comparisons of devices, some of which are wrong */
    hsae_divergence divergence; /* .step 0: none; else nothing more is computed or saved */
    struct {
        unsigned char *rows; /* [batch] of `dtype`; NULL: none ever waited */
        uint32_t count;
        hsae_dtype dtype;
    } gathered;         /* rows of hsae_trainer_step_rows that wait for their batch */
    hsae_dataset *data; /* what hsae_trainer_run reads from or read last; NULL: steps come from the caller's memory */
    struct {
        uint64_t step;
        double loss;
    } worst; /* the settled step with the largest loss since the last file was saved; step 0: none */
    struct {
        double last;            /* seconds to stage the last batch */
        double seconds, hidden; /* for all that a run staged with all frames taken; for those of them while the device had work */
        double waited;          /* for rows that were not read yet, since the last metrics */
    } reading;
    double started; /* clock seconds */
    double metrics_time;
    uint64_t metrics_step;
};

/* state.c: between host or file and device. Matrices are copied a few rows at a time and are never as a whole in host memory (except in
 * hsae_trainer_model and hsae_trainer_snapshot). All but the matrices of the model and the state: */
hsae_status hsae_trainer_upload_vectors(hsae_trainer *trainer, const hsae_model *model, const struct train_state *state);
/* Rows row .. row + count - 1 of a level's matrix to the devices that have these features. */
hsae_status hsae_trainer_put_rows(hsae_trainer *trainer, enum matrix matrix, uint32_t level, uint64_t row, uint64_t count, float *values);
/* crew_rows.c: words of every feature of the model, in its order. */
enum feature_words { FEATURE_SCALARS, FEATURE_FIRED };
hsae_status hsae_trainer_read_features(hsae_trainer *trainer, enum feature_words words, u32 *out);
/* parents[] to the device, and what follows from them: whether there is a tree, and its slices. */
hsae_status hsae_trainer_upload_tree(hsae_trainer *trainer);
/* What a checkpoint holds, in host memory, whatever the numbers are. */
hsae_status hsae_trainer_snapshot(hsae_trainer *trainer, hsae_model **model, struct train_state **state);
/* A checkpoint to a new trainer. */
hsae_status hsae_trainer_load(hsae_trainer *trainer, const struct checkpoint *checkpoint);

/* diverged.c. A step's figures: ERROR_DIVERGED where one is not finite. */
hsae_status hsae_step_check(hsae_trainer *trainer, const u32 words[REPORT_WORDS]);
/* The scalars of all features; all steps are settled. A feature whose parameters are nan is never active, so that no figure shows it. */
hsae_status hsae_scalars_check(hsae_trainer *trainer, uint64_t step);
/* Whether a setting or a row of the step's batch can make numbers overflow, so that devices that are right may differ. */
bool hsae_may_overflow(const hsae_trainer *trainer, uint64_t step);
/* Ends the training: it diverged in `step`, as `what` says ("the reconstruction loss is inf"). `level` may be HSAE_NO_LEVEL. `key`: what to
 * lower, if that is known, else NULL. Looks for a row that did it, and logs all that is known. Returns ERROR_DIVERGED. */
hsae_status hsae_diverge(hsae_trainer *trainer, uint64_t step, uint32_t level, const char *what, const char *key);
/* ERROR_DIVERGED, and says so, for a trainer whose training has diverged. */
hsae_status hsae_refuse_diverged(const hsae_trainer *trainer);

/* trainer.c: a trainer with all its buffers, not initialised. *out is to be destroyed after a failure, too. */
hsae_status hsae_trainer_alloc(hsae_device *device, const hsae_config *config, uint32_t dim, hsae_dtype dtype, hsae_trainer **out);
/* The same in two parts: without a device model, and that with the buffers of a step. A trainer may drop it, and make another. */
hsae_status hsae_trainer_alloc_bare(hsae_device *device, const hsae_config *config, uint32_t dim, hsae_dtype dtype, hsae_trainer **out);
hsae_status hsae_trainer_make_device_model(hsae_trainer *trainer);
void hsae_trainer_drop_device_model(hsae_trainer *trainer);

/* plan.c: whether such a trainer fits the device and the machine, by its plan, before anything is allocated: ERROR_LIMIT,
 * ERROR_DEVICE_MEMORY or ERROR_MEMORY, with the message that hsae_memory_plan_make logs. `config` is resolved. */
hsae_status hsae_plan_check(const hsae_device *device, const hsae_config *config, uint32_t dim, hsae_dtype dtype);
/* The same, and the plan, as hsae_trainer_create_planned hands it out. `given`: the configuration before it was resolved. */
hsae_status hsae_plan_start(const hsae_device *device, const hsae_config *given, const hsae_config *config, uint32_t dim, hsae_dtype dtype,
                            hsae_memory_plan **out);

/* trainer.c: bytes of the ring of batches that are read ahead; 0: the reader's default. A CPU shares the host's memory, and its steps on
 * large batches are long. */
uint64_t hsae_trainer_ring(const struct hsae_device *device);

/* A step in two halves, for runs and benchmarks. step.c: an idle frame, waiting for one if need be. */
hsae_status hsae_frame_next(hsae_trainer *trainer, struct frame **out);
/* run.c: submits the next step on the batch that the frame holds, and updates the tree where one is due after it. */
hsae_status hsae_frame_launch(hsae_trainer *trainer, struct frame *frame);

/* run.c: where the batches of a run come from. */
struct feed {
    /* The next one to `batch`, in the trainer's dtype. *waited: seconds until it was there, added up. */
    hsae_status (*next)(void *user, void *batch, double *waited);
    /* Its step was submitted. */
    void (*done)(void *user);
    void *user;
};
/* The steps of a run, with its callbacks. */
hsae_status hsae_run_steps(hsae_trainer *trainer, const struct feed *feed, const hsae_run_params *params);
/* The step after which the run ends. */
uint64_t hsae_run_end(const hsae_trainer *trainer, const hsae_run_params *params);

/* run.c: figures of the last settled step. */
void hsae_step_figures(hsae_trainer *trainer, hsae_step_metrics *metrics);

/* check_step.c: whether the next step is to be checked: the first one, and the first with a tree, with ghost gradients, or in larger
 * pieces. */
bool hsae_check_due(const hsae_trainer *trainer);
/* Before the frame's step is submitted, with no step in flight. ERROR_DRIVER: the device computes wrong. Free *out, also after a failure.
 */
struct check;
hsae_status hsae_check_before(hsae_trainer *trainer, struct frame *frame, struct check **out);
/* After that step was waited for. ERROR_DRIVER. */
hsae_status hsae_check_after(struct check *check);
/* Takes NULL in *check. */
void hsae_check_free(struct check **check);

/* The ends of each launch of encode that made the first pre-activations, on the first and last row of the batch; the last MAX_LOOKS of
 * them. They are checked with the first step. */
enum { MAX_LOOKS = 256 };
struct first_looks {
    uint64_t count;
    u32 features[MAX_LOOKS];
    f32 values[MAX_LOOKS][2];
    f32 x[]; /* [2][d]: the rows */
};

/* init.c: where the first statistics come from. */
struct init_source {
    const hsae_dataset *dataset; /* or: */
    const float *raw;            /* [rows, dim] */
    uint64_t rows;
    uint32_t dim;
};
/* Fills everything of a new trainer: mean, scale, all parameters; uses its device model (not its sequences) for pre-activations. */
hsae_status hsae_trainer_init(hsae_trainer *trainer, const struct init_source *source);
/* The first thresholds to `model` and `state`. With a crew all devices look for them together; a member has no source and no state. */
hsae_status hsae_first_thresholds(hsae_trainer *trainer, const struct init_source *from, hsae_model *model, struct train_state *state);

/* tree_update.c: new parents of every level from the parameters on the device (all steps settled), into parents[]. */
hsae_status hsae_hierarchy_update(hsae_trainer *trainer);

#endif
