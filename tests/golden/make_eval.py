#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Figures of evaluations by an oracle of its own, dense and in float64 (needs numpy): make_eval.py

Makes the case eval/duplicates, whose tree has children that are copies of their parent, and writes what include/hsae/model.h defines of pairs of
levels into the expected.json of every case, from its model and its encoded features.
"""
import json
from pathlib import Path

import numpy as np

from make_golden import BASE, Unsuitable, demand, write_safetensors

FOLDER = Path(__file__).resolve().parent / "eval"
DIM, ROWS, SIZES = 16, 240, (6, 16, 34)
MARGIN = 1e-3  # of pre-activations to thresholds, of cosines and phi to 0.7


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def read_safetensors(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    types = {"F32": "<f4", "I32": "<i4", "I64": "<i8"}
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + at for at in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def dense(encoded, level, features):
    starts, indices = encoded["levels.%d.indptr" % level], encoded["levels.%d.indices" % level]
    out = np.zeros((len(starts) - 1, features))
    out[np.repeat(np.arange(len(starts) - 1), np.diff(starts)), indices] = encoded["levels.%d.values" % level]
    return out


def mean(values):
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def pair_figures(above, level, parent, decoders):
    """Of one pair of levels: activations [rows, features] of both, parents, decoder rows of both."""
    children = np.flatnonzero(parent >= 0)
    p, c = above[:, parent[children]] > 0, level[:, children] > 0
    fired, alive = c.any(0), c.any(0) & p.any(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = (p & c).mean(0) / (p.mean(0) * c.mean(0))
        phi = ((p & c).mean(0) - p.mean(0) * c.mean(0)) / (p.std(0) * c.std(0))
        cosine = (unit(decoders[0])[parent[children]] * unit(decoders[1])[children]).sum(1)
    lower = np.minimum(phi, cosine)  # it decides
    demand(not (np.abs(lower - 0.7) < MARGIN).any(), "a duplicate at an edge")
    families = np.bincount(parent[children], minlength=1)
    return {"lift": float(np.median(lift[alive])) if alive.any() else None,
            "duplicates": float(((cosine > 0.7) & (phi > 0.7))[fired].mean()) if fired.any() else None,
            "largest_share": float(families.max() / len(children)) if len(children) else None, "largest_family": int(families.max()),
            "hamming": float(((np.array([c[:, parent[children] == i].any(1) for i in range(above.shape[1])]).T != (above > 0))
                              & np.isin(np.arange(above.shape[1]), parent)).sum(1).mean()),
            "p_parent_given_child": mean([(a & b).sum() / b.sum() for a, b in zip(p.T, c.T) if b.any()]),
            "p_child_given_parent": mean([(a & b).sum() / a.sum() for a, b in zip(p.T, c.T) if a.any()]), "assigned": len(children)}


def level_figures(x, a, decoder, bias):
    error = ((x - a @ decoder - bias) ** 2).sum(1)
    spread = ((x - x.mean(0)) ** 2).sum(1)
    return {"l0": float((a > 0).sum(1).mean()), "dead_fraction": float((a <= 0).all(0).mean()), "variance_explained": float(1 - error.sum() / spread.sum()),
            "variance_explained_legacy": float((1 - error / spread).mean())}


def make_duplicates(chance):
    """Directions of the first level, active now and then; features below are copies of their parent, parts of it, or strangers."""
    tensors = {"input.mean": chance.normal(0, 0.3, DIM), "input.scale": np.array([1.5])}
    above = None
    for l, n in enumerate(SIZES):
        rows = unit(chance.standard_normal((n, DIM)))
        if l:
            parent = np.where(chance.random(n) < 0.2, -1, chance.integers(0, SIZES[l - 1], n))
            copies = (np.arange(n) % 3 == 0) & (parent >= 0)
            parts = (np.arange(n) % 3 == 1) & (parent >= 0)
            rows[copies] = above[parent[copies]] + 0.1 * rows[copies]
            rows[parts] = above[parent[parts]] + 0.9 * rows[parts]
            rows = unit(rows)
            tensors["levels.%d.parent" % l] = parent.astype(np.int32)
        tensors.update({"levels.%d.encoder.weight" % l: rows, "levels.%d.decoder.weight" % l: rows, "levels.%d.encoder.bias" % l: np.zeros(n),
                        "levels.%d.decoder.bias" % l: chance.normal(0, 0.05, DIM), "levels.%d.threshold" % l: np.full(n, 1.1)})
        above = rows
    tensors = {name: value.astype(np.float32) if value.dtype.kind == "f" else value for name, value in tensors.items()}
    weights = chance.uniform(1, 3, (ROWS, SIZES[-1])) * (chance.random((ROWS, SIZES[-1])) < 0.04)
    x = weights @ tensors["levels.2.decoder.weight"] + 0.1 * chance.standard_normal((ROWS, DIM))
    raw = (x / tensors["input.scale"] + tensors["input.mean"]).astype(np.float32)
    x = (raw.astype(np.float64) - tensors["input.mean"]) * tensors["input.scale"]
    encoded, activations = {}, []
    for l in range(len(SIZES)):
        p = x @ tensors["levels.%d.encoder.weight" % l].T.astype(np.float64)
        a = np.where(p > tensors["levels.%d.threshold" % l], p, 0)
        demand((np.abs(p - tensors["levels.%d.threshold" % l]) > MARGIN / 5).all(), "a pre-activation at its threshold")
        indices = [np.flatnonzero(row) for row in a]
        encoded["levels.%d.indptr" % l] = np.cumsum([0, *map(len, indices)]).astype(np.int64)
        encoded["levels.%d.indices" % l] = np.concatenate(indices).astype(np.int32)
        encoded["levels.%d.values" % l] = a[a > 0].astype(np.float32)
        activations.append(a)
    levels = [level_figures(x, a, tensors["levels.%d.decoder.weight" % l].astype(np.float64), tensors["levels.%d.decoder.bias" % l])
              for l, a in enumerate(activations)]
    means = {key: mean([level[key] for level in levels]) for key in levels[0]}
    return tensors, raw, encoded, {"name": "duplicates", "covers": "three levels, children that are copies of their parent, orphans", "tolerance": 1e-5,
                                   "tokens": ROWS, "levels": levels, "pairs": [{} for _ in SIZES[1:]], "mean": means}


def add_pairs(folder):
    expected = json.loads((folder / "expected.json").read_text())
    model, encoded = read_safetensors(folder / "model.safetensors"), read_safetensors(folder / "encoded.safetensors")
    decoders = [model["levels.%d.decoder.weight" % l].astype(np.float64) for l in range(len(expected["levels"]))]
    a = [dense(encoded, l, len(rows)) for l, rows in enumerate(decoders)]
    for l, pair in enumerate(expected["pairs"]):
        found = pair_figures(a[l], a[l + 1], model["levels.%d.parent" % (l + 1)], decoders[l:l + 2])
        assert all(pair[key] is value or abs(pair[key] - value) < 1e-9 for key, value in found.items() if key in pair), (folder.name, found, pair)
        pair.update({key: value for key, value in found.items() if key not in pair})
    for key in ("hamming", "p_parent_given_child", "p_child_given_parent", "lift", "duplicates", "largest_share"):
        expected["mean"].setdefault(key, mean([pair[key] for pair in expected["pairs"]]))
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    return [pair["duplicates"] for pair in expected["pairs"]]


def save_duplicates(seed):
    tensors, raw, encoded, expected = make_duplicates(np.random.default_rng(seed))
    folder = FOLDER / "duplicates"
    folder.mkdir(exist_ok=True)
    config = {**BASE, "levels": SIZES, "target_l0": 3, "seed": 0}
    write_safetensors(folder / "model.safetensors", tensors, {"config": json.dumps(config), "format": "hsae", "library_version": "oracle-1", "version": "1"})
    write_safetensors(folder / "data.safetensors", {"activations": raw})
    write_safetensors(folder / "encoded.safetensors", encoded)
    (folder / "expected.json").write_text(json.dumps(expected))
    demand(all(0.2 < share < 0.8 for share in add_pairs(folder)), "too few duplicates, or too many")


def main():
    for seed in range(1000):
        try:
            save_duplicates(seed)
            break
        except Unsuitable as reason:
            print("seed %d: %s" % (seed, reason))
    for folder in sorted(FOLDER.iterdir()):
        print(folder.name, add_pairs(folder))


if __name__ == "__main__":
    main()
