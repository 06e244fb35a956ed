# SPDX-License-Identifier: MIT
"""What the package's tests share. Their arguments: HSAE [SOURCES MODULE CONFIG_KEYS]    the package that is installed, or that of a source and a build
folder. Exit status 77: numpy is missing."""
import importlib.util
import os
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

if importlib.util.find_spec("numpy") is None:
    print("numpy is not installed: left out")
    sys.exit(77)

import numpy as np

HSAE = sys.argv[1]
FOLDER = tempfile.TemporaryDirectory()
if len(sys.argv) > 2:
    package = Path(FOLDER.name) / "package" / "hsae"
    package.mkdir(parents=True)
    for path in [*Path(sys.argv[2]).iterdir(), Path(sys.argv[3]), Path(sys.argv[4])]:
        if path.is_file():
            (package / path.name).symlink_to(path.resolve())
    sys.path.insert(0, str(package.parent))
    os.environ["PATH"] = str(Path(HSAE).resolve().parent) + os.pathsep + os.environ["PATH"]

import hsae

DIM, ROWS, BATCH, STEPS = 19, 150, 33, 40
KEYS = {"levels": [10, 33, 70], "batch": BATCH, "steps": STEPS, "lr": 0.02, "target_l0": 2, "hierarchy_period": 10, "seed": 7}


def installed(*names):
    return all(importlib.util.find_spec(name) for name in names)


def made_rows():
    random = np.random.default_rng(1)
    directions = random.standard_normal((24, DIM))
    return ((random.random((ROWS, 24)) < 0.15) @ directions + 0.1 * random.standard_normal((ROWS, DIM))).astype(np.float32)


def trainer(data=None, **keys):
    return hsae.Trainer(data=data, device="ref", **{**KEYS, **keys})


def main():
    warnings.simplefilter("error")
    good = unittest.main(argv=sys.argv[:1], exit=False).result.wasSuccessful()
    FOLDER.cleanup()
    sys.exit(not good)
