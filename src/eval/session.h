/* SPDX-License-Identifier: MIT */
/* What the explorer needs of a session beyond the public API: the active features of a data set, batch by batch. */
#ifndef HSAE_SRC_SESSION_H
#define HSAE_SRC_SESSION_H

#include <hsae/model.h>

/* Rows first .. first + rows - 1 of the data set. Nothing is active on rows that are left out. Those active at level l on the batch's row r
 * are pairs starts[l][r] .. starts[l][r + 1] - 1, ascending: pairs[2 k] is first_feature[l] + the feature, pairs[2 k + 1] the bits of its
 * activation. */
struct hsae_batch {
    uint64_t first;
    uint32_t rows;
    uint32_t level_count;
    const uint32_t *starts[HSAE_MAX_LEVELS];
    const uint32_t *first_feature; /* [levels] */
    const uint32_t *pairs;
    const float *raw; /* [rows, dim], as they were read; a row that is left out holds the mean */
    uint32_t dim;
};
/* A status other than OK ends the pass with it. */
typedef hsae_status (*hsae_visit_fn)(void *user, const struct hsae_batch *batch);

/* hsae_session_evaluate that shows each batch to `visit` (NULL: none) on its way. */
hsae_status hsae_session_evaluate_visit(hsae_session *session, const hsae_dataset *dataset, hsae_progress_fn progress, void *user,
                                        hsae_visit_fn visit, void *visit_user, hsae_evaluation *out);
/* One pass of encoding. */
hsae_status hsae_session_visit(hsae_session *session, const hsae_dataset *dataset, hsae_progress_fn progress, void *user,
                               hsae_visit_fn visit, void *visit_user);

const hsae_model *hsae_session_model(const hsae_session *session);
hsae_context *hsae_session_context(const hsae_session *session);

#endif
