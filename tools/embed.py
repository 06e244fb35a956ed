#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the kernels' code (src/kernels/code.h) and the explorer's page as C tables.

embed.py opencl OUT.c DIALECT.h ARGS.h NAME.cl...    a common prelude and one text a kernel (NAME_cpu.cl: its body for CPU devices)
embed.py vulkan OUT.c NAME.spv...                    SPIR-V words
embed.py page OUT.c PAGE.html                        the explorer's page (tools/explore/explore.h): before and after <!--DATA-->
"""
import re
import struct
import sys
from pathlib import Path

PER_LINE = 16


def array(declaration, values):
    lines = [", ".join(values[i : i + PER_LINE]) for i in range(0, len(values), PER_LINE)]
    return f"static const {declaration}[] = {{\n" + ",\n".join(lines) + "};\n"


def kernel_text(path):
    """A kernel's code; #include "NAME", the only directive of its kind there, is for a text beside it."""
    path = Path(path)
    return re.sub(r'^#include "(\w+\.h)"$', lambda line: kernel_text(path.with_name(line[1])).rstrip("\n"), path.read_bytes().decode("ascii"), flags=re.M)


def text(name, *paths):
    # A string literal of more than 4095 characters is not portable C. Not ASCII: UnicodeDecodeError.
    characters = "".join(kernel_text(path) if path.endswith(".cl") else Path(path).read_bytes().decode("ascii") for path in paths)
    return array(f"char {name}", [str(ord(c)) for c in characters] + ["0"])


def words(name, path):
    data = Path(path).read_bytes()
    if len(data) % 4 or struct.unpack_from("=I", data)[0] != 0x07230203:
        sys.exit(f"{path}: not SPIR-V of this machine's byte order")
    return array(f"uint32_t {name}", [f"{word:#x}" for (word,) in struct.iter_unpack("=I", data)])


def table(declaration, rows):
    entries = "".join(f"    [HSAE_KERNEL_{kernel}] = {code},\n" for kernel, code in rows.items())
    return f"const {declaration}[HSAE_KERNEL_COUNT] = {{\n{entries}}};\n"


def page(path):
    head, tail = Path(path).read_bytes().decode("ascii").split("<!--DATA-->")
    parts = [array(f"char explore_page_{name}", [str(ord(c)) for c in part] + ["0"]).removeprefix("static ") for name, part in (("head", head), ("tail", tail))]
    return '#include "explore/explore.h"\n' + "".join(parts)


def main():
    language, out, *paths = sys.argv[1:]
    if language == "page":
        Path(out).write_text(page(*paths))
        return
    parts = ['#include "kernels/code.h"\n']
    if language == "opencl":
        dialect, args, *paths = paths
        parts += [text("prelude", dialect, args), "const char *const hsae_opencl_prelude = prelude;\n"]
    stems = [Path(path).stem for path in paths]
    parts += [text(f"code_{stem}", path) if language == "opencl" else words(f"code_{stem}", path) for stem, path in zip(stems, paths)]
    if language == "opencl":
        cpu = {stem.removesuffix("_cpu"): f"code_{stem}" for stem in stems if stem.endswith("_cpu")}
        parts.append(table("char *const hsae_opencl_code", {stem: f"code_{stem}" for stem in stems if not stem.endswith("_cpu")}))
        parts.append(table("char *const hsae_opencl_cpu_code", cpu))
    else:
        parts.append(table("struct hsae_spirv hsae_vulkan_code", {stem: f"{{code_{stem}, sizeof code_{stem}}}" for stem in stems}))
    Path(out).write_text("".join(parts))


if __name__ == "__main__":
    main()
