#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles every kernel at its default shape for GPUs that need not be there, prints what the compilers say, and fails on a register
spill or scratch memory.

offline.py ROOT SHAPES [COMPILER ...]   SHAPES: the program of shapes.c; exit status 77: none of the compilers is there

radv     AMD, Vulkan: Mesa's driver on its null device (mesa-vulkan-drivers)
amdgcn   AMD, OpenCL C: clang-15 (clang-15, libclc-15)
intel    Intel, OpenCL C: ocloc (intel-opencl-icd)
nvidia   NVIDIA, OpenCL C: clang-15's PTX through ptxas (CUDA toolkit or the wheel nvidia-cuda-nvcc-cu12; $PTXAS, $PATH, /usr/local/cuda)
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT, SHAPES = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(ROOT / "tools"))
from embed import kernel_text  # noqa: E402

WANTED = sys.argv[3:]
CONSTANTS = "WG COLS RANGES VW TILE_VECTORS TILE_WORDS TILE_STEP TILE_PAD TILE_PREFETCH".split()
RADV_ICD = Path("/usr/share/vulkan/icd.d/radeon_icd.x86_64.json")
LIBCLC = Path("/usr/lib/clc")
PTXAS = os.environ.get("PTXAS") or shutil.which("ptxas") or "/usr/local/cuda/bin/ptxas"

# compiler, its name of the target, what the device says: backend, type, PCI id of its maker, largest work-group, local memory
TARGETS = [
    ("radv", "polaris10", "vulkan discrete 1002 1024 65536"),
    ("radv", "renoir", "vulkan integrated 1002 1024 65536"),
    ("radv", "navi21", "vulkan discrete 1002 1024 65536"),
    ("radv", "gfx1100", "vulkan discrete 1002 1024 65536"),
    ("amdgcn", "gfx900", "opencl discrete 1002 256 65536"),
    ("amdgcn", "gfx90a", "opencl discrete 1002 1024 65536"),
    ("amdgcn", "gfx1030", "opencl discrete 1002 256 65536"),
    ("amdgcn", "gfx1100", "opencl discrete 1002 256 65536"),
    ("intel", "skl", "opencl integrated 8086 256 65536"),
    ("intel", "dg1", "opencl discrete 8086 512 65536"),
    ("intel", "acm-g10", "opencl discrete 8086 1024 65536"),
    ("intel", "pvc", "opencl discrete 8086 1024 131072"),
    ("nvidia", "sm_80", "opencl discrete 10de 1024 49152"),
    ("nvidia", "sm_86", "opencl discrete 10de 1024 49152"),
    ("nvidia", "sm_90", "opencl discrete 10de 1024 49152"),
]


