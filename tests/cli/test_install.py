#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is installed works alone: the example, compiled by way of pkg-config, the program, its manual and its completions.

test_install.py BUILD EXAMPLE.c [FLAG ...]: FLAGs are the compiler's, as for the library (a sanitizer's).
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD, EXAMPLE = (Path(name).resolve() for name in sys.argv[1:3])
FLAGS = sys.argv[3:]


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = Path(cls.folder.name) / "root"
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", cls.root], check=True)
        cls.prefix = next(path.parent.parent for path in cls.root.rglob("bin/hsae"))
        cls.library = next(cls.root.rglob("libhsae.so"))
        cls.environment = {**os.environ, "LD_LIBRARY_PATH": str(cls.library.parent), "PKG_CONFIG_SYSROOT_DIR": str(cls.root),
                           "PKG_CONFIG_PATH": str(cls.library.parent / "pkgconfig"), "HSAE_DEVICE": "ref"}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_one(self, *command):
        done = subprocess.run([str(word) for word in command], env=self.environment, cwd=self.folder.name, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_soname(self):
        version = self.run_one("pkg-config", "--modversion", "libhsae").strip()
        self.assertEqual(self.library.resolve().name, f"libhsae.so.{version}")
        self.assertTrue((self.library.parent / "libhsae.so.0").is_symlink())
        self.assertEqual(self.run_one(self.prefix / "bin/hsae", "--version"), f"hsae {version}\n")

    def test_example(self):
        flags = self.run_one("pkg-config", "--cflags", "--libs", "libhsae").split()
        self.run_one("cc", *FLAGS, "-Wall", "-Wextra", "-Werror", EXAMPLE, *flags, "-o", "example")
        self.assertIn("variance explained", self.run_one("./example"))

    @unittest.skipUnless(shutil.which("man"), "man is not installed")
    def test_manual(self):
        page = next(self.root.rglob("man1/hsae.1*"))
        self.assertIn("HSAE_WAIT_SECONDS", self.run_one("man", "-l", page))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
