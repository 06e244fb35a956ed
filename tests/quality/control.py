#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How well L0 keeps to its target: control.py HSAE TRAIN HELD_OUT [--steps 1000], on activations of your own.

Trains with levels of 8 to 1024 times as many features as are to be active, for targets of 5 to 100, all other settings at their defaults, and prints a
table. `rows` is on how many rows of TRAIN a feature is active. `peak` is the highest L0, `worst` the one furthest from the target from a third of the run
on, and `end` the last one, each a mean over a tenth of the steps (`peak`: a hundredth); `held out` is L0 on HELD_OUT. All are in per cent above the
target. Then come the first and the last penalty. The exit status is 1 where `worst` is off by more than 3 % or `held out` by more than 5 %. Features
that are active on few rows have a higher L0 on other rows, whatever the control does (tests/README.md, "How much data a dictionary needs").
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = {5: (40, 320, 5120), 20: (160, 1280, 5120), 50: (400, 3200), 100: (800, 3200)}
WORST, HELD_OUT = 3, 5  # per cent


def call(*command):
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout


def off(l0, target):
    return 100 * (l0 / target - 1)


def summary(l0, target):
    """Of the L0 of each step: peak, worst, end."""
    mean = lambda values: off(sum(values) / len(values), target)
    parts = lambda count: [mean(l0[len(l0) * k // count:len(l0) * (k + 1) // count]) for k in range(count)]
    tenths = parts(10)
    return max(parts(min(100, len(l0)))), max(tenths[3:], key=abs), tenths[-1]


def run(options, target, levels):
    """A row of figures for each level."""
    out = options.work / f"{target}"
    train = [options.program, "train", "--quiet", "--force", "--out", out, "--data", options.train, "--levels", ",".join(map(str, levels)),
             "--target-l0", target, "--steps", options.steps, "--batch", options.batch, "--seed", options.seed, "--log-every", 1]
    call(*train)
    steps = [json.loads(line)["levels"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    held_out = json.loads(call(options.program, "eval", "--quiet", "--json", "--model", out / "model.safetensors", "--data", options.held_out))["levels"]
    rows = json.loads((out / "run.json").read_text())["parts"][-1]["data"]["rows"]
    for level, features in enumerate(levels):
        figures = summary([step[level]["l0"] for step in steps], target)
        yield (target, features, features / target, rows * target / features, *figures, off(held_out[level]["l0"], target), steps[0][level]["lambda"],
               steps[-1][level]["lambda"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("held_out", type=Path)
    for name, value in (("steps", 1000), ("batch", 512), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--targets", type=int, nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "control")
    options = parser.parse_args()
    print("| target | features | n / L0 | rows | peak | worst | end | held out | penalty |", "|" + "---|" * 9, sep="\n")
    good = True
    for target in options.targets:
        for row in run(options, target, RUNS[target]):
            print("| {} | {} | {:.0f} | {:.0f} | {:+.1f} % | {:+.1f} % | {:+.1f} % | {:+.1f} % | {:.2f} to {:.2f} |".format(*row), flush=True)
            good = good and abs(row[5]) <= WORST and abs(row[7]) <= HELD_OUT
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
