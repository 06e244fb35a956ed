#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the checks on every implementation of OpenCL and Vulkan that can be had without a GPU, and writes a table.

    matrix.py [--minutes M] [--tables] BUILD [NAME...]

BUILD is a build without sanitizers (meson setup build --buildtype=release). Of each implementation, or of those named: checkgpu, kernel by kernel;
the golden cases; a training run on the activations of tools/demo, whose evaluation must be that of the reference device. What an implementation
has not begun after M minutes (15; three times as long where compiling takes minutes) a check is left out, and counted as that. Needs root, to
install what is missing (Debian 12). Results are kept in BUILD/matrix/NAME.json; a check that is there for the same sources is not run again.
--tables puts the table into tests/README.md. Exit status: 0 all passed, 1 some failed, 77 an implementation cannot be had.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden"
NOWHERE = "/nonexistent"
LAVAPIPE = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"
SLOW = ("update", "encode")  # kernels that take as long as all others together: they come last
VALIDATED = {"HSAE_VULKAN_VALIDATION": "1"}

IMPLEMENTATIONS = {
    "PoCL": {"device": "opencl:0", "packages": ["pocl-opencl-icd"], "environment": {"OCL_ICD_VENDORS": "pocl.icd"}},
    "Intel CPU runtime": {"device": "opencl:0", "wheels": ["intel-opencl-rt==2026.2.0", "intel-cmplr-lib-rt==2026.2.0"]},
    "rusticl on llvmpipe": {
        "device": "opencl:0",
        "packages": ["mesa-opencl-icd"],
        # It compiles at the first launch, large kernels for minutes at a shape.
        "environment": {"OCL_ICD_VENDORS": "rusticl.icd", "RUSTICL_ENABLE": "llvmpipe", "HSAE_WAIT_SECONDS": "0"},
        "patience": 3,
    },
    "Oclgrind": {
        "device": "opencl:0",
        "packages": ["oclgrind"],
        "environment": {
            "OCL_ICD_VENDORS": "/usr/lib/oclgrind/liboclgrind-rt-icd.so",
            "OCLGRIND_DATA_RACES": "1",
            "OCLGRIND_CHECK_API": "1",
        },
        # Reports of uninitialised memory, kernel by kernel: the plugin dies of some kernels' code ("Unsupported instruction: freeze"), and in
        # whole runs it crashes.
        "if it can": {"OCLGRIND_UNINITIALIZED": "1"},
        "log": "OCLGRIND_LOG",
    },
    "lavapipe": {"device": "vulkan:0", "packages": ["mesa-vulkan-drivers"], "environment": {"VK_DRIVER_FILES": LAVAPIPE, **VALIDATED}},
    "SwiftShader": {
        "device": "vulkan:0",
        "packages": ["chromium"],
        "environment": {"VK_DRIVER_FILES": "/usr/lib/chromium/vk_swiftshader_icd.json", **VALIDATED},
    },
}


# ---- installing ----


def install_wheels(wheels, folder):
    """A folder with an ICD file for the runtime in these wheels."""
    if not (folder / "bin").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "-q", *wheels], check=True)
    library, = folder.glob("lib/libintelocl.so")
    (folder / "vendors").mkdir(exist_ok=True)
    (folder / "vendors/intel-cpu.icd").write_text("%s\n" % library)
    return {"OCL_ICD_VENDORS": str(folder / "vendors")}


def prepare(implementation, folder):
    """The environment in which only this implementation is found; None: it cannot be had."""
    packages = [*implementation.get("packages", []), "vulkan-validationlayers", "ocl-icd-libopencl1", "libvulkan1"]
    script = ". %s && need %s" % (ROOT / "tools/packages.sh", " ".join(packages))
    environment = {"OCL_ICD_VENDORS": NOWHERE, "VK_DRIVER_FILES": NOWHERE, "VK_ICD_FILENAMES": NOWHERE, **implementation.get("environment", {})}
    if environment["VK_DRIVER_FILES"] != NOWHERE:
        del environment["VK_ICD_FILENAMES"]
    try:
        subprocess.run(["bash", "-c", script], check=True)
        if "wheels" in implementation:
            environment.update(install_wheels(implementation["wheels"], folder / "wheels"))
    except (subprocess.CalledProcessError, ValueError):
        return None
    return {**os.environ, **environment, "HSAE_CACHE_DIR": str(folder / "cache"), "POCL_CACHE_DIR": str(folder / "pocl"), "HSAE_SELF_TEST": "off",
            "HSAE_TUNING": "off"}


