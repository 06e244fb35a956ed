#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A driver that loses work of large launches: test_first.py HSAE DEVICE FOLDER [KERNEL...]

FOLDER holds the proxies of the loaders (tests/faults/faults.h). Of each KERNEL's launches all work-groups but the first are lost, in a run of its own
(none given: of all kernels'). The self-test has passed by then, on a driver that was right: the fault is in a file, so that nothing else differs. Either the run ends in the step that was wrong, with nothing
saved, or its bytes are those of the undisturbed one: then no launch of that kernel was of several work-groups.
"""
import os
import subprocess
import sys
import unittest

from program import DRIVERS, PATIENCE, PROGRAM, Case, random_rows, write_safetensors
from proxies import Proxy

DEVICE, FOLDER, KERNELS = sys.argv[2], sys.argv[3], sys.argv[4:]
PROXY = Proxy(FOLDER, DEVICE)
# A tree after step 3, ghost gradients of several features from step 4 on: a controller that shifts thresholds would leave too few dead.
KEYS = ["--levels", "40,90", "--batch", "70", "--steps", "8", "--target-l0", "4", "--init-l0", "2", "--hierarchy-period", "3", "--dead-steps", "2",
        "--perturb", "0.3", "--sparsity-control", "penalty", "--decay-steps", "0", "--bandwidth", "0.05", "--rho", "0.2",
        "--lr", "0.01", "--device", DEVICE, "--quiet", "--log-every", "1", "--checkpoint-every", "1"]


class First(Case):
    def setUp(self):
        super().setUp()
        write_safetensors(self.data, "activations", random_rows(count=210, width=40))

    def run_hsae(self, fault, *words, **more):
        """One cache for all: what is known of the device was learnt from the undisturbed driver."""
        path = self.folder / "fault"
        path.write_text("%s %s" % (PROXY.loader, fault))
        environment = {**os.environ, **DRIVERS, "HSAE_CACHE_DIR": str(self.folder / "cache"), "HSAE_SELF_TEST": "",
                       **PROXY.environment("0 none"), "HSAE_FAULT": "@%s" % path, **more}
        return subprocess.run([PROGRAM, *words, "--data", str(self.data)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=environment, timeout=PATIENCE)

    def train(self, out, fault="0 none", **more):
        return self.run_hsae(fault, "train", *KEYS, "--out", str(out), **more)

    def assert_found(self, done, out):
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"hsae: error: %s .* computes wrong: in (step \d+ of this run .* is wrong: |a hierarchy update ).*; update the "
                                      r"driver or choose another device" % DEVICE)
        self.assertIn("HSAE_SELF_TEST=off uses the device all the same", done.stderr)
        self.assertFalse((out / "model.safetensors").exists())

    def test_lost_groups(self):
        whole, found, idle = self.folder / "whole", [], []
        done = self.train(whole)
        self.assertEqual(done.returncode, 0, done.stderr)
        for kernel in KERNELS or [None]:
            out = self.folder / ("run-%s" % kernel)
            with self.subTest(kernel=kernel):
                done = self.train(out, "1 drop %s" % (kernel or ""))
                if done.returncode:
                    self.assert_found(done, out)
                    found.append(kernel or "all")
                else:
                    self.assert_same_bytes(out / "model.safetensors", whole / "model.safetensors")
                    idle.append(kernel or "all")
        print("%s: lost work-groups found of %s; never lost any: %s" % (DEVICE, " ".join(found), " ".join(idle) or "none"))
        self.assertTrue(found)

    def test_sessions(self):
        """A finished model on such a driver: right features and figures, or none."""
        model, right, found = self.folder / "whole/model.safetensors", {}, 0
        self.assertEqual(self.train(self.folder / "whole").returncode, 0)
        for kernel in ["none", *(KERNELS or [""])]:
            for command, *more in (["eval", "--json"], ["encode", "--out", str(self.folder / "features.safetensors"), "--json"]):
                with self.subTest(kernel=kernel, command=command):
                    done = self.run_hsae("0 none" if kernel == "none" else "1 drop %s" % kernel, command, "--model", str(model), *more,
                                         "--device", DEVICE, "--quiet")
                    if kernel == "none":
                        self.assertEqual(done.returncode, 0, done.stderr)
                        right[command] = done.stdout
                    elif done.returncode:
                        self.assertRegex(done.stderr, r"hsae: error: %s .* computes wrong: " % DEVICE)
                        found += 1
                    else:
                        self.assertEqual(done.stdout, right[command])
        self.assertTrue(found)

    def test_a_penalty_beyond_float32(self):
        """A run that diverges in its first step: no driver is to blame."""
        done = self.run_hsae("0 none", "train", *KEYS, "--out", str(self.out), "--target-l0", "1e-30", "--bandwidth", "0.5")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("the training diverged at step ", done.stderr)

    def test_unchecked(self):
        self.assertEqual(self.train(self.folder / "whole").returncode, 0)
        if not KERNELS:
            return
        done = self.train(self.out, "1 drop bias", HSAE_SELF_TEST="off")
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    if not PROXY.exists:
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
