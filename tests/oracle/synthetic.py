#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Activations with known structure, for timing at sizes of which no real ones are at hand. Needs numpy.

synthetic.py OUT [--rows 4096] [--width 2304] [--atoms 8192] [--active 40] [--noise 0.3] [--seed 0]

Row = sum of `active` random unit directions with exponential weights + normal noise of length `noise` * sqrt(active). Directions come in
families of four about a common one, so that a tree has something to find. One F32 tensor, `activations`, as safetensors.
"""
import argparse
import json
import struct

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    for name, kind, value in (("rows", int, 4096), ("width", int, 2304), ("atoms", int, 8192), ("active", int, 40), ("noise", float, 0.3),
                              ("seed", int, 0)):
        parser.add_argument("--" + name, type=kind, default=value)
    args = parser.parse_args()
    random = np.random.default_rng(args.seed)
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)
    draw = lambda rows: unit(random.standard_normal((rows, args.width), np.float32))
    atoms = unit(np.repeat(draw(-(-args.atoms // 4)), 4, 0)[: args.atoms] + draw(args.atoms))
    x = draw(args.rows) * np.float32(args.noise * args.active**0.5)
    for row in x:
        row += random.exponential(1, args.active).astype(np.float32) @ atoms[random.choice(args.atoms, args.active, replace=False)]
    header = json.dumps({"activations": {"dtype": "F32", "shape": x.shape, "data_offsets": [0, x.nbytes]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(args.out, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + x.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
