#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The tests in which threads meet, built with ThreadSanitizer (clang) in FOLDER, build-tsan by default, on every device that is there:
# tests/tsan.sh [FOLDER]. Nothing that it reports is suppressed.
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")/../build-tsan}")
cd "$(dirname "$0")/.."
[ -d "$folder" ] || CC=clang meson setup "$folder" -Db_sanitize=thread -Db_lundef=false >/dev/null
ninja -C "$folder" >/dev/null
# ThreadSanitizer of clang 14 does not know the memory layout of kernels that randomise it with more than 28 bits.
fixed=(setarch "$(uname -m)" -R)
"${fixed[@]}" true 2>/dev/null || fixed=()
exec "${fixed[@]}" meson test -C "$folder" --no-rebuild --print-errorlogs --timeout-multiplier 3 threads reader dataset source tensor_file train
