#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files that others change while hsae reads or writes them. test_changing_files.py HSAE [TEST]..."""
import os
import shutil
import subprocess
import time
import unittest

from program import Case, PATIENCE, PROGRAM, hsae, main


def start(*arguments):
    return subprocess.Popen([str(PROGRAM), *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "HSAE_DEVICE": "ref"})


class ChangingFiles(Case):
    def setUp(self):
        super().setUp()
        self.train("--steps", "4")
        self.model = self.out / "model.safetensors"

    def end(self, process):
        errors = process.communicate(timeout=PATIENCE)[1]
        self.assertIn(process.returncode, (0, 1), errors)
        return process.returncode, errors

    def test_cut_while_read(self):
        """Whenever it happens, and whatever reads: an error or none, never a signal."""
        copy, rows = self.folder / "copy.safetensors", self.folder / "rows.safetensors"
        checkpoint = next(self.out.glob("checkpoint-*"))
        commands = [
            (self.model, ["eval", "--model", copy, "--data", self.data]),
            (self.model, ["export", "--model", copy, self.folder / "saes"]),
            (self.model, ["info", copy]),
            (checkpoint, ["train", "--resume", copy, "--data", self.data, "--out", self.folder / "resumed", "--quiet"]),
            (self.data, ["eval", "--model", self.model, "--data", copy]),
        ]
        for source, command in commands:
            for number in range(6):
                shutil.copy(source, copy)
                process = start(*command)
                time.sleep(0.004 * number)
                os.truncate(copy, 64 if number % 2 else copy.stat().st_size - 64)
                status, errors = self.end(process)
                if status:
                    self.assertIn("hsae: error: ", errors)
                shutil.rmtree(self.folder / "resumed", ignore_errors=True)

    def test_a_link_beside_the_output_is_not_followed(self):
        victim, page = self.folder / "victim", self.folder / "page.html"
        victim.write_text("precious")
        for name in ("page.html.tmp", ".hsae-1-0.tmp"):
            (self.folder / name).symlink_to(victim)
        hsae("report", self.out, "--out", page, "--quiet")
        self.assertTrue(page.read_text().rstrip().endswith("</html>"))
        self.assertEqual(victim.read_text(), "precious")
        self.assertTrue((self.folder / "page.html.tmp").is_symlink())

    def test_a_link_as_the_output_is_followed(self):
        real, link = self.folder / "real.html", self.folder / "link.html"
        real.write_text("old")
        link.symlink_to(real)
        hsae("report", self.out, "--out", link, "--quiet")
        self.assertTrue(link.is_symlink())
        self.assertTrue(real.read_text().rstrip().endswith("</html>"))

    def test_many_writers_of_one_output(self):
        """Each writer leaves a whole file, the last one's stays, and no temporary file is left."""
        page, table = self.folder / "out" / "page.html", self.folder / "out" / "table.csv"
        page.parent.mkdir()
        hsae("report", self.out, "--out", page, "--quiet")
        hsae("eval", "--model", self.model, "--data", self.data, "--per-feature", table, "--quiet", environment={"HSAE_DEVICE": "ref"})
        whole = page.stat().st_size, table.read_bytes()
        writers = [start("report", self.out, "--out", page, "--quiet") for _ in range(10)]
        writers += [start("eval", "--model", self.model, "--data", self.data, "--per-feature", table, "--quiet") for _ in range(6)]
        for writer in writers:
            self.assertEqual(self.end(writer)[0], 0)
        self.assertEqual((page.stat().st_size, table.read_bytes()), whole)
        self.assertEqual(sorted(path.name for path in page.parent.iterdir()), ["page.html", "table.csv"])

    def test_many_exports_to_one_folder(self):
        once, often = self.folder / "once", self.folder / "often"
        hsae("export", "--model", self.model, once, "--quiet")
        for writer in [start("export", "--model", self.model, often, "--quiet") for _ in range(8)]:
            self.end(writer)  # one that finds the folder there may say so
        files = sorted(path.relative_to(once) for path in once.rglob("*"))
        self.assertEqual(sorted(path.relative_to(often) for path in often.rglob("*")), files)
        for name in files:
            if (once / name).is_file():
                self.assert_same_bytes(once / name, often / name)


if __name__ == "__main__":
    main(__doc__)
