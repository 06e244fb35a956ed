#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains on known forests and on real activations, and prints one table: tests/quality/quality.py HSAE [--seeds N].

Each row is the mean over seeds of one setting on one data set, with the lowest and the highest where there are several. On held-out vectors: how far L0
is off its target and how many features are dead (of the worst level), and the last level's variance explained; the leaves found; for the two pairs of
levels the edges of the model's tree that are true, and the share of the true ones that was found; edges whose ends are duplicates (of the worst pair of
levels). Then the processor seconds of the training. `flat` trains independent SAEs with the same settings and builds the tree afterwards; `flat, part`
is the same model with another tree.

The standard table is default, part, flat, and flat, part. `--settings` also takes inclusion, flat, inclusion, and the rules from before sparsity_control
and decay_steps (old rules; old rules, flat); `--before` an earlier hsae, with its defaults. Runs that are in the folder --work are not repeated.
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
OLD = ["--sparsity-control", "penalty", "--decay-steps", "0", "--bandwidth", "0.05"]
FLAT = ["--tree", "posthoc", "--rho", "0", "--perturb", "0"]
SETTINGS = {
    "default": [],
    "inclusion": ["--similarity", "inclusion"],
    "part": ["--similarity", "part"],
    "flat": FLAT,
    "old rules": OLD,
    "old rules, flat": [*OLD, *FLAT],
    "before": [],
}
# The trees that `hsae tree` makes of the flat models.
TREES = {"flat, inclusion": ["--similarity", "inclusion"], "flat, part": ["--similarity", "part"]}
STANDARD = ["default", "part", "flat", "flat, part"]
FOREST = ["--levels", "64,320,1344", "--batch", "512", "--steps", "3000"]
SIZES = []  # more options of forest.py make
TARGETS = {"additive": "3.2,7,11.6", "splitting": "3.2,7,11.6"}
REAL = ["--levels", "128,256,512,1024", "--batch", "512", "--steps", "1500", "--target-l0", "20"]
HEAD = ("data", "setting", "L0 off %", "VE", "dead %", "leaves %", "0-1 true %", "recall %", "1-2 true %", "recall %", "duplicates %", "seconds")


def call(command):
    """Standard output, and processor seconds."""
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE) as child:
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"status {child.returncode} of {' '.join(map(str, command))}")
    return output, usage.ru_utime + usage.ru_stime


def place(work, kind, setting, seed):
    return work / f"{kind}-{setting.replace(', ', '-').replace(' ', '-')}-{seed}"


def finish(options, kind, setting, seed, held_out, seconds):
    out = place(options.work, kind, setting, seed)
    model = out / "model.safetensors"
    report, _ = call([options.program, "eval", "--quiet", "--json", "--model", model, "--data", held_out])
    result = {"seconds": seconds, **{key: json.loads(report)[key] for key in ("levels", "pairs")}}
    if kind in TARGETS:
        result["score"] = forest.score(options.work / f"{kind}-{seed}", model)
    (out / "quality.json").write_text(json.dumps(result))


def run(options, kind, setting, seed):
    """Trains and scores, where that was not done before."""
    out, folder = place(options.work, kind, setting, seed), options.work / f"{kind}-{seed}"
    data, held_out = (folder / "train", folder / "eval") if kind in TARGETS else options.real
    if (out / "quality.json").exists():
        return
    if setting in TREES:
        out.mkdir(parents=True, exist_ok=True)
        model = place(options.work, kind, "flat", seed) / "model.safetensors"
        command = [options.program, "tree", "--quiet", "--model", model, "--data", data, "--out", out / "model.safetensors", *TREES[setting]]
    else:
        program = options.before if setting == "before" else options.program
        sizes = [*FOREST, "--target-l0", TARGETS[kind]] if kind in TARGETS else REAL
        command = [program, "train", "--quiet", "--force", "--data", data, "--out", out, *sizes, *SETTINGS[setting], "--seed", seed]
    _, seconds = call(command)
    finish(options, kind, setting, seed, held_out, seconds)


def line(kind, results):
    """Cells of a row from data on."""
    def figure(values, digits, scale=1):
        shown = [f"{scale * value:.{digits}f}" for value in (numpy.mean(values), min(values), max(values))]
        return shown[0] if shown[1] == shown[2] else f"{shown[0]} ({shown[1]} to {shown[2]})"
    targets = [float(part) for part in TARGETS[kind].split(",")] if kind in TARGETS else [float(REAL[-1])] * len(results[0]["levels"])
    off = [max(abs(level["l0"] / target - 1) for level, target in zip(result["levels"], targets)) for result in results]
    cells = [figure(off, 1, 100), figure([result["levels"][-1]["variance_explained"] for result in results], 3),
             figure([max(level["dead_fraction"] for level in result["levels"]) for result in results], 1, 100)]
    if kind in TARGETS:
        cells.append(figure([result["score"]["levels"][-1]["found"][2] for result in results], 0, 100))
        cells += [figure([result["score"]["trees"]["own"][pair][what] for result in results], 0, 100) for pair in (0, 1) for what in ("true", "recall")]
    else:
        cells += [""] * 5
    duplicates = [max(pair["duplicates"] or 0 for pair in result["pairs"]) for result in results]
    return [*cells, figure(duplicates, 0, 100), figure([result["seconds"] for result in results], 0)]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "quality")
    parser.add_argument("--real", type=Path, nargs=2, metavar=("TRAIN", "HELD_OUT"), help="real activations, and others of the same model to evaluate on")
    parser.add_argument("--before", type=Path, metavar="HSAE", help="an earlier hsae, for a setting `before`")
    parser.add_argument("--settings", nargs="+", choices=[name for name in [*SETTINGS, *TREES] if name != "before"], default=STANDARD)
    parser.add_argument("--data", nargs="+", choices=[*TARGETS, "real"], default=[*TARGETS, "real"])
    options = parser.parse_args()
    if any(name in TREES for name in options.settings) and "flat" not in options.settings:
        parser.error("a tree over the flat models needs flat among --settings")
    options.program = options.program.resolve()
    if options.before:
        options.before = options.before.resolve()
        options.settings = [*options.settings, "before"]
    return options


def main():
    options = parse()
    kinds = [kind for kind in options.data if kind in TARGETS or options.real]
    # So many threads of PoCL and of numpy as keep the runs out of each other's way.
    for name in ("POCL_MAX_PTHREAD_COUNT", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(max(1, os.cpu_count() // options.jobs)))
    for kind in TARGETS:
        for seed in range(options.seeds):
            folder = options.work / f"{kind}-{seed}"
            if kind in kinds and not (folder / "truth.npz").exists():
                subprocess.run([sys.executable, forest.__file__, "make", folder, "--kind", kind, "--seed", str(seed), *SIZES], check=True,
                               stdout=subprocess.DEVNULL)
    for settings in (SETTINGS, TREES):
        jobs = [(kind, setting, seed) for seed in range(options.seeds) for kind in kinds for setting in settings if setting in options.settings]
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda job: run(options, *job), jobs))
    print("| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD), sep="\n")
    for kind in kinds:
        for setting in options.settings:
            results = [json.loads((place(options.work, kind, setting, seed) / "quality.json").read_text()) for seed in range(options.seeds)]
            print("| " + " | ".join([kind, setting, *line(kind, results)]) + " |")


if __name__ == "__main__":
    main()
