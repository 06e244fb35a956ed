#!/usr/bin/env bash
# The dense PyTorch step against `hsae train` on an OpenCL CPU device: both go on from one checkpoint, with a tree, on the same batches, one after
# the other on the same cores, and are timed over the same steps 326 to 400, an update of the tree (step 375) among them. Levels 128, 256, 512,
# 1024, batch 512, d 576. Usage: tests/oracle/compare.sh HSAE [DEVICE]. Makes a virtual environment with PyTorch (5 GB) in $VENV, by default
# build-oracle/venv, unless it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$1 device=${2:-opencl:0} venv=${VENV:-build-oracle/venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q "torch==2.5.1" "numpy<2"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$program" train --data tools/demo --levels 128,256,512,1024 --batch 512 --steps 1500 --stop-after 300 --target-l0 20 --init-l0 30 \
    --hierarchy-period 75 --order sequential --device "$device" --out "$work/start" --quiet >/dev/null
start=$work/start/checkpoint-300.safetensors
"$venv/bin/python" tests/oracle/dense_torch.py --bench "$start" tools/demo/activations-00000.safetensors >"$work/dense.json"
python3 - "$program" "$device" "$work" "$start" <<'PY'
import json, resource, subprocess, sys

program, device, work, start = sys.argv[1:]
subprocess.run([program, "train", "--data", "tools/demo", "--resume", start, "--stop-after", "400", "--log-every", "25", "--checkpoint-every", "1000",
                "--device", device, "--out", work + "/run", "--quiet"], check=True, stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
steps = {line["step"]: line for line in map(json.loads, open(work + "/run/metrics.jsonl"))}
dense = json.load(open(work + "/dense.json"))
assert (dense["first_step"], dense["last_step"]) == (326, 400), dense
ours = (steps[400]["seconds"] - steps[325]["seconds"]) / 75
print("dense PyTorch: %.4f s a step (median %.4f), peak %.0f MB (%.0f MB of them the imports); L0 at step 400: %s"
      % (dense["seconds_per_step"], dense["median"], dense["peak_bytes"] / 1e6, dense["imported_bytes"] / 1e6, dense["l0"]))
print("hsae %s: %.4f s a step, reading the data included, peak %.0f MB; L0 at step 400: %s"
      % (device, ours, peak / 1e6, [round(level["l0"], 2) for level in steps[400]["levels"]]))
print("constraint at step 400: dense %s, hsae %s" % ([round(c, 3) for c in dense["constraint"]], [round(l["constraint"], 3) for l in steps[400]["levels"]]))
print("time: %.2f times faster; memory: %.2f of it" % (dense["seconds_per_step"] / ours, peak / dense["peak_bytes"]))
PY
