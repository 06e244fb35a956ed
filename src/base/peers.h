/* SPDX-License-Identifier: MIT */
/* Peers that work on one thing and exchange what they have: threads of one process, or processes that a network connects (hsae/network.h),
 * one for each device that trains a model.
 *
 * All peers make the same calls in the same order; a call returns when all have made it. One of them, number 0, leads. Nothing is added up
 * here: everyone gets everyone's part, and sums it in the order of the peers, so that no bit depends on who was first. */
#ifndef HSAE_SRC_PEERS_H
#define HSAE_SRC_PEERS_H

#include <hsae/network.h>
#include <stddef.h>
#include <stdint.h>

struct hsae_peers;

/* ERROR_MEMORY. */
hsae_status hsae_peers_create(const hsae_context *context, uint32_t count, struct hsae_peers **out);
/* The same of processes, of which this is one: its calls are passed on to the network, after a word by which each says whether it failed.
 */
hsae_status hsae_peers_create_network(const hsae_context *context, const hsae_network *network, struct hsae_peers **out);
/* No peer may be in a call. Takes NULL in *peers. */
void hsae_peers_destroy(struct hsae_peers **peers);

/* The parts of all peers one after the other to `all`: sizes[k] bytes of peer k, of which `part` is the caller's own. `sizes` is the same
 * for all. Returns the status of the peer that failed, if one did. */
hsae_status hsae_peers_gather(struct hsae_peers *peers, uint32_t own, const void *part, const size_t *sizes, void *all);
/* `size` bytes of peer 0's data to everyone's. */
hsae_status hsae_peers_share(struct hsae_peers *peers, uint32_t own, void *data, size_t size);
/* A peer ends the work, between two calls: those in which others wait, and all later ones, return `status`. Of several failures the first
 * counts. */
void hsae_peers_fail(struct hsae_peers *peers, hsae_status status);

#endif
