#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing (Debian 12, root or sudo), builds with AddressSanitizer and UndefinedBehaviorSanitizer, and runs all tests: on the
# reference, on PoCL (OpenCL) and on lavapipe (Vulkan); those of the suite `long` only with `meson test -C build-test --suite long`. Arguments are
# handed to `meson test`, e.g. --suite unit.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/packages.sh
# Figures are drawn by librsvg2-bin, completions are loaded by zsh and fish, the manual is shown by man-db, debhelper builds the
# packages for Debian.
need $build_packages $run_packages g++ clang clang-format libcmocka-dev libclblast-dev libclblast1 spirv-tools vulkan-validationlayers chromium clang-15 libclc-15 \
    python3-cffi python3-dev python3-numpy librsvg2-bin zsh fish man-db build-essential debhelper libopenmpi-dev openmpi-bin
[ "$(dpkg --print-architecture)" != amd64 ] || need intel-opencl-icd
echo "== building in build-test, with gcc and sanitizers"
[ -d build-test ] || meson setup build-test -Db_sanitize=address,undefined -Dtests=enabled -Dwerror=true >/dev/null
ninja -C build-test >/dev/null
echo "== building in build-clang, with clang"
[ -d build-clang ] || CC=clang meson setup build-clang -Dwerror=true >/dev/null
ninja -C build-clang >/dev/null
echo "== building in build-demo, as tools/demo.sh does"
[ -d build-demo ] || meson setup build-demo --buildtype=release -Dtests=disabled -Dwerror=true >/dev/null
ninja -C build-demo >/dev/null
echo "== testing"
status=0
meson test -C build-test --print-errorlogs --no-rebuild --no-suite long "$@" || status=$?
exec tests/summary.py build-test/meson-logs/testlog.json $status
