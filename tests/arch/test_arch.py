#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rules of the house that no compiler checks: who includes what, a kernel's files, exported names, headers that stand
alone, SPIR-V and OpenCL C that validate, sizes of files.

test_arch.py ROOT libhsae.so libhsae.a [NAME.spv ...]
"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(sys.argv[1])
SHARED, STATIC = sys.argv[2:4]
SPIRV = [Path(name) for name in sys.argv[4:]]

TEXT = {".c", ".h", ".cl", ".comp", ".py", ".sh", ".md", ".build", ".txt", ".in", ".supp", ".html", ".js", ".css"}
MAX_LINES = 800
TILES = ("TILE_VECTORS", "TILE_WORDS", "TILE_STEP", "TILE_PAD", "TILE_PREFETCH")
SHAPES = [{"WG": 1, "VW": 16, "COLS": 2, "RANGES": 1, **dict.fromkeys(TILES, 0)},
          {"WG": 1, "VW": 8, "COLS": 512, "RANGES": 1, **dict.fromkeys(TILES, 0)},
          {"WG": 64, "VW": 4, "COLS": 1, "RANGES": 4, **dict(zip(TILES, (2, 2, 16, 1, 1)))}]
VULKAN_TESTS = {"tests/unit/test_vulkan.c", "tests/offline/shapes.c"}
# What only the layer of the operating system includes and calls: headers and functions that another system lacks, and functions of files by
# name, which on Windows do not take UTF-8.
BUILD_PROGRAMS = {"tools/hsae/guide.c"}  # run while the project is built, by the machine that builds it
SYSTEM = {"src/base/os_posix.c", "src/base/os_posix_child.c", "src/base/os_windows.c", "src/base/os_windows_child.c"}
SYSTEM_HEADERS = re.compile(r"<(dirent|dlfcn|fcntl|io|direct|process|unistd|windows|sys/\w+)\.h>")
SYSTEM_CALLS = re.compile(r"(?<![\w.>])(fopen|freopen|tmpfile|remove|rename|realpath|access|stat|mkdir|rmdir|unlink|mkstemp|mkdtemp|strndup|getline|"
                          r"open_memstream|fsync|setenv|clock_gettime|nanosleep|aligned_alloc|json_(?:load|dump)_file|pthread_create|pthread_cond_timedwait|"
                          r"signal|sigaction)\s*\(")

# Folders of src from the bottom up; those of one line know nothing of each other.
FOLDERS = ("base", "kernels", "device", "ref opencl vulkan", "data", "model", "train", "eval", "explore", "bench", "tune")
FLOOR = {name: floor for floor, names in enumerate(FOLDERS) for name in names.split()}
BACKENDS = FOLDERS[3].split()
BACKENDS_SEE = ("src/device/backend.h", "src/device/drivers.h", "src/device/quirks.h")

passed = failed = 0


def check(name, faults):
    """One rule; `faults` are texts that say where it is broken."""
    global passed, failed
    faults = list(faults)
    passed += not faults
    failed += bool(faults)
    print("ok  " if not faults else "FAIL", name, flush=True)
    for fault in faults:
        print("    ", fault, flush=True)


def have(tool):
    if shutil.which(tool):
        return True
    print("    ", f"{tool} is not installed: left out", flush=True)
    return False


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def complaints(*command):
    """The output of a command that fails, else nothing."""
    result = run(*command)
    return [(result.stderr or result.stdout).strip()[:2000] or f"{command[0]} failed"] if result.returncode else []


def tree(folder=ROOT):
    """The project's own text files; builds, the demo's runs and hidden folders are none of it."""
    for path in sorted(folder.iterdir()):
        ours = folder == ROOT and (path.name == "runs" or path.name.startswith("build"))  # as in .gitignore
        if ours or path.name.startswith(".") or (path / "meson-private").exists() or path.name == "__pycache__":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from tree(path)
        elif path.suffix in TEXT or path.name == "meson.build":
            yield path


FILES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in tree()}


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)


def includes():
    """(file, '<a.h>' or '"a.h"') of all C files."""
    for name, text in FILES.items():
        if name.endswith((".c", ".h")):
            for header in re.findall(r'^\s*#\s*include\s+([<"][^>"]+[>"])', text, flags=re.M):
                yield name, header


def backend_headers():
    for name, header in includes():
        path = header[1:-1]
        if path.startswith("CL/") and not name.startswith(("src/opencl/", "tests/faults/")):
            yield f"{name} includes {header}"
        if path.startswith("vulkan/vulkan") and not name.startswith(("src/vulkan/", "tests/faults/")) and name not in VULKAN_TESTS:
            yield f"{name} includes {header}"


