/* SPDX-License-Identifier: MIT */
/* Devices that passed their test in this process, for contexts without a cache folder. */
#include "drivers.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PASSED = 32 };
static char passed[MAX_PASSED][32];
static size_t passed_count;
static pthread_mutex_t passed_lock = PTHREAD_MUTEX_INITIALIZER;

bool hsae_trial_passed(const char *id)
{
    bool is = false;
    pthread_mutex_lock(&passed_lock);
    for (size_t i = 0; i < passed_count; i++)
        is = is || strcmp(passed[i], id) == 0;
    pthread_mutex_unlock(&passed_lock);
    return is;
}

void hsae_trial_note_passed(const char *id)
{
    pthread_mutex_lock(&passed_lock);
    if (passed_count < MAX_PASSED)
        snprintf(passed[passed_count++], sizeof passed[0], "%s", id);
    pthread_mutex_unlock(&passed_lock);
}
