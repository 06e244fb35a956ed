#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests and measures libhsae on the devices of this machine, and writes one report.

    qualify.py [--device ID]... [--budget SECONDS] [--stages LIST] [--report FILE]
    qualify.py --merge REPORT...

It runs from a folder made by pack.py. It needs Python 3.8 and the devices' drivers, no compiler and no network. What tells most in least time comes
first; the report is written after every stage, so a run that is killed leaves all it has found. A stage that no longer fits the budget is left out
or stopped, and the report says so. Reports hold no paths, no names of users or machines, and no serial numbers. --merge prints a table of several reports.
Exit status: 0 all passed, 1 something failed, 2 usage, 77 there is no such device.
"""
import argparse
import ctypes
import getpass
import json
import math
import os
import pathlib
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from power import Power

HERE = pathlib.Path(__file__).resolve().parent
HSAE, CHECKGPU, GOLDEN, DEMO = HERE / "tools/hsae", HERE / "tests/checkgpu", HERE / "tests/golden/run_golden.py", HERE / "demo"
SCHEMA = 1
TRAINING = ["--levels", "64,128,256", "--batch", "128", "--steps", "120", "--target-l0", "8", "--hierarchy-period", "20", "--checkpoint-every", "40"]
SLOW_KERNELS = ("update", "encode")  # they take as long as all others together
LEFT_OUT = "left out: %.0f s are left, it takes about %.0f s"


class Failed(Exception):
    """A command that failed; the message is for the report."""


class Stopped(Failed):
    """One that had no more time."""


class Run:
    """One qualification: its devices, its time and its report."""

    def __init__(self, wanted, report):
        self.end, self.report_path = math.inf, report
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="hsae-qualify-"))
        self.tuning = self.scratch / "tuning.json"
        self.wanted, self.devices, self.report = wanted, [], {"schema": SCHEMA, "stages": []}
        self.environment = {**os.environ, "HSAE_TUNING": "off", "HSAE_CACHE_DIR": str(self.scratch / "cache"), "HSAE_SELF_TEST": "off"}
        self.add_loaders()
        secrets = [str(self.scratch), str(HERE), os.path.expanduser("~"), socket.gethostname(), getpass.getuser()]
        self.secrets = re.compile("|".join(r"(?<!\w)%s(?!\w)" % re.escape(text) for text in sorted(secrets, key=len, reverse=True)))

    def add_loaders(self):
        """Puts the loaders that this machine lacks where the programs find them."""
        folder = self.scratch / "loaders"
        for path in HERE.glob("loaders/*"):
            try:
                ctypes.CDLL(path.name)
            except OSError:
                folder.mkdir(exist_ok=True)
                shutil.copyfile(path, folder / path.name)
                self.environment["LD_LIBRARY_PATH"] = "%s:%s" % (folder, os.environ.get("LD_LIBRARY_PATH", ""))

    def left(self):
        return self.end - time.monotonic()

    def clean(self, value):
        """The value without paths and names of this machine."""
        if isinstance(value, dict):
            return {key: self.clean(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.clean(one) for one in value]
        return self.secrets.sub("…", value) if isinstance(value, str) else value

    def write(self):
        """Writes the report whole, and on the disk before the next stage begins."""
        path = self.report_path.with_name(self.report_path.name + ".part")
        with open(path, "w") as file:
            json.dump(self.clean(self.report), file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(path, self.report_path)

    def command(self, *words, limit, environment=(), good=(0,)):
        """Standard output of a command that may take `limit` seconds and what is left of the budget."""
        words = [str(word) for word in words]
        environment = {**self.environment, **dict(environment)}
        limit = min(limit, self.left())
        name = " ".join([os.path.basename(words[0]), *words[1:]])
        if limit < 1:
            raise Stopped("%s: no time is left" % name)
        try:
            done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", timeout=limit)
        except subprocess.TimeoutExpired:
            raise Stopped("%s: stopped after %.0f s" % (name, limit)) from None
        if done.returncode not in good:
            said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
            raise Failed("%s: exit status %d: %s" % (name, done.returncode, said[-1]))
        return done.stdout

    def result(self, name, device):
        """What a stage has found on a device, or None."""
        for one in self.report["stages"]:
            if one["name"] == name and one["device"] == device["id"]:
                return one.get("result")
        return None

    def json_command(self, *words, limit, environment=()):
        return json.loads(self.command(*words, limit=limit, environment=environment))


# ---- stages: each takes the run and a device, and returns what goes into the report ----


def identity(run):
    """What is here: the library, the host, its GPUs, the devices."""
    run.report["hsae"] = run.command(HSAE, "--version", limit=20).split()[-1]
    run.report["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    run.report["host"] = {"system": platform.system(), "kernel": platform.release(), "machine": platform.machine(), "cores": os.cpu_count(),
                          "processor": processor(), "memory_bytes": memory_bytes(), "gpus": nvidia()}
    listed = run.json_command(HSAE, "devices", "--json", limit=60)
    run.report["devices"], run.report["problems"] = listed["devices"], listed["problems"]
    found = [device for device in listed["devices"] if (device["id"] in run.wanted if run.wanted else device["backend"] != "ref")]
    run.devices = sorted(found, key=lambda device: device["type"] == "cpu")


def processor():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        return re.search(r"^model name\s*: (.*)$", text, re.M).group(1)
    except (OSError, AttributeError):
        return platform.processor() or None


def memory_bytes():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def nvidia():
    """Clocks, power limit and bus of NVIDIA's GPUs, as their tool tells them."""
    fields = "name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit,pcie.link.gen.max,pcie.link.width.max"
    if not shutil.which("nvidia-smi"):
        return []
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=" + fields, "--format=csv,noheader"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [dict(zip(fields.split(","), map(str.strip, line.split(",")))) for line in done.stdout.splitlines() if done.returncode == 0]


