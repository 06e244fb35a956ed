/* SPDX-License-Identifier: MIT */
#include "patience.h"

#include <math.h>

/* Share of a processor that counts as progress. A starved process of the lowest priority beside 24 others gets a 1000th; threads that only
 * wake up now and then use less than a 5000th. */
static const double ADVANCE = 1.0 / 2000;
static const double MAX_WORK = 30;

double hsae_patience_slice(const struct hsae_patience *patience)
{
    return fmin(patience->limit / 12, 1);
}

double hsae_patience_max_work(const struct hsae_patience *patience)
{
    return MAX_WORK * patience->limit;
}

/* Updates the progress of the threads. */
static void look(struct hsae_patience *patience, double seconds, double processor)
{
    if (!patience->began) {
        patience->began = true;
        patience->advanced = patience->seen = processor;
        patience->still = 0;
        return;
    }
    patience->worked += fmin(seconds, fmax(processor - patience->seen, 0));
    patience->seen = processor;
    if (processor - patience->advanced >= ADVANCE * patience->limit) {
        patience->advanced = processor;
        patience->still = 0;
    }
}

enum hsae_patience_verdict hsae_patience_spend(struct hsae_patience *patience, double seconds, double processor)
{
    patience->still += seconds;
    if (patience->threads)
        look(patience, seconds, processor);
    if (patience->still >= patience->limit)
        return HSAE_PATIENCE_STILL;
    if (patience->worked >= hsae_patience_max_work(patience))
        return HSAE_PATIENCE_CIRCLES;
    if (patience->warned || fmax(patience->still, patience->worked / MAX_WORK) < patience->limit / 12)
        return HSAE_PATIENCE_WAIT;
    patience->warned = true;
    return HSAE_PATIENCE_WARN;
}
