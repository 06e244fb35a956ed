#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The dense PyTorch step against `hsae train` on an OpenCL CPU device: both go on from one checkpoint, with a tree, on the same batches, one after
# the other on the same cores, and are timed over the same steps, after some that are not counted (start-up, compilation). Then OpenBLAS's product
# of the encoder's shape.
#
#   tests/oracle/compare.sh HSAE [DEVICE [CONFIGURATION]]      defaults: opencl:0 reference
#
#   reference   tools/demo; levels 128, 256, 512, 1024, batch 512, d 576; steps 326 to 475, two updates of the tree (375, 450) among them
#   paper       synthetic.py; levels 2048, 4096, 8192, 16384, batch 1024, d 2304; steps 14 to 18, no update of the tree. 5 GB of disk and memory
#
# PyTorch lives in a virtual environment, $VENV, by default build-oracle/venv, which is made (5 GB) unless it is there. On AMD processors it is timed
# twice: as it is installed, and with its MKL told to take the faster kernels that it keeps for Intel's (a preloaded one-line library, built with
# cc). Peak memory is the largest resident set of the process, of which PyTorch's imports are a part.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/packages.sh
need libopenblas0-pthread
program=$1 device=${2:-opencl:0} configuration=${3:-reference} venv=${VENV:-build-oracle/venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q "torch==2.5.1" "numpy<2"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $configuration in
reference)
    data=tools/demo/activations-00000.safetensors start=250 warm=75 timed=150 every=25 shape=512,576,1920
    options=(--levels 128,256,512,1024 --batch 512 --steps 1500 --target-l0 20 --init-l0 30 --hierarchy-period 75)
    ;;
paper)
    data=$work/activations.safetensors start=10 warm=3 timed=5 every=1 shape=1024,2304,30720
    options=(--levels 2048,4096,8192,16384 --batch 1024 --steps 2000 --target-l0 50 --init-l0 56,62,70,80 --hierarchy-period 10)
    "$venv/bin/python" tests/oracle/synthetic.py "$data"
    ;;
*)
    echo "compare.sh: no configuration '$configuration': reference or paper" >&2
    exit 2
    ;;
esac
options+=(--sparsity-control penalty --decay-steps 0 --max-norm 0) # the paper's rules, which the dense step has
"$program" train --data "$data" "${options[@]}" --stop-after "$start" --order sequential --device "$device" --out "$work/start" --quiet >/dev/null
checkpoint=$work/start/checkpoint-$start.safetensors
dense() { # PRELOADED NAME
    LD_PRELOAD=$1 "$venv/bin/python" -W ignore tests/oracle/dense_torch.py \
        --bench "$checkpoint" "$data" --warm "$warm" --steps "$timed" >"$work/$2.json"
}
dense "" installed
if grep -q AuthenticAMD /proc/cpuinfo && command -v cc >/dev/null; then
    echo 'int mkl_serv_intel_cpu_true(void) { return 1; }' | cc -shared -fPIC -x c -o "$work/mkl.so" -
    dense "$work/mkl.so" intel
fi
python3 tests/oracle/sgemm.py "$shape" >"$work/sgemm.json"
python3 - "$program" "$device" "$work" "$checkpoint" "$data" "$every" <<'PY'
import json, os, resource, statistics, subprocess, sys

program, device, work, checkpoint, data = sys.argv[1:6]
every = int(sys.argv[6])  # steps between lines of the log: asking for figures waits for the step
ways = [(name, json.load(open(work + file))) for name, file in (("as installed", "/installed.json"), ("MKL's kernels for Intel", "/intel.json"))
        if os.path.exists(work + file)]
dense = ways[-1][1]
first, last = dense["steps"][0]["step"], dense["steps"][-1]["step"]
subprocess.run([program, "train", "--data", data, "--resume", checkpoint, "--stop-after", str(last), "--log-every", str(every),
                "--checkpoint-every", "100000", "--device", device, "--out", work + "/run", "--quiet"], check=True, stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
steps = {line["step"]: line for line in map(json.loads, open(work + "/run/metrics.jsonl"))}
logged = range(first - 1 + every, last + 1, every)
seconds = [(steps[t]["seconds"] - steps[t - every]["seconds"]) / every for t in logged]
rows = [("dense PyTorch %s, %s" % (dense["torch"], name),
         [statistics.mean(step["seconds"] for step in way["steps"][t - first - every + 1 : t - first + 1]) for t in logged]) for name, way in ways]
print("seconds a step, steps %d to %d in blocks of %d          mean     median   fastest" % (first, last, every))
for name, times in rows + [("hsae " + device, seconds)]:
    print("  %-51s %.4f   %.4f   %.4f" % (name, statistics.mean(times), statistics.median(times), min(times)))
for name, times in rows:
    print("time: %.2f times faster by the mean, %.2f by the median, than %s" % (statistics.mean(times) / statistics.mean(seconds),
                                                                               statistics.median(times) / statistics.median(seconds), name))
print("peak memory: dense %.0f MB, %.0f MB of them the imports; hsae %.0f MB: %.2f of all, %.2f of what is not imports"
      % (dense["peak_bytes"] / 1e6, dense["imported_bytes"] / 1e6, peak / 1e6, peak / dense["peak_bytes"],
         peak / (dense["peak_bytes"] - dense["imported_bytes"])))
print("the same work:")
for step in (dense["steps"][t - first] for t in logged):
    levels = steps[step["step"]]["levels"]
    for name, l0, constraint, dead in (("dense", step["l0"], step["constraint"], step["dead"]),
                                       ("hsae", *([level[key] for level in levels] for key in ("l0", "constraint", "dead")))):
        print("  step %-4d %-6s L0 %s  constraint %s  dead %s" % (step["step"], name, " ".join("%.2f" % value for value in l0),
                                                                " ".join("%.3f" % value for value in constraint[:-1]), " ".join(map(str, dead))))
print("sgemm of the encoder's shape: %(gflops).1f GFLOP/s, median %(median_gflops).1f, %(threads)d threads, %(openblas)s"
      % json.load(open(work + "/sgemm.json")))
PY
