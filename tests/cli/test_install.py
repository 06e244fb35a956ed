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

    def complete(self, *words):
        """What bash offers for the last word."""
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hsae; printf "%s\\n" "${COMPREPLY[@]}"'
        return self.run_one("bash", "-c", script, "bash", next(self.root.rglob("completions/hsae")), *words).split()

    def test_bash(self):
        self.assertEqual(self.complete("hsae", "ex"), ["export", "explore"])
        self.assertEqual(self.complete("hsae", "train", "--hi"), ["--hierarchy-period"])
        self.assertEqual(self.complete("hsae", "export", "--format", ""), ["saelens", "gemma-scope", "hsae"])
        self.assertEqual(self.complete("hsae", "train", "--tree", "b"), ["binary"])
        self.assertEqual(self.complete("hsae", "eval", "--tree", "b"), [])
        (Path(self.folder.name) / "activations").mkdir(exist_ok=True)
        self.assertEqual(self.complete("hsae", "train", "--data", "acti"), ["activations"])
        self.assertIn("_hsae", self.run_one("bash", "-c", 'source "$1"; complete -p hsae', "bash", next(self.root.rglob("completions/hsae"))))

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self):
        page = next(self.root.rglob("site-functions/_hsae"))
        self.run_one("zsh", "-n", page)
        self.run_one("zsh", "-fc", 'autoload -U compinit && compinit -u -D && fpath=($1 $fpath) && autoload -U _hsae && autoload +X _hsae', "zsh", page.parent)

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self):
        page = next(self.root.rglob("hsae.fish"))
        offered = self.run_one("fish", "-c", f'source {page}; complete -C "hsae export --format "')
        self.assertEqual([line.split("\t")[0] for line in offered.splitlines()], ["gemma-scope", "hsae", "saelens"])

    @unittest.skipUnless(shutil.which("man"), "man is not installed")
    def test_manual(self):
        page = next(self.root.rglob("man1/hsae.1*"))
        self.assertIn("HSAE_WAIT_SECONDS", self.run_one("man", "-l", page))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