def public_headers():
    for name, header in includes():
        if name.startswith("include/") and not re.match(r"<(hsae/\w+|std\w+)\.h>", header):
            yield f"{name} includes {header}: public headers need the C library only"


def folder(name):
    return name.removeprefix("src/").split("/")[0]


def own_includes():
    """(file, file) where a file of src includes another."""
    for name, header in includes():
        beside = f"{Path(name).parent.as_posix()}/{header[1:-1]}"
        if name.startswith("src/") and header[0] == '"':
            yield name, next((path for path in (beside, f"src/{header[1:-1]}") if path in FILES), header)


def floors():
    """Folders of src include those below them and nothing else; backends see of the front what is theirs, others nothing of backends."""
    for name, path in own_includes():
        upper, lower = folder(name), folder(path)
        if FLOOR.get(upper) is None:
            yield f"{name}: src/{upper} is not in the list of folders"
        elif upper != lower and FLOOR.get(lower, 99) >= FLOOR[upper]:
            yield f"{name} includes {path}: src/{lower} is not below src/{upper}"
        elif upper in BACKENDS and lower == "device" and path not in BACKENDS_SEE:
            yield f"{name} includes {path}: backends see {', '.join(BACKENDS_SEE)}"
        elif upper != lower and lower in ("opencl", "vulkan"):
            yield f"{name} includes {path}: only the table of backends knows one"


def circles(graph):
    """Sets of files that lead to each other (Tarjan's strongly connected components)."""
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for follower in graph.get(node, ()):
            if follower not in number:
                visit(follower)
            if follower in stack:
                low[node] = min(low[node], low[follower])
        if low[node] == number[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found


def include_circles():
    graph = {}
    for name, path in own_includes():
        graph.setdefault(name, set()).add(path)
    yield from ("circle of includes: " + ", ".join(circle) for circle in circles(graph))


def calls():
    """{file: {other file: a name of it that the first uses}} of the library's objects, by what they define and need."""
    files = {name.removeprefix("src/").replace("/", "_") + ".o": name for name in FILES if name.startswith("src/")}
    found = re.findall(r"^\S*:(\S+\.o):\s*[0-9a-f]* +(\w) (\S+)$", run("nm", "-A", "-g", STATIC).stdout, flags=re.M)
    owner = {name: files[item] for item, kind, name in found if item in files and kind not in "Uwv"}
    graph = {}
    for item, kind, name in found:
        if kind == "U" and item in files and owner.get(name, files[item]) != files[item]:
            graph.setdefault(files[item], {})[owner[name]] = name
    return graph


def call_circles():
    graph = calls()
    if len(graph) < 50:
        yield f"only {len(graph)} objects of {STATIC} use others"
    yield from ("these files call each other: " + ", ".join(circle) for circle in circles(graph))
    for name, others in graph.items():
        for other, symbol in others.items():
            upper, lower = folder(name), folder(other)
            if upper != lower and FLOOR[lower] >= FLOOR[upper] and name != "src/device/backend_table.c":
                yield f"{name} uses {symbol} of {other}: src/{lower} is not below src/{upper}"


def tools_are_users():
    for name, header in includes():
        if name.startswith("tools/") and header[0] == '"' and f"tools/{header[1:-1]}" not in FILES and f"{Path(name).parent.as_posix()}/{header[1:-1]}" not in FILES and header != '"../../src/base/os.h"':
            yield f"{name} includes {header}: tools use <hsae/...> only, and the layer of the operating system"


def one_system_layer():
    for name, text in FILES.items():
        if not name.startswith(("src/", "tools/")) or not name.endswith((".c", ".h")) or name in SYSTEM | BUILD_PROGRAMS:
            continue
        for number, line in enumerate(re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.S).splitlines(), 1):
            code = re.sub(r'"(\\.|[^"\\])*"', '""', line)
            for found in [*SYSTEM_HEADERS.findall(code), *SYSTEM_CALLS.findall(code), *re.findall(r"\b(_WIN32|__APPLE__|__linux__)\b", code)]:
                yield f"{name}:{number}: {found}: src/base/os.h is for that"


def variables_once():
    """The context reads its settings once; besides, the system's own layer and what finds drivers read variables that are not ours."""
    readers = {"src/base/context.c", "src/base/os_files.c", "src/device/driver_files.c", "src/device/driver_pocl.c", "src/vulkan/vulkan_api.c", *SYSTEM}
    for name, text in FILES.items():
        if not name.startswith(("src/", "tools/", "include/")) or not name.endswith((".c", ".h")):
            continue
        code = without_comments(text)
        if re.search(r"(?<!\w)(secure_)?getenv\s*\(", code) and name != "src/base/os_posix.c":
            yield f"{name} calls getenv"
        if "hsae_os_getenv(" in code and name not in readers and name != "src/base/os.h":
            yield f"{name} calls hsae_os_getenv: a variable of this library is a setting (include/hsae/settings.h)"
        if re.search(r'hsae_os_getenv\("HSAE_', code):
            yield f"{name} reads a variable of this library past the settings"


