#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""GFLOP/s of OpenBLAS (Debian: libopenblas0-pthread) for the encoder's product, x [batch, width] times E [features, width] transposed.

sgemm.py BATCH,WIDTH,FEATURES... [--threads 2] [--repeats 9] [--library libopenblas.so.0]   one line of JSON per shape

Fastest and median of the repeats, after one that is not counted. OpenBLAS chooses its kernel itself: OPENBLAS_CORETYPE is taken out of the
environment. Needs nothing but the library.
"""
import argparse
import array
import ctypes
import json
import os
import random
import statistics
import time

ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="+", metavar="BATCH,WIDTH,FEATURES")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--library", default="libopenblas.so.0")
    args = parser.parse_args()
    os.environ.pop("OPENBLAS_CORETYPE", None)
    blas = ctypes.CDLL(args.library)
    blas.openblas_get_corename.restype = blas.openblas_get_config.restype = ctypes.c_char_p
    blas.openblas_set_num_threads(args.threads)
    numbers = [random.Random(0).uniform(-1, 1) for _ in range(4099)]  # as long as no row, so that rows differ

    def matrix(rows, columns):
        values = array.array("f", numbers) * (rows * columns // len(numbers) + 1)
        return values, (ctypes.c_float * len(values)).from_buffer(values)

    for shape in args.shapes:
        batch, width, features = map(int, shape.split(","))
        (_, x), (_, e), (_, p) = matrix(batch, width), matrix(features, width), matrix(batch, features)
        seconds = []
        for _ in range(args.repeats + 1):
            start = time.perf_counter()
            blas.cblas_sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, batch, features, width, ctypes.c_float(1), x, width, e, width, ctypes.c_float(0), p,
                             features)
            seconds.append(time.perf_counter() - start)
        work = 2e-9 * batch * width * features
        print(json.dumps({"batch": batch, "width": width, "features": features, "gflops": round(work / min(seconds[1:]), 1),
                          "median_gflops": round(work / statistics.median(seconds[1:]), 1), "threads": args.threads,
                          "core": blas.openblas_get_corename().decode(), "openblas": blas.openblas_get_config().decode()}), flush=True)


if __name__ == "__main__":
    main()
