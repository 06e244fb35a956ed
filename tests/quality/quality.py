#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains on known forests and on real activations, and prints one table: tests/quality/quality.py HSAE [--seeds N].

Each row is the mean over seeds of one setting on one data set: on held-out vectors how far L0 is off its target and how many features are dead (of the
worst level), and the last level's variance explained; the leaves found; for the two pairs of levels the edges of the model's tree that are true, and the
share of the true ones that was found; edges whose two decoder rows have a cosine above 0.9; and processor seconds of the training. `flat` trains
independent SAEs with the same settings and builds the tree afterwards. Runs that are in the folder --work are not repeated.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy

import forest

ROOT = Path(__file__).resolve().parent.parent.parent
PAPER = ["--sparsity-control", "penalty", "--decay-steps", "0", "--bandwidth", "0.05"]
FLAT = ["--tree", "posthoc", "--rho", "0", "--perturb", "0"]
SETTINGS = {
    "default": [],
    "inclusion": ["--similarity", "inclusion"],
    "part": ["--similarity", "part"],
    "flat": FLAT,
    "old rules": PAPER,
    "old rules, flat": [*PAPER, *FLAT],
}
# The trees that `hsae tree` makes of the flat models.
TREES = {"flat, inclusion": ["--similarity", "inclusion"], "flat, part": ["--similarity", "part"]}
FOREST = ["--levels", "64,320,1344", "--batch", "512", "--steps", "3000"]
TARGETS = {"additive": "3.2,7,11.6", "splitting": "3.2,7,11.6"}
REAL = ["--levels", "128,256,512,1024", "--batch", "512", "--steps", "1500", "--target-l0", "20"]


def call(command):
    """Standard output, and processor seconds."""
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(f"status {status} of {' '.join(map(str, command))}")
    return output, usage.ru_utime + usage.ru_stime


def finish(program, out, kind, seed, work, held_out, seconds):
    model = out / "model.safetensors"
    report, _ = call([program, "eval", "--quiet", "--json", "--model", model, "--data", held_out])
    result = {"seconds": seconds, "levels": json.loads(report)["levels"]}
    if kind in TARGETS:
        result["score"] = forest.score(work / f"{kind}-{seed}", model)
    (out / "quality.json").write_text(json.dumps(result))


def run(program, work, kind, setting, seed, real):
    """Trains and scores, where that was not done before."""
    name = lambda setting: work / f"{kind}-{setting.replace(', ', '-').replace(' ', '-')}-{seed}"
    out, folder = name(setting), work / f"{kind}-{seed}"
    data, held_out = (folder / "train", folder / "eval") if kind in TARGETS else real
    if (out / "quality.json").exists():
        return
    if setting in TREES:
        flat = name("flat")
        out.mkdir(parents=True, exist_ok=True)
        _, seconds = call([program, "tree", "--quiet", "--model", flat / "model.safetensors", "--data", data, "--out", out / "model.safetensors",
                           *TREES[setting]])
        finish(program, out, kind, seed, work, held_out, seconds)
        return
    options = [*FOREST, "--target-l0", TARGETS[kind]] if kind in TARGETS else REAL
    _, seconds = call([program, "train", "--quiet", "--force", "--data", data, "--out", out, *options, *SETTINGS[setting], "--seed", seed])
    finish(program, out, kind, seed, work, held_out, seconds)


def load(work, kind, setting, seed):
    return json.loads((work / f"{kind}-{setting.replace(', ', '-').replace(' ', '-')}-{seed}" / "quality.json").read_text())


def line(kind, results):
    """Means over seeds; with the lowest and highest where there are several and they differ."""
    def figure(values, digits, scale=1):
        shown = [f"{scale * value:.{digits}f}" for value in (numpy.mean(values), min(values), max(values))]
        return shown[0] if shown[1] == shown[2] else f"{shown[0]} ({shown[1]} to {shown[2]})"
    targets = [float(part) for part in TARGETS[kind].split(",")] if kind in TARGETS else [float(REAL[-1])] * len(results[0]["levels"])
    off = [max(abs(level["l0"] / target - 1) for level, target in zip(result["levels"], targets)) for result in results]
    cells = [figure(off, 1, 100), figure([result["levels"][-1]["variance_explained"] for result in results], 3),
             figure([max(level["dead_fraction"] for level in result["levels"]) for result in results], 1, 100)]
    if kind in TARGETS:
        cells.append(figure([result["score"]["levels"][-1]["found"][2] for result in results], 0, 100))
        for pair in (0, 1):
            for what in ("true", "recall", "copies"):
                cells.append(figure([result["score"]["trees"]["own"][pair][what] for result in results], 0, 100))
    else:
        cells += [""] * 7
    return [*cells, figure([result["seconds"] for result in results], 0)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "quality")
    parser.add_argument("--real", type=Path, nargs=2, metavar=("TRAIN", "HELD_OUT"), help="real activations, and others of the same model to evaluate on")
    parser.add_argument("--settings", nargs="+", choices=[*SETTINGS, *TREES], default=[*SETTINGS, *TREES])
    parser.add_argument("--data", nargs="+", choices=[*TARGETS, "real"], default=[*TARGETS, "real"])
    options = parser.parse_args()
    kinds = [kind for kind in options.data if kind in TARGETS or options.real]
    for kind in TARGETS:
        for seed in range(options.seeds):
            folder = options.work / f"{kind}-{seed}"
            if kind in kinds and not (folder / "truth.npz").exists():
                subprocess.run([sys.executable, Path(__file__).parent / "forest.py", "make", folder, "--kind", kind, "--seed", str(seed)], check=True)
    for settings in (SETTINGS, TREES):
        jobs = [(kind, setting, seed) for seed in range(options.seeds) for kind in kinds for setting in settings if setting in options.settings]
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda job: run(options.program.resolve(), options.work, *job, options.real), jobs))
    print("| data | setting | L0 off % | VE | dead % | leaves % | 0-1 true % | recall % | copies % | 1-2 true % | recall % | copies % | seconds |")
    print("|" + "---|" * 13)
    for kind in kinds:
        for setting in options.settings:
            results = [load(options.work, kind, setting, seed) for seed in range(options.seeds)]
            print("| " + " | ".join([kind, setting, *line(kind, results)]) + " |")


if __name__ == "__main__":
    main()