# The kernels, and of each whether CPU devices have a body of their own.
KERNELS = dict(re.findall(r"^\s*KERNEL\((\w+),.*?\b(CPU_BODY|ONE_BODY)\)", FILES["src/kernels/list.h"], flags=re.M))
# The stem of every body in cl_kernels, and how it begins.
BODIES = {name: f"KERNEL({name})" for name in KERNELS} | {f"{name}_cpu": f"CPU_KERNEL({name})" for name, body in KERNELS.items() if body == "CPU_BODY"}


def kernel_files():
    places = [("cl_kernels/", ".cl", set()), ("shaders/", ".comp", set()), ("src/ref/", ".c", {"ref_device"})]
    if any(name.startswith("tests/kernels/") and name.endswith(".c") for name in FILES):
        places.append(("tests/kernels/", ".c", set()))
    if not KERNELS:
        yield "src/kernels/list.h lists no kernel"
    for folder, suffix, others in places:
        found = {Path(name).stem for name in FILES if name.startswith(folder) and name.endswith(suffix)} - others
        due = BODIES.keys() if suffix == ".cl" else KERNELS.keys()
        yield from (f"{folder}{name}{suffix} is missing" for name in sorted(due - found))
        yield from (f"{folder}{name}{suffix} is no kernel of kernels/list.h" for name in sorted(found - due))


def kernel_heads():
    """A body begins with its kernel's own name, and declares no buffer and no local array: those are in kernels/args.h."""
    for name, head in BODIES.items():
        lines = without_comments(FILES.get(f"cl_kernels/{name}.cl", "")).splitlines()
        if [line for line in lines if re.match(r"(CPU_)?KERNEL\(", line)] != [head]:
            yield f"cl_kernels/{name}.cl does not begin with {head}"
        yield from (f"cl_kernels/{name}.cl: {line.strip()}" for line in lines if re.search(r"\b(READ4?|WRITE|MODIFY4?|LOCAL)\(", line))


def symbols(*options):
    """Global names that an object defines; the address sanitizer's own are not meant."""
    result = run("nm", "--defined-only", *options)
    if result.returncode:
        raise SystemExit(result.stderr)
    found = re.findall(r"^[0-9a-f]+ [A-TV-Zu-vw] (\S+)$", result.stdout, flags=re.M)
    return {name for name in found if not re.match(r"__(odr_)?asan|__ubsan|asan\.|\.?__sancov|_(init|fini|edata|end)$|__bss_start$", name)}


def exported_names():
    api = set()
    for name, text in FILES.items():
        if name.startswith("include/"):
            api |= set(re.findall(r"^HSAE_API\s+[^;()]*?\b(\w+)\(", without_comments(text), flags=re.M))
    exported = symbols("-D", SHARED)
    yield from (f"libhsae.so exports {name}, which no public header declares" for name in sorted(exported - api))
    yield from (f"HSAE_API {name} is not in libhsae.so" for name in sorted(api - exported))
    yield from (f"{name} does not start with hsae_" for name in sorted(api | exported) if not name.startswith("hsae_"))


def global_names():
    yield from (f"libhsae.a defines {name}" for name in sorted(symbols("-g", STATIC)) if not name.startswith("hsae_"))


def headers_alone(compiler, language, standard):
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            if name.startswith("include/"):
                source = Path(folder) / "alone.txt"
                source.write_text(f"#include <{name.removeprefix('include/')}>\nextern int alone;\n", encoding="utf-8")
                for fault in complaints(compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                                        "-fsyntax-only", "-I", ROOT / "include", source):
                    yield f"{name}: {fault}"


def spirv_valid():
    if len(SPIRV) not in (0, len(KERNELS)):
        yield f"{len(SPIRV)} SPIR-V files for {len(KERNELS)} kernels"
    for path in SPIRV:
        yield from (f"{path.name}: {fault}" for fault in complaints("spirv-val", "--target-env", "vulkan1.1", path))


def spirv_needs():
    """Capabilities that devices may lack: half or 64-bit numbers, atomics on floats, subgroups."""
    for path in SPIRV:
        text = subprocess.run(["spirv-dis", path], stdout=subprocess.PIPE, text=True, check=True).stdout
        for needed in re.findall(r"OpCapability (\w+)|OpExtension \"(\w+)\"", text):
            if needed != ("Shader", ""):
                yield f"{path.name} needs {''.join(needed)}"


