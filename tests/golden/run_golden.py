#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every golden case through the command line and compares what comes out.

    run_golden.py HSAE DEVICE [--shapes PROGRAM] [--shards V] [CASE]...

With the program of tests/offline/shapes.c kernels have the shapes of large GPUs, launches and all, on a device that is none.
With --shards training cases are run with the features in V shards, which changes the order of sums alone.

The rules are those of the cases: |a - b| <= atol + rtol |b| for every tensor, second moments brought to the same step first, scalars to
1e-4 (relative, or absolute where smaller than 1), evaluations and encoded values to the tolerance they state, all else exactly.
Exit status: 0 all passed, 1 some failed, 77 there is no such device.
"""
import array
import json
import math
import os
import struct
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
TYPES = {"F32": "f", "I32": "i", "I64": "q"}


def read_safetensors(path):
    """Tensors by name as (shape, array), and the metadata."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = array.array(TYPES[entry["dtype"]])
        values.frombytes(data[begin:end])
        if sys.byteorder == "big":
            values.byteswap()
        tensors[name] = (entry["shape"], values)
    return tensors, metadata


class Case:
    """One case: its folder, and what is wrong with the outcome."""

    def __init__(self, name, program, device, shards=0):
        self.name, self.program, self.device, self.shards = name, program, device, shards
        self.folder = os.path.join(FOLDER, name)
        self.wrong = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *arguments):
        """Standard output of the program, or None after its failure was noted."""
        command = [self.program, *arguments, "--device", self.device, "--quiet"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        complaints = [line for line in (done.stdout + done.stderr).splitlines() if "Vulkan validation" in line or "default is used" in line]
        self.wrong += complaints[:2]
        if done.returncode == 0:
            return done.stdout
        message = done.stderr.strip().splitlines() or ["no message"]
        self.wrong.append("hsae %s: exit status %d: %s" % (arguments[0], done.returncode, message[-1]))
        return None

    def scalar(self, label, found, expected, tolerance):
        if expected is None or found is None:
            good = found is expected
        else:
            good = abs(found - expected) <= tolerance * max(abs(expected), 1)
        if not good:
            self.wrong.append("%s is %s, expected %s" % (label, found, expected))

    def tensor(self, name, found, expected, atol=0.0, rtol=0.0):
        if found is None:
            self.wrong.append("%s is missing" % name)
            return
        if list(found[0]) != list(expected[0]):
            self.wrong.append("%s has shape %s, expected %s" % (name, found[0], expected[0]))
            return
        worst, at, count = 0.0, 0, 0
        for i, (a, b) in enumerate(zip(found[1], expected[1])):
            error = abs(a - b)
            if not error <= atol + rtol * abs(b):
                count += 1
                if not error <= worst:
                    worst, at = error, i
        if count:
            self.wrong.append("%s: %d of %d differ, worst [%d] is %r, expected %r (atol %g, rtol %g)"
                              % (name, count, len(expected[1]), at, found[1][at], expected[1][at], atol, rtol))


def current_moments(tensors, config):
    """Second moments as of train.step: every row times beta2^min(train.step - row_step, decay_steps); decay_steps 0: no bound."""
    step, beta2, decay_steps = tensors["train.step"][1][0], config["beta2"], config.get("decay_steps", 0) or math.inf
    for name in list(tensors):
        if not (name.startswith("optimizer.") and name.endswith(".v")) or name.endswith("decoder.bias.v"):
            continue
        level = ".".join(name.split(".")[:3])
        shape, values = tensors[name]
        rows = tensors[level + ".row_step"][1]
        width = len(values) // len(rows)
        tensors[name] = (shape, [value * beta2 ** min(step - rows[i // width], decay_steps) for i, value in enumerate(values)])


def compare_checkpoints(case, path, tolerances):
    found, found_metadata = read_safetensors(path)
    expected, metadata = read_safetensors(case.path("after.safetensors"))
    config, expected_config = json.loads(found_metadata["config"]), json.loads(metadata["config"])
    current_moments(found, config)
    current_moments(expected, expected_config)
    for name, value in expected_config.items():
        if value != 0 and config.get(name) != value and config.get(name) != [value] * len(config["levels"]):
            case.wrong.append("configuration: %s is %s, expected %s" % (name, config.get(name), value))
    for name, tensor in expected.items():
        if name.endswith(".row_step"):
            continue
        tolerance = tolerances.get(name, {})
        case.tensor(name, found.get(name), tensor, tolerance.get("atol", 0), tolerance.get("rtol", 0))
    for name in found:
        if name not in expected and not name.startswith("train."):
            case.wrong.append("%s should not be there" % name)


def with_shards(path, out, shards):
    """A copy of a checkpoint whose configuration says so."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header["__metadata__"]["config"] = json.dumps({**json.loads(header["__metadata__"]["config"]), "shards": shards})
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(out, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    return out


def compare_steps(case, path, steps):
    with open(path) as file:
        lines = {line["step"]: line for line in map(json.loads, file)}
    first = read_safetensors(case.path("init.safetensors"))[0]["train.step"][1][0]
    for figures in steps:
        line = lines.get(figures["step"])
        if line is None:
            case.wrong.append("metrics.jsonl has no line for step %d" % figures["step"])
            continue
        case.scalar("step %d: lr" % figures["step"], line["lr"], figures["lr"], 1e-4)
        for key in ("reconstruction", "l0", "constraint", "lambda", "dead"):
            for level, value in enumerate(figures[key]):
                label = "step %d, level %d: %s" % (figures["step"], level, key)
                case.scalar(label, line["levels"][level][key], value, 0 if key == "dead" else 1e-4)
    if sorted(lines) != list(range(first + 1, first + len(steps) + 1)):
        case.wrong.append("metrics.jsonl has the steps %s" % sorted(lines))


def run_train(case, out):
    with open(case.path("case.json")) as file:
        facts = json.load(file)
    step = read_safetensors(case.path("init.safetensors"))[0]["train.step"][1][0] + facts["steps"]
    start = case.path("init.safetensors")
    if case.shards:
        start = with_shards(start, out + "-init.safetensors", case.shards)
    if case.run("train", "--resume", start, "--data", case.path("data.safetensors"), "--stop-after", str(step),
                "--log-every", "1", "--out", out) is None:
        return
    compare_checkpoints(case, os.path.join(out, "checkpoint-%d.safetensors" % step), facts["tolerances"])
    compare_steps(case, os.path.join(out, "metrics.jsonl"), facts["per_step"])


def run_eval(case, out):
    with open(case.path("expected.json")) as file:
        expected = json.load(file)
    model, data, tolerance = case.path("model.safetensors"), case.path("data.safetensors"), expected["tolerance"]
    text = case.run("eval", "--model", model, "--data", data, "--json")
    if text is not None:
        found = json.loads(text)
        case.scalar("tokens", found["tokens"], expected["tokens"], 0)
        for key in ("levels", "pairs"):
            case.scalar("number of " + key, len(found[key]), len(expected[key]), 0)
            for i, (a, b) in enumerate(zip(found[key], expected[key])):
                for name, value in b.items():
                    case.scalar("%s[%d].%s" % (key, i, name), a.get(name), value, tolerance)
        for name, value in expected["mean"].items():
            case.scalar("mean." + name, found["mean"].get(name, math.nan), value, tolerance)
    path = os.path.join(out, "encoded.safetensors")
    os.makedirs(out)
    if case.run("encode", "--model", model, "--data", data, "--out", path) is not None:
        found, encoded = read_safetensors(path)[0], read_safetensors(case.path("encoded.safetensors"))[0]
        for name, tensor in encoded.items():
            is_value = name.endswith(".values")
            case.tensor(name, found.get(name), tensor, 1e-5 if is_value else 0, 1e-5 if is_value else 0)


def large_shapes(program, device, path):
    """A tuning file with the default shapes of large GPUs; kernels that are not tuned keep theirs."""
    kernels = {}
    for line in subprocess.run([program, device["backend"], "discrete", "10de", "1024", "49152"], stdout=subprocess.PIPE, check=True,
                               text=True).stdout.splitlines():
        name, group, columns, _, width, *tile = line.split()
        if name != "relink_rows" and not name.startswith("peak_"):
            fields = ("vectors", "words", "step", "pad", "prefetch")
            kernels[name] = {"group_size": int(group), "columns": int(columns), "vector_width": int(width),
                             **{"tile_" + field: int(value) for field, value in zip(fields, tile)}}
    entry = {key: device[key] for key in ("name", "driver", "backend", "type")}
    with open(path, "w") as file:
        json.dump({"format": "hsae tuning 1", "devices": [{**entry, "kernels": kernels}]}, file)
    os.environ["HSAE_TUNING"] = path


def main():
    if len(sys.argv) < 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    program, device, wanted = sys.argv[1], sys.argv[2], sys.argv[3:]
    shapes = wanted[1] if wanted[:1] == ["--shapes"] else None
    wanted = wanted[2:] if shapes else wanted
    shards = int(wanted[1]) if wanted[:1] == ["--shards"] else 0
    wanted = wanted[2:] if shards else wanted
    # Drivers keep memory that leak checkers cannot attribute once the driver is unloaded; the reference device is checked by all else.
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    listed = json.loads(subprocess.run([program, "devices", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    found = [one for one in listed["devices"] if one["id"] == device]
    if not found:
        print("there is no device %s" % device)
        return 77
    tuning = tempfile.TemporaryDirectory()
    if shapes:
        large_shapes(shapes, found[0], os.path.join(tuning.name, "tuning.json"))
    names = [kind + "/" + name for kind in (("train",) if shards else ("train", "eval")) for name in sorted(os.listdir(os.path.join(FOLDER, kind)))]
    passed = failed = 0
    for name in names:
        if wanted and name not in wanted:
            continue
        case = Case(name, program, device, shards)
        with tempfile.TemporaryDirectory() as folder:
            (run_train if name.startswith("train/") else run_eval)(case, os.path.join(folder, "out"))
        print("%s  %s" % ("FAIL" if case.wrong else "ok  ", name))
        for line in case.wrong[:8]:
            print("      " + line)
        passed, failed = passed + (not case.wrong), failed + bool(case.wrong)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
