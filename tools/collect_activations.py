#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Collects activations of a language model: the module hsae.collect of the Python package, which need not be installed for it."""
import pathlib
import runpy

runpy.run_path(str(pathlib.Path(__file__).resolve().parent / "python/hsae/collect.py"), run_name="__main__")
