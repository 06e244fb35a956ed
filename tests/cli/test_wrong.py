#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A driver whose compiler gets the N-th kernel wrong: test_wrong.py HSAE DEVICE FOLDER STRIDE

FOLDER holds the proxies of the loaders (tests/faults/faults.h). Each STRIDE-th kernel of a run is wrong in turn: the device is refused, or the run ends
with the bytes of the undisturbed one.
"""
import json
import os
import subprocess
import sys
import unittest

from program import DRIVERS, PATIENCE, PROGRAM, Case
from proxies import Proxy

DEVICE, FOLDER, STRIDE = sys.argv[2], sys.argv[3], int(sys.argv[4])
PROXY = Proxy(FOLDER, DEVICE)


class Wrong(Case):
    def run_one(self, command, fault=None, count=None, **more):
        """Without a cache: nothing is known of the device, and the process that tests it and the one that trains compile alike."""
        environment = {**os.environ, **DRIVERS, "HSAE_CACHE_DIR": "", "HSAE_SELF_TEST": "", **PROXY.environment(fault, count), **more}
        return subprocess.run([PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, timeout=PATIENCE)

    def train(self, out, *arguments, **more):
        return self.run_one(["train", "--data", str(self.data), "--levels", "8,16", "--batch", "8", "--steps", "9", "--target-l0", "2", "--device",
                             DEVICE, "--quiet", "--out", str(out)], *arguments, **more)

    def test_kernels(self):
        whole, count = self.folder / "whole", self.folder / "count"
        done = self.train(whole, "0 wrong", count)
        self.assertEqual(done.returncode, 0, done.stderr)
        total, refused = int(count.read_text()), []
        self.assertGreater(total, 10)
        for number in range(1, total + 1, STRIDE):
            out, fault = self.folder / ("run-%d" % number), "%d wrong" % number
            done = self.train(out, fault)
            if done.returncode == 0:
                self.assert_same_bytes(out / "model.safetensors", whole / "model.safetensors")
                continue
            refused.append(fault)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, r"hsae: error: %s .* computes wrong: .* update the driver or choose another device" % DEVICE)
            self.assertIn("HSAE_SELF_TEST=off uses the device all the same", done.stderr)
            self.assertFalse((out / "model.safetensors").exists())
        print("%s: %d of %d kernels compiled wrong: refused %s" % (DEVICE, len(range(1, total + 1, STRIDE)), total, ", ".join(refused)))
        self.assertTrue(refused)
        self.check_refused(refused[0], whole)

    def check_refused(self, fault, whole):
        done = self.run_one(["devices", "--test", "--json"], fault)
        self.assertEqual(done.returncode, 1, done.stderr)
        verdicts = {device["id"]: device["self_test"] for device in json.loads(done.stdout)["devices"]}
        self.assertEqual(verdicts.pop(DEVICE), "failed")
        self.assertEqual(set(verdicts.values()), {"passed"})
        forced = self.folder / "forced"
        done = self.train(forced, fault, HSAE_SELF_TEST="off")
        if done.returncode: # wrong enough to be noticed without a reference
            self.assertIn("the training diverged", done.stderr)
            return
        self.assertNotEqual((forced / "model.safetensors").read_bytes(), (whole / "model.safetensors").read_bytes())


if __name__ == "__main__":
    if not PROXY.exists:
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
