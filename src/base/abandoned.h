/* SPDX-License-Identifier: MIT */
/* What belongs to a driver whose work does not end. It may be in use still, so it is never given back; it is kept in a list until the
 * process ends, where leak checkers and debuggers find it. */
#ifndef HSAE_SRC_ABANDONED_H
#define HSAE_SRC_ABANDONED_H

/* Any thread. `object` may be NULL. */
void hsae_abandon(void *object);

#endif
