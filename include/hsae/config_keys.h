/* SPDX-License-Identifier: MIT */
/* The keys of a configuration: one line each, from which come the fields of hsae_config, reading and writing, defaults, what may change in
 * a resumed run, --help and the manual. */
#ifndef HSAE_CONFIG_KEYS_H
#define HSAE_CONFIG_KEYS_H

/* X(key, KIND, RANGE, initial, automatic, RESUME, help)
 *
 *   KIND       LEVELS (the features of each level), U32, U64, REAL, LIST (a number for each level), BOOL, or CHOICE, an enum hsae_KEY
 *   RANGE      of numbers. U32, U64: FROM_0, FROM_1. REAL, LIST: POSITIVE; NOT_NEGATIVE; SHARE, 0 to 1; BELOW_ONE, 0 to below 1
 *   initial    the default
 *   automatic  the value that 0 stands for, put there by hsae_config_resolve; 0: there is none. d: the width of the activations,
 *              target and features: those of the level
 *   RESUME     whether a resumed run may have another value: CHANGES, FIXED */
/* clang-format off */
#define HSAE_CONFIG_KEYS(X)                                                                                                          \
    X(levels, LEVELS, ANY, (2048, 4096, 8192, 16384), 0, FIXED,                                                                      \
      "features of each level, increasing: 128,256,512; left out of hsae train: by data and device")                                 \
    X(batch, U32, FROM_1, 1024, 0, FIXED, "samples in a step")                                                                       \
    X(steps, U64, FROM_0, 0, 0, CHANGES, "steps of the whole run")                                                                   \
    X(lr, REAL, NOT_NEGATIVE, 0, 0.096 / sqrt(d > 576 ? d : 576), CHANGES,                                                           \
      "peak learning rate; 0: 0.004, or 0.096 / sqrt(d) where that is less")                                                         \
    X(warmup, REAL, SHARE, 0.1, 0, FIXED, "share of the steps in which the learning rate rises")                                     \
    X(beta2, REAL, BELOW_ONE, 0.995, 0, FIXED, "Adam's decay of second moments")                                                     \
    X(decay_steps, U64, FROM_0, 1, 0, FIXED,                                                                                         \
      "steps of decay, at most, of second moments that are next updated after a pause; 0: all steps of the pause")                   \
    X(adam_eps, REAL, POSITIVE, 1e-8, 0, FIXED, "Adam's epsilon")                                                                    \
    X(target_l0, LIST, POSITIVE, 50, 0, CHANGES,                                                                                     \
      "active features per sample to aim at; one number or one a level")                                                             \
    X(lambda_init, REAL, NOT_NEGATIVE, 0.07, 0, FIXED, "first L0 penalty, relative to mean squared norm / target")                   \
    X(init_l0, LIST, NOT_NEGATIVE, 0, between(1.5 * target, features / 16.0, 6 * target), FIXED,                                     \
      "active features at the start; one number or one a level; 0: features / 16 within 1.5 to 6 times the target")                  \
    X(sparsity_control, CHOICE, ANY, HSAE_SPARSITY_CONTROL_THRESHOLD, 0, FIXED,                                                      \
      "what keeps L0 at its target: threshold (thresholds and penalty together), penalty (the penalty alone)")                       \
    X(sparsity_gain, REAL, POSITIVE, 0.1, 0, FIXED,  "threshold: change of log thresholds in a step for an L0 that is off by 100 %") \
    X(sparsity_momentum, REAL, BELOW_ONE, 0.98, 0, FIXED, "penalty: decay of the running mean of L0")                                         \
    X(sparsity_eta, REAL, SHARE, 0.01, 0, FIXED, "penalty: share of the distance to the target to be closed in a step")                       \
    X(sparsity_kappa, REAL, BELOW_ONE, 0.003, 0, FIXED, "penalty: relative change of the L0 penalty in a step")                               \
    X(bandwidth, REAL, POSITIVE, 0.1, 0, FIXED, "bandwidth of the straight-through estimator")                                      \
    X(hierarchy_period, U64, FROM_0, 0, between(1, config->steps / 20, 5000), FIXED,                                                 \
      "steps between updates of the tree; 0: min(5000, steps / 20)")                                                                 \
    X(exclude, REAL, BELOW_ONE, 0.2, 0, FIXED, "share of features left without a parent")                                            \
    X(similarity, CHOICE, ANY, HSAE_SIMILARITY_ENCODER, 0, FIXED, "what makes a parent: encoder, decoder, coactivation, inclusion, part")      \
    X(tree, CHOICE, ANY, HSAE_TREE_FOREST, 0, FIXED, "shape of the tree: forest, fixed, full, binary, posthoc")                      \
    X(ghost, BOOL, ANY, true, 0, FIXED, "ghost gradients for dead features: true, false")                                            \
    X(dead_steps, U64, FROM_0, 0, between(1, config->steps / 10, 1000), FIXED,                                                       \
      "steps without activity after which a feature is dead; 0: min(1000, steps / 10)")                                              \
    X(project_gradient, BOOL, ANY, true, 0, FIXED, "take the radial part out of the decoder's gradient: true, false")                \
    X(center, CHOICE, ANY, HSAE_CENTER_MEAN, 0, FIXED, "what is subtracted from the activations: mean, none")                        \
    X(order, CHOICE, ANY, HSAE_ORDER_SHUFFLE, 0, FIXED, "order of the data: shuffle, sequential")                                    \
    X(seed, U64, FROM_0, 0, 0, FIXED, "seed of every random number, below 2^63")                                                     \
    X(rho, REAL, NOT_NEGATIVE, 0.01, 0, CHANGES, "weight of the structural constraint")                                              \
    X(perturb, REAL, SHARE, 0.05, 0, CHANGES, "probability that a feature is replaced by its children")                              \
    X(shards, U32, FROM_1, 1, 0, FIXED,                                                                                              \
      "parts that features are summed in, whole trees each: a power of two up to 256; sets the order of sums, so the bits")          \
    X(max_norm, REAL, NOT_NEGATIVE, 10, 0, FIXED,                                                                                    \
      "leave out rows whose norm is above this many times the median; 0: none")                                                      \
    X(norm_limit, REAL, NOT_NEGATIVE, 0, 0, FIXED, "the largest norm of a row, raw units; 0: max_norm times the median")             \
    X(skip_bad_rows, BOOL, ANY, false, 0, CHANGES,                                                                                   \
      "leave out rows with a value that is not finite: true (also without a value), false; else such a row is an error")

/* C(KEY, NAME, name): the values of a choice are HSAE_KEY_NAME in C and "name" elsewhere. */
#define HSAE_CHOICES_similarity(C) \
    C(SIMILARITY, ENCODER, encoder) C(SIMILARITY, DECODER, decoder) C(SIMILARITY, COACTIVATION, coactivation) \
    C(SIMILARITY, INCLUSION, inclusion) C(SIMILARITY, PART, part)
#define HSAE_CHOICES_sparsity_control(C) C(SPARSITY_CONTROL, THRESHOLD, threshold) C(SPARSITY_CONTROL, PENALTY, penalty)
#define HSAE_CHOICES_tree(C) \
    C(TREE, FOREST, forest) C(TREE, FIXED, fixed) C(TREE, FULL, full) C(TREE, BINARY, binary) C(TREE, POSTHOC, posthoc)
#define HSAE_CHOICES_center(C) C(CENTER, MEAN, mean) C(CENTER, NONE, none)
#define HSAE_CHOICES_order(C) C(ORDER, SHUFFLE, shuffle) C(ORDER, SEQUENTIAL, sequential)
/* clang-format on */

#endif
