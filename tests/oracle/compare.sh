#!/usr/bin/env bash
# The dense PyTorch step against `hsae train` on an OpenCL CPU device, one after the other on the same cores: levels 128, 256, 512, 1024, batch 512,
# d 576, both from the start of a run. Usage: tests/oracle/compare.sh HSAE [DEVICE]. Makes a virtual environment with PyTorch (5 GB) in $VENV, by
# default build-oracle/, unless it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$1 device=${2:-opencl:0} venv=${VENV:-build-oracle/venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q "torch==2.5.1" "numpy<2"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$venv/bin/python" tests/oracle/dense_torch.py --bench >"$work/dense.json"
python3 - "$program" "$device" "$work" <<'PY'
import json, resource, statistics, subprocess, sys

program, device, work = sys.argv[1:]
out = work + "/run"
subprocess.run([program, "train", "--data", "tools/demo", "--levels", "128,256,512,1024", "--batch", "512", "--steps", "1500", "--stop-after", "70",
                "--target-l0", "20", "--init-l0", "30", "--log-every", "1", "--device", device, "--out", out, "--quiet"], check=True,
               stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
steps = [json.loads(line) for line in open(out + "/metrics.jsonl")]
ours = statistics.median(b["seconds"] - a["seconds"] for a, b in zip(steps[20:], steps[21:]))
dense = json.load(open(work + "/dense.json"))
print("dense PyTorch: %.4f s a step, peak %.0f MB (%.0f MB of them the imports)"
      % (dense["seconds_per_step"], dense["peak_bytes"] / 1e6, dense["imported_bytes"] / 1e6))
print("hsae %s: %.4f s a step, peak %.0f MB; mean L0 at the end %.1f" % (device, ours, peak / 1e6,
                                                                    statistics.mean(level["l0"] for level in steps[-1]["levels"])))
print("time: %.2f times faster; memory: %.2f of it" % (dense["seconds_per_step"] / ours, peak / dense["peak_bytes"]))
PY