def run(command, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", **options)
    return result.returncode, result.stdout + result.stderr


def number(pattern, text):
    found = re.search(pattern, text, flags=re.M)
    return int(found[1]) if found else 0


def shapes(device):
    """(kernel, {constant: value}) of every kernel; those that see ranges of a tensor also with four of them."""
    status, text = run([SHAPES, *device.split()])
    if status:
        sys.exit(f"{SHAPES} {device}: {text}")
    for line in text.splitlines():
        name, *values = line.split()
        shape = dict(zip(CONSTANTS, values))
        yield name, shape
        if re.search(rf"^#define BINDINGS_{name}\(B\)(?:.*\\\n)*.*\b(READ|MODIFY)4,", (ROOT / "src/kernels/args.h").read_text(), flags=re.M):
            yield name, {**shape, "RANGES": "4"}


def report(registers, spills, local, scratch, occupancy, parked=0):
    """parked: scalar registers of AMD that are kept in lanes of a vector register: no memory, so no fault."""
    return {"registers": registers, "spills": spills, "local": local, "scratch": scratch, "occupancy": occupancy, "parked": parked}


def radv(target, kernels, folder):
    """All kernels in one process; the driver's statistics follow each one's name."""
    lines = "".join(" ".join([name, *shape.values(), "0\n"]) for name, shape in kernels)
    environment = {**os.environ, "VK_DRIVER_FILES": str(RADV_ICD), "RADV_FORCE_FAMILY": target, "RADV_DEBUG": "shaderstats,nocache"}
    status, text = run([SHAPES, "vulkan"], input=lines, env=environment)
    parts = re.split(r"^kernel \w+$", text, flags=re.M)[1:]
    if status or len(parts) != len(kernels):
        raise RuntimeError(text[-2000:])
    for part in parts:
        yield report(number(r"^VGPRs: (\d+)", part), number(r"Spilled VGPRs: (\d+)", part), number(r"LDS size: (\d+)", part),
                     number(r"Scratch size: (\d+)", part), f"{number('Subgroups per SIMD: ([0-9]+)', part)} waves/SIMD",
                     number(r"Spilled SGPRs: (\d+)", part))


def source(name, folder):
    """A kernel's program, as the library builds it."""
    path = folder / f"{name}.cl"
    if not path.exists():
        prelude = [(ROOT / part).read_text() for part in ("src/kernels/dialect.h", "src/kernels/args.h")]
        path.write_text("".join(prelude) + kernel_text(ROOT / f"cl_kernels/{name}.cl"))
    return path


def clang(target, options, builtins, name, shape, folder):
    out = folder / f"{name}.s"
    defines = [f"-D{key}={value}" for key, value in shape.items()]
    status, text = run(["clang-15", *options, "-x", "cl", "-cl-std=CL1.2", "-O3", "-S", "-Xclang", "-mlink-builtin-bitcode", "-Xclang",
                        LIBCLC / builtins, *defines, source(name, folder), "-o", out])
    if status:
        raise RuntimeError(f"{target} {name}: {text[-2000:]}")
    return out


def amdgcn(target, kernels, folder):
    for name, shape in kernels:
        out = clang(target, ["-target", "amdgcn--amdhsa", f"-mcpu={target}", "-nogpulib"], "amdgcn--amdhsa.bc", name, shape, folder)
        text = out.read_text()
        if "@rel32" in text:
            raise RuntimeError(f"{target} {name} calls functions that are not there")
        value = {key: number(rf"\.{key}:\s+(\d+)", text) for key in ("vgpr_count", "vgpr_spill_count", "sgpr_spill_count",
                                                                      "group_segment_fixed_size", "private_segment_fixed_size")}
        yield report(value["vgpr_count"], value["vgpr_spill_count"], value["group_segment_fixed_size"],
                     value["private_segment_fixed_size"], f"{number('; Occupancy: ([0-9]+)', text)} waves/SIMD",
                     value["sgpr_spill_count"])


def nvidia(target, kernels, folder):
    offset = folder / "offset.h"  # libclc 15 has none for this target, whose drivers add it to a group's number
    offset.write_text("size_t __attribute__((overloadable)) get_global_offset(uint d)\n"
                      '{ uint r; __asm__("mov.u32 %0, %%envreg3;" : "=r"(r)); return d ? 0 : r; }\n')
    for name, shape in kernels:
        out = clang(target, ["-target", "nvptx64--nvidiacl", "-march=sm_80", "-include", offset], "nvptx64--nvidiacl.bc", name, shape, folder)
        status, text = run([PTXAS, "-v", f"-arch={target}", out, "-o", os.devnull])
        if status:
            raise RuntimeError(f"{target} {name}: {text[-2000:]}")
        registers = number(r"Used (\d+) registers", text)
        groups = 65536 // (-(-registers // 8) * 8 * max(int(shape["WG"]), 32))
        yield report(registers, number(r"(\d+) bytes spill stores", text), number(r"(\d+) bytes smem", text),
                     number(r"(\d+) bytes stack frame", text), f"{min(groups, 32)} groups/SM")


def intel(target, kernels, folder):
    for index, (name, shape) in enumerate(kernels):
        dump = folder / f"dump{index}"
        dump.mkdir()
        defines = " ".join(f"-D{key}={value}" for key, value in shape.items())
        status, text = run(["ocloc", "compile", "-file", source(name, folder), "-device", target, "-options", "-cl-std=CL1.2 " + defines,
                            "-out_dir", dump], env={**os.environ, "IGC_ShaderDumpEnable": "1", "IGC_DumpToCustomDir": str(dump)})
        # Where registers spill it tries once more with arrays in memory, and does not tell: the first listing counts.
        listing, facts = (min(dump.glob(kind), key=lambda path: path.stat().st_mtime_ns, default=None)
                          for kind in ("*.asm", "*_codegen.ll"))
        if status or not listing or not facts:
            raise RuntimeError(f"{target} {name}: {text[-2000:]}")
        lanes = re.search(r"simd(\d+)", listing.name)[1]
        listing, facts = listing.read_text(errors="replace"), facts.read_text(errors="replace")
        yield report(number(r"numGRF=(\d+)", listing), number(r"\.spill size (\d+)", listing), number(r'"localSize", i32 (\d+)', facts),
                     number(r'"privateMemoryPerWI", i32 (\d+)', facts), f"SIMD{lanes}")
        shutil.rmtree(dump)


COMPILERS = {
    "radv": (radv, lambda: RADV_ICD.exists(), "mesa-vulkan-drivers"),
    "amdgcn": (amdgcn, lambda: shutil.which("clang-15") and (LIBCLC / "amdgcn--amdhsa.bc").exists(), "clang-15, libclc-15"),
    "intel": (intel, lambda: shutil.which("ocloc"), "intel-opencl-icd"),
    "nvidia": (nvidia, lambda: shutil.which("clang-15") and (LIBCLC / "nvptx64--nvidiacl.bc").exists() and Path(PTXAS).exists(),
               "clang-15, libclc-15 and ptxas"),
}


def compile_target(line):
    compiler, target, device = line
    kernels = list(shapes(device))
    with tempfile.TemporaryDirectory() as folder:
        return list(zip(kernels, COMPILERS[compiler][0](target, kernels, Path(folder))))


LINE = "{:8} {:9} {:14} {:>5} {:>6} {:>9} {:>6} {:>6} {:>7}  {}"


def main():
    targets = []
    for compiler in WANTED or COMPILERS:
        _, present, packages = COMPILERS[compiler]
        if present():
            targets += [line for line in TARGETS if line[0] == compiler]
        else:
            print(f"{compiler} is skipped: {packages} not found")
    if not targets:
        return 77
    faults = []
    print(LINE.format("compiler", "target", "kernel", "group", "ranges", "registers", "spills", "local", "scratch", "occupancy"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (compiler, target, _), rows in zip(targets, pool.map(compile_target, targets)):
            for (name, shape), row in rows:
                bad = row["spills"] or row["scratch"]
                faults += [f"{compiler} {target} {name}"] if bad else []
                note = (f", {row['parked']} scalars parked" if row["parked"] else "") + (": FAIL" if bad else "")
                print(LINE.format(compiler, target, name, shape["WG"], shape["RANGES"], row["registers"], row["spills"], row["local"],
                                  row["scratch"], row["occupancy"] + note), flush=True)
    print(f"{len(targets)} targets, " + (f"spills or scratch memory: {', '.join(faults)}" if faults else "no spill, no scratch memory"))
    return 1 if faults else 0


sys.exit(main())
