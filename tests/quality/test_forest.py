#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A known forest from its making to the score of a model, and the figures of hsae eval beside those of numpy: test_forest.py HSAE

Exit status 77: numpy is missing.
"""
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

if importlib.util.find_spec("numpy") is None:
    print("numpy is not installed: left out")
    sys.exit(77)

import numpy

import forest

PROGRAM = sys.argv[1]
SIZES = ["--roots", "8", "--width", "48", "--vectors", "6000", "--held-out", "1000"]


def call(*arguments):
    done = subprocess.run([sys.executable, forest.__file__, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def hsae(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments), "--device", "ref", "--quiet"], check=True, capture_output=True, text=True).stdout


class Forest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.holder.name)
        for kind in ("additive", "splitting"):
            status, output, errors = call("make", cls.folder / kind, "--kind", kind, *SIZES)
            assert status == 0, errors

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def fails(self, message, *arguments):
        status, output, errors = call(*arguments)
        self.assertEqual(errors, f"forest.py: {message}\n")
        self.assertEqual((status, output), (1, ""))

    def test_the_truth_explains_the_vectors(self):
        for kind in ("additive", "splitting"):
            truth = numpy.load(self.folder / kind / "truth.npz")
            active, parent = truth["active"].astype(float), truth["parent"]
            vectors = numpy.load(self.folder / kind / "eval" / "vectors-0.npy").astype(float)
            self.assertEqual(active.shape, (1000, 168))
            child = numpy.flatnonzero(parent >= 0)
            self.assertTrue((active[:, parent[child]] > 0)[active[:, child] > 0].all())
            if kind == "splitting":  # a node with an active child gives nothing
                alone = numpy.ones(active.shape, bool)
                for j in child:
                    alone[:, parent[j]] &= active[:, j] == 0
                active *= alone
            noise = vectors - active @ truth["directions"]
            self.assertAlmostEqual(noise.std(), 0.05, delta=0.005)

    def test_figures_of_the_tree(self):
        """Those of hsae eval are those that the script computes."""
        data, run = self.folder / "additive", self.folder / "run"
        hsae("train", "--data", data / "train", "--levels", "8,40,168", "--target-l0", "0.4,0.9,1.4", "--batch", "128", "--steps", "300", "--max-norm", "0",
             "--out", run)
        found = json.loads(hsae("eval", "--model", run / "model.safetensors", "--data", data / "eval", "--json"))
        expected = forest.score(data, run / "model.safetensors")
        for ours, theirs in zip(found["levels"], expected["levels"]):
            for name, other in (("l0", "l0"), ("dead_fraction", "dead"), ("variance_explained", "explained")):
                self.assertAlmostEqual(ours[name], theirs[other], delta=0.002)
        for ours, theirs in zip(found["pairs"], expected["trees"]["own"]):
            self.assertEqual((ours["assigned"], ours["largest_family"]), (theirs["edges"], theirs["largest"]))
            self.assertAlmostEqual(ours["largest_share"], theirs["largest"] / theirs["edges"])
            self.assertAlmostEqual(ours["lift"], theirs["lift"], delta=0.02 * theirs["lift"])
            self.assertAlmostEqual(ours["duplicates"], theirs["duplicates"], delta=1.5 / theirs["edges"])
        self.assertGreater(found["pairs"][0]["duplicates"] + found["pairs"][1]["duplicates"], 0)
        status, output, errors = call("score", data, run / "model.safetensors")
        self.assertEqual(status, 0, errors)
        self.assertIn("own 0-1:    32 edges", output)

    def test_lost_nodes(self):
        """A leaf that is a part of its parent's feature is lost, and a feature of none of the nodes is counted."""
        truth, nodes, _ = forest.load_truth(self.folder / "additive")
        decoder = numpy.concatenate(truth.directions)
        parent = truth.parent[-1]
        decoder[parent] = forest.unit((decoder[parent] + 0.5 * decoder[-1])[None])[0]
        decoder[-1] = forest.unit(numpy.random.default_rng(1).standard_normal((1, decoder.shape[1])))[0]
        level = forest.Level.__new__(forest.Level)
        level.decoder, level.active, level.number, level.l0, level.explained, level.dead = decoder, nodes, 2, 0, 0, 0
        found = forest.score_level(level, truth, nodes)
        self.assertEqual((found["lost"], found["inside"], found["no_node"]), ([0, 0, 1 / 128], 1, 1 / 168))

    def test_what_will_not_do(self):
        for option, value, message in (("--roots", "0", "give 1 or more"), ("--root-rate", "1.5", "give a share above 0, at most 1"),
                                       ("--child-rate", "0.0", "give a share above 0, at most 1"), ("--noise", "-1.0", "give 0 or more")):
            self.fails(f"{option} {value}: {message}", "make", self.folder / "other", option, value)
        self.assertFalse((self.folder / "other").exists())
        self.fails(f"{self.folder}/additive/train is there already: remove it, or choose another folder", "make", self.folder / "additive")
        self.fails(f"{self.folder} has no truth.npz: give the folder that `forest.py make` wrote", "score", self.folder, "x")
        self.fails("x is no file: give a model.safetensors", "score", self.folder / "additive", "x")
        model = pathlib.Path(__file__).parent.parent / "golden" / "eval" / "two-levels" / "model.safetensors"
        self.fails(f"{model} takes vectors of 24 values, those of {self.folder}/additive have 48", "score", self.folder / "additive", model)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