def right(run, device, limit):
    """Does every kernel compute what the reference does? The slow ones come last."""
    test, = [one for one in run.json_command(HSAE, "devices", "--test", "--json", limit=limit)["devices"] if one["id"] == device["id"]]
    names = sorted(run.command(CHECKGPU, "--list", limit=20).split(), key=lambda name: name in SLOW_KERNELS)
    end, kernels, not_reached = time.monotonic() + limit, {}, []
    for name in names:
        try:
            text = run.command(CHECKGPU, "--device", device["id"], "--seed", 1, "--kernel", name, limit=end - time.monotonic(), good=(0, 1, 77))
        except Stopped:
            not_reached.append(name)
            continue
        match = re.search(r"^\S+ %s\s+(.*)$" % name, text, re.M)
        if match:
            kernels[name] = {"passed": match.group(1).startswith("ok"), "text": match.group(1)}
    wrong = test["self_test"] != "passed" or not all(one["passed"] for one in kernels.values())
    return {"passed": False if wrong else None if not_reached else True, "self_test": test["self_test"], "kernels": kernels, "not_reached": not_reached}


def bench(run, device, limit, *words, environment=()):
    path = run.scratch / "bench.json"
    run.command(HSAE, "bench", "--device", device["id"], "--steps", 2 if device["type"] == "cpu" else 5, "--quiet", "--json", path, *words,
                limit=limit, environment=environment)
    return json.loads(path.read_text())


def step(run, device, limit):
    """The step, kernel by kernel, with the device's peaks, at the sizes of the paper and of a laptop."""
    return {preset: bench(run, device, limit, "--preset", preset) for preset in ("laptop", "paper")}


def variants(run, device, limit):
    """The encoder's product the other way, and a dictionary twice as wide."""
    screens = any(kernel["name"] in ("screen", "screen8") for kernel in run.result("step", device)["laptop"]["kernels"])
    return {
        "encode" if screens else "screen": bench(run, device, limit, "--preset", "laptop", environment={"HSAE_SCREEN": "0" if screens else "1"}),
        "twice the features": bench(run, device, limit, "--preset", "laptop", "--levels", "1024,2048,4096,8192"),
    }


def preset(device):
    return "laptop" if device["type"] == "cpu" else "paper"


def tune(run, device, limit, minutes, *words):
    return run.json_command(HSAE, "tune", "--device", device["id"], "--preset", preset(device), "--minutes", "%.2f" % minutes, "--out", run.tuning,
                            "--json", *words, limit=limit, environment={"HSAE_TUNING": str(run.tuning)})


def shapes(run, device, limit):
    """Other shapes of the three kernels that take most of a step."""
    kernels = ("screen" if "encode" in run.result("variants", device) else "encode", "update", "decode")
    return {kernel: tune(run, device, limit, limit / 180, "--kernel", kernel) for kernel in kernels}


def again(run, device, limit):
    """The step with the shapes that were found."""
    return {preset(device): bench(run, device, limit, "--preset", preset(device), environment={"HSAE_TUNING": str(run.tuning)})}


