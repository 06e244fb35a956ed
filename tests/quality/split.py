#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains, and moves features that do little to where others do two things: split.py HSAE --data TRAIN --out OUT --steps N [OPTION of hsae train]...

An experiment (tests/README.md, "Known forests"), not a part of `hsae train`. After a third, a half and two thirds of the steps the run is stopped and its
checkpoint is changed, level by level, from the first ROWS rows of TRAIN (.npy, .safetensors):

- A feature's use is what the reconstruction loss would rise by without it. One with less than a tenth of the median is free.
- Of each other feature, on the rows on which it is active, the residual's direction of largest second moment is found, with the sign of its third moment.
  A feature that stands for a node and, in part, for one of its children has that child there. The direction's use is the sum of the squares of the
  residual along it, less the penalty, where that is above its root mean square.
- The most useful directions, those apart that have a cosine above 0.8 with one before, become decoder and encoder rows of free features whose use is less
  than half of theirs. They get the median bias, threshold, encoder norm and second moments of the level, and no parent and no children.
"""
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy

ROWS = 32768
SHARES = (1 / 3, 1 / 2, 2 / 3)
FREE, ALIKE, MORE = 0.1, 0.8, 2.0
ITERATIONS, FEWEST, MOST = 12, 20, 2000  # of the power iteration, and rows of a feature
TYPES = {"F16": "<f2", "F32": "<f4", "I32": "<i4", "I64": "<i8"}


def tensors(data):
    """Views into `data`, the bytes of a safetensors file."""
    size, = struct.unpack("<Q", data[:8])
    return {name: numpy.frombuffer(data, TYPES[entry["dtype"]], int(numpy.prod(entry["shape"])), 8 + size + entry["data_offsets"][0])
            .reshape(entry["shape"]) for name, entry in json.loads(data[8:8 + size]).items() if name != "__metadata__"}


def read_rows(folder):
    parts, count = [], 0
    for path in sorted(Path(folder).iterdir()):
        if count < ROWS and path.suffix in (".npy", ".safetensors"):
            rows = numpy.load(path) if path.suffix == ".npy" else next(iter(tensors(path.read_bytes()).values()))
            parts.append(rows[:ROWS - count].astype(numpy.float32))
            count += len(parts[-1])
    return numpy.concatenate(parts)


def direction(residual, penalty, rows, rng):
    """The direction that one feature's residual has, and its use in a mean over `rows`."""
    d = rng.standard_normal(residual.shape[1]).astype(numpy.float32)
    for _ in range(ITERATIONS):
        d = residual.T @ (residual @ d)
        d /= max(numpy.linalg.norm(d), 1e-20)
    along = residual @ d
    if (along ** 3).sum() < 0:
        d, along = -d, -along
    on = along > along.std()
    return float((along[on] ** 2).sum() - penalty * on.sum()) / rows, d


def split(values, level, x, rng):
    """Changes one level; the number of features that were moved."""
    encoder, decoder, bias, threshold, centre = (values[f"levels.{level}.{name}"] for name in (
        "encoder.weight", "decoder.weight", "encoder.bias", "threshold", "decoder.bias"))
    p = x @ encoder.T + bias
    active = numpy.where(p > threshold, p, 0)
    residual = x - active @ decoder - centre
    use = (2 * active * (residual @ decoder.T) + active ** 2).sum(0) / len(x)
    free = use < FREE * numpy.median(use)
    found = []
    for i in numpy.flatnonzero(~free):
        rows = numpy.flatnonzero(active[:, i])
        if len(rows) >= FEWEST:
            gain, d = direction(residual[rows[:MOST]], values["sparsity.lambda"][level], len(x), rng)
            found.append((gain * max(1, len(rows) / MOST), d))
    found.sort(key=lambda one: -one[0])
    places, kept = sorted(numpy.flatnonzero(free), key=lambda i: use[i]), []
    moments = [values[f"optimizer.levels.{level}.{name}.v"] for name in ("encoder.weight", "decoder.weight", "encoder.bias", "log_threshold")]
    typical = [numpy.median(tensor[~free], axis=0) for tensor in moments]
    norm = numpy.median(numpy.linalg.norm(encoder[~free], axis=1))
    for gain, d in found:
        if len(kept) == len(places) or gain < MORE * use[places[len(kept)]]:
            break
        if kept and (numpy.stack(kept) @ d).max() > ALIKE:
            continue
        i = places[len(kept)]
        kept.append(d)
        encoder[i], decoder[i], bias[i], threshold[i] = norm * d, d, numpy.median(bias[~free]), numpy.median(threshold[~free])
        values[f"levels.{level}.log_threshold"][i] = numpy.log(threshold[i])
        values[f"levels.{level}.last_fired"][i] = values["train.step"][0]
        for tensor, value in zip(moments, typical):
            tensor[i] = value
        if f"levels.{level}.parent" in values:
            values[f"levels.{level}.parent"][i] = -1
        below = values.get(f"levels.{level + 1}.parent")
        if below is not None:
            below[below == i] = -1
    return len(kept)


def change(checkpoint, data):
    raw = bytearray(checkpoint.read_bytes())
    values, rng = tensors(raw), numpy.random.default_rng(0)
    x = (read_rows(data) - values["input.mean"]) * values["input.scale"][0]
    moved = []
    while f"levels.{len(moved)}.threshold" in values:
        moved.append(split(values, len(moved), x, rng))
    checkpoint.write_bytes(raw)
    return moved


def main():
    program, *options = sys.argv[1:]
    given = dict(zip(options, options[1:]))
    if not {"--data", "--out", "--steps"} <= set(given):
        sys.exit(__doc__.splitlines()[0])
    out, steps = Path(given["--out"]), int(given["--steps"])
    resume = ["--force"]
    for stop in [int(steps * share) for share in SHARES] + [steps]:
        subprocess.run([program, "train", "--quiet", *options, *resume, "--stop-after", str(stop)], check=True)
        checkpoint = out / f"checkpoint-{stop}.safetensors"
        if stop < steps:
            print(f"after step {stop} moved, by level:", *change(checkpoint, given["--data"]), flush=True)
        options, resume = ["--data", given["--data"], "--out", str(out)], ["--resume", str(checkpoint)]


if __name__ == "__main__":
    main()
