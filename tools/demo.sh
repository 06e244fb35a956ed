#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing (Debian 12, root or sudo), builds, trains an HSAE on the demo activations, evaluates it on held-out tokens, and writes a
# page of its features. Options are passed on to `hsae train`, e.g. --steps 1000 or --device ref.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/packages.sh
need $build_packages $run_packages
echo "== building in build-demo"
[ -d build-demo ] || meson setup build-demo --buildtype=release -Dtests=disabled >/dev/null
ninja -C build-demo >/dev/null
echo "== training on 7,373 tokens of tools/demo, holding 819 out"
build-demo/tools/hsae train --data tools/demo --holdout 0.1 --levels 64,128,256,512 --batch 256 --steps 4000 --target-l0 16 \
    --out runs/demo --force "$@"
echo "== looking what its features respond to"
build-demo/tools/hsae explore --model runs/demo/model.safetensors --data tools/demo --title "HSAE demo" --out runs/demo/forest.html
echo "Open this in a browser: $PWD/runs/demo/forest.html"