def golden(run, device, limit):
    """Runs with known results."""
    text = run.command(sys.executable, GOLDEN, HSAE, device["id"], limit=limit, good=(0, 1))
    failed = [line.split()[1] for line in text.splitlines() if line.startswith("FAIL")]
    passed = [line.split()[1] for line in text.splitlines() if line.startswith("ok")]
    return {"passed": bool(passed) and not failed, "cases": len(passed), "failed": failed}


def search(run, device, limit):
    """A search over the shapes of all kernels, and the step with what it found."""
    found = tune(run, device, limit, 0.8 * limit / 60)
    return {"tuning": found, "step": bench(run, device, limit, "--preset", preset(device), environment={"HSAE_TUNING": str(run.tuning)})}


def sustained(run, device, limit):
    """Whether the speed holds over minutes, and what a token costs."""
    with Power(device) as power:
        result = bench(run, device, limit, "--preset", preset(device), "--minutes", "%.2f" % (0.6 * limit / 60))
    speed = (result.get("sustained") or {}).get("tokens_last") or result["step"]["tokens_per_second"]
    watts = power.watts()
    return {"bench": result, "watts": watts, "power_source": power.source, "tokens_per_joule": speed / watts if watts else None}


def training(run, device, limit):
    """Trains on real activations here and on the reference; stops, resumes, and compares bytes."""
    folder = run.scratch / "training"
    shutil.rmtree(folder, ignore_errors=True)

    def train(name, where, *words):
        run.command(HSAE, "train", "--data", DEMO, *TRAINING, "--device", where, "--out", folder / name, "--quiet", *words, limit=limit)
        return folder / name / "model.safetensors"

    def figures(model):
        found = run.json_command(HSAE, "eval", "--model", model, "--data", DEMO, "--device", "ref", "--json", limit=limit)
        return {"variance_explained": [level["variance_explained"] for level in found["levels"]], "l0": [level["l0"] for level in found["levels"]]}

    here, reference = train("here", device["id"]), train("reference", "ref")
    resumed = folder / "resumed"
    run.command(HSAE, "train", "--resume", folder / "here/checkpoint-80.safetensors", "--data", DEMO, "--out", resumed, "--device", device["id"],
                "--quiet", limit=limit)
    same = here.read_bytes() == (resumed / "model.safetensors").read_bytes()
    ours, theirs = figures(here), figures(reference)
    apart = max(abs(a - b) for a, b in zip(ours["variance_explained"], theirs["variance_explained"]))
    return {"passed": same and apart < 0.01, "resumed_to_the_same_bytes": same, "here": ours, "reference": theirs}


# name, seconds that a device may take, function; a CPU needs longer for the same work
STAGES = [("right", 60, right), ("step", 60, step), ("variants", 60, variants), ("shapes", 120, shapes), ("again", 30, again), ("golden", 60, golden),
          ("training", 120, training), ("sustained", 300, sustained), ("search", 900, search)]
NEEDS = {"variants": "step", "shapes": "variants", "again": "shapes", "sustained": "step", "search": "step"}


def run_stage(run, name, seconds, function, device):
    """Appends one entry to the report."""
    begun, entry = time.monotonic(), {"name": name, "device": device["id"], "seconds": 0.0}
    needed = NEEDS.get(name)
    if needed and run.result(needed, device) is None:
        entry["status"] = "left out: stage %s has no result" % needed
    elif run.left() < seconds / 4:
        entry["status"] = LEFT_OUT % (max(run.left(), 0), seconds)
    else:
        try:
            entry["result"] = function(run, device, seconds * (4 if device["type"] == "cpu" else 2))
            entry["status"] = {True: "passed", False: "failed", None: "done"}[entry["result"].get("passed")]
        except (Failed, KeyError, IndexError, ValueError, OSError) as error:
            entry["status"] = "stopped" if isinstance(error, Stopped) else "failed"
            entry["message"] = str(error) if isinstance(error, Failed) else "%s: %s" % (type(error).__name__, error)
    entry["seconds"] = round(time.monotonic() - begun, 2)
    run.report["stages"].append(entry)
    run.write()
    print("%-10s %-9s %7.1f s  %s%s" % (name, device["id"], entry["seconds"], entry["status"], ": " + entry["message"] if "message" in entry else ""),
          flush=True)


