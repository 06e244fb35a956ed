#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How many pairs screening leaves to the dots of floats: tests/measure/candidates.py MODEL ACTIVATIONS

MODEL is a run's model.safetensors, ACTIVATIONS a safetensors file with the tensor `activations`. Prints for 1024 rows and each way of rounding the
candidates for each pair above its cut (threshold - 0.05), and how many such pairs are no candidates. It repeats the bounds of src/kernels/args.h and
cl_kernels/screen8.cl with NumPy. Needs numpy and safetensors.
"""
import sys

import numpy as np
from safetensors import safe_open

ROWS = 1024
CUT = 0.05  # half of the default bandwidth


def norms(rows):
    return np.linalg.norm(rows, axis=1)


def hadamard(size):
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.sqrt(np.float32(size))


def mixed(rows):
    """As cl_kernels/bytes.h does."""
    rows, width = rows.copy(), rows.shape[1]
    signs = np.float32([-1 if (k % 4 == 3) != (k // 4 == 3) else 1 for k in range(16)])[:, None]
    for start in range(0, width, 256) if width >= 256 else ():
        second = start > width - 256
        start = min(start, width - 256)
        block = rows[:, start:start + 256].reshape(len(rows), 16, 16) * (signs if second else 1)
        rows[:, start:start + 256] = np.einsum("ij,njk->nik", hadamard(16), block).reshape(len(rows), 256)
    return rows


def bytes_bound(encoder, samples):
    """The most that the products of 8-bit numbers allow each pair."""
    (e, x), rounded = (encoder, samples), []
    for rows in (e, x):
        unit = np.abs(rows).max(1, keepdims=True) / 127
        rounded.append(np.rint(rows / unit) * unit)
    return rounded[0] @ rounded[1].T + np.outer(norms(e - rounded[0]), norms(x)) + np.outer(norms(rounded[0]), norms(x - rounded[1]))


def words_bound(encoder, samples):
    """The same with 16-bit numbers."""
    dim, size, rounded = encoder.shape[1], 32000, []
    for rows in (encoder, samples):
        unit = norms(rows)[:, None] / size
        rounded.append(np.rint(rows / unit) * unit)
    margin = 1.03 * size * np.sqrt(dim) + 0.27 * dim + (dim + 64) * 2.0**-24 * size**2
    return rounded[0] @ rounded[1].T + margin / size**2 * np.outer(norms(encoder), norms(samples))


def main():
    model = safe_open(sys.argv[1], "numpy")
    raw = safe_open(sys.argv[2], "numpy").get_tensor("activations")
    rows = raw[np.sort(np.random.default_rng(0).permutation(len(raw))[:ROWS])].astype(np.float32)
    samples = (rows - model.get_tensor("input.mean")) * np.float32(model.get_tensor("input.scale")[0])
    pairs, found = 0, {}
    for level in range(sum(name.endswith(".encoder.weight") for name in model.keys())):
        encoder, bias, threshold = (model.get_tensor("levels.%d.%s" % (level, name)) for name in ("encoder.weight", "encoder.bias", "threshold"))
        cut = (threshold - CUT - bias)[:, None]
        above = encoder @ samples.T > cut
        pairs += above.sum()
        for name, bound in (("16 bits", words_bound(encoder, samples)), ("8 bits", bytes_bound(encoder, samples)),
                            ("8 bits, mixed", bytes_bound(mixed(encoder), mixed(samples)))):
            candidates, missed = found.get(name, (0, 0))
            found[name] = candidates + (bound > cut).sum(), missed + (above & ~(bound > cut)).sum()
    print("%d rows of width %d, %.1f pairs a row" % (*samples.shape, pairs / len(samples)))
    for name, (candidates, missed) in found.items():
        print("%-14s %.2f candidates a pair, %d missed" % (name, candidates / pairs, missed))


if __name__ == "__main__":
    main()
