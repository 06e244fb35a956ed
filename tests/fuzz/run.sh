#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [SECONDS [NAME...]]: builds all fuzz targets with clang, AddressSanitizer and UndefinedBehaviorSanitizer and runs each for that long
# (1800) or 10 million inputs, $JOBS (2) at a time, from a copy of its corpus. Findings are kept in build-fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-1800}
shift || true
[ -d build-fuzz ] || CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false --buildtype=debugoptimized >/dev/null
ninja -C build-fuzz >/dev/null
build=$PWD/build-fuzz
mkdir -p "$build/findings" "$build/corpora"
[ $# -gt 0 ] || set -- $(cd tests/fuzz/corpus && ls)
one()
{
    local name=$1 corpus=$build/corpora/$1 log=$build/findings/$1.log status=0
    mkdir -p "$corpus"
    "$build/tests/fuzz_$name" "$corpus" "tests/fuzz/corpus/$name" -max_total_time="$seconds" -runs=10000000 -timeout=60 -report_slow_units=60 -rss_limit_mb=2048 \
        -max_len=16384 -print_final_stats=1 -artifact_prefix="$build/findings/$name-" >"$log" 2>&1 || status=$?
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, $(sed -n 's/^Done .* in \([0-9]*\) second.*/\1/p' "$log") s," \
        "$(find "$build/findings" -name "$name-*" | wc -l) findings, status $status"
}
export -f one
export build seconds
printf '%s\n' "$@" | xargs -P "${JOBS:-2}" -I NAME bash -c 'one NAME'
