#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a folder that qualify.py runs from on another machine: pack.py BUILD FOLDER

BUILD has the program and checkgpu without sanitizers: meson setup build --buildtype=release && ninja -C build. The other machine needs the same kind of
processor, a C library as new as this one's, Python 3.8 and its drivers. The loaders of OpenCL and Vulkan come along, for machines that have none.
"""
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LOADERS = ("libOpenCL.so.1", "libvulkan.so.1")


def libraries(program):
    """Libraries that a program needs beside those of the C library, by name and path."""
    text = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True, text=True).stdout
    found = re.findall(r"(\S+) => (/\S+)", text)
    return [(name, path) for name, path in found if not re.match(r"lib(c|m|dl|rt|pthread|gcc_s)\.so", name)]


def loader_path(name):
    text = subprocess.run(["ldconfig", "-p"], stdout=subprocess.PIPE, text=True).stdout
    match = re.search(r"^\s*%s \(.*x86-64.*\) => (\S+)$" % re.escape(name), text, re.M)
    return match and match.group(1)


def main():
    if len(sys.argv) != 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    build, folder = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    programs = [build / "tools/hsae", build / "tests/checkgpu"]
    missing = [path for path in programs if not path.exists()]
    if missing or folder.exists():
        print("pack: error: %s" % ("there is no %s: build it first" % missing[0] if missing else "%s exists" % folder), file=sys.stderr)
        return 1
    for program in programs:
        target = folder / program.relative_to(build)
        target.parent.mkdir(parents=True)
        shutil.copy2(program, target)
        for name, path in libraries(program):
            (folder / "src").mkdir(exist_ok=True)
            shutil.copyfile(path, folder / "src" / name)
    shutil.copytree(ROOT / "tests/golden", folder / "tests/golden", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tools/demo", folder / "demo")
    for name in ("qualify.py", "power.py"):
        shutil.copy2(HERE / name, folder)
    for name in LOADERS:
        if loader_path(name):
            (folder / "loaders").mkdir(exist_ok=True)
            shutil.copyfile(loader_path(name), folder / "loaders" / name)
    print("packed %s; there: %s/qualify.py" % (folder, folder.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
