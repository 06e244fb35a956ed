/* SPDX-License-Identifier: MIT */
/* Norms of rows. */
#ifndef HSAE_SRC_SQUARES_H
#define HSAE_SRC_SQUARES_H

#include <hsae/data.h>

/* Sum of the squares of a row in double, added up in one fixed order whatever the dtype. Not finite exactly where a value of the row is. */
double hsae_row_squares(const float *row, uint32_t dim);
/* The same of a row in the type of its file. */
double hsae_row_squares_raw(const unsigned char *row, hsae_dtype dtype, uint32_t dim);

#endif
