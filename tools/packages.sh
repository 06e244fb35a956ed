# SPDX-License-Identifier: MIT
# Sourced by demo.sh and test.sh: need PACKAGE... installs the Debian packages that are missing.
need()
{
    local missing=() package
    for package; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "== installing ${missing[*]}"
    local sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
build_packages="meson ninja-build pkg-config gcc libc6-dev libjansson-dev zlib1g-dev opencl-headers libvulkan-dev glslc python3"
run_packages="ocl-icd-libopencl1 libvulkan1 pocl-opencl-icd mesa-vulkan-drivers"
