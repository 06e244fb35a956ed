#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How far runs from one seed on different implementations drift apart: agreement.py [--figure FILE.svg] [--json FILE] BUILD [NAME...]

Trains on a part of the activations of tools/demo from one seed, once on each implementation that tests/matrix.py can install (or those named) and on the reference
device, and on the reference device from another seed as a yardstick. Rounding differs between devices; now and then a feature that is close to its
threshold is active on one and not on the other, and the runs drift. They agree if the median over the steps of how far the loss is off the reference's
is at most a tenth of what another seed makes. Needs a build without sanitizers, matplotlib for the figure, and root to install. Exit status: 0 all agree, 1 some do not.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from matrix import IMPLEMENTATIONS, Runner, narrow_data  # noqa: E402

RUN = ["--levels", "24,48,96", "--batch", "64", "--steps", "120", "--lr", "0.004", "--target-l0", "8", "--hierarchy-period", "20", "--log-every", "1"]
SHARE = 0.1  # of the distance between two seeds


def losses(folder):
    """The reconstruction loss of each step, mean over the levels."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [sum(level["reconstruction"] for level in line["levels"]) / len(line["levels"]) for line in lines]


def train(build, folder, device, seed, environment=None):
    """The losses, or what went wrong."""
    command = [build / "tools/hsae", "train", "--data", narrow_data(build / "matrix"), *RUN, "--seed", str(seed), "--device", device, "--out", folder, "--force",
               "--quiet"]
    done = subprocess.run([str(word) for word in command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return losses(folder) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def distance(run, reference):
    return [abs(a - b) / b for a, b in zip(run, reference)]


def draw(path, distances, yardstick):
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    matplotlib.rcParams.update({"svg.hashsalt": "agreement", "font.size": 9})
    figure, axes = pyplot.subplots(figsize=(7, 3.2))
    steps = range(1, len(yardstick) + 1)
    axes.semilogy(steps, yardstick, color="0.6", label="reference, another seed")
    axes.semilogy(steps, [SHARE * statistics.median(yardstick)] * len(yardstick), color="0.6", linestyle=":", label="bound of the medians")
    for name, values in distances.items():
        axes.semilogy(steps, [max(value, 1e-9) for value in values], label=name, linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, off the reference's")
    axes.legend(fontsize=7, ncol=2)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def row(name, distances):
    return "| %s | %.1e | %.1e | %.1e |" % (name, statistics.median(distances), max(distances), distances[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    folder = build / "agreement"
    reference = train(build, folder / "reference", "ref", 0)
    yardstick = distance(train(build, folder / "other-seed", "ref", 1), reference)
    bound, distances, status = SHARE * statistics.median(yardstick), {}, 0
    print("| implementation | median | largest | at the end |\n|---|---|---|---|")
    for name in arguments.names or IMPLEMENTATIONS:
        runner = Runner(build, name, 15)
        run = train(build, folder / runner.folder.name, runner.device, 0, runner.environment) if runner.environment else "it cannot be had here"
        if isinstance(run, str):
            print("| %s | %s | | |" % (name, run), flush=True)
            status = 1
            continue
        distances[name] = distance(run, reference)
        status = status or int(statistics.median(distances[name]) > bound)
        print(row(name, distances[name]), flush=True)
    print(row("reference, another seed", yardstick))
    if arguments.json:
        arguments.json.write_text(json.dumps({"bound": bound, "distances": distances, "another seed": yardstick}))
    if arguments.figure:
        draw(arguments.figure, distances, yardstick)
    return status


if __name__ == "__main__":
    sys.exit(main())
