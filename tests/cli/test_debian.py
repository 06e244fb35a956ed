#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The recipe in tools/packaging/debian makes three packages that are whole, as dpkg-buildpackage and (where it is installed) lintian say.

test_debian.py SOURCE
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(sys.argv[1]).resolve()
NO_BUGS = "initial-upload-closes-no-bugs,bogus-mail-host,bogus-mail-host-in-debian-changelog"  # it is no upload to Debian


def others(folder, names):
    """What is no source: builds, runs, hidden folders."""
    return [name for name in names if name.startswith(".") or name in ("runs", "__pycache__") or (Path(folder) / name / "meson-private").exists()]


class Debian(unittest.TestCase):
    def test_packages(self):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            source = folder / "libhsae"
            shutil.copytree(SOURCE, source, ignore=others)
            shutil.copytree(source / "tools/packaging/debian", source / "debian")
            cache = {"CC": "ccache gcc"} if shutil.which("ccache") else {}
            environment = {**{key: value for key, value in os.environ.items() if key not in ("CC", "CFLAGS", "LDFLAGS")}, **cache}
            built = subprocess.run(["dpkg-buildpackage", "--build=binary", "--no-sign"], cwd=source, env=environment, capture_output=True,
                                   text=True)
            self.assertEqual(built.returncode, 0, built.stdout[-4000:] + built.stderr[-4000:])
            files = {}
            for package in ("libhsae0", "libhsae-dev", "hsae"):
                archive = next(folder.glob(f"{package}_*.deb"))
                subprocess.run(["dpkg-deb", "--extract", archive, folder / "root"], check=True)
                listing = subprocess.run(["dpkg-deb", "--contents", archive], capture_output=True, text=True, check=True).stdout
                files[package] = {line.split()[5].removeprefix(".") for line in listing.splitlines()}
            self.assertTrue(any(name.endswith("/libhsae.so.0") for name in files["libhsae0"]))
            self.assertTrue({"/usr/include/hsae/hsae.h"} <= files["libhsae-dev"])
            self.assertTrue({"/usr/bin/hsae", "/usr/share/man/man1/hsae.1.gz", "/usr/share/bash-completion/completions/hsae"} <= files["hsae"])
            library = next((folder / "root").rglob("libhsae.so.0")).parent
            self.assertIn("hsae ", subprocess.run([folder / "root/usr/bin/hsae", "--version"], env={"LD_LIBRARY_PATH": str(library)},
                                                  capture_output=True, text=True, check=True).stdout)
            if shutil.which("lintian"):
                found = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags", NO_BUGS,
                                        *folder.glob("*.changes")], capture_output=True, text=True)
                self.assertEqual(found.returncode, 0, found.stdout + found.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
