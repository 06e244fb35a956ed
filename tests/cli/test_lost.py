#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A driver that fails at its N-th call: test_lost.py HSAE DEVICE FOLDER STRIDE | --first N

FOLDER holds the proxies of the loaders (tests/faults/faults.h). Whatever fails, and when: an error and no crash, no leak, no file half written; and
where there was a checkpoint, the command that is printed ends with the bytes of the undisturbed run. Every STRIDE-th call fails in turn, each in
another way; or each of the first N calls in every way.
"""
import os
import re
import shlex
import subprocess
import sys
import unittest

from program import PATIENCE, PROGRAM, Case
from proxies import Proxy

DEVICE, FOLDER = sys.argv[2:4]
FIRST = int(sys.argv[5]) if sys.argv[4] == "--first" else 0
STRIDE = 1 if FIRST else int(sys.argv[4])
KINDS = ("lost", "memory", "host", "build")
BACKEND = DEVICE.split(":")[0]
PROXY = Proxy(FOLDER, DEVICE)
# Of leaks: those whose memory this library or program asked for itself; drivers have their own.
OWN_LEAK = re.compile(r"^(?:Direct|Indirect) leak of .*\n +#0 .*\n +#1 \S+ in \S+ \.\./(?:src|tools)/.*$", re.M)


class Lost(Case):
    def run_one(self, command, fault=None, count=None):
        options = ":exitcode=99:detect_leaks=%d" % (count is None)  # the leak checker ends the process before it counts
        environment = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + options, "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99",
                       "HSAE_CACHE_DIR": str(self.folder / "cache"), "HSAE_WAIT_SECONDS": "20", **PROXY.environment(fault, count)}
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, timeout=PATIENCE)

    def check_memory(self, fault, done):
        leaks = OWN_LEAK.findall(done.stderr)
        self.assertEqual(leaks, [], "%s: %s" % (fault, done.stderr[-3000:]))
        self.assertTrue(done.returncode in (0, 1) or "LeakSanitizer" in done.stderr, "%s: status %d: %s" % (fault, done.returncode, done.stderr[-3000:]))
        self.assertNotIn("runtime error", done.stderr)

    def faults(self, command):
        """As HSAE_FAULT takes them."""
        count = self.folder / "count"
        done = self.run_one(command, count=count)
        self.check_memory("none", done)
        total = int(count.read_text())
        self.assertGreater(total, 100)
        if FIRST:
            return total, ["%d %s" % (number, kind) for number in range(1, FIRST + 1) for kind in KINDS]
        return total, ["%d %s" % (number, KINDS[k % len(KINDS)]) for k, number in enumerate(range(1, total + 1, STRIDE))]

    def test_training(self):
        whole = self.folder / "whole"
        command = [PROGRAM, "train", "--data", str(self.data), "--levels", "8,16", "--batch", "8", "--steps", "9", "--target-l0", "2",
                   "--checkpoint-every", "2", "--device", DEVICE, "--quiet", "--out"]
        total, faults = self.faults([*command, str(whole)])
        errors, gone_on, survived = 0, 0, 0
        for fault in faults:
            out = self.folder / ("run-" + fault.replace(" ", "-"))
            done = self.run_one([*command, str(out)], fault)
            self.check_memory(fault, done)
            self.assertEqual([path.name for path in self.folder.rglob("*.tmp")], [])
            if "hsae: error" not in done.stderr:
                self.assertTrue((out / "model.safetensors").exists(), "%s: status %d: %s" % (fault, done.returncode, done.stderr))
                survived += 1
                self.assert_same_bytes(out / "model.safetensors", whole / "model.safetensors")
                continue
            errors += 1
            self.assertRegex(done.stderr, "hsae: error: .*(%s|device|OpenCL|Vulkan|memory)" % BACKEND, fault)
            if "its checkpoint of step" not in done.stderr:
                continue
            gone_on += 1
            line, = [line for line in done.stderr.splitlines() if line.startswith("  hsae train")]
            again = self.run_one([PROGRAM, *shlex.split(line)[1:]])
            self.check_memory(fault + ", resumed", again)
            self.assertNotIn("hsae: error", again.stderr)
            self.assert_same_bytes(out / "model.safetensors", whole / "model.safetensors")
        self.assertGreater(errors, 0)
        print("%s: %d of %d calls failed: %d errors, after %d a checkpoint was gone on from; %d made no difference" %
              (DEVICE, len(faults), total, errors, gone_on, survived))

    def test_other_commands(self):
        model = self.folder / "run"
        self.assertEqual(self.run_one([PROGRAM, "train", "--data", str(self.data), "--levels", "8,16", "--batch", "8", "--steps", "9", "--target-l0", "2",
                                       "--device", "ref", "--quiet", "--out", str(model)]).returncode, 0)
        for name, more in (("eval", []), ("encode", ["--out", str(self.folder / "features.safetensors")]), ("devices", None)):
            command = [PROGRAM, name] if more is None else [PROGRAM, name, "--model", str(model / "model.safetensors"), "--data", str(self.data),
                                                            "--device", DEVICE, "--quiet", *more]
            count = self.folder / "count"
            self.run_one(command, count=count)
            for k, number in enumerate(range(1, int(count.read_text()) + 1, 3 * STRIDE) if not FIRST else range(1, FIRST + 1)):
                fault = "%d %s" % (number, KINDS[k % len(KINDS)])
                self.check_memory(name + " " + fault, self.run_one(command, fault))
                self.assertEqual([path.name for path in self.folder.rglob("*.tmp")], [])


if __name__ == "__main__":
    if not PROXY.exists:
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
