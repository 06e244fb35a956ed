/* SPDX-License-Identifier: MIT */
/* Objects of a driver whose work does not end. The driver may still use them, so they are never freed. A list keeps them until the process
 * ends, so that leak checkers and debuggers find them. */
#ifndef HSAE_SRC_ABANDONED_H
#define HSAE_SRC_ABANDONED_H

/* Any thread. `object` may be NULL. */
void hsae_abandon(void *object);

#endif