def opencl_needs():
    """The same for OpenCL C; half numbers are read from memory, which needs no extension."""
    words = re.compile(r"\b(cl_\w+_\w+|\w*sub_group\w*|(?:convert_|as_)?(?:double|u?long)\d*(?:_\w+)?|atomic_\w*float\w*|atom_\w+)\b")
    for name in ["src/kernels/dialect.h", *(name for name in FILES if name.startswith("cl_kernels/"))]:
        for word in words.findall(re.sub(r"/\*.*?\*/", "", FILES[name], flags=re.S)):
            yield f"{name}: {word}"


def opencl_c_valid(shape):
    defines = [f"-D{key}={value}" for key, value in shape.items()]
    prelude = ["-include", ROOT / "src/kernels/dialect.h", "-include", ROOT / "src/kernels/args.h"]
    for name in BODIES:
        for fault in complaints("clang", "-x", "cl", "-cl-std=CL1.2", "-fsyntax-only", "-Wall", "-Werror", "-Wno-unused-function", *defines,
                                *prelude, ROOT / f"cl_kernels/{name}.cl"):
            yield f"{name}: {fault}"


def short_files():
    for name, text in FILES.items():
        lines = text.count("\n")
        if lines >= MAX_LINES:
            yield f"{name} has {lines} lines; a file has fewer than {MAX_LINES}"


def licensed():
    """The licence in one of the first three lines; in text for readers, the last."""
    for name, text in FILES.items():
        lines = text.splitlines()
        if not any("SPDX-License-Identifier: MIT" in line for line in (lines[-1:] if name.endswith(".md") else lines[:3])):
            yield f"{name} has no line SPDX-License-Identifier"


def formatted():
    """C files by .clang-format, as clang-format 14 reads it; other versions differ in details."""
    files = [ROOT / name for name in FILES if name.endswith((".c", ".h")) and not name.startswith("cl_kernels/")]
    output = run("clang-format", "--dry-run", *files).stderr
    yield from sorted({f"clang-format -i {Path(name).relative_to(ROOT)}" for name in re.findall(r"^(\S+?):\d+:\d+: ", output, flags=re.M)})


def kernel_lines():
    """Kernel bodies have KERNEL and END in place of braces, which clang-format does not know."""
    for name, text in FILES.items():
        for number, line in enumerate(text.splitlines(), 1):
            if name.startswith("cl_kernels/") and len(line) > 140:
                yield f"{name}:{number}: {len(line)} characters"


def finished():
    mark = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
    for name, text in FILES.items():
        for number, line in enumerate(text.splitlines(), 1):
            if mark.search(line):
                yield f"{name}:{number}: {line.strip()[:100]}"


check("only src/opencl includes CL/, only src/vulkan includes vulkan/", backend_headers())
check("public headers know nothing but the C library", public_headers())
check("folders of src include those below them", floors())
check("no files of src include each other in a circle", include_circles())
check("no files of src call each other in a circle, and none calls upwards", call_circles())
check("tools use the public headers only", tools_are_users())
check("only src/base/os_*.c know an operating system", one_system_layer())
check("the environment is read in one place, when a context is made", variables_once())
check("every kernel of the list has its files, and there are no others", kernel_files())
check("every kernel's text begins with its name and declares nothing", kernel_heads())
check("libhsae.so exports what the public headers declare", exported_names())
check("all global names of libhsae.a start with hsae_", global_names())
for compiler, language, standard in (("gcc", "c", "c11"), ("g++", "c++", "c++17"), ("clang", "c", "c11"), ("clang++", "c++", "c++17")):
    if have(compiler):
        check(f"public headers compile alone: {compiler} {standard}", headers_alone(compiler, language, standard))
if have("spirv-val"):
    check("every shader is valid SPIR-V for Vulkan 1.1", spirv_valid())
    check("no shader needs more than the capability Shader", spirv_needs())
check("no kernel of OpenCL C needs an extension, doubles or 64-bit integers", opencl_needs())
if have("clang"):
    for shape in SHAPES:
        check("every kernel is OpenCL C 1.2 at " + " ".join(f"{key}={value}" for key, value in shape.items()), opencl_c_valid(shape))
check(f"files have fewer than {MAX_LINES} lines", short_files())
check("every file names its licence", licensed())
check("nothing is marked as unfinished", finished())
check("lines of kernels have at most 140 characters", kernel_lines())
if have("clang-format"):
    if "version 14." in run("clang-format", "--version").stdout:
        check("C files are formatted", formatted())
    else:
        print("    ", "clang-format is not of version 14: left out", flush=True)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
