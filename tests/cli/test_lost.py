#!/usr/bin/env python3
"""An OpenCL device that is lost, or out of resources, at one of its first calls or in mid-run: test_lost.py HSAE opencl_faults.so [STRIDE]"""
import os
import shlex
import subprocess
import sys
import unittest

from program import DRIVERS, PROGRAM, Case

FAULTS, STRIDE = sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1
LOST, NO_MEMORY = -2, -4  # CL_DEVICE_NOT_AVAILABLE, CL_MEM_OBJECT_ALLOCATION_FAILURE


class Lost(Case):
    def run_one(self, command, fault=None):
        environment = {**os.environ, **DRIVERS}
        if fault:
            environment.update(LD_PRELOAD=FAULTS, HSAE_FAULT=fault)
            environment["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    def test_every_call(self):
        whole = self.folder / "whole"
        command = [PROGRAM, "train", "--data", str(self.data), "--levels", "8,16", "--batch", "8", "--steps", "9", "--target-l0", "2",
                   "--checkpoint-every", "2", "--device", "opencl:0", "--quiet"]
        self.assertEqual(self.run_one([*command, "--out", str(whole)]).returncode, 0)
        goes_on = 0
        for number in range(1, 400, STRIDE):
            out = self.folder / ("run-%d" % number)
            done = self.run_one([*command, "--out", str(out)], "%d %d" % (number, LOST if number % 2 else NO_MEMORY))
            self.assertEqual(done.returncode, 1, "call %d: %s" % (number, done.stderr))
            self.assertIn("hsae: error: opencl:0", done.stderr)
            if "its checkpoint of step" not in done.stderr:
                continue
            goes_on += 1
            self.assertIn("the device was lost; " if number % 2 else "close what else uses the device's memory", done.stderr)
            line, = [line for line in done.stderr.splitlines() if line.startswith("  hsae train")]
            again = self.run_one([PROGRAM, *shlex.split(line)[1:]])
            self.assertEqual((again.returncode, again.stderr), (0, ""))
            self.assert_same_bytes(out / "model.safetensors", whole / "model.safetensors")
        self.assert_no_litter()
        print("a device lost at %d calls; %d times there was a checkpoint to go on from" % (len(range(1, 400, STRIDE)), goes_on))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
