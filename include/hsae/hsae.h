/* SPDX-License-Identifier: MIT */
/* libhsae: hierarchical sparse autoencoder training on any GPU. Includes the whole public API. */
#ifndef HSAE_HSAE_H
#define HSAE_HSAE_H

#include <hsae/bench.h>
#include <hsae/config.h>
#include <hsae/data.h>
#include <hsae/device.h>
#include <hsae/exchange.h>
#include <hsae/explore.h>
#include <hsae/model.h>
#include <hsae/plan.h>
#include <hsae/status.h>
#include <hsae/tensor_file.h>
#include <hsae/trainer.h>
#include <hsae/tune.h>

#endif