# ---- running ----


def narrow_data(folder, rows=1024, columns=48):
    """The first numbers of the first vectors of tools/demo, as float16: what software GPUs can do in minutes."""
    path = folder / "narrow.bin"
    source, = (ROOT / "tools/demo").glob("*.safetensors")
    with open(source, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        entry = next(value for name, value in header.items() if name != "__metadata__")
        width = 2 * entry["shape"][-1]
        assert entry["dtype"] == "F16" and entry["data_offsets"][0] == 0
        data = b"".join(file.read(width)[:2 * columns] for _ in range(rows))
    folder.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"activations": {"dtype": "F16", "shape": [rows, columns], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


class Runner:
    def __init__(self, build, name, minutes):
        self.build, self.name = build, name
        self.implementation = IMPLEMENTATIONS[name]
        self.seconds = 60 * minutes * self.implementation.get("patience", 1)
        self.device = self.implementation["device"]
        self.folder = build / "matrix" / re.sub(r"\W+", "-", name.lower())
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = prepare(self.implementation, self.folder)
        self.results_path = build / "matrix" / (self.folder.name + ".json")
        self.results = json.loads(self.results_path.read_text()) if self.results_path.exists() else {}

    def run(self, *command, more=()):
        """(exit status, output, complaints of validation layers and simulators)"""
        environment = {**self.environment, **dict(more)}
        log = self.folder / "complaints.log"
        log.unlink(missing_ok=True)
        if "log" in self.implementation:
            environment[self.implementation["log"]] = str(log)
        try:
            done = subprocess.run([str(word) for word in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  errors="replace", timeout=3 * self.seconds)
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired:
            status, output = -1, "it did not end in %.0f minutes" % (3 * self.seconds / 60)
        complaints = [line for line in output.splitlines() if "Vulkan validation" in line]
        if log.exists():
            complaints += log.read_text(errors="replace").splitlines()
        return status, output, complaints

    def each(self, check, names, command):
        """Runs the named parts of a check for as long as there is time: {part: "passed", "left out" or what is wrong}."""
        start = time.monotonic()
        found = {}
        for part in names:
            if time.monotonic() - start > self.seconds:
                found[part] = "left out"
                continue
            more = self.implementation.get("if it can", {}) if check == "kernel" else {}
            status, output, complaints = self.run(*command(part), more=more)
            died = more and (status not in (0, 1, 77) or any("FATAL ERROR" in line for line in complaints))
            if died:
                status, output, complaints = self.run(*command(part))
            lines = [line.strip() for line in output.splitlines() if "FAIL" in line or "expected" in line] or output.splitlines()[-3:]
            passed = "passed without " + " ".join(more) if died else "passed"
            found[part] = passed if status == 0 and not complaints else "left out" if status == 77 else "; ".join((complaints or lines)[:3])
            print("%s: %s %s: %s" % (self.name, check, part, found[part]), flush=True)
        return found

    def version(self):
        status, output, _ = self.run(self.build / "tools/hsae", "devices", "--json")
        for device in json.loads(output[output.index("{"):])["devices"] if status == 0 else []:
            if device["id"] == self.device:
                return "%s: %s" % (device["name"], device["driver"])
        return None

    def train(self):
        """The evaluation of a short run on real activations."""
        data = narrow_data(self.build / "matrix")
        with tempfile.TemporaryDirectory() as out:
            command = [self.build / "tools/hsae", "train", "--data", data, "--levels", "24,48", "--batch", "64", "--steps", "60",
                       "--lr", "0.004", "--target-l0", "8", "--hierarchy-period", "20", "--out", out, "--quiet"]
            evaluation = {}
            for device in ("ref", self.device):
                status, output, complaints = self.run(*command, "--device", device, "--force")
                if status or complaints:
                    return "; ".join((complaints or output.splitlines())[:3])
                evaluate = [self.build / "tools/hsae", "eval", "--model", out + "/model.safetensors", "--data", data, "--device", "ref",
                            "--json"]
                evaluation[device] = json.loads(subprocess.run(evaluate, env=self.environment, stdout=subprocess.PIPE, check=True).stdout)["mean"]
        off = abs(evaluation["ref"]["variance_explained"] - evaluation[self.device]["variance_explained"])
        return "passed" if off <= 0.002 else "variance explained is off by %.4f" % off

    def all(self, key):
        kernels = re.findall(r"^ *KERNEL\((\w+),", (ROOT / "src/kernels/list.h").read_text(), re.M)
        kernels.sort(key=lambda name: name in SLOW)
        cases = [kind + "/" + path.name for kind in ("train", "eval") for path in sorted((GOLDEN / kind).iterdir())]
        if self.results.get("key") != key:
            self.results = {"key": key, "version": self.version()}
        if not self.results["version"]:
            return
        checks = {
            "kernels": lambda: self.each("kernel", kernels, lambda name: [self.build / "tests/checkgpu", "--device", self.device, "--seed", "1", "--kernel", name]),
            "golden": lambda: self.each("case", cases, lambda name: [sys.executable, GOLDEN / "run_golden.py", self.build / "tools/hsae", self.device, name]),
            "training": lambda: {"run": self.train()},
        }
        for check, run in checks.items():
            if check not in self.results:
                self.results[check] = run()
                self.results_path.write_text(json.dumps(self.results, indent=1))


# ---- the table ----


def sources_key():
    """What results depend on: library, program, kernels, checks."""
    digest = hashlib.sha256()
    digest.update(pathlib.Path(__file__).read_bytes())
    for folder in ("src", "include", "cl_kernels", "shaders", "tests/checkgpu", "tests/kernels", "tests/golden"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()


def has_failed(outcome):
    return outcome != "left out" and not outcome.startswith("passed")


def cell(found):
    if found is None:
        return "not run"
    left_out = [part for part, outcome in found.items() if outcome == "left out"]
    failed = [part for part, outcome in found.items() if has_failed(outcome)]
    less = [outcome for outcome in found.values() if outcome.startswith("passed without")]
    text = "%d of %d" % (len(found) - len(left_out) - len(failed), len(found)) if len(found) > 1 else "failed" if failed else "passed"
    if failed and len(found) > 1:
        text += "; failed: " + ", ".join(failed)
    if less:
        text += ", %d of them %s" % (len(less), less[0].removeprefix("passed "))
    return text + ("; no time for " + ", ".join(part.removeprefix("train/") for part in left_out) if left_out else "")


def table(build):
    lines = ["| implementation | version | kernels (checkgpu) | golden cases | training run |", "|---|---|---|---|---|"]
    for name in IMPLEMENTATIONS:
        path = build / "matrix" / (re.sub(r"\W+", "-", name.lower()) + ".json")
        results = json.loads(path.read_text()) if path.exists() else {}
        lines.append("| %s | %s | %s |" % (name, results.get("version") or "cannot be had here",
                                           " | ".join(cell(results.get(check)) for check in ("kernels", "golden", "training"))))
    return "\n".join(lines)


def write_tables(text):
    """Lines of implementations that were not run stay as they are."""
    path = ROOT / "tests/README.md"
    begin, end = "<!-- tests/matrix.py -->\n", "\n<!-- end -->"
    readme = path.read_text(encoding="utf-8")
    first, last = readme.index(begin) + len(begin), readme.index(end)
    old = {line.split("|")[1]: line for line in readme[first:last].splitlines()}
    lines = [old.get(line.split("|")[1], line) if "| not run | not run | not run |" in line else line for line in text.splitlines()]
    path.write_text(readme[:first] + "\n".join(lines) + readme[last:], encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(IMPLEMENTATIONS))
    arguments = parser.parse_args()
    build, key, status = arguments.build.resolve(), sources_key(), 0
    for name in arguments.names or IMPLEMENTATIONS:
        if name not in IMPLEMENTATIONS:
            parser.error("there is no implementation %s; there is: %s" % (name, ", ".join(IMPLEMENTATIONS)))
        runner = Runner(build, name, arguments.minutes)
        if runner.environment is not None:
            runner.all(key)
        if not runner.results.get("version"):
            print("%s cannot be had here" % name)
            status = status or 77
        elif any(has_failed(outcome) for check in ("kernels", "golden", "training") for outcome in runner.results[check].values()):
            status = 1
    print(table(build))
    if arguments.tables:
        write_tables(table(build))
    return status


if __name__ == "__main__":
    sys.exit(main())
