#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hsae train on several devices. test_together.py HSAE [TEST]..."""
import json
import os
import subprocess
import time

from program import DRIVERS, PROGRAM, Case, hsae, main, random_rows, read_rows, until, write_safetensors

# Trees move twice, some features are dead, others are replaced by their children.
MODEL = ["--levels", "24,40,72", "--batch", "80", "--steps", "36", "--target-l0", "1", "--shards", "8", "--hierarchy-period", "12",
         "--dead-steps", "2", "--perturb", "0.2", "--rho", "0.05", "--log-every", "4", "--checkpoint-every", "18"]


class Together(Case):
    def setUp(self):
        super().setUp()
        write_safetensors(self.data, "activations", random_rows(400, 20))

    def on(self, devices, name, *more, status=0):
        """The folder of a run."""
        out = self.folder / name
        self.errors = hsae("train", "--data", self.data, "--out", out, *MODEL, "--device", devices, *more, status=status, environment=DRIVERS)[1]
        return out

    def assert_same_files(self, left, right):
        for name in ("model.safetensors", "checkpoint-36.safetensors"):
            self.assert_same_bytes(left / name, right / name)

    def assert_same_run(self, left, right):
        self.assert_same_files(left, right)
        for one, other in zip(*((folder / "metrics.jsonl").read_text().splitlines() for folder in (left, right))):
            for a, b in zip(json.loads(one)["levels"], json.loads(other)["levels"]):
                self.assertAlmostEqual(a.pop("constraint"), b.pop("constraint"), delta=1e-4)
                self.assertEqual(a, b)

    def test_reference(self):
        alone = self.on("ref", "alone")
        dead = [level["dead"] for line in (alone / "metrics.jsonl").read_text().splitlines() for level in json.loads(line)["levels"]]
        self.assertTrue(any(dead), "no feature was dead")
        for count in (2, 4, 8):
            self.assert_same_run(alone, self.on(",".join(["ref"] * count), str(count)))

    def test_binary_tree(self):
        more = ["--tree", "binary", "--similarity", "decoder"]
        self.assert_same_run(self.on("ref", "alone", *more), self.on("ref,ref,ref,ref", "four", *more))

    def test_drivers(self):
        """Each has its own order of sums; on Vulkan the pairs of a feature are cut into segments, whose length all devices must agree on."""
        for device in ("opencl:0", "vulkan:0"):
            more = ["--batch", "320", "--steps", "14"] if device == "vulkan:0" else []
            alone, two = self.on(device, device, *more), self.on(",".join([device] * 2), device + " twice", *more)
            for name in ("model.safetensors", "checkpoint-%s.safetensors" % (more[-1] if more else "36")):
                self.assert_same_bytes(alone / name, two / name)

    def test_unlike(self):
        """Devices of several kinds stay together: what they compute of the bias, each for itself, is the first one's."""
        alone = read_rows(self.on("ref", "alone", "--steps", "10") / "model.safetensors", "levels.0.decoder.bias")[2]
        unlike = read_rows(self.on("ref,opencl:0", "unlike", "--steps", "10") / "model.safetensors", "levels.0.decoder.bias")[2]
        for a, b in zip(alone, unlike):
            self.assertAlmostEqual(a, b, delta=1e-3)

    def test_resume(self):
        """A checkpoint does not know how many devices there were."""
        alone = self.on("ref", "alone")
        for first, then in (("ref,ref", "ref,ref,ref,ref"), ("ref", "ref,ref"), ("ref,ref,ref,ref", "ref")):
            self.on(first, "part " + first + then, "--stop-after", "18")
            self.assert_same_files(alone, self.on(then, "part " + first + then, "--resume", "auto"))

    def test_killed(self):
        """Whatever the threads were at, the last checkpoint is whole, and another number of devices goes on from it to the same bytes."""
        more = ["--steps", "150", "--checkpoint-every", "30"]
        alone = self.on("ref", "alone", *more)
        for kills, (first, then) in enumerate((("ref,ref,ref,ref", "ref,ref"), ("ref,ref", "ref"))):
            out = self.folder / ("killed %d" % kills)
            process = subprocess.Popen([PROGRAM, "train", "--data", str(self.data), "--out", str(out), *MODEL, *more, "--device", first],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **DRIVERS})
            until(lambda: any(out.glob("checkpoint-*.safetensors")), process)
            time.sleep(0.007 * kills)
            process.kill()
            process.wait()
            self.on(then, out.name, *more, "--resume", "auto")
            self.assert_same_bytes(alone / "model.safetensors", out / "model.safetensors")

    def test_refused(self):
        for devices, more, status, words in (("ref,ref,ref", [], 2, "3 devices, and shards = 8"),
                                             ("ref,ref", ["--shards", "1"], 2, "2 devices, and shards = 1"),
                                             ("ref,ref", ["--similarity", "coactivation"], 2, "need one device"),
                                             ("ref,ref", ["--dry-run"], 2, "--dry-run plans for one device"),
                                             ("ref,", [], 1, "there is no device"),
                                             ("ref,opencl:99", [], 1, "there is no device opencl:99")):
            self.on(devices, "refused", *more, status=status)
            self.assertIn(words, self.errors)
        # Two trees cannot be on four devices.
        self.on("ref,ref,ref,ref", "refused", "--levels", "2,4", "--tree", "full", "--target-l0", "1", "--shards", "4", status=2)
        self.assertIn("too few trees for 4 devices", self.errors)
        self.on("ref", "one")
        self.assertIn("there is no device ref,ref", hsae("eval", "--model", self.folder / "one", "--data", self.data, "--device", "ref,ref", status=1)[1])


if __name__ == "__main__":
    main(__doc__)
