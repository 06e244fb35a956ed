#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cross.sh arm64|mingw [BUILD]: builds for another processor or for Windows (Debian 12; root or sudo installs what is missing) and tests the
# reference device there, under qemu's user emulation or wine: unit tests, golden cases, damaged files; and that a training run (in wine one on PoCL,
# too) ends with the bytes that this machine's hsae, if there is one in build-demo, gives. BUILD: build-arm64 or build-mingw.
set -euo pipefail
[[ "${1:-}" =~ ^(arm64|mingw)$ ]] || { sed -n 2,4p "$0" >&2; exit 2; }
cd "$(dirname "$0")/.."
target=$1
build=${2:-build-$target}
. tools/packages.sh
setup=(meson setup "$build" --cross-file "tools/cross/$target.ini" --buildtype=release)

# jansson and cmocka, which Debian has no builds for Windows of, from its sources: static, to $build/windows.
make_libraries()
{
    local folder name
    folder=$(realpath "$build")/windows
    mkdir -p "$folder/lists/partial"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $(. /etc/os-release && echo "$VERSION_CODENAME") main" \
        >"$folder/sources.list"
    local apt=(apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$folder/lists"
        -o "Dir::Cache=$folder" -o APT::Sandbox::User=)
    "${apt[@]}" update
    for name in jansson cmocka; do
        (cd "$folder" && "${apt[@]}" source --download-only "$name" && rm -rf "$name" && dpkg-source --extract "$name"_*.dsc "$name" >/dev/null)
        cmake -S "$folder/$name" -B "$folder/$name/build" -G Ninja -DCMAKE_SYSTEM_NAME=Windows -DCMAKE_C_COMPILER=x86_64-w64-mingw32-gcc-posix \
            -DCMAKE_C_FLAGS=-D__USE_MINGW_ANSI_STDIO=1 -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$folder" -Wno-dev \
            -DJANSSON_BUILD_DOCS=OFF -DJANSSON_WITHOUT_TESTS=ON -DJANSSON_EXAMPLES=OFF \
            -DWITH_STATIC_LIB=ON -DUNIT_TESTING=OFF -DWITH_EXAMPLES=OFF >/dev/null 2>&1
        ninja -C "$folder/$name/build" install >/dev/null
    done
    rm "$folder/lib/libcmocka.dll.a"
    mv "$folder/lib/libcmocka-static.a" "$folder/lib/libcmocka.a"
    # The headers of the loaders, and no others of this system.
    mkdir "$folder/loaders"
    ln -s /usr/include/{CL,vulkan,vk_video,clblast_c.h} "$folder/loaders"
    setup+=("-Dpkg_config_path=$folder/lib/pkgconfig" "-Dc_args=-isystem $folder/loaders")
}

if [ "$target" = arm64 ]; then
    dpkg --print-foreign-architectures | grep -qx arm64 || dpkg --add-architecture arm64
    need $build_packages crossbuild-essential-arm64 qemu-user libjansson-dev:arm64 zlib1g-dev:arm64 libcmocka-dev:arm64
    setup+=(-Dopencl=disabled -Dvulkan=disabled)
    run=qemu-aarch64 program=hsae
else
    need $build_packages gcc-mingw-w64-x86-64 libz-mingw-w64-dev libclblast-dev cmake dpkg-dev wine64
    mkdir -p "$build"
    WINEPREFIX=$(realpath "$build")/wine WINEPATH=Z:$(realpath "$build")/src WINEDEBUG=-all
    export WINEPREFIX WINEPATH=${WINEPATH//\//\\} WINEDEBUG
    run=/usr/lib/wine/wine64 program=hsae.exe
    [ -f "$build/build.ninja" ] || make_libraries
fi
[ -f "$build/build.ninja" ] || "${setup[@]}" >/dev/null
ninja -C "$build" >/dev/null
# `bench` times reading, `memory` measures what the process takes: emulation distorts both.
mapfile -t tests < <(meson test -C "$build" --no-rebuild --list 2>/dev/null | sed -n 's/^libhsae:\(unit\|fuzz\) \/ //p' | grep -vxE 'bench|memory' | sort -u)
meson test -C "$build" --no-rebuild -t 6 "${tests[@]}"
hsae=$(realpath "$build")/hsae-emulated
printf '#!/bin/sh\nexec %s %s "$@"\n' "$run" "$(realpath "$build")/tools/$program" >"$hsae"
chmod +x "$hsae"
python3 tests/golden/run_golden.py "$hsae" ref
[ -x build-demo/tools/hsae ] || exit 0
ninja -C build-demo >/dev/null # it may be from before a change
# wine's OpenCL.dll hands over to the drivers of this machine.
devices=(ref)
export OCL_ICD_VENDORS=pocl.icd
! "$hsae" devices 2>/dev/null | grep -q ^opencl:0 || devices+=(opencl:0)
for device in "${devices[@]}"; do
    for program in build-demo/tools/hsae "$hsae"; do
        "$program" train --data tools/demo --levels 16,32 --batch 64 --steps 30 --target-l0 4 --device "$device" \
            --out "$build/run-$(basename "$program")" --force --quiet
    done
    cmp "$build"/run-hsae/model.safetensors "$build"/run-hsae-emulated/model.safetensors
    echo "$device: the same bytes as on $(uname -m)"
done