def qualify(arguments):
    run = Run(arguments.device, arguments.report)
    try:
        try:
            identity(run)
        except (Failed, ValueError) as error:
            print("qualify: error: %s" % error, file=sys.stderr)
            return 1
        run.write()
        run.end = time.monotonic() + arguments.budget
        missing = [name for name in arguments.device if name not in [device["id"] for device in run.devices]]
        if missing or not run.devices:
            print("qualify: there is no device %s" % (", ".join(missing) or "but the reference"), file=sys.stderr)
            return 77
        for name, seconds, function in STAGES:
            for device in run.devices if name in arguments.stages else []:
                run_stage(run, name, seconds, function, device)
    finally:
        shutil.rmtree(run.scratch, ignore_errors=True)
    print("the report is %s" % arguments.report)
    return 1 if any(one["status"] == "failed" for one in run.report["stages"]) else 0


# ---- the table of several reports ----


def rate(found, group, key):
    """A rate of a group of kernels, as a share of the peak."""
    kernels = [kernel for kernel in found["kernels"] if kernel["group"] in group]
    seconds = sum(kernel["seconds"] for kernel in kernels)
    peak = found["peaks"]["fma_flops_per_second" if key == "flops" else "copy_bytes_per_second"]
    return "%.0f %%" % (100 * sum(kernel[key] for kernel in kernels) / seconds / peak) if seconds else "-"


def row(report, device):
    results = {one["name"]: one for one in report["stages"] if one["device"] == device["id"]}

    def verdict(name, text):
        one = results.get(name, {})
        return text(one["result"]) if "result" in one else one.get("status", "not run").split(":")[0]

    found = results.get("step", {}).get("result")
    best = (results.get("search", {}).get("result") or {}).get("step")
    paper = best if best and best["preset"] == "paper" else found and found["paper"]
    laptop = best if best and best["preset"] == "laptop" else found and found["laptop"]
    joule = (results.get("sustained", {}).get("result") or {}).get("tokens_per_joule")
    cells = [device["name"], device["backend"], device["driver"], report["hsae"],
             verdict("right", lambda one: "%d of %d" % (sum(kernel["passed"] for kernel in one["kernels"].values()), len(one["kernels"]) + len(one["not_reached"]))),
             verdict("golden", lambda one: "%d of %d" % (one["cases"], one["cases"] + len(one["failed"])))]
    cells += ["%.2f" % (1e3 * one["step"]["seconds"]["median"]) if one else "-" for one in (paper, laptop)]
    cells += ["%.0f" % paper["step"]["tokens_per_second"] if paper else "-"]
    cells += [rate(paper, ("encode",), "flops") if paper else "-", rate(paper, ("decode", "update"), "bytes") if paper else "-"]
    return cells + ["%.1f" % joule if joule else "-"]


def merge(paths):
    head = ("device", "API", "driver", "hsae", "kernels right", "golden cases", "paper, ms a step", "laptop, ms a step", "paper, tokens/s",
            "encoder's product, of FMA peak", "decode + update, of copy peak", "tokens/J")
    print("| %s |\n|%s" % (" | ".join(head), "---|" * len(head)))
    for path in paths:
        try:
            report = json.loads(pathlib.Path(path).read_text())
            if report["schema"] != SCHEMA:
                raise ValueError("schema %s, this program reads %d" % (report["schema"], SCHEMA))
            seen = {one["device"] for one in report["stages"]}
            for device in report["devices"]:
                if device["id"] in seen:
                    print("| %s |" % " | ".join(cell.replace("|", "/") for cell in row(report, device)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            print("qualify: error: %s: this is no report of qualify: %s" % (path, error), file=sys.stderr)
            return 1
    return 0


def main():
    names = [name for name, _, _ in STAGES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", action="append", default=[], metavar="ID", help="a device of `hsae devices`; default: all but the reference")
    parser.add_argument("--budget", type=float, default=600, metavar="SECONDS", help="time for the stages; default: 600. All of them need 2400")
    parser.add_argument("--stages", default=",".join(names), metavar="LIST", help="of %s" % ", ".join(names))
    parser.add_argument("--report", type=pathlib.Path, default=pathlib.Path("report.json"), metavar="FILE", help="default: report.json")
    parser.add_argument("--merge", nargs="+", metavar="REPORT", help="print a table of reports")
    arguments = parser.parse_args()
    arguments.stages = [name.strip() for name in arguments.stages.split(",")]
    unknown = [name for name in arguments.stages if name not in names]
    if unknown:
        parser.error("there is no stage %s; there are %s" % (unknown[0], ", ".join(names)))
    return merge(arguments.merge) if arguments.merge else qualify(arguments)


if __name__ == "__main__":
    sys.exit(main())
