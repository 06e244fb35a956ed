/* SPDX-License-Identifier: MIT */
/* libhsae: hierarchical sparse autoencoders (HSAE) of language-model activations. This header includes the whole public API.
 *
 * An HSAE has L levels, from the coarsest, 0, to the finest. Level l is a sparse autoencoder with n features. For a raw activation vector
 * of width d, with mean and scale of the model:
 *
 *     x    = scale (raw - mean)                   normalised activations
 *     p_i  = E_i . x + b_i                        encoder rows E [n, d], encoder bias b [n]
 *     a_i  = p_i where p_i > theta_i, else 0      thresholds theta [n] (JumpReLU); feature i is active where a_i is not 0
 *     xhat = c + sum over i of a_i D_i            decoder rows D [n, d] of unit norm, decoder bias c [d]
 *
 * Each feature of level l > 0 has at most one parent, a feature of level l - 1. So the features form a forest. The method is that of
 * arXiv:2602.11881.
 *
 * Tiers, each of which needs those before it:
 *
 *     every program     status.h (errors, log, context), settings.h (its settings), device.h (what computes), version.h (what versions
 *                       promise)
 *     training          data.h (activations), config.h (hyper-parameters), trainer.h, stream.h (rows that are made while it runs),
 *                       plan.h (memory that a run would take)
 *                       network.h (one model on the devices of several processes)
 *     using a model     model.h (load, encode, decode, evaluate), explore.h (what features respond to), exchange.h (other tools' files)
 *     speed             bench.h (how fast a device trains), tune.h (faster kernel shapes)
 *     files             tensor_file.h (safetensors, outputs that appear whole)
 *
 * Read status.h first, then device.h, data.h, config.h, trainer.h and model.h; the others when you need them.
 *
 * Conventions, unless a function says otherwise:
 *
 *   - A function that can fail returns an hsae_status. What it makes is in `out`, which is valid only after HSAE_OK.
 *   - What ends in _create, _open, _load or _make is freed by its _destroy, _close or _free, which takes NULL.
 *   - Parameter structs are zero-initialised: 0 and NULL stand for the default.
 *   - Matrices are row-major and contiguous, numbers float32. [n, d] in a comment is a shape. Texts and paths are UTF-8.
 *   - Contexts, data sets, models and explorers do not change after they were made: any number of threads may use them. A device, and the
 *     trainers and sessions on it, are used by one thread at a time. */
#ifndef HSAE_HSAE_H
#define HSAE_HSAE_H

#include <hsae/bench.h>
#include <hsae/config.h>
#include <hsae/data.h>
#include <hsae/device.h>
#include <hsae/exchange.h>
#include <hsae/explore.h>
#include <hsae/model.h>
#include <hsae/network.h>
#include <hsae/plan.h>
#include <hsae/status.h>
#include <hsae/stream.h>
#include <hsae/tensor_file.h>
#include <hsae/trainer.h>
#include <hsae/tune.h>
#include <hsae/version.h>

#endif
