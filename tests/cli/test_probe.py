#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drivers that crash, hang or are not there: test_probe.py HSAE FOLDER

FOLDER holds the proxies of the loaders (tests/faults/faults.h), whose N-th call crashes or hangs, and bad_driver.so, which ends the process that loads
it. Drivers are tried in a child process: a command that does not ask for the device goes on with another one, and says why.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest

from program import DRIVERS, PATIENCE, PROGRAM, Case, hsae
from proxies import Proxy

FOLDER = pathlib.Path(sys.argv[2])
OPENCL, VULKAN = (Proxy(sys.argv[2], device) for device in ("opencl:0", "vulkan:0"))
# A hang is seen after a twelfth, which is long for a driver and short for a test.
WAIT = "24"
# The call with which a device is opened, or nearly: listing makes fewer calls.
OPENING = 55
ENDS = {"crash": r"it crashes: signal 11 \(SIGSEGV\)", "abort": r"it crashes: signal 6 \(SIGABRT\)", "hang": "it hangs: no progress in 2 s"}


def other_processes():
    """Processes of `hsae __probe`."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if len(words) > 2 and words[1] == b"__probe" and os.path.basename(words[0]) == os.path.basename(PROGRAM).encode():
            found.append(int(path.parent.name))
    return found


class Probe(Case):
    def setUp(self):
        super().setUp()
        self.cache = self.folder / "cache"

    def environment(self, proxy=None, fault=None, **more):
        """A cache folder of the test's own: nothing is known of the drivers."""
        base = {**DRIVERS, "HSAE_CACHE_DIR": str(self.cache), "HSAE_SELF_TEST": "", "HSAE_DEVICE": "", "HSAE_WAIT_SECONDS": WAIT}
        return {**base, **(proxy or OPENCL).environment(fault), **more}

    def run_one(self, environment, *command, **more):
        return hsae(*command, environment=environment, **more)

    def train_any(self, environment, name, *arguments, **more):
        """On the default device, whichever it is."""
        return self.run_one(environment, "train", "--data", self.data, "--out", self.folder / name, "--levels", "8,16", "--batch", "8", "--steps", "9",
                            "--target-l0", "2", *arguments, **more)[1]

    def devices(self, environment, *arguments, **more):
        out, errors = self.run_one(environment, "devices", "--json", *arguments, **more)
        found = json.loads(out)
        return {device["id"]: device for device in found["devices"]}, found["default"], found["problems"], errors

    # ---- while devices are listed ----

    def check_listing(self, proxy, backend, kind):
        title = {"opencl": "OpenCL", "vulkan": "Vulkan"}[backend]
        other = {"opencl": {"VK_DRIVER_FILES": "/nowhere.json"}, "vulkan": {"OCL_ICD_VENDORS": "/nowhere.icd"}}[backend]
        environment = self.environment(proxy, "2 " + kind, **other)
        found, default, problems, errors = self.devices(environment)
        self.assertNotIn(backend + ":0", found)
        self.assertIn(default, found)
        self.assertRegex(errors, r"warning: the %s driver /\S+ is left out: asked for its devices, %s" % (title, ENDS[kind]))
        self.assertTrue(any(re.search(ENDS[kind], problem["problem"]) and "--test" in problem["remedy"] for problem in problems), problems)
        errors = self.devices(environment)[3]
        self.assertRegex(errors, r"the %s driver /\S+ is left out, as before: %s" % (title, ENDS[kind]))
        self.assertNotIn("as before", self.devices(environment, "--test", status=1)[3])
        found, default, problems, errors = self.devices(self.environment())
        self.assertIn(backend + ":0", found)
        self.assertEqual((problems, errors), ([], ""))

    def test_listing_opencl(self):
        self.check_listing(OPENCL, "opencl", "crash")

    def test_listing_vulkan(self):
        self.check_listing(VULKAN, "vulkan", "hang")

    def test_listing_hangs(self):
        errors = self.train_any(self.environment(OPENCL, "1 hang"), "run")
        self.assertRegex(errors, r"device ref \(.*\): no other device was found: the OpenCL driver /\S+ is left out: it hangs")

    def test_no_devices(self):
        found, _, problems, _ = self.devices(self.environment(OPENCL, "0 absent"))
        self.assertNotIn("opencl:0", found)
        self.assertRegex(problems[0]["problem"], r"the OpenCL platform \S.* has no device")
        self.assertIn("POCL_CACHE_DIR", problems[0]["remedy"])
        self.assertRegex(self.train_any(self.environment(OPENCL, "0 absent"), "run"), r"device ref .* the OpenCL platform \S.* has no device")
        problems = self.devices(self.environment(VULKAN, "0 absent"))[2]
        self.assertRegex(problems[0]["problem"], r"no Vulkan driver has a device")

    # ---- while a device is opened and tested ----

    def check_use(self, kind, number):
        """The model is that of the device that was taken instead."""
        environment = self.environment(OPENCL, "%d %s" % (number, kind))
        errors = self.train_any(environment, "first")
        self.assertRegex(errors, r"warning: opencl:0 \(.*\) is not used: in a test, %s" % ENDS[kind])
        self.assertRegex(errors, r"warning: opencl:0 \(.*\) is passed over .*\n(.*\n)*device ref \(.*\): the best device that works")
        again = self.train_any(environment, "second")
        self.assertRegex(again, r"opencl:0 \(.*\) is not used, as before: in a test, %s" % ENDS[kind])
        self.train_any(environment, "asked", "--device", "ref")
        for name in ("first", "second"):
            self.assert_same_bytes(self.folder / name / "model.safetensors", self.folder / "asked" / "model.safetensors")
        errors = self.train_any(environment, "third", "--device", "opencl:0", status=1)
        self.assertRegex(errors, r"error: opencl:0 \(.*\) is not used")
        self.assertIn("--device or HSAE_DEVICE", errors)
        self.assertFalse((self.folder / "third").exists())

    def test_opening(self):
        self.check_use("abort", OPENING)

    def test_compiling(self):
        self.check_use("hang", 150)

    def test_verdict(self):
        environment = self.environment(OPENCL, "120 crash", VK_DRIVER_FILES="/nowhere.json")
        found, _, _, errors = self.devices(environment, "--test", status=1)
        self.assertEqual((found["opencl:0"]["self_test"], found["ref"]["self_test"]), ("failed", "passed"), errors)
        self.assertRegex(errors, ENDS["crash"])

    def test_vulkan(self):
        errors = self.train_any(self.environment(VULKAN, "30 crash"), "run", "--device", "vulkan:0", status=1)
        self.assertRegex(errors, r"error: vulkan:0 \(.*\) is not used: in a test, %s" % ENDS["crash"])
        self.assertFalse((self.folder / "run").exists())

    def test_does_not_open(self):
        """An error of the driver, and not its end."""
        errors = self.train_any(self.environment(OPENCL, "%d host" % OPENING), "run")
        self.assertRegex(errors, r"warning: opencl:0.*CL_OUT_OF_HOST_MEMORY\n(.*\n)*device ref \(.*\): the best device that works")

    def test_switched_off(self):
        """Without a test the device is used as it is, in this process."""
        self.train_any(self.environment(OPENCL, "%d crash" % OPENING, HSAE_SELF_TEST="off"), "run", status=-signal.SIGSEGV)

    # ---- files that name drivers ----

    def test_one_of_several(self):
        """The others are used."""
        vendors = self.folder / "vendors"
        vendors.mkdir()
        usual = pathlib.Path("/etc/OpenCL/vendors") / os.environ["OCL_ICD_VENDORS"]
        (vendors / "a.icd").write_text("%s/bad_driver.so\n" % FOLDER)
        (vendors / "b.icd").write_text(usual.read_text())
        (vendors / "c.icd").write_text("/nowhere/libnone.so\n")
        good = os.environ["VK_DRIVER_FILES"]
        bad = self.folder / "bad.json"
        bad.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": {"library_path": "%s/bad_driver.so" % FOLDER, "api_version": "1.1.0"}}))
        environment = self.environment(OCL_ICD_VENDORS=str(vendors), VK_DRIVER_FILES="%s:%s" % (bad, good))
        for start in ("first", "second"):
            found, default, problems, errors = self.devices(environment)
            self.assertEqual((set(found), default), ({"opencl:0", "vulkan:0", "ref"}, "opencl:0"), errors)
            for path in ("%s/a.icd" % vendors, bad):
                self.assertRegex(errors, r"driver %s is left out" % path)
                self.assertTrue(any(str(path) in problem["problem"] for problem in problems), problems)
            self.assertTrue(any("c.icd does not load: /nowhere/libnone.so" in problem["problem"] for problem in problems), (start, problems))
        self.train_any({**environment, "HSAE_SELF_TEST": "off"}, "run", "--device", "opencl:0")

    def test_files_are_wrong(self):
        empty, absent, text = self.folder / "empty.icd", self.folder / "absent.json", self.folder / "text.json"
        empty.write_text("\n")
        text.write_text("{")
        problems = self.devices(self.environment(OCL_ICD_VENDORS=str(empty), VK_DRIVER_FILES="%s:%s" % (absent, text)))[2]
        whole = "\n".join(problem["problem"] for problem in problems)
        for part in ("%s names no library" % empty, "%s is not there" % absent, "%s names no library" % text, "no device but the reference"):
            self.assertIn(part, whole)
        self.assertTrue(all(problem.get("remedy") for problem in problems if "failed with" not in problem["problem"]), problems)

    def test_pocl_cache(self):
        """PoCL without a folder of its own gets one."""
        environment = self.environment(POCL_CACHE_DIR="/proc/none")
        found, _, _, errors = self.devices(environment)
        self.assertIn("opencl:0", found)
        self.assertIn("/proc/none cannot be written", errors)
        self.assertTrue((self.cache / "pocl").is_dir())

    # ---- the cache folder ----

    def test_foreign_cache(self):
        self.cache.mkdir()
        for mode, private in ((0o777, False), (0o1777, False), (0o770, False), (0o755, True)):
            self.cache.chmod(mode)
            errors = self.devices(self.environment())[3]
            self.assertEqual(("%s is not used: other users may write there" % self.cache) not in errors, private, errors)
            self.assertEqual(bool(list(self.cache.iterdir())), private)
        self.cache = self.folder / "new"
        self.devices(self.environment())
        self.assertEqual(self.cache.stat().st_mode & 0o777, 0o700)

    def test_no_cache(self):
        """A folder that cannot be made is said; one that nobody named is not needed."""
        dangling = self.folder / "dangling"
        dangling.symlink_to(self.folder / "nowhere" / "cache")
        for folder, reason in ((dangling, "No such file"), ("/proc/none", "No such file"), (self.data, "Not a directory")):
            errors = self.devices(self.environment(HSAE_CACHE_DIR=str(folder)))[3]
            self.assertIn("HSAE_CACHE_DIR: no file can be made in %s (%s" % (folder, reason), errors)
        self.assertNotIn("can be made", self.devices(self.environment(HSAE_CACHE_DIR=""))[3])

    # ---- signals ----

    def start_hanging(self):
        environment = {**os.environ, **self.environment(OPENCL, "%d hang" % OPENING, HSAE_WAIT_SECONDS="0")}
        before = set(other_processes())
        command = [PROGRAM, "train", "--data", str(self.data), "--out", str(self.out), "--levels", "8", "--steps", "9", "--target-l0", "2"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "is tested before" in line:
                break
        self.wait_for(lambda: set(other_processes()) - before)
        return process, set(other_processes()) - before

    def wait_for(self, done):
        end = time.monotonic() + PATIENCE
        while not done():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_stopped(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
            process, children = self.start_hanging()
            process.send_signal(number)
            process.stderr.read()
            process.stderr.close()
            self.assertEqual(process.wait(timeout=PATIENCE), status)
            self.wait_for(lambda: not children & set(other_processes()))
            self.assertFalse(self.out.exists())


if __name__ == "__main__":
    if not OPENCL.exists or not VULKAN.exists:
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
