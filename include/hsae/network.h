/* SPDX-License-Identifier: MIT */
/* One model that several processes train, on as many devices, of one machine or of many. The library has no network code: a program gives
 * it two functions by which the processes exchange bytes. The program `hsae` has them by MPI.
 *
 * Process 0 does all that a program with one device does: it reads the data, trains, writes checkpoints. The others serve it, each with a
 * device that holds its part of the features. All of them have the same version of the library and the same byte order.
 *
 * src/README.md, "Shards", says why the bits of the model do not depend on the number of processes. */
#ifndef HSAE_NETWORK_H
#define HSAE_NETWORK_H

#include <hsae/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a process reaches the others. All make the same calls in the same order, one at a time; a call returns when this process has what it
 * is to get. A function returns OK, or a status with which everything ends here; it is given `user` as its first argument. */
typedef struct hsae_network {
    uint32_t rank, ranks; /* this process, and how many there are: a power of two that divides `shards` */
    /* The parts of all processes one after the other to `all`: sizes[k] bytes of process k. `sizes` is the same in all, `part` its own. */
    hsae_status (*gather)(void *user, const void *part, const size_t *sizes, void *all);
    /* `size` bytes at `data` of process 0 to `data` of all. */
    hsae_status (*share)(void *user, void *data, size_t size);
    void *user;
} hsae_network;

/* Of process 0: trainers that are made on `device` from now on also train on the devices of the other processes, one after the other. What
 * `network` points to is copied. ERROR_ARGUMENT in another process, or where the device is joined with others (hsae_device_join). */
HSAE_API hsae_status hsae_device_join_network(hsae_device *device, const hsae_network *network);
/* Of process 0, when it makes no more trainers: the others' hsae_network_serve returns. */
HSAE_API hsae_status hsae_network_end(const hsae_network *network);
/* Of every other process: takes part in the trainers of process 0 until that ends. `device` NULL: this process has none, so that every
 * trainer fails. After an error, which is in the log of this process, the trainer of process 0 ends with the same status. Returns the first
 * error of its own, else OK. ERROR_ARGUMENT in process 0. */
HSAE_API hsae_status hsae_network_serve(hsae_context *context, hsae_device *device, const hsae_network *network);

#ifdef __cplusplus
}
#endif
#endif
