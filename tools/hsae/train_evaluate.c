/* SPDX-License-Identifier: MIT */
/* Evaluations of the model while it trains. */
#include "train.h"

#include <inttypes.h>

/* With the held-out vectors, as the run's end does it. Ctrl-C waits until it is done: a resumed run has the same lines. */
static hsae_status evaluate(struct train *train, hsae_evaluation *out)
{
    hsae_model *model = NULL;
    hsae_session *session = NULL;
    hsae_status status = hsae_trainer_model(train->trainer, &model);
    if (status == HSAE_OK)
        status = hsae_session_create(train->device, model, 0, &session);
    if (status == HSAE_OK)
        status = hsae_session_evaluate(session, train->held_out, NULL, NULL, out);
    hsae_session_destroy(&session);
    hsae_model_free(&model);
    return status;
}

bool train_evaluate(struct train *train)
{
    uint64_t step = hsae_trainer_step_count(train->trainer);
    hsae_evaluation evaluation;
    cli_status_line(false, "step %" PRIu64 "  evaluating", step);
    hsae_status status = evaluate(train, &evaluation);
    if (status == HSAE_ERROR_DIVERGED)
        return false;
    if (status != HSAE_OK) {
        cli_warning("no more evaluations during training: that of step %" PRIu64 " failed; the run goes on", step);
        train->eval_every = 0;
        return true;
    }
    cli_note("step %" PRIu64 "  held out: L0 %.2f  VE %.4f, means over the levels", step, evaluation.mean_level.l0,
             evaluation.mean_level.variance_explained);
    return train_write_line(train, json_pack("{s:I, s:o}", "step", (json_int_t)step, "evaluation",
                                             cli_evaluation_json(&evaluation, hsae_trainer_config(train->trainer))));
}
