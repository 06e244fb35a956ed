/* SPDX-License-Identifier: MIT */
#version 450
#extension GL_GOOGLE_include_directive : require
#define HSAE_GLSL 1
#include "kernels/dialect.h"
#include "kernels/args.h"
#include "merge.cl"
