#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every command that the program prints as advice works as printed: test_advice.py HSAE [TEST]..."""
import json
import os
import re
import resource
import signal
import subprocess
import time

from program import PROGRAM, TINY, Case, hsae, main

LONG = [*TINY, "--steps", "1000000", "--log-every", "10", "--hierarchy-period", "10"]


class Advice(Case):
    def setUp(self):
        super().setUp()
        self.place = self.folder / "it's a place"
        self.place.mkdir()
        self.environment = {**os.environ}
        # As after an installation: `hsae` is found.
        commands = self.folder / "bin"
        commands.mkdir()
        (commands / "hsae").symlink_to(os.path.realpath(PROGRAM))
        self.environment["PATH"] = "%s%s%s" % (commands, os.pathsep, os.environ["PATH"])

    def interrupted(self, *arguments, out=None, variables=None):
        """The command that an interrupted run prints. `out`: its folder."""
        command = [PROGRAM, "train", *map(str, arguments)]
        metrics = (out or self.out) / "metrics.jsonl"
        before = metrics.stat().st_size if metrics.exists() else 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=self.place,
                                   env={**self.environment, **(variables or {})})
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size > before):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=120)[1]
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn("go on with", errors)
        return errors.splitlines()[-1]

    def paste(self, line, out=None):
        """The messages of the line, run in a shell as it is and interrupted after some steps."""
        out = out or self.out
        before = self.checkpoints(out)[-1] if self.checkpoints(out) else 0
        count = len((out / "metrics.jsonl").read_text().splitlines())
        process = subprocess.Popen(["bash", "-c", "exec env " + line], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   cwd=self.place, env=self.environment)
        while process.poll() is None and len((out / "metrics.jsonl").read_text().splitlines()) < count + 2:
            time.sleep(0.02)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=120)[1]
        self.assertIn(process.returncode, (0, 130), errors)
        after = self.checkpoints(out)[-1]
        self.assertGreater(after, before, errors)
        return errors

    def test_words(self):
        """Paths with spaces, relative paths, a configuration, a held-out share, and all that is not to be said twice."""
        data, out, config = self.place / "my data", self.place / "my run", self.place / "my config.json"
        self.data.rename(data)
        config.write_text(json.dumps({"levels": [8, 16], "batch": 8, "steps": 1000000, "target_l0": 2}))
        for more in (["--force"], ["--resume=auto"], ["--resume", "auto"], ["--holdout", "0.2", "--force"], ["--holdout=0.2", "--stop_after=900000"]):
            with self.subTest(more=more):
                for path in out.iterdir() if out.exists() else []:
                    path.unlink()
                line = self.interrupted("--data", "my data", "--out", "my run", "--config", "my config.json", "--device", "ref", "--log-every",
                                        "10", *more, out=out)
                self.paste(line, out=out)

    def test_stop_after(self):
        """The advice keeps a --stop-after that is still ahead, and drops one that is reached."""
        line = self.interrupted("--data", self.data, "--out", self.out, *LONG, "--stop-after", "900000")
        self.assertIn("--stop-after 900000", line)
        errors = self.paste(line)
        self.assertNotIn("already", errors)

    def test_device_of_the_environment(self):
        words = [word for word in LONG if word not in ("--device", "ref")]
        line = self.interrupted("--data", self.data, "--out", self.out, *words, variables={"HSAE_DEVICE": "ref"})
        self.assertIn("--device ref", line)
        errors = self.paste(line)
        self.assertIn("device ref", errors)

    def test_from_a_checkpoint_elsewhere(self):
        first = self.folder / "first"
        hsae("train", "--data", self.data, "--out", first, *LONG, "--stop-after", "5")
        line = self.interrupted("--data", self.data, "--out", self.out, "--device", "ref", "--resume", first / "checkpoint-5.safetensors",
                                "--log-every", "10")
        self.assertNotIn("first", line)
        self.paste(line)

    def test_other_data(self):
        hsae("train", "--data", self.data, "--out", self.out, *LONG, "--stop-after", "5")
        line = self.interrupted("--data", self.data, "--out", self.out, *LONG, "--resume", "auto", "--holdout", "0.2", "--other-data")
        self.paste(line)

    def broken(self, *arguments):
        """The messages of a run whose data end while it reads them; they are whole again afterwards."""
        whole = self.data.read_bytes()
        process = subprocess.Popen([PROGRAM, "train", "--data", str(self.data), "--out", str(self.out), *LONG, *map(str, arguments)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=self.place, env=self.environment)
        metrics = self.out / "metrics.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.02)
        os.truncate(self.data, len(whole) - 400)
        errors = process.communicate(timeout=120)[1]
        self.data.write_bytes(whole)
        self.assertEqual(process.returncode, 1, errors)
        return errors

    def test_a_run_that_broke_off(self):
        errors = self.broken("--checkpoint-every", "5")
        self.assertIn("go on with", errors)
        self.paste(errors.splitlines()[-1])

    def test_a_run_that_broke_off_before_its_first_checkpoint(self):
        """It says: start again."""
        command = ["hsae", "train", "--data", str(self.data), "--out", str(self.out), *LONG, "--log-every", "1", "--checkpoint-every", "0"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.environment, timeout=300,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("once the files can be written start again", done.stderr)
        self.assertEqual(self.checkpoints(), [])
        self.paste(" ".join(command))

    def test_choices_of_a_folder_that_holds_a_run(self):
        """What the messages name between brackets."""
        hsae("train", "--data", self.data, "--out", self.out, *TINY, "--stop-after", "5")
        command = ["train", "--data", self.data, "--out", self.out, *TINY]
        errors = hsae(*command, status=1)[1]
        self.assertEqual(re.findall(r"\((--[^)]*)\)", errors), ["--resume auto", "--force"])
        hsae(*command, "--resume", "auto")
        for path in self.out.glob("checkpoint-*"):
            path.unlink()
        errors = hsae(*command, "--resume", "auto", status=1)[1]
        self.assertEqual(re.findall(r"\((--[^)]*)\)", errors), ["--force"])
        hsae(*command, "--resume", "auto", "--force")
        newest = self.out / "checkpoint-20.safetensors"
        for path in self.out.glob("checkpoint-*"):
            path.write_bytes(b"")
        errors = hsae(*command, "--resume", "auto", status=1)[1]
        self.assertIn("(--force, without --resume)", errors)
        hsae(*command, "--force")
        self.assertGreater(newest.stat().st_size, 0)


if __name__ == "__main__":
    main(__doc__)
