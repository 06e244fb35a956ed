#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drivers with peculiarities: test_drivers.py HSAE FOLDER

FOLDER holds the proxies of the loaders (tests/faults/faults.h), which make them of those that are installed: one like MoltenVK, which is not listed
without the flag for portability enumeration, cannot be opened without VK_KHR_portability_subset and fails where timestamps are asked for; it and Apple's
OpenCL for one GPU; one whose profiling is of no use; one of a device that has little of everything.
"""
import json
import re
import sys
import unittest

from program import DRIVERS, Case, hsae
from proxies import Proxy

OPENCL, VULKAN = (Proxy(sys.argv[2], device) for device in ("opencl:0", "vulkan:0"))


class Drivers(Case):
    def run_one(self, proxy, fault, *command, **more):
        return hsae(*command, environment={**DRIVERS, "HSAE_CACHE_DIR": str(self.folder / "cache"), **proxy.environment(fault), **more})[0]

    def devices(self, proxy, fault, **more):
        found = json.loads(self.run_one(proxy, fault, "devices", "--json", **more))
        return {device["id"]: device for device in found["devices"]}, found["default"]

    def kernel_seconds(self, proxy, fault, device, **more):
        """Of a step's launches."""
        path = self.folder / "bench.json"
        self.run_one(proxy, fault, "bench", "--preset", "tiny", "--steps", "1", "--device", device, "--json", path, **more)
        return [kernel["seconds"] for kernel in json.loads(path.read_text())["kernels"]]

    def check_training(self, proxy, fault, device):
        """It must make no difference."""
        for name, given in (("without", None), ("with", fault)):
            self.run_one(proxy, given, "train", "--data", self.data, "--levels", "8,16", "--batch", "8", "--steps", "9", "--target-l0", "2", "--device",
                         device, "--quiet", "--out", self.folder / name)
        self.assert_same_bytes(self.folder / "with" / "model.safetensors", self.folder / "without" / "model.safetensors")

    def test_portability(self):
        device = self.devices(VULKAN, "0 portability")[0]["vulkan:0"]
        self.assertTrue(device["driver"].startswith("MoltenVK"), device)
        self.assertIn("timestamps", device["quirks"][0]["quirk"])
        self.check_training(VULKAN, "0 portability", "vulkan:0")
        self.assertGreater(min(self.kernel_seconds(VULKAN, "0 portability", "vulkan:0")), 0)

    def test_one_gpu_two_drivers(self):
        found, default = self.devices(VULKAN, "0 apple")
        self.assertEqual((found["opencl:0"]["name"], found["vulkan:0"]["name"]), ("Apple M1", "Apple M1 (Metal)"))
        self.assertEqual((found["vulkan:0"]["same_as"], default), ("opencl:0", "opencl:0"))
        lines = self.run_one(VULKAN, "0 apple", "devices").splitlines()
        self.assertEqual([line.split()[0] for line in lines[0:6:2]], ["opencl:0", "vulkan:0", "ref"])
        self.assertTrue(lines[0].startswith("opencl:0 ") and lines[2].startswith("  vulkan:0 ") and lines[3].startswith(" " * 14))
        self.assertIn("the same GPU as opencl:0, by a driver that comes second: OpenCL comes first", lines[3])
        self.assertIn("by a driver preferred to that of vulkan:0", lines[-1])

    def test_useless_profiling(self):
        found, default = self.devices(OPENCL, "0 rusticl")
        self.assertTrue(found["opencl:0"]["driver"].startswith("rusticl"))
        self.assertEqual(default, "ref")
        self.assertEqual(self.devices(OPENCL, "0 rusticl", HSAE_QUIRKS="off")[1], "opencl:0")
        self.assertLess(max(self.kernel_seconds(OPENCL, "0 rusticl", "opencl:0", HSAE_QUIRKS="off")), 1e-6)
        self.assertGreater(min(self.kernel_seconds(OPENCL, "0 rusticl", "opencl:0")), 1e-6)
        self.check_training(OPENCL, "0 rusticl", "opencl:0")

    def check_small(self, proxy, device, limits):
        """Tensors in four buffers, the smallest lists and work-groups: the same bytes. What is larger is refused, with sizes that would fit."""
        found = self.devices(proxy, "0 small")[0][device]
        self.assertEqual({name: found[name] for name in limits}, limits)
        work = ["train", "--data", self.data, "--steps", "9", "--target-l0", "2", "--init-l0", "3", "--device", device, "--quiet"]
        for name, given in (("without", None), ("with", "0 small")):
            self.run_one(proxy, given, *work, "--levels", "40,120", "--batch", "32", "--out", self.folder / name)
        self.assert_same_bytes(self.folder / "with" / "model.safetensors", self.folder / "without" / "model.safetensors")
        environment = {**DRIVERS, **proxy.environment("0 small")}
        errors = hsae(*work, "--levels", "160,480", "--batch", "32", "--out", self.out, status=1, environment=environment)[1]
        self.assertRegex(errors, r"error: %s: the decoder needs \d+ bytes in at most 4 buffers, .* may have only %d bytes" %
                         (device, limits["max_binding_bytes"]))
        fitting = re.search(r"with --levels (\S+) it would fit %s" % device, errors)
        self.run_one(proxy, "0 small", *work, "--batch", "32", "--levels", fitting.group(1), "--out", self.out)

    def test_small_opencl(self):
        self.check_small(OPENCL, "opencl:0", {
            "memory_bytes": 1 << 20, "max_allocation_bytes": 8448, "max_binding_bytes": 8448, "max_bindings": 21, "max_args_bytes": 128,
            "max_group_size": 8, "max_local_bytes": 64})

    def test_small_vulkan(self):
        self.check_small(VULKAN, "vulkan:0", {
            "memory_bytes": 1 << 20, "max_allocation_bytes": 8448, "max_binding_bytes": 8192, "max_bindings": 21, "max_args_bytes": 128,
            "max_group_size": 8, "max_groups": [64, 64], "max_local_bytes": 64})


if __name__ == "__main__":
    if not OPENCL.exists or not VULKAN.exists:
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
