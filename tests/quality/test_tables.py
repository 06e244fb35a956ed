#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The commands that print tables of quality, at sizes of a few seconds: test_tables.py HSAE

Exit status 77: numpy is missing.
"""
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

if importlib.util.find_spec("numpy") is None:
    print("numpy is not installed: left out")
    sys.exit(77)

import numpy

import control
import forest
import quality
import split

PROGRAM = sys.argv[1]
os.environ["HSAE_DEVICE"] = "ref"
TINY = ["--batch", "64", "--steps", "60"]
SIZES = ["--roots", "4", "--children", "2", "--leaves", "2", "--width", "24", "--vectors", "1000", "--held-out", "300"]


def table(module, *arguments):
    """Rows of cells, without the head; and the exit status."""
    output, status = io.StringIO(), 0
    sys.argv = [module.__file__, PROGRAM, *map(str, arguments)]
    with contextlib.redirect_stdout(output):
        try:
            module.main()
        except SystemExit as end:
            status = end.code
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.getvalue().splitlines()]
    assert all(len(row) == len(head) for row in rows), rows
    return rows, status


class Tables(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.holder.name)
        quality.FOREST, quality.REAL = ["--levels", "4,8,28", *TINY], ["--levels", "4,8", *TINY, "--target-l0", "2"]
        quality.TARGETS, quality.SIZES = {"additive": "1,1.5,2", "splitting": "1,1.5,2"}, SIZES

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def test_quality(self):
        work = self.folder / "quality"
        rows, _ = table(quality, "--seeds", 2, "--work", work, "--before", PROGRAM, "--data", "additive")
        self.assertEqual([row[:2] for row in rows], [["additive", name] for name in ("default", "part", "flat", "flat, part", "before")])
        self.assertEqual(rows[0][2:-1], rows[-1][2:-1])  # the same program but for its time
        self.assertEqual(rows[2][2:6], rows[3][2:6])     # the same model but for its tree
        found = json.loads((work / "additive-default-1" / "quality.json").read_text())
        score = forest.score(work / "additive-1", work / "additive-default-1" / "model.safetensors")
        self.assertEqual(found["score"]["levels"][2]["found"], score["levels"][2]["found"])
        self.assertIn(f"{found['levels'][2]['variance_explained']:.3f}", rows[0][3])
        # Activations of a model have no truth; nothing is trained twice.
        model = work / "additive-default-0" / "model.safetensors"
        before = model.stat().st_mtime_ns
        rows, _ = table(quality, "--seeds", 1, "--work", work, "--settings", "default", "--real", work / "additive-0" / "train", work / "additive-0" / "eval",
                        "--data", "additive", "real")
        self.assertEqual([row[:2] for row in rows], [["additive", "default"], ["real", "default"]])
        self.assertEqual(rows[1][5:10], [""] * 5)
        self.assertEqual(model.stat().st_mtime_ns, before)

    def test_paper(self):
        data = self.folder / "paper"
        self.make(data)
        script = pathlib.Path(__file__).with_name("paper.sh")
        settings = {**os.environ, "LEVELS": "32,48", "STEPS": "3", "WORK": str(self.folder / "tables")}
        done = subprocess.run([script, PROGRAM, "ablation", data / "train", data / "eval"], env=settings, check=True, capture_output=True, text=True)
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.replace("\\|", "/").splitlines()]
        self.assertEqual(len(rows), 17)
        self.assertEqual({len(row) for row in rows}, {12})
        self.assertEqual((rows[2][0], rows[2][7:]), ("HSAE", ["50.1", "0.713", "0.769", "0.432", "21.3"]))
        figures = json.loads((self.folder / "tables" / "train-ablation-similarity-part-3-0.json").read_text())["mean"]
        self.assertEqual(rows[12][:3], ["similarity part", f"{figures['l0']:.1f}", f"{figures['variance_explained']:.3f}"])

    def make(self, folder):
        sys.argv = ["forest.py", "make", str(folder), *SIZES]
        with contextlib.redirect_stdout(io.StringIO()):
            forest.main()

    def test_control(self):
        l0 = [30] * 20 + [10] * 15 + [10.5] * 15 + [10] * 45 + [9.9] * 5
        self.assertEqual([round(value, 6) for value in control.summary(l0, 10)], [200, 5, -0.5])
        data = self.folder / "control"
        self.make(data)
        control.RUNS = {1: (8, 16)}
        rows, status = table(control, data / "train", data / "eval", "--work", self.folder / "runs", "--targets", 1, "--steps", 60, "--batch", 64)
        self.assertEqual([row[:4] for row in rows], [["1", "8", "8", "125"], ["1", "16", "16", "62"]])
        model = self.folder / "runs" / "1" / "model.safetensors"
        level = json.loads(control.call(PROGRAM, "eval", "--quiet", "--json", "--model", model, "--data", data / "eval"))["levels"][0]
        self.assertEqual(rows[0][7], f"{100 * (level['l0'] - 1):+.1f} %")
        wrong = any(abs(float(row[5].split()[0])) > 3 or abs(float(row[7].split()[0])) > 5 for row in rows)
        self.assertEqual(status, 1 if wrong else 0)

    def test_split(self):
        """A feature that stands for a node and half of a child leaves the child to a feature that does nothing."""
        rng = numpy.random.default_rng(0)
        node, child, other = numpy.eye(16, dtype=numpy.float32)[:3]
        on = rng.random((2000, 3)) < (0.3, 0.3, 0.3)
        on[:, 1] &= on[:, 0]
        x = (on @ numpy.stack([node, child, other]) * 4 + 0.05 * rng.standard_normal((2000, 16))).astype(numpy.float32)
        decoder = forest.unit(numpy.stack([node + 0.4 * child, other, numpy.eye(16, dtype=numpy.float32)[3]]))
        level = {"encoder.weight": decoder.copy(), "decoder.weight": decoder.copy(), "encoder.bias": numpy.zeros(3), "decoder.bias": numpy.zeros(16),
                 "threshold": numpy.ones(3), "log_threshold": numpy.zeros(3), "last_fired": numpy.zeros(3, int), "parent": numpy.array([-1, 0, 0])}
        values = {f"levels.0.{name}": value for name, value in level.items()}
        values |= {f"optimizer.levels.0.{name}.v": numpy.ones(value.shape) for name, value in level.items()}
        values |= {"levels.1.parent": numpy.array([0, 2]), "sparsity.lambda": [0.1], "train.step": [7]}
        self.assertEqual(split.split(values, 0, x, rng), 1)
        found = values["levels.0.decoder.weight"]
        self.assertGreater(abs(found[2] @ child), 0.9)
        self.assertTrue((found[:2] == decoder[:2]).all())
        self.assertEqual((values["levels.0.parent"].tolist(), values["levels.1.parent"].tolist()), ([-1, 0, -1], [0, -1]))
        self.assertEqual(values["levels.0.last_fired"].tolist(), [0, 0, 7])

    def test_split_in_a_run(self):
        data, out = self.folder / "split", self.folder / "split-run"
        self.make(data)
        done = subprocess.run([sys.executable, split.__file__, PROGRAM, "--data", data / "train", "--out", out, "--levels", "8,40", "--target-l0", "1,2",
                               "--batch", "64", "--steps", "60", "--checkpoint-every", "60"], check=True, capture_output=True, text=True)
        lines = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual([(line[:3], len(line)) for line in lines], [(["after", "step", step], 8) for step in ("20", "30", "40")])
        self.assertGreater(sum(int(line[-1]) for line in lines), 0)
        self.assertEqual(json.loads((out / "run.json").read_text())["parts"][-1]["first_step"], 40)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
