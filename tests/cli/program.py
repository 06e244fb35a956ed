# SPDX-License-Identifier: MIT
"""What the tests of the command line share: the program under test, small data, a folder for each test."""
import array
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "hsae"  # tests change the folder
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
EVAL = GOLDEN / "eval" / "two-levels"
DIM, ROWS = 12, 80
# Drivers keep memory that leak checkers cannot attribute once the driver is unloaded.
DRIVERS = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
# Seconds after which a test calls a program hung: on a machine with much other work all takes many times as long.
PATIENCE = 3600
TINY = ["--levels", "8,16", "--batch", "8", "--steps", "20", "--target-l0", "2", "--device", "ref"]


def write_safetensors(path, name, rows):
    width = len(rows[0])
    data = array.array("f", [value for row in rows for value in row]).tobytes()
    header = json.dumps({name: {"dtype": "F32", "shape": [len(rows), width], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def random_rows(count=ROWS, width=DIM, seed=1):
    numbers = random.Random(seed)
    return [[numbers.gauss(0, 1) for _ in range(width)] for _ in range(count)]


def hsae(*arguments, status=0, environment=None, **more):
    """(standard output, standard error) after checking the exit status."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
                          env={**os.environ, **(environment or {})}, **more)
    if done.returncode != status:
        raise AssertionError("%s\nexit status %d, expected %d\n%s\n%s" % (done.args, done.returncode, status, done.stdout, done.stderr))
    return done.stdout, done.stderr


def until(condition, process):
    """Waits until the condition holds, which the process brings about. Whoever calls it kills the process if it fails."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None:
            raise AssertionError("the process has ended before, with status %d" % process.returncode)
        if time.monotonic() > end:
            process.kill()
            raise AssertionError("the process is hung")
        time.sleep(0.02)


def has_content(path):
    return path.exists() and path.stat().st_size > 0


class Case(unittest.TestCase):
    def setUp(self):
        self.holder = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.holder.name)
        self.data = self.folder / "data.safetensors"
        self.out = self.folder / "run"
        write_safetensors(self.data, "activations", random_rows())

    def tearDown(self):
        self.holder.cleanup()

    def train(self, *arguments, out=None, **more):
        return hsae("train", "--data", self.data, "--out", out or self.out, *TINY, *arguments, **more)

    def checkpoints(self, out=None):
        return sorted(int(path.stem.split("-")[1]) for path in (out or self.out).glob("checkpoint-*"))

    def steps(self, out=None):
        return [json.loads(line)["step"] for line in ((out or self.out) / "metrics.jsonl").read_text().splitlines()]

    def assert_same_bytes(self, left, right):
        self.assertEqual(left.read_bytes(), right.read_bytes(), "%s and %s" % (left, right))

    def assert_no_litter(self):
        names = [path.name for path in self.folder.rglob("*") if path.name.startswith(".") or path.name.endswith(".tmp")]
        self.assertEqual(names, [])


def read_rows(path, name):
    """(rows, width, values) of one F32 matrix or vector."""
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    entry = json.loads(whole[8:start])[name]
    values = array.array("f")
    values.frombytes(whole[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]])
    return entry["shape"][0], entry["shape"][-1], values


def main(documentation):
    """Runs the tests of the calling file: FILE HSAE [TEST]..."""
    if len(sys.argv) < 2:
        sys.exit(documentation)
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[2:]])
