#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disks that are full, and files that cannot be synced, renamed or removed: test_full.py HSAE file_faults.so [TEST]... The full disk is a real
one, a small tmpfs in a mount namespace of this test's own."""
import ctypes
import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

from program import DRIVERS, EVAL, PROGRAM, Case, random_rows, write_safetensors
from test_kill import metrics

FAULTS = sys.argv[2] if len(sys.argv) > 2 else None
LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = 4096
ROOM = "No space left on device; make room there or choose another place, then try again"


def mount(folder, pages, remount=False):
    if LIBC.mount(b"none", os.fsencode(folder), b"tmpfs", 32 if remount else 0, b"size=%d" % (pages * PAGE)):
        raise OSError(ctypes.get_errno(), "mount")


class Full(Case):
    def setUp(self):
        super().setUp()
        write_safetensors(self.data, "activations", random_rows(200))
        self.disk = self.folder / "disk"
        self.disk.mkdir()

    def command(self, out):
        return [PROGRAM, "train", "--data", str(self.data), "--out", str(out), "--levels", "32,96", "--batch", "16", "--target-l0", "2", "--steps",
                "8", "--log-every", "1", "--checkpoint-every", "2", "--device", "ref", "--resume", "auto", "--quiet"]

    def run_one(self, command, **environment):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **DRIVERS, **environment})
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode, done.stderr

    def assert_whole(self, folder):
        """All files by their names."""
        for path in folder.rglob("*"):
            self.assertFalse(path.name.endswith(".tmp"), path)
            if path.suffix == ".safetensors":
                subprocess.run([PROGRAM, "info", path], check=True, stdout=subprocess.DEVNULL)
        if (folder / "config.json").exists():
            json.loads((folder / "config.json").read_text())

    def assert_same_end(self, out, whole):
        for path in whole.glob("*.safetensors"):
            self.assert_same_bytes(path, out / path.name)
        self.assertEqual(metrics(out), metrics(whole))

    def test_training_on_a_full_disk(self):
        """Disks that fill up after any number of bytes: the last write fails, old files stay, and with more room the run ends with the same bytes."""
        whole = self.folder / "whole"
        ended = self.run_one(self.command(whole))
        self.assertEqual(ended[0], 0)
        out, failed, broken_off = self.disk / "run", set(), 0
        for pages in range(2, 1000):
            mount(self.disk, pages)
            try:
                status, errors = self.run_one(self.command(out))
                if status == 0:
                    break
                self.assertIn(ROOM, errors)
                failed |= {name for name in ("metrics.jsonl", "checkpoint-") if "%s/%s" % (out, name) in errors}
                self.assert_whole(self.disk)
                command = self.command(out)
                if "the run broke off; its checkpoint of step" in errors:
                    broken_off += 1
                    line, = [line for line in errors.splitlines() if line.startswith("  hsae train")]
                    command = [PROGRAM, *shlex.split(line)[1:]]
                mount(self.disk, 1000, remount=True)
                self.assertEqual(self.run_one(command), ended)
                self.assert_same_end(out, whole)
            finally:
                LIBC.umount(os.fsencode(self.disk))
        self.assertTrue({"metrics.jsonl", "checkpoint-"} <= failed, failed)
        self.assertGreater(broken_off, 0)

    def test_model_on_a_full_disk(self):
        """With room for its one checkpoint, but not for the model beside it."""
        whole, out = self.folder / "whole", self.disk / "run"
        command = [*self.command(out), "--checkpoint-every", "8"]
        self.assertEqual(self.run_one(self.command(whole))[0], 0)
        mount(self.disk, 6 + (whole / "checkpoint-8.safetensors").stat().st_size // PAGE)
        try:
            status, errors = self.run_one(command)
            self.assertEqual(status, 1)
            self.assertIn("%s/model.safetensors: cannot be written: %s" % (out, ROOM), errors)
            self.assertEqual(self.checkpoints(out), [8])
            self.assert_whole(out)
            mount(self.disk, 1000, remount=True)
            self.assertEqual(self.run_one(command)[0], 0)
            self.assert_same_bytes(whole / "model.safetensors", out / "model.safetensors")
        finally:
            LIBC.umount(os.fsencode(self.disk))

    def test_metrics_on_a_full_disk(self):
        """A line that is lost is not lost for good: no checkpoint is written after it."""
        whole, out = self.folder / "whole", self.disk / "run"
        command = [*self.command(out), "--steps", "300", "--checkpoint-every", "300"]
        self.assertEqual(self.run_one([word if word != str(out) else str(whole) for word in command])[0], 0)
        mount(self.disk, (whole / "metrics.jsonl").stat().st_size // (2 * PAGE))
        try:
            status, errors = self.run_one(command)
            self.assertEqual(status, 1)
            self.assertIn("cannot write %s/metrics.jsonl: %s" % (out, ROOM), errors)
            self.assertEqual(self.checkpoints(out), [])
            mount(self.disk, 1000, remount=True)
            self.assertEqual(self.run_one([*command, "--force"])[0], 0)
            self.assert_same_end(out, whole)
        finally:
            LIBC.umount(os.fsencode(self.disk))

    def test_encoding_on_a_full_disk(self):
        out = self.disk / "features.safetensors"
        command = [PROGRAM, "encode", "--model", EVAL / "model.safetensors", "--data", EVAL / "data.safetensors", "--device", "ref", "--out", out,
                   "--quiet"]
        failures = 0
        for pages in range(2, 1000):
            mount(self.disk, pages)
            try:
                out.write_text("old")
                status, errors = self.run_one(command)
                if status == 0:
                    break
                failures += 1
                self.assertIn("features.safetensors", errors)
                self.assertIn(ROOM, errors)
                self.assertEqual(out.read_text(), "old")
                self.assertEqual([path.name for path in self.disk.iterdir()], [out.name])
            finally:
                LIBC.umount(os.fsencode(self.disk))
        self.assertGreater(failures, 2)

    def outputs(self):
        """(output, command that writes it) of the commands that write a file, or a folder of files, from a run."""
        run, tokens = self.folder / "made", self.folder / "tokens.jsonl"
        self.assertEqual(self.run_one(self.command(run))[0], 0)
        tokens.write_text(json.dumps({"tokens": ["a", "b"] * 100}) + "\n")
        model = run / "model.safetensors"
        explore = ["explore", "--model", model, "--data", self.data, "--device", "ref", "--quiet"]
        return [("page.html", ["report", run, "--quiet", "--out"]),
                ("features.csv", ["eval", "--model", model, "--data", self.data, "--device", "ref", "--quiet", "--per-feature"]),
                ("explorer.html", [*explore, "--out"]),
                ("tree.svg", [*explore, "--figure", "0/0", "--out"]),
                ("pairs.jsonl", [*explore, "--pairs", "20", "--out"]),
                ("dashboards", [*explore, "--neuronpedia"]),
                ("saes", ["export", "--model", model, "--quiet"])]

    @staticmethod
    def contents(path):
        """Of a file, or of a folder's files by name."""
        return path.read_bytes() if path.is_file() else {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}

    def test_outputs_on_a_full_disk(self):
        """The old file stays or the new one is whole; no temporary file is left; with more room the command gives the same result."""
        for name, words in self.outputs():
            command, whole, failures = [PROGRAM, *words], self.folder / name, 0
            self.assertEqual(self.run_one([*command, whole])[0], 0)
            expected, out, pages = self.contents(whole), self.disk / name, 2
            while True:
                mount(self.disk, pages)
                try:
                    if whole.is_file():
                        out.write_text("old")
                    status, errors = self.run_one([*command, out])
                    if status == 0:
                        self.assertEqual(self.contents(out), expected)
                        break
                    failures += 1
                    self.assertIn(ROOM, errors)
                    self.assertIn(str(out), errors)
                    if whole.is_file():
                        self.assertEqual(out.read_text(), "old")
                        self.assertEqual([path.name for path in self.disk.iterdir()], [out.name])
                    elif out.exists():
                        for path, content in self.contents(out).items():
                            self.assertEqual(content, expected[path], path)
                finally:
                    LIBC.umount(os.fsencode(self.disk))
                pages += pages // 2
            self.assertGreater(failures, 0, name)


class Faults(Full):
    """One call fails; the run that resumes ends with the same bytes."""
    test_training_on_a_full_disk = test_metrics_on_a_full_disk = test_model_on_a_full_disk = test_encoding_on_a_full_disk = None
    test_outputs_on_a_full_disk = None

    def sweep(self, call, error, most, stride=1):
        whole = self.folder / "whole"
        self.assertEqual(self.run_one(self.command(whole))[0], 0)
        environment = {"LD_PRELOAD": FAULTS, "ASAN_OPTIONS": DRIVERS["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}
        failures = 0
        for number in range(1, most, stride):
            out = self.folder / ("%s-%d" % (call, number))
            status, errors = self.run_one(self.command(out), HSAE_FAULT="%s %d %d" % (call, number, error), **environment)
            if status:
                failures += 1
                self.assertIn(os.strerror(error), errors)
                self.assertTrue(str(out) in errors or "standard output" in errors, errors)
            for path in out.rglob("*.tmp"):
                self.assertEqual(call, "unlink")
            self.assertEqual(self.run_one(self.command(out))[0], 0)
            self.assert_whole(out)
            self.assert_same_end(out, whole)
        self.assertGreater(failures, 3)
        print("%s: %d failures" % (call, failures))

    def test_fsync(self):
        self.sweep("fsync", errno.EIO, 40)

    def test_rename(self):
        self.sweep("rename", errno.EACCES, 20)

    def test_unlink(self):
        self.sweep("unlink", errno.EPERM, 40)

    def test_outputs(self):
        """The same of commands that write one output."""
        environment = {"LD_PRELOAD": FAULTS, "ASAN_OPTIONS": DRIVERS["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}
        for name, words in self.outputs():
            whole = self.folder / name
            self.assertEqual(self.run_one([PROGRAM, *words, whole])[0], 0)
            expected, place = self.contents(whole), self.folder / "place"
            for call in ("fsync", "rename"):
                place.mkdir()
                status, errors = self.run_one([PROGRAM, *words, place / name], HSAE_FAULT="%s 1 %d+" % (call, errno.EIO), **environment)
                self.assertEqual(status, 1, errors)
                self.assertIn(os.strerror(errno.EIO), errors)
                self.assertEqual([path for path in place.rglob("*") if path.name.startswith(".")], [])
                self.assertEqual(self.run_one([PROGRAM, *words, place / name])[0], 0)
                self.assertEqual(self.contents(place / name), expected)
                shutil.rmtree(place)

    def test_any(self):
        self.sweep("any", errno.EIO, 900, 37)


if __name__ == "__main__":
    if "--inside" not in sys.argv:
        command = ["unshare", "--map-root-user", "--mount", sys.executable, __file__, *sys.argv[1:], "--inside"]
        if subprocess.run([*command[:3], "true"]).returncode:
            sys.exit(77)  # no namespaces here, so no disk of our own
        os.execvp(command[0], command)
    sys.argv.remove("--inside")
    tempfile.tempdir = tempfile.mkdtemp()  # everything else is in memory: hundreds of runs wait for their files
    mount(tempfile.tempdir, 50000)
    result = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], exit=False).result
    LIBC.umount(os.fsencode(tempfile.tempdir))
    os.rmdir(tempfile.tempdir)
    sys.exit(not result.wasSuccessful())
