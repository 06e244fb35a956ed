#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Activations with a known forest of features, and a model's score against it (needs numpy).

forest.py make OUT [OPTION]...      writes OUT/train/*.npy, OUT/eval/*.npy and OUT/truth.npz
forest.py score OUT MODEL...        prints one line a level and one line a tree for each model.safetensors

A forest has roots, their children (inner nodes) and grandchildren (leaves). A child can only be active where its parent is. In an additive forest
each node has a random direction of its own, and an activation vector is the sum of the active nodes' directions. In a splitting forest a child's
direction is near its parent's, and of each branch only the deepest active nodes contribute, as when a coarse feature splits into finer ones.

truth.npz holds of all nodes, roots first, then all children, then all grandchildren: `parent` [nodes], -1 for roots; `directions` [nodes, width], unit
rows; `active` [vectors of OUT/eval, nodes], how strongly; and `settings`, JSON.
"""
import argparse
import json
import struct
import sys
from pathlib import Path

import numpy

try:
    from scipy.optimize import linear_sum_assignment
except ImportError:  # there is no MCC then
    linear_sum_assignment = None

FOUND = 0.9      # cosine of decoder row and true direction from which a node counts as found
LOST = 0.6       # below it with every feature a node is lost, and with every node a feature stands for none
DUPLICATE = 0.7  # include/hsae/model.h
MATCHED = 0.7    # correlation of activations from which a feature stands for a node
CHUNK = 10000    # vectors made at a time


def unit(rows):
    return rows / numpy.maximum(numpy.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


class Forest:
    """Nodes are numbered root by root, then all children, then all grandchildren; `parent` has -1 for roots."""

    def __init__(self, kind, roots, children, leaves, width, seed, directions=None):
        rng = numpy.random.default_rng(seed)
        self.counts = [roots, roots * children, roots * children * leaves]
        self.first = numpy.cumsum([0] + self.counts)
        self.up = [None, numpy.arange(self.counts[1]) // children, numpy.arange(self.counts[2]) // leaves]
        if directions is None:
            own = [unit(rng.standard_normal((count, width))) for count in self.counts]
            if kind == "splitting":
                own[1] = unit(own[0][self.up[1]] + own[1])
                own[2] = unit(own[1][self.up[2]] + 0.8 * own[2])
            directions = numpy.concatenate(own)
        own = self.directions = numpy.split(directions, self.first[1:3])
        # What a feature that stands for a node and all above it would have.
        self.sums = own if kind == "splitting" else [
            own[0], unit(own[0][self.up[1]] + own[1]), unit(own[0][self.up[1][self.up[2]]] + own[1][self.up[2]] + own[2])]
        self.kind, self.children, self.leaves = kind, children, leaves
        self.depth = numpy.repeat([0, 1, 2], self.counts)
        self.parent = numpy.concatenate([numpy.full(roots, -1), self.up[1], self.first[1] + self.up[2]])
        self.root = numpy.concatenate([numpy.arange(roots), self.up[1], self.up[1][self.up[2]]])

    def sample(self, rng, count, root_rate, child_rate, noise):
        """Vectors [count, width] and the activations of all nodes [count, nodes]."""
        active = [rng.random((count, self.counts[0])) < root_rate]
        for depth in (1, 2):
            active.append(active[-1][:, self.up[depth]] & (rng.random((count, self.counts[depth])) < child_rate))
        size = [numpy.where(on, rng.uniform(0.6, 1.4, on.shape), 0).astype(numpy.float32) for on in active]
        weight = list(size)
        if self.kind == "splitting":
            weight[0] = size[0] * ~active[1].reshape(count, -1, self.children).any(2)
            weight[1] = size[1] * ~active[2].reshape(count, -1, self.leaves).any(2)
        vectors = sum(w @ directions.astype(numpy.float32) for w, directions in zip(weight, self.directions))
        vectors += noise * rng.standard_normal(vectors.shape, dtype=numpy.float32)
        return vectors.astype(numpy.float16), numpy.concatenate(size, 1).astype(numpy.float16)


class Wrong(Exception):
    """Arguments or files that will not do."""


def check(options):
    for name in ("roots", "children", "leaves", "width", "vectors", "held_out"):
        if getattr(options, name) < 1:
            raise Wrong(f"--{name.replace('_', '-')} {getattr(options, name)}: give 1 or more")
    for name in ("root_rate", "child_rate"):
        if not 0 < getattr(options, name) <= 1:
            raise Wrong(f"--{name.replace('_', '-')} {getattr(options, name)}: give a share above 0, at most 1")
    if not options.noise >= 0:
        raise Wrong(f"--noise {options.noise}: give 0 or more")
    if options.seed < 0:
        raise Wrong(f"--seed {options.seed}: give 0 or more")
    for name in ("train", "eval", "truth.npz"):
        if (options.out / name).exists():
            raise Wrong(f"{options.out / name} is there already: remove it, or choose another folder")


def make(options):
    check(options)
    forest = Forest(options.kind, options.roots, options.children, options.leaves, options.width, options.seed)
    rates = options.root_rate, options.child_rate, options.noise
    active = []
    for name, count, stream in (("train", options.vectors, 1), ("eval", options.held_out, 2)):
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        rng = numpy.random.default_rng([options.seed, stream])
        for number, begin in enumerate(range(0, count, CHUNK)):
            vectors, nodes = forest.sample(rng, min(CHUNK, count - begin), *rates)
            numpy.save(folder / f"vectors-{number}.npy", vectors)
            active += [nodes] if name == "eval" else []
    active = numpy.concatenate(active)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items() if key not in ("run", "out")}
    numpy.savez_compressed(options.out / "truth.npz", active=active, parent=forest.parent, directions=numpy.concatenate(forest.directions),
                           settings=json.dumps(settings))
    by_depth = [(active[:, forest.first[k]:forest.first[k + 1]] > 0).sum(1).mean() for k in range(3)]
    print(f"{options.kind}: {sum(forest.counts)} nodes, active in a vector by depth {by_depth[0]:.2f} {by_depth[1]:.2f} {by_depth[2]:.2f}")


def load_truth(folder):
    if not (folder / "truth.npz").exists():
        raise Wrong(f"{folder} has no truth.npz: give the folder that `forest.py make` wrote")
    truth = numpy.load(folder / "truth.npz")
    settings = json.loads(str(truth["settings"]))
    forest = Forest(*(settings[key] for key in ("kind", "roots", "children", "leaves", "width", "seed")), truth["directions"])
    vectors = numpy.concatenate([numpy.load(folder / "eval" / f"vectors-{k}.npy") for k in range(len(list((folder / "eval").iterdir())))])
    return forest, truth["active"].astype(numpy.float32), vectors.astype(numpy.float32)


def load_tensors(path):
    """The float32 and int32 tensors of a safetensors file."""
    if not path.is_file():
        raise Wrong(f"{path} is no file: give a model.safetensors")
    data = path.read_bytes()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    types = {"F32": "<f4", "I32": "<i4", "U32": "<u4"}
    return {name: numpy.frombuffer(data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]], types[entry["dtype"]])
            .reshape(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def correlations(a, b):
    a, b = a - a.mean(0), b - b.mean(0)
    return (a / numpy.maximum(numpy.linalg.norm(a, axis=0), 1e-9)).T @ (b / numpy.maximum(numpy.linalg.norm(b, axis=0), 1e-9))


class Level:
    """One level of a model on the held-out vectors."""

    def __init__(self, tensors, number, x):
        encoder, bias, threshold, decoder, centre = (tensors[f"levels.{number}.{name}"] for name in (
            "encoder.weight", "encoder.bias", "threshold", "decoder.weight", "decoder.bias"))
        p = x @ encoder.T + bias
        self.active = numpy.where(p > threshold, p, 0).astype(numpy.float32)
        self.decoder = unit(decoder)
        self.parent = tensors.get(f"levels.{number}.parent")
        self.l0 = float((self.active > 0).sum(1).mean())
        self.dead = float((self.active <= 0).all(0).mean())
        self.explained = float(1 - ((x - self.active @ decoder - centre) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())


def score_level(level, forest, nodes):
    """Nodes found by depth, those that are lost, and of these the share whose nearest feature is that of the parent; features that stand for no node; and
    MCC: the mean cosine of the best one-to-one match with the nodes of this level's depth."""
    cosine = [numpy.abs(level.decoder @ directions.T) for directions in forest.directions]
    best = [numpy.maximum(c, numpy.abs(level.decoder @ s.T)).max(0) for c, s in zip(cosine, forest.sums)]
    every = numpy.concatenate(cosine, 1)
    lost = every.max(0) < LOST
    inside = lost & (every.argmax(1)[every.argmax(0)] == forest.parent)
    correlation = correlations(level.active, nodes)
    level.node = numpy.where(correlation.max(1) > MATCHED, correlation.argmax(1), -1)
    depth = min(forest.depth.max(), level.number)
    mcc = float("nan")
    if linear_sum_assignment:
        mcc = float(cosine[depth][linear_sum_assignment(-cosine[depth])].mean())
    return {"features": len(level.decoder), "l0": level.l0, "explained": level.explained, "dead": level.dead,
            "found": [float((c.max(0) > FOUND).mean()) for c in cosine], "found_or_sum": [float((b > FOUND).mean()) for b in best],
            "lost": [float(lost[forest.depth == k].mean()) for k in range(3)], "inside": float(inside.sum() / max(1, lost.sum())),
            "no_node": float((every.max(1) < LOST).mean()),
            "mcc": mcc}


def score_tree(parent, above, level, forest):
    """Of edges whose two ends both stand for a node: the share that is true, joins a node with itself, or stays in a branch; and how many of
    the true edges of this depth were found."""
    child = numpy.flatnonzero(parent >= 0)
    ends = above.node[parent[child]], level.node[child]
    judged = (ends[0] >= 0) & (ends[1] >= 0)
    top, bottom = ends[0][judged], ends[1][judged]
    true = forest.parent[bottom] == top
    found = {(a, b) for a, b in zip(top[true], bottom[true]) if forest.depth[b] == level.number}
    both = ((above.active[:, parent[child]] > 0) & (level.active[:, child] > 0)).mean(0)
    chance = (above.active > 0).mean(0)[parent[child]] * (level.active > 0).mean(0)[child]
    share = lambda flags: float(flags.mean()) if len(flags) else float("nan")
    cosine = (above.decoder[parent[child]] * level.decoder[child]).sum(1)
    phi = numpy.array([correlations(a[:, None] > 0, b[:, None] > 0)[0, 0] for a, b in zip(above.active.T[parent[child]], level.active.T[child])])
    duplicate = (cosine > DUPLICATE) & (phi > DUPLICATE)
    return {"edges": len(child), "judged": int(judged.sum()), "true": share(true), "self": share(top == bottom),
            "branch": share(forest.root[top] == forest.root[bottom]), "recall": len(found) / forest.counts[level.number],
            "copies": share(numpy.abs((above.decoder[parent[child]] * level.decoder[child]).sum(1)) > FOUND),
            "duplicates": share(duplicate), "duplicate_self": share(duplicate[judged][top == bottom]), "self_duplicate": share((top == bottom)[duplicate[judged]]),
            "largest": int(numpy.bincount(parent[child]).max()) if len(child) else 0,
            "lift": float(numpy.median(both[chance > 0] / chance[chance > 0])) if (chance > 0).any() else float("nan")}


def phi_tree(above, level, exclude=0.2):
    """The best tree over independent SAEs that is known here: parents by the correlation of being active."""
    similarity = correlations((level.active > 0).astype(numpy.float32), (above.active > 0).astype(numpy.float32))
    parent, best = similarity.argmax(1), similarity.max(1)
    parent[numpy.argsort(best, kind="stable")[:int(exclude * len(parent))]] = -1
    return parent


def score(folder, path):
    """{"levels": [...], "trees": {"own": [...], "phi": [...]}}: own is the model's, phi is made here."""
    forest, nodes, vectors = load_truth(folder)
    tensors = load_tensors(path)
    if tensors["input.mean"].shape[0] != vectors.shape[1]:
        raise Wrong(f"{path} takes vectors of {tensors['input.mean'].shape[0]} values, those of {folder} have {vectors.shape[1]}")
    x = (vectors - tensors["input.mean"]) * tensors["input.scale"][0]
    levels = []
    while f"levels.{len(levels)}.encoder.weight" in tensors:
        levels.append(Level(tensors, len(levels), x))
        levels[-1].number = len(levels) - 1
    result = {"levels": [score_level(level, forest, nodes) for level in levels], "trees": {"own": [], "phi": []}}
    for above, level in zip(levels, levels[1:]):
        if level.number < 3:
            if level.parent is not None:
                result["trees"]["own"].append(score_tree(level.parent, above, level, forest))
            result["trees"]["phi"].append(score_tree(phi_tree(above, level), above, level, forest))
    return result


def percent(*values):
    return " ".join("  -" if value != value else f"{100 * value:3.0f}" for value in values)


def show(name, result):
    print(name)
    for number, level in enumerate(result["levels"]):
        print(f"  level {number}: {level['features']:5d} features  L0 {level['l0']:6.2f}  VE {level['explained']:.3f}  dead {100 * level['dead']:4.1f} %  "
              f"found % by depth {percent(*level['found'])} (or sums {percent(*level['found_or_sum'])}), lost {percent(*level['lost'])} ({percent(level['inside'])} % in their parents)  "
              f"features of no node {percent(level['no_node'])} %  MCC {level['mcc']:.3f}")
    for kind, trees in result["trees"].items():
        for number, tree in enumerate(trees):
            print(f"  {kind:3s} {number}-{number + 1}: {tree['edges']:5d} edges, {tree['judged']:5d} judged: true {percent(tree['true'])} %, recall "
                  f"{percent(tree['recall'])} %, self {percent(tree['self'])} %, same branch {percent(tree['branch'])} %, copies {percent(tree['copies'])} %, duplicates {percent(tree['duplicates'])} % "
                  f"({percent(tree['duplicate_self'])} % of self; {percent(tree['self_duplicate'])} % are self), "
                  f"largest family {tree['largest']}, lift {tree['lift']:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="run", required=True)
    command = commands.add_parser("make")
    command.add_argument("out", type=Path)
    command.add_argument("--kind", choices=("additive", "splitting"), default="additive")
    for name, value in (("roots", 64), ("children", 4), ("leaves", 4), ("width", 256), ("vectors", 120000), ("held-out", 16384), ("seed", 0)):
        command.add_argument(f"--{name}", type=int, default=value)
    for name, value in (("root-rate", 0.05), ("child-rate", 0.3), ("noise", 0.05)):
        command.add_argument(f"--{name}", type=float, default=value)
    command = commands.add_parser("score")
    command.add_argument("out", type=Path)
    command.add_argument("models", type=Path, nargs="+")
    options = parser.parse_args()
    try:
        if options.run == "make":
            make(options)
        else:
            for path in options.models:
                show(path, score(options.out, path))
    except Wrong as reason:
        sys.exit(f"forest.py: {reason}")


if __name__ == "__main__":
    main()
