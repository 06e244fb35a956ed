/* SPDX-License-Identifier: MIT */
#include "abandoned.h"

#include <pthread.h>
#include <stdlib.h>

struct abandoned {
    void *object;
    struct abandoned *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct abandoned *list;

void hsae_abandon(void *object)
{
    struct abandoned *entry = object ? malloc(sizeof *entry) : NULL;
    if (!entry)
        return;
    pthread_mutex_lock(&lock);
    *entry = (struct abandoned){object, list};
    list = entry;
    pthread_mutex_unlock(&lock);
}
