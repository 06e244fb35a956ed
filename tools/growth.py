#!/usr/bin/env python3
"""How the time of a training step grows with the number of features, the batch, the width and the activity, against the cost model.

tools/growth.py HSAE [OPTION of `hsae bench`]... (--preset, --device, --dim, --steps): runs `hsae bench --json -` for a base and with each of the
four doubled, and prints a Markdown table: in each cell the measured growth of a group of kernels and, in brackets, that of its model: for each kernel
the larger of its operations at the FMA peak and its bytes at the copy peak, as counted by the benchmark (include/hsae/bench.h).
"""
import json
import subprocess
import sys

GROUPS = ("encode", "lists", "decode", "update", "hierarchy", "control", "load")


def bench(program, options):
    done = subprocess.run([program, "bench", *options, "--json", "-"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def doubled(base):
    """(what, options) of the runs; options given later win over earlier ones."""
    work = base["work"]
    target = work["target_l0"]
    levels = ",".join(str(2 * n) for n in work["levels"])
    l0 = ",".join(str(2 * t) for t in target) if isinstance(target, list) else str(2 * target)
    return [("n", ["--levels", levels]), ("B", ["--batch", str(2 * work["batch"])]), ("d", ["--dim", str(2 * work["dim"])]),
            ("L0", ["--target-l0", l0])]


def seconds(result, group):
    """Measured and modelled at the base's peaks, which are what the device reaches whatever the work."""
    measured = modelled = 0
    for kernel in result["kernels"]:
        if kernel["group"] == group:
            measured += kernel["seconds"]
            modelled += max(kernel["flops"] / PEAKS["fma_flops_per_second"], kernel["bytes"] / PEAKS["copy_bytes_per_second"])
    return measured, modelled


def growth(result, base, group):
    (now, now_model), (then, then_model) = seconds(result, group), seconds(base, group)
    return "%.2f (%.2f)" % (now / then, now_model / then_model) if then and then_model else "-"


if len(sys.argv) < 2:
    sys.exit(__doc__)
program, options = sys.argv[1], sys.argv[2:]
base = bench(program, options)
PEAKS = base["peaks"]
work = base["work"]
print("%s (%s), hsae %s, %s: levels %s, B %d, d %d, target L0 %s\n" % (
    base["device"]["id"], base["device"]["name"], base["version"], base["date"], ", ".join(map(str, work["levels"])), work["batch"], work["dim"],
    work["target_l0"]))
print("| | step, ms | step | " + " | ".join(GROUPS) + " |")
print("|---" * (len(GROUPS) + 3) + "|")
print("| base, ms | %.2f | | " % (1e3 * base["step"]["seconds"]["lowest"]) + " | ".join("%.2f" % (1e3 * seconds(base, group)[0]) for group in GROUPS) + " |")
for what, changed in doubled(base):
    result = bench(program, options + changed)
    step = result["step"]["seconds"]["lowest"]
    print("| %s doubled | %.2f | %.2f | " % (what, 1e3 * step, step / base["step"]["seconds"]["lowest"])
          + " | ".join(growth(result, base, group) for group in GROUPS) + " |", flush=True)
