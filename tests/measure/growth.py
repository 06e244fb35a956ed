#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How the time of a training step grows with the number of features, the batch, the width and the activity, against the cost model.

tests/measure/growth.py HSAE [OPTION of `hsae bench`]... (--preset, --device, --dim, --steps): runs `hsae bench --json -` for a base and with each of the
four doubled, and prints a Markdown table: in each cell the measured growth of a group of kernels and, in brackets, what it may grow by at most: as its
operations or as its bytes, whichever grows more, as counted by the benchmark (include/hsae/bench.h).
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


def total(result, group, what):
    return sum(kernel[what] for kernel in result["kernels"] if kernel["group"] == group)


def growth(result, base, group):
    measured, flops, size = ((total(result, group, what), total(base, group, what)) for what in ("seconds", "flops", "bytes"))
    if not measured[1]:
        return "-"
    model = max(now / then for now, then in (flops, size) if then)
    return "%.2f (%.2f)" % (measured[0] / measured[1], model)


if len(sys.argv) < 2:
    sys.exit(__doc__)
program, options = sys.argv[1], sys.argv[2:]
base = bench(program, options)
work = base["work"]
print("%s (%s), hsae %s, %s: levels %s, B %d, d %d, target L0 %s\n" % (
    base["device"]["id"], base["device"]["name"], base["version"], base["date"], ", ".join(map(str, work["levels"])), work["batch"], work["dim"],
    work["target_l0"]))
print("| | step, ms | step | " + " | ".join(GROUPS) + " |")
print("|---" * (len(GROUPS) + 3) + "|")
print("| base, ms | %.2f | | " % (1e3 * base["step"]["seconds"]["lowest"]) + " | ".join("%.2f" % (1e3 * total(base, group, "seconds")) for group in GROUPS) + " |")
for what, changed in doubled(base):
    result = bench(program, options + changed)
    step = result["step"]["seconds"]["lowest"]
    print("| %s doubled | %.2f | %.2f | " % (what, 1e3 * step, step / base["step"]["seconds"]["lowest"])
          + " | ".join(growth(result, base, group) for group in GROUPS) + " |", flush=True)
