#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds llama.cpp's libllama (CPU) from the source package llama-cpp-python of PyPI, then hsae with it, and runs the test `cli language
# model`, all in FOLDER, build-libllama by default: tests/libllama.sh [FOLDER]. Needs cmake and a C++ compiler; 10 minutes of processor
# time the first time. With LIBLLAMA_ONLY=1 it ends after libllama, for PKG_CONFIG_PATH=FOLDER/libllama/lib/pkgconfig.
set -euo pipefail
version=0.3.36
folder=$(realpath -m "${1:-$(dirname "$0")/../build-libllama}")
cd "$(dirname "$0")/.."
mkdir -p "$folder"
if [ ! -e "$folder/libllama/lib/pkgconfig/llama.pc" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" -q download --no-deps --no-binary llama-cpp-python "llama-cpp-python==$version" -d "$folder"
    tar -xzf "$folder/llama_cpp_python-$version.tar.gz" -C "$folder"
    cmake -S "$folder/llama_cpp_python-$version/vendor/llama.cpp" -B "$folder/cmake" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
        -DGGML_OPENMP=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
        -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_CURL=OFF -DCMAKE_INSTALL_LIBDIR=lib "-DCMAKE_INSTALL_RPATH=\$ORIGIN" \
        "-DCMAKE_INSTALL_PREFIX=$folder/libllama" >/dev/null
    cmake --build "$folder/cmake" -j "$(nproc)" --target llama ggml >/dev/null
    cmake --install "$folder/cmake" >/dev/null
fi
[ -z "${LIBLLAMA_ONLY:-}" ] || exit 0
export PKG_CONFIG_PATH=$folder/libllama/lib/pkgconfig
[ -d "$folder/hsae" ] || meson setup "$folder/hsae" -Db_sanitize=address,undefined -Dllama=enabled -Dopencl=disabled -Dvulkan=disabled \
    -Dpython=disabled >/dev/null
ninja -C "$folder/hsae" tools/hsae >/dev/null
exec meson test -C "$folder/hsae" --no-rebuild --print-errorlogs 'cli language model'
