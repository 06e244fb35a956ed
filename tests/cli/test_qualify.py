#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/qualify, packed and moved elsewhere: test_qualify.py HSAE [TEST]..."""
import getpass
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from program import DRIVERS, PATIENCE, PROGRAM, has_content, main, until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(PROGRAM).parent.parent
FAKE_CHECKGPU = """#!/bin/sh
case "$*" in
--list) printf 'load\\nbias\\nupdate\\n';;
*"--kernel load"*) echo "ref load           ok,  3 cases, at most 0.10 of the tolerance";;
*"--kernel bias"*) echo "ref bias           FAIL, case 2: seed 1"; exit 1;;
*) exec sleep 600;;
esac
"""
LITTLE_GOLDEN = """import sys
print("ok    train/one")
print("%s  train/two" % ("FAIL" if "wrong" in sys.argv[0] else "ok  "))
sys.exit(0)
"""


class Qualify(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        packed = pathlib.Path(cls.scratch.name) / "packed"
        subprocess.run([sys.executable, ROOT / "tools/qualify/pack.py", BUILD, packed], check=True, stdout=subprocess.DEVNULL)
        cls.folder = packed.rename(pathlib.Path(cls.scratch.name) / "elsewhere")
        (cls.folder / "tests/golden/run_golden.py").write_text(LITTLE_GOLDEN)
        (cls.folder / "tests/checkgpu").write_text(FAKE_CHECKGPU)
        cls.report = cls.folder.parent / "report.json"

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def command(self, *arguments):
        return [sys.executable, str(self.folder / "qualify.py"), "--report", str(self.report), *map(str, arguments)]

    def qualify(self, *arguments, status=0):
        """Standard output, what was reported, and standard error; status None: any."""
        self.report.unlink(missing_ok=True)
        done = subprocess.run(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
                              env={**os.environ, **DRIVERS}, cwd=self.folder.parent)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout, json.loads(self.report.read_text()) if self.report.exists() else None, done.stderr

    def test_report(self):
        output, report, _ = self.qualify("--device", "ref", "--stages", "golden,again", "--budget", "3000")
        self.assertEqual(report["schema"], 1)
        self.assertEqual([(one["name"], one["status"]) for one in report["stages"]],
                         [("again", "left out: stage shapes has no result"), ("golden", "passed")])
        self.assertEqual(report["stages"][1]["result"], {"passed": True, "cases": 2, "failed": []})
        self.assertGreater(report["host"]["cores"], 0)
        text = self.report.read_text()
        for secret in (self.scratch.name, os.path.expanduser("~"), getpass.getuser(), os.uname().nodename):
            self.assertNotRegex(text, r"(?<!\w)%s(?!\w)" % re.escape(secret))
        self.assertIn("golden     ref", output)

    def test_wrong_kernel(self):
        for budget in (16, 160, 1600):  # a busy machine takes all of the first to list devices
            _, report, _ = self.qualify("--device", "ref", "--stages", "right", "--budget", budget, status=None)
            stage, = report["stages"]
            if stage["status"] == "failed":
                break
        self.assertEqual(stage["status"], "failed")
        self.assertEqual({name: one["passed"] for name, one in stage["result"]["kernels"].items()}, {"load": True, "bias": False})
        self.assertEqual(stage["result"]["not_reached"], ["update"])

    def test_no_time(self):
        _, report, _ = self.qualify("--device", "ref", "--stages", "golden", "--budget", "1")
        self.assertIn("left out", report["stages"][0]["status"])

    def test_killed(self):
        self.report.unlink(missing_ok=True)
        process = subprocess.Popen(self.command("--device", "ref", "--stages", "golden,right"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env={**os.environ, **DRIVERS}, start_new_session=True)
        try:
            until(lambda: has_content(self.report), process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.assertIn("ref", [device["id"] for device in json.loads(self.report.read_text())["devices"]])

    def test_training(self):
        """The real program, on the reference: a run, its twin, one that stops and resumes."""
        _, report, _ = self.qualify("--device", "ref", "--stages", "training", "--budget", "3000")
        result = report["stages"][0]["result"]
        self.assertTrue(result["resumed_to_the_same_bytes"])
        self.assertEqual(result["here"], result["reference"])

    def test_merge(self):
        _, report, _ = self.qualify("--device", "ref", "--stages", "golden", "--budget", "3000")
        kept = self.folder.parent / "kept.json"
        shutil.copy(self.report, kept)
        table, _, _ = self.qualify("--merge", str(kept), str(kept))
        lines = table.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual({line.count("|") for line in lines}, {13})
        self.assertIn("| 2 of 2 |", lines[2])
        for text in ("", "[]", "{}", '{"schema": 2, "stages": [], "devices": []}', '{"schema": 1, "stages": [1], "devices": []}'):
            kept.write_text(text)
            self.assertIn("is no report of qualify", self.qualify("--merge", str(kept), status=1)[2])
        self.assertIn("No such file", self.qualify("--merge", "nowhere.json", status=1)[2])

    def test_mistakes(self):
        self.assertIn("there is no device opencl:99", self.qualify("--device", "opencl:99", status=77)[2])
        self.assertIn("there is no stage speed; there are right, step", self.qualify("--stages", "speed", status=2)[2])
        packing = [sys.executable, str(ROOT / "tools/qualify/pack.py"), str(BUILD), str(self.folder)]
        self.assertIn("exists", subprocess.run(packing, stderr=subprocess.PIPE, text=True).stderr)
        packing[2] = self.scratch.name
        self.assertIn("build it first", subprocess.run([*packing[:3], self.scratch.name + "/new"], stderr=subprocess.PIPE, text=True).stderr)


if __name__ == "__main__":
    main(__doc__)
