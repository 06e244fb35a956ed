#!/usr/bin/env bash
# cross.sh arm64 [BUILD]: builds for another processor (Debian 12; root or sudo installs what is missing) and tests the reference device there, under
# qemu's user emulation: unit tests, golden cases, damaged files; and that a training run ends with the bytes that this machine's hsae, if there is
# one in build-demo, gives. BUILD: build-arm64.
set -euo pipefail
[ "${1:-}" = arm64 ] || { sed -n 2,4p "$0" >&2; exit 2; }
cd "$(dirname "$0")/.."
build=${2:-build-arm64}
. tools/packages.sh
dpkg --print-foreign-architectures | grep -qx arm64 || dpkg --add-architecture arm64
need $build_packages crossbuild-essential-arm64 qemu-user libjansson-dev:arm64 zlib1g-dev:arm64 libcmocka-dev:arm64
[ -d "$build" ] || meson setup "$build" --cross-file tools/cross/arm64.ini --buildtype=release -Dopencl=disabled -Dvulkan=disabled >/dev/null
ninja -C "$build" >/dev/null
# `bench` times reading, which emulation distorts.
tests=$(meson test -C "$build" --no-rebuild --list 2>/dev/null | sed -n 's/^libhsae:\(unit\|fuzz\) \/ //p' | grep -vx bench)
meson test -C "$build" --no-rebuild -t 6 $tests
hsae=$(realpath "$build")/hsae-emulated
printf '#!/bin/sh\nexec qemu-aarch64 %s "$@"\n' "$(realpath "$build")/tools/hsae" >"$hsae"
chmod +x "$hsae"
python3 tests/golden/run_golden.py "$hsae" ref
[ -x build-demo/tools/hsae ] || exit 0
for program in build-demo/tools/hsae "$hsae"; do
    "$program" train --data tools/demo --levels 16,32 --batch 64 --steps 30 --target-l0 4 --device ref --out "$build/run-$(basename "$program")" --force --quiet
done
cmp "$build"/run-hsae/model.safetensors "$build"/run-hsae-emulated/model.safetensors
echo "the same bytes as on $(uname -m)"
