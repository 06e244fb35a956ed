#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs that are killed (-9) again and again, and go on with --resume auto: test_kill.py HSAE file_faults.so [--kills N] [--seed S]
[--device ID] [--stride N]. Whenever the kills come, the end has the very bytes of a run that was left alone."""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

import program
from program import DRIVERS, PROGRAM, Case, random_rows, until, write_safetensors

TIMES = ("seconds", "tokens_per_second", "data_wait")
KEYS = ["--levels", "8,16,32", "--batch", "16", "--target-l0", "2", "--similarity", "coactivation", "--hierarchy-period", "7", "--dead-steps", "5"]


def metrics(folder):
    """The lines without figures that depend on time."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


class Kill(Case):
    def setUp(self):
        super().setUp()
        write_safetensors(self.data, "activations", random_rows(200))

    def command(self, out, steps, every):
        return [PROGRAM, "train", "--data", str(self.data), "--out", str(out), *KEYS, "--steps", str(steps), "--log-every", "2",
                "--checkpoint-every", str(every), "--device", OPTIONS.device, "--resume", "auto", "--quiet"]

    def whole_run(self, steps, every):
        """(folder, seconds) of a run that is left alone, after one that fills the caches of drivers."""
        for name in ("first-%d", "whole-%d"):
            began = time.monotonic()
            subprocess.run(self.command(self.folder / (name % steps), steps, every), check=True, stdout=subprocess.DEVNULL,
                           env={**os.environ, **DRIVERS})
        return self.folder / ("whole-%d" % steps), time.monotonic() - began

    def assert_same_end(self, out, whole):
        self.assertEqual(sorted(path.name for path in out.iterdir()), sorted(path.name for path in whole.iterdir()))
        for path in whole.glob("*.safetensors"):
            self.assert_same_bytes(path, out / path.name)
        self.assert_same_bytes(whole / "config.json", out / "config.json")
        self.assertEqual(metrics(out), metrics(whole))

    def state(self, out):
        """What a kill has left: names of the figures that are counted."""
        names = [path.name for path in out.iterdir()] if out.exists() else []
        checkpoints = [name for name in names if name.startswith("checkpoint-")]
        half_line = "metrics.jsonl" in names and not ((out / "metrics.jsonl").read_bytes() or b"\n").endswith(b"\n")
        return {"before the first checkpoint": not checkpoints,
                "half a file": any(name.startswith(".hsae-") for name in names),
                "a checkpoint too many": len(checkpoints) > 2, "half a line of metrics": half_line, "the model": "model.safetensors" in names}

    def test_at_random_moments(self):
        """The process does not know when."""
        start = self.whole_run(1, 1)[1]
        whole, seconds = self.whole_run(600, 2)
        latest = start + (seconds - start) / 6
        numbers = random.Random(OPTIONS.seed)
        counts, kills, runs = {}, 0, 0
        while kills < OPTIONS.kills:
            out = self.folder / ("run-%d" % runs)
            runs += 1
            while True:
                process = subprocess.Popen(self.command(out, 600, 2), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                           env={**os.environ, **DRIVERS})
                moment = numbers.uniform(0, numbers.choice((1.5 * start, latest, latest)))
                try:
                    errors = process.communicate(timeout=moment if kills < OPTIONS.kills else None)[1]
                except subprocess.TimeoutExpired:
                    process.kill()
                    errors = process.communicate()[1]
                if process.returncode == 0:
                    latest *= 0.8
                    break
                latest *= 1.02
                self.assertEqual(process.returncode, -signal.SIGKILL, errors)
                kills += 1
                for name, value in self.state(out).items():
                    counts[name] = counts.get(name, 0) + value
            self.assert_same_end(out, whole)
        self.assert_no_litter()
        print("%s, seed %d: %d kills in %d runs of %.2f s each, all of which ended with the same bytes. Kills that left" %
              (OPTIONS.device, OPTIONS.seed, kills, runs, seconds), ", ".join("%s: %d" % item for item in counts.items()))

    def test_at_file_calls(self):
        """In place of one of the calls that write, sync, rename or remove a file; of all of them with --stride 1."""
        whole, _ = self.whole_run(8, 2)
        kills, number = 0, 1 + OPTIONS.seed % OPTIONS.stride
        while True:
            out = self.folder / ("run-%d" % number)
            environment = {**os.environ, **DRIVERS, "LD_PRELOAD": OPTIONS.faults, "HSAE_FAULT": "any %d 0" % number}
            environment["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
            done = subprocess.run(self.command(out, 8, 2), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
            if done.returncode == 0:
                break
            self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
            subprocess.run(self.command(out, 8, 2), check=True, stdout=subprocess.DEVNULL, env={**os.environ, **DRIVERS})
            self.assert_same_end(out, whole)
            kills += 1
            number += OPTIONS.stride
        self.assertGreater(kills, 0)
        self.assert_no_litter()
        print("%s: killed at %d of the %d file calls" % (OPTIONS.device, kills, number - 1))

    def outputs(self):
        """(output, command that writes it) of the commands that write one output from a run."""
        whole, _ = self.whole_run(8, 2)
        tokens, model = self.folder / "tokens.jsonl", whole / "model.safetensors"
        tokens.write_text(json.dumps({"tokens": ["a", "b"] * 100}) + "\n")
        explore = ["explore", "--model", model, "--data", self.data, "--device", OPTIONS.device, "--quiet"]
        return [("page.html", ["report", whole, "--quiet", "--out"]),
                ("explorer.html", [*explore, "--out"]),
                ("tree.svg", [*explore, "--figure", "0/0", "--out"]),
                ("pairs.jsonl", [*explore, "--pairs", "3", "--out"]),
                ("dashboards", [*explore, "--neuronpedia"]),
                ("saes", ["export", "--model", model, "--quiet"])]

    def at_a_call(self, command, fault):
        environment = {**os.environ, **DRIVERS, "LD_PRELOAD": OPTIONS.faults, "HSAE_FAULT": fault}
        environment["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    def test_outputs(self):
        """Whatever has its own name is whole, and the next try ends as the first would have."""
        for name, words in self.outputs():
            whole, place = self.folder / name, self.folder / "place"
            subprocess.run([PROGRAM, *words, whole], check=True, stdout=subprocess.DEVNULL, env={**os.environ, **DRIVERS})
            expected = {path.relative_to(whole): path.read_bytes() for path in [whole, *whole.rglob("*")] if path.is_file()}
            for call in ("fflush", "fsync", "rename"):
                place.mkdir()
                process = self.at_a_call([PROGRAM, *words, place / name], call + " 1 0")
                errors = process.communicate()[1]
                self.assertEqual(process.returncode, -signal.SIGKILL, errors)
                self.assertEqual([path for path in place.rglob("*") if path.is_file() and not path.name.startswith(".hsae-")], [])
                subprocess.run([PROGRAM, *words, place / name], check=True, stdout=subprocess.DEVNULL, env={**os.environ, **DRIVERS})
                for path, content in expected.items():
                    self.assertEqual((place / name / path).read_bytes(), content, path)
                shutil.rmtree(place)

    def test_ended_by_a_signal(self):
        """While it hangs in a write to the disk: the command ends all the same, and takes its half-written file with it."""
        started = []
        for name, words in self.outputs():
            place = self.folder / ("ended-" + name)
            place.mkdir()
            started.append((place, self.at_a_call([PROGRAM, *words, place / name], "fflush 1 -1")))
        for place, process in started:
            until(lambda: any(path.name.startswith(".hsae-") for path in place.rglob("*")), process)
            process.terminate()
            errors = process.communicate(timeout=program.PATIENCE)[1]
            self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
            self.assertEqual([path for path in place.rglob("*") if path.is_file()], [])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("faults")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="ref")
    parser.add_argument("--stride", type=int, default=10)
    OPTIONS = parser.parse_args()
    unittest.main(argv=sys.argv[:1])
