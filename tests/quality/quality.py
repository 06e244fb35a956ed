#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains on known forests and on real activations, and prints one table: tests/quality/quality.py HSAE [--seeds N] [--quick].

Each row is the mean over seeds of one setting on one data set: the last level's L0, variance explained and dead features on held-out vectors, the
leaves found, and for the two pairs of levels the true edges of the model's tree: precision and recall. `flat` trains independent SAEs with the same
settings and builds the tree afterwards.
"""
import argparse
import concurrent.futures
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy

import forest

ROOT = Path(__file__).resolve().parent.parent.parent
PAPER = ["--sparsity-control", "penalty", "--decay-steps", "0", "--bandwidth", "0.05"]
FLAT = ["--tree", "posthoc", "--rho", "0", "--perturb", "0"]
SETTINGS = {
    "default": [],
    "default, inclusion": ["--similarity", "inclusion"],
    "flat": FLAT,
    "flat, inclusion": [*FLAT, "--similarity", "inclusion"],
    "paper's control": PAPER,
    "paper's, flat": [*PAPER, *FLAT],
}
FOREST = ["--levels", "64,320,1344", "--batch", "512", "--steps", "3000"]
TARGETS = {"additive": "3.2,7,11.6", "splitting": "3.2,7,11.6"}
REAL = ["--levels", "128,256,512,1024", "--batch", "512", "--steps", "1500", "--target-l0", "20"]


def train(program, data, held_out, out, options):
    command = [program, "train", "--out", out, "--force", *data, *options]
    started = time.monotonic()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - started
    evaluate = [program, "eval", "--model", out / "model.safetensors", "--json", *held_out]
    report = json.loads(subprocess.run(list(map(str, evaluate)), check=True, stdout=subprocess.PIPE, text=True).stdout)
    return {"seconds": seconds, "levels": report["levels"]}


def run(program, work, kind, setting, seed, real):
    out = work / f"{kind}-{setting.replace(', ', '-').replace(' ', '-')}-{seed}"
    options = [*SETTINGS[setting], "--seed", str(seed)]
    if kind in TARGETS:
        folder = work / f"{kind}-{seed}"
        result = train(program, ["--data", folder / "train"], ["--data", folder / "eval"], out, [*FOREST, "--target-l0", TARGETS[kind], *options])
        result["score"] = forest.score(folder, out / "model.safetensors")
        return result
    train_data, held_out = real
    return train(program, ["--data", train_data], ["--data", held_out], out, [*REAL, *options])


def line(results):
    """The mean over seeds, and the lowest and highest where they differ in what is shown."""
    def figure(values, digits, scale=1):
        values = [scale * value for value in values]
        shown = f"{numpy.mean(values):.{digits}f}"
        return shown if len(values) == 1 else f"{shown} ({min(values):.{digits}f} to {max(values):.{digits}f})"
    last = [result["levels"][-1] for result in results]
    cells = [figure([level["l0"] for level in last], 1), figure([level["variance_explained"] for level in last], 3),
             figure([max(level["dead_fraction"] for level in result["levels"]) for result in results], 1, 100)]
    if "score" in results[0]:
        cells.append(figure([result["score"]["levels"][-1]["found"][2] for result in results], 0, 100))
        for pair in (0, 1):
            for what in ("true", "recall", "self"):
                cells.append(figure([result["score"]["trees"]["own"][pair][what] for result in results], 0, 100))
    else:
        cells += ["", "", "", "", "", "", ""]
    cells.append(figure([result["seconds"] for result in results], 0))
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "quality")
    parser.add_argument("--real", type=Path, nargs=2, metavar=("TRAIN", "HELD_OUT"), help="real activations, and others of the same model to evaluate on")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--data", nargs="+", choices=[*TARGETS, "real"], default=[*TARGETS, "real"])
    options = parser.parse_args()
    kinds = [kind for kind in options.data if kind in TARGETS or options.real]
    for kind in TARGETS:
        for seed in range(options.seeds):
            folder = options.work / f"{kind}-{seed}"
            if kind in kinds and not (folder / "truth.npz").exists():
                subprocess.run([sys.executable, Path(__file__).parent / "forest.py", "make", folder, "--kind", kind, "--seed", str(seed)], check=True)
    jobs = [(kind, setting, seed) for kind in kinds for setting in options.settings for seed in range(options.seeds)]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda job: run(options.program.resolve(), options.work, *job, options.real), jobs))
    print("| data | setting | L0 | VE | dead % | leaves % | 0-1 true % | recall % | self % | 1-2 true % | recall % | self % | seconds |")
    print("|" + "---|" * 13)
    for kind in kinds:
        for setting in options.settings:
            print("| " + " | ".join([kind, setting, *line([result for job, result in zip(jobs, results) if job[:2] == (kind, setting)])]) + " |")


if __name__ == "__main__":
    main()
