#version 450
#extension GL_GOOGLE_include_directive : require
#define HSAE_GLSL 1
#include "kernel_dialect.h"
#include "kernel_args.h"
#include "segments.cl"
