#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every accepted input, as the real libraries wrote it (tests/data/make_inputs.py), used as users do: test_inputs.py HSAE [TEST]..."""
import json
import pathlib
import shutil

from program import Case, hsae, main

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
RUN = ["--levels", "4,8", "--batch", "4", "--steps", "5", "--target-l0", "2", "--device", "ref", "--quiet"]
RAW = [("f32.bin", "f32"), ("f16.bin", "f16"), ("bf16.bin", "bf16")]
# Name, options, format, dtype, width, vectors, sequences or None, files.
INPUTS = [
    ("f4.npy", [], "npy", "f32", 3, 24, None, 1),
    ("f2.npy", [], "npy", "f16", 3, 24, 6, 1),
    ("v3.npy", [], "npy", "f32", 3, 24, None, 1),
    ("f32.safetensors", [], "safetensors", "f32", 3, 24, None, 1),
    ("f16.safetensors", [], "safetensors", "f16", 3, 24, 6, 1),
    ("bf16.safetensors", [], "safetensors", "bf16", 3, 24, 6, 1),
    ("lists.arrow", ["--tensor", "second"], "arrow", "f16", 3, 24, 6, 1),
    ("file.arrow", [], "arrow", "f32", 3, 24, 6, 1),
    ("datasets", ["--tensor", "layer.0"], "arrow", "f16", 3, 24, 2, 3),
    ("saelens-float32", [], "arrow", "f32", 8, 96, 4, 3),
    ("saelens-float16", [], "arrow", "f16", 8, 128, 8, 2),
    *[(name, ["--dim", 3, "--dtype", dtype], "raw", dtype, 3, 24, None, 1) for name, dtype in RAW],
]


class Inputs(Case):
    def test_info_and_training(self):
        for name, options, kind, dtype, width, vectors, sequences, files in INPUTS:
            with self.subTest(name):
                told = json.loads(hsae("info", DATA / name, *options, "--json")[0])
                self.assertEqual((told["kind"], told["dim"], told["tokens"], len(told["files"])), ("data", width, vectors, files))
                first = told["files"][0]
                self.assertEqual((first["format"], first["dtype"], first.get("sequences")), (kind, dtype, sequences))
                self.assertEqual(told["bytes"], sum(pathlib.Path(file["path"]).stat().st_size for file in told["files"]))
                text = hsae("info", DATA / name, *options)[0]
                self.assertIn("%s, %s" % (kind, dtype), text)
                run = self.folder / name
                hsae("train", "--data", DATA / name, *options, "--out", run, *RUN)
                hsae("eval", "--model", run / "model.safetensors", "--data", DATA / name, *options, "--device", "ref")
                hsae("encode", "--model", run / "model.safetensors", "--data", DATA / name, *options, "--device", "ref", "--out",
                     self.folder / "features")
                self.assertEqual(json.loads(hsae("info", self.folder / "features", "--json")[0])["kind"], "features")

    def test_same_numbers_same_model(self):
        """The values do not depend on the format that they came in."""
        models = []
        for name, options in [("f4.npy", []), ("f32.safetensors", []), ("f32.bin", ["--dim", 3]), ("lists.arrow", ["--tensor", "first"]), ("file.arrow", [])]:
            run = self.folder / name
            hsae("train", "--data", DATA / name, *options, "--out", run, *RUN)
            models.append((run / "model.safetensors").read_bytes())
        self.assertEqual(len(set(models)), 1)

    def test_content_not_name(self):
        for name in "f4.npy", "f32.safetensors", "file.arrow":
            shutil.copy(DATA / name, self.folder / "data.bin")
            self.assertEqual(json.loads(hsae("info", self.folder / "data.bin", "--json")[0])["tokens"], 24)

    def test_several(self):
        told = json.loads(hsae("info", DATA / "datasets", DATA / "f4.npy", DATA / "f32.bin", "--tensor", "layer.0", "--dim", 3, "--json")[0])
        self.assertEqual((told["tokens"], len(told["files"])), (72, 5))
        folder = self.folder / "raw"
        folder.mkdir()
        for name in "a.bin", "b.raw", "notes.txt":
            shutil.copy(DATA / "f32.bin", folder / name)
        self.assertEqual(json.loads(hsae("info", folder, "--dim", 3, "--json")[0])["tokens"], 48)

    def test_name_that_is_not_utf8(self):
        path = self.folder / "\udcff.npy"  # the byte 0xff
        shutil.copy(DATA / "f4.npy", path)
        told = json.loads(hsae("info", path, "--json")[0])
        self.assertEqual([file["path"] for file in told["files"]], [told["path"]])
        self.assertTrue(told["path"].endswith("/\ufffd.npy"))
        self.assertIn("/\ufffd.npy: data", hsae("info", path)[0])

    def test_columns(self):
        text = hsae("info", DATA / "saelens-float16")[0]
        self.assertIn("* transformer.h.0", text)
        self.assertIn("list<list<halffloat>>", text)
        self.assertIn("token_ids", text)

    def test_wrong_usage(self):
        for options, expected in [(["--dim", 3, "--dtype", "f8"], "--dtype takes f32, f16 or bf16, not 'f8'"), (["--dtype", "f16"], "need --dim"),
                                  (["--dim", 2 ** 32], "--dim 4294967296")]:
            self.assertIn(expected, hsae("info", DATA / "f32.bin", *options, status=2)[1])
        self.assertIn("288 bytes are no whole number of vectors of 5 numbers", hsae("info", DATA / "f32.bin", "--dim", 5, status=1)[1])
        self.assertIn("raw numbers are read if --dim is given", hsae("info", DATA / "f32.bin", status=1)[1])


if __name__ == "__main__":
    main(__doc__)
