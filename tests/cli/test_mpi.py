#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hsae train in several processes, as mpirun starts them. test_mpi.py HSAE [TEST]... Exit status 77 where there is no MPI."""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

from program import DRIVERS, PATIENCE, PROGRAM, Case, hsae, main, random_rows, write_safetensors

# Trees move twice, some features are dead, others are replaced by their children.
MODEL = ["--levels", "24,40,72", "--batch", "80", "--steps", "36", "--target-l0", "1", "--shards", "8", "--hierarchy-period", "12",
         "--dead-steps", "2", "--perturb", "0.2", "--rho", "0.05", "--checkpoint-every", "6"]
OPEN_MPI = shutil.which("mpirun.openmpi")
LAUNCHER = [OPEN_MPI, "--oversubscribe"] if OPEN_MPI else [shutil.which("mpiexec.hydra")]
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}


class Mpi(Case):
    def setUp(self):
        super().setUp()
        write_safetensors(self.data, "activations", random_rows(400, 20))

    def start(self, count, name, *more, device="ref"):
        """A run in so many processes."""
        self.run_folder = self.folder / name
        return subprocess.Popen([*LAUNCHER, "-n", str(count), PROGRAM, "train", "--data", self.data, "--out", self.run_folder, *MODEL, "--device", device, *more],
                                env={**os.environ, **DRIVERS, **AS_ROOT}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def together(self, count, name, *more, device="ref", status=0):
        """(folder of a run in so many processes, what it says)"""
        process = self.start(count, name, *more, device=device)
        said = process.communicate(timeout=PATIENCE * 60)[0]
        self.assertEqual(process.returncode != 0, status != 0, said)
        return self.run_folder, said

    def alone(self, device="ref", *more):
        out = self.folder / ("alone " + device)
        hsae("train", "--data", self.data, "--out", out, *MODEL, "--device", device, *more, environment=DRIVERS)
        return out

    def assert_same_run(self, left, right):
        for name in ("model.safetensors", "checkpoint-36.safetensors"):
            self.assert_same_bytes(left / name, right / name)

    def test_same_bytes(self):
        alone = self.alone()
        for count in (2, 4):
            folder, said = self.together(count, str(count))
            self.assertIn("%d processes train together" % count, said)
            self.assertEqual(said.count("Model: "), 1)
            self.assert_same_run(alone, folder)

    def test_driver(self):
        self.assert_same_run(self.alone("opencl:0"), self.together(2, "two", device="opencl:0")[0])

    def test_another_number(self):
        """A checkpoint does not know how many processes there were."""
        alone = self.alone()
        self.together(4, "part", "--stop-after", "15")
        self.together(2, "part", "--resume", "auto", "--stop-after", "22")
        hsae("train", "--data", self.data, "--out", self.folder / "part", "--resume", "auto", "--device", "ref")
        self.assert_same_run(alone, self.folder / "part")

    def test_one_message(self):
        """Whoever fails says why; all end."""
        for more, device, words in ((["--nonsense"], "ref", "unknown option --nonsense"), (["--shards", "1"], "ref", "2 devices, and shards = 1"),
                                    (["--similarity", "part"], "ref", "need one device"), (["--dry-run"], "ref", "--dry-run is of one process"),
                                    (["--resume", "nowhere"], "ref", "nowhere"), ([], "ref,opencl:99", "hsae, process 1: error: there is no device opencl:99"),
                                    ([], "opencl:99,ref", "hsae: error: there is no device opencl:99")):
            said = self.together(2, "refused", *more, device=device, status=1)[1]
            self.assertIn(words, said)
            self.assertEqual(said.count("error:"), 1, said)

    def test_killed(self):
        """Whichever process is killed, at whatever time: all end, and the run goes on from its last checkpoint, in another number of processes."""
        alone, seed = self.alone(), int(os.environ.get("HSAE_KILLS_SEED", "1"))
        rng = random.Random(seed)
        for kill in range(int(os.environ.get("HSAE_KILLS", "2"))):
            name = "killed %d" % kill
            process = self.start(4, name)
            workers = []
            while len(workers) < 4 and process.poll() is None:
                listed = subprocess.run(["ps", "--ppid", str(process.pid), "-o", "pid="], stdout=subprocess.PIPE, text=True).stdout
                workers = [int(pid) for pid in listed.split()]
            time.sleep(rng.uniform(0, 2))
            if workers and process.poll() is None:
                try:
                    os.kill(rng.choice(workers), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.communicate(timeout=PATIENCE * 60)
            resume = ["--resume", "auto"] if list(self.run_folder.glob("checkpoint-*.safetensors")) else ["--force"]
            self.assert_same_run(alone, self.together(2, name, *resume)[0])


if __name__ == "__main__":
    plugin = pathlib.Path(sys.argv[1]).parent / "hsae_mpi.so"
    if not LAUNCHER[0] or not plugin.exists():
        print("skipped: %s" % ("mpirun is not installed" if plugin.exists() else "hsae was built without MPI"))
        sys.exit(77)
    main(__doc__)
