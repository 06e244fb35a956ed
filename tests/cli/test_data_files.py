#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is taken for data: names, order, files of other kinds, tensors that could be meant. test_data_files.py HSAE [TEST]..."""
import array
import io
import json
import math
import pathlib
import shutil
import struct
import sys
import zipfile
import zlib

from program import DIM, ROWS, TINY, Case, hsae, main, random_rows, write_safetensors

INPUTS = pathlib.Path(__file__).resolve().parent.parent / "data"


def write_tensors(path, tensors, metadata=None):
    """tensors: {name: (shape, list of F32 values)}."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (shape, values) in tensors.items():
        packed = array.array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Folder(Case):
    def setUp(self):
        super().setUp()
        self.d = self.folder / "d"
        self.d.mkdir()

    def put(self, name, value=0.0, rows=4):
        write_safetensors(self.d / name, "activations", [[value + 1] * DIM for _ in range(rows)])

    def told(self, *more):
        return json.loads(hsae("info", self.d, *more, "--json")[0])

    def names(self):
        return [pathlib.Path(file["path"]).name for file in self.told()["files"]]

    def refused(self, *words, data=None):
        output, errors = hsae("train", "--data", data or self.d, "--out", self.out, *TINY, status=1)
        for word in words:
            self.assertIn(word, errors)
        self.assertFalse(self.out.exists())
        return errors

    def test_own_files_are_no_data(self):
        """A run into the folder of its own data does not change the data."""
        write_safetensors(self.d / "acts.safetensors", "activations", random_rows())
        hsae("train", "--data", self.d, "--out", self.d, *TINY)
        hsae("encode", "--model", self.d / "model.safetensors", "--data", self.d, "--out", self.d / "features.safetensors", "--device", "ref")
        hsae("export", "--model", self.d / "model.safetensors", self.d / "exported")
        shutil.copy(self.d / "exported" / "tree.safetensors", self.d)
        self.assertEqual(self.told()["tokens"], ROWS)
        errors = hsae("info", self.d)[1]
        for name in "model.safetensors", "checkpoint-20.safetensors", "features.safetensors", "tree.safetensors":
            self.assertIn(name, errors)
        for name, what in (("model.safetensors", "a model or checkpoint of hsae"), ("features.safetensors", "features that hsae encode wrote")):
            self.refused(name, what, data=self.d / name)
        self.refused("2 of its tensors", "W_dec", "W_enc", data=self.d / "exported" / "level-0" / "sae_weights.safetensors")
        (self.d / "acts.safetensors").unlink()
        shutil.rmtree(self.d / "exported")
        self.refused("no activations in this folder", "model.safetensors")

    def test_run_folder_within(self):
        write_safetensors(self.d / "a.safetensors", "activations", random_rows())
        hsae("train", "--data", self.d, "--out", self.d / "run", *TINY)
        output, errors = hsae("info", self.d)
        self.assertIn("folders of runs: run", errors)
        self.assertEqual(self.names(), ["a.safetensors"])

    def test_folders_within(self):
        (self.d / "train").mkdir()
        write_safetensors(self.d / "train" / "a.safetensors", "activations", random_rows())
        self.refused("folders that hold some: train; give those folders")
        hsae("info", self.d / "train")
        self.put("b.safetensors")
        self.assertIn("not read: train", hsae("info", self.d)[1])
        self.assertEqual(self.names(), ["b.safetensors"])

    def test_dataset_dict(self):
        (self.d / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
        for split in "train", "test":
            shutil.copytree(INPUTS / "saelens-float32", self.d / split)
        self.refused("HuggingFace datasets", "test, train; give one of those folders")
        hsae("info", self.d / "train")

    def test_numbers_in_their_order(self):
        for number in (0, 1, 2, 3, 10, 11, 100):
            self.put("shard_%d.safetensors" % number, number)
        self.assertEqual(self.names(), ["shard_%d.safetensors" % number for number in (0, 1, 2, 3, 10, 11, 100)])

    def test_a_hole_in_a_set(self):
        for number in 1, 2, 4:
            self.put("a-0000%d-of-00004.safetensors" % number)
        self.refused("a-00003-of-00004.safetensors: is missing", "3 of the 4 files")
        hsae("info", *sorted(self.d.iterdir()))  # files that are named one by one are read
        self.put("a-00003-of-00004.safetensors")
        self.assertEqual(len(self.names()), 4)
        for number in range(3):
            self.put("b-0000%d-of-00003.safetensors" % number)
        self.assertEqual(len(self.names()), 7)
        (self.d / "b-00002-of-00003.safetensors").unlink()
        self.refused("b-00002-of-00003.safetensors: is missing")
        self.put("b-00002-of-00003.safetensors")
        self.put("b-00003-of-00003.safetensors")
        self.refused("b-00003-of-00003.safetensors: more than the 3 files")

    def test_links_that_lead_nowhere(self):
        self.put("a.safetensors")
        (self.d / "b.safetensors").symlink_to("gone.safetensors")
        self.refused("b.safetensors: a link to something that is not there")

    def test_downloads_that_are_not_whole(self):
        self.put("a.safetensors")
        shutil.copy(self.d / "a.safetensors", self.d / "b.safetensors.part")
        self.assertIn("b.safetensors.part", hsae("info", self.d)[1])
        self.assertEqual(self.names(), ["a.safetensors"])

    def test_several_tensors(self):
        rows = [value for row in random_rows() for value in row]
        write_tensors(self.data, {"prompt_%d" % i: ([8, DIM], rows[i * 8 * DIM:(i + 1) * 8 * DIM]) for i in range(10)})
        self.refused("10 of its tensors", "prompt_0 (F32 [8, %d])" % DIM, "and 2 more", "--tensor", "numpy.concatenate", data=self.data)
        output = hsae("info", self.data)[0]
        for i in range(10):
            self.assertIn("prompt_%d " % i, output)
        self.train("--tensor", "prompt_3")
        write_tensors(self.data, {"attention_mask": ([8, 10], [1.0] * 80), "hidden_states": ([8, 10, DIM], rows)})
        errors = hsae("info", self.data, self.data, status=1)[1]
        self.assertIn("attention_mask", errors)
        self.assertNotIn("concatenate", errors)
        self.assertEqual(json.loads(hsae("info", self.data, "--tensor", "hidden_states", "--json")[0])["tokens"], 80)
        self.assertIn("2 of its columns", hsae("info", INPUTS / "lists.arrow", status=1)[1])

    def test_names_that_differ(self):
        write_safetensors(self.d / "a.safetensors", "layer_3", random_rows())
        write_safetensors(self.d / "b.safetensors", "layer_7", random_rows())
        errors = hsae("info", self.d)[1]
        for word in "layer_3", "layer_7", "warning":
            self.assertIn(word, errors)

    def test_order_and_repeats_on_the_command_line(self):
        """Files come as they are given, and a shell's order is said."""
        for number in 2, 10:
            self.put("a_%d.safetensors" % number, number)
        first, second = self.d / "a_10.safetensors", self.d / "a_2.safetensors"
        output, errors = hsae("info", first, second)
        self.assertRegex(errors, r"a_2\.safetensors: read after .*a_10\.safetensors")
        self.assertLess(output.index("a_10"), output.rindex("a_2"))
        self.assertEqual(hsae("info", second, first)[1], "")
        self.assertIn("more than once", hsae("info", self.d, second)[1])

    def test_models_that_are_something_else(self):
        """A model or an SAE that is a pointer or a page is named as that, too."""
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 4831838208\n" % 7
        for name, command in (("model.safetensors", ("export", "--model", "%s", self.out)), ("params.npz", ("import", "%s", "--out", self.out))):
            path = self.folder / name
            path.write_bytes(pointer)
            errors = hsae(*[path if part == "%s" else part for part in command], status=1)[1]
            self.assertIn("git lfs pull", errors)
            self.assertIn(str(path), errors)

    def test_one_line_of_what_is_trained_on(self):
        write_safetensors(self.d / "a_2.safetensors", "acts", random_rows())
        write_safetensors(self.d / "a_10.safetensors", "acts", random_rows())
        errors = hsae("train", "--data", self.d, "--out", self.out, *TINY)[1]
        self.assertIn('data: 2 files (a_2.safetensors to a_10.safetensors), tensor "acts", f32, %d rows of width %d\n' % (2 * ROWS, DIM), errors)
        errors = self.train("--holdout", "0.25", out=self.folder / "other")[1]
        self.assertIn('data: %s, tensor "activations", f32, the first %d of %d rows of width %d\n' % (self.data, ROWS * 3 // 4, ROWS, DIM), errors)

    def foreign(self):
        def archive(*members):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as file:
                for member in members:
                    file.writestr(member, b"0" * 100)
            return buffer.getvalue()

        return {
            "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 4831838208\n" % 7, "Git LFS pointer", "git lfs pull"),
            "torch": (archive("archive/data.pkl", "archive/data/0"), "PyTorch", "torch.load"),
            "old-torch": (b"\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02M", "PyTorch", "torch.load"),
            "npz": (archive("arr_0.npy"), "NumPy archive", "numpy.load"),
            "zip": (archive("a.txt"), "zip archive", "unzip"),
            "parquet": (b"PAR1" + bytes(50) + b"PAR1", "Parquet", "read_table"),
            "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5", "h5py"),
            "html": (b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n" * 4, "web page", "download it again"),
            "json": (b'{"data":{"a": 1}, "b": [1, 2, 3]}' * 4, "JSON", "files of the vectors"),
            "csv": (b"1.0,2.0,3.0\n" * 20, "plain text", "numpy.loadtxt"),
            "gguf": (b"GGUF" + struct.pack("<IQQ", 3, 2, 1), "GGUF", "collect_activations.py"),
            "gzip": (b"\x1f\x8b\x08\x00" + bytes(20), "gzip", "gunzip"),
            "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), "Zstandard", "unzstd"),
            "empty": (b"", "empty", "again"),
        }

    def test_foreign_files(self):
        """Each is named, with what to do: alone, as raw numbers, in a folder under a name of data; under another name it is no data."""
        self.put("good.safetensors")
        for kind, (content, *words) in self.foreign().items():
            with self.subTest(kind):
                path = self.folder / "x.safetensors"
                path.write_bytes(content)
                self.refused(*words, str(path), data=path)
                inner = self.d / "x.npy"
                inner.write_bytes(content)
                self.refused(*words, str(inner))
                inner.unlink()
                if len(content) >= 64 or kind == "empty":
                    self.assertIn(words[0], hsae("info", path, "--dim", 3, status=1)[1])
                (self.d / "x").write_bytes(content)
                self.assertEqual(self.names(), ["good.safetensors"])
                (self.d / "x").unlink()

    def test_a_folder_of_foreign_files(self):
        for i in range(3):
            (self.d / ("train-%05d.parquet" % i)).write_bytes(b"PAR1" + bytes(50) + b"PAR1")
        self.refused("train-00000.parquet (a Parquet file)", "train-00002", "read_table")
        self.put("a.safetensors")
        self.assertIn("train-00001.parquet", hsae("info", self.d)[1])
        for path in self.d.iterdir():
            path.unlink()
        (self.d / "a.bin").write_bytes(bytes(48))
        self.refused("a.bin (raw numbers", "--dim")

    def test_raw_numbers_stay_raw(self):
        """Numbers that look like nothing in particular are read as they are."""
        self.data.write_bytes(array.array("f", range(30 * DIM)).tobytes())
        self.assertEqual(json.loads(hsae("info", self.data, "--dim", DIM, "--json")[0])["tokens"], 30)


class Tokens(Case):
    """tokens.jsonl must be of the data that it is laid over."""

    def setUp(self):
        super().setUp()
        self.d = self.folder / "d"
        self.d.mkdir()
        self.rows = random_rows()
        self.tokens = self.d / "tokens.jsonl"
        self.data = self.d / "acts.safetensors"

    def write(self, lengths, marked=True, encoding="utf-8"):
        """Sequences of these lengths, each with the fingerprint of its rows."""
        lines, first = [], 0
        for length in lengths:
            line = {"tokens": ["t%d" % (first + k) for k in range(length)]}
            if marked:
                packed = array.array("f", [value for row in self.rows[first:first + length] for value in row])
                if sys.byteorder == "big":
                    packed.byteswap()
                line["rows_crc32"] = zlib.crc32(packed.tobytes())
            lines.append(json.dumps(line) + "\n")
            first += length
        self.tokens.write_text("".join(lines), encoding=encoding)

    def shape(self, rows, *shape):
        write_tensors(self.data, {"acts": ([*shape, DIM], [value for row in rows for value in row])})

    def explore(self, status=0):
        model = self.folder / "run" / "model.safetensors"
        if not model.exists():
            hsae("train", "--data", self.data, "--out", self.folder / "run", *TINY)
        return hsae("explore", "--model", model, "--data", self.d, "--out", self.folder / "page.html", "--device", "ref", status=status)[1]

    def test_fingerprints(self):
        self.shape(self.rows, ROWS)
        for marked in True, False:
            self.write([30, 0, 10, 40], marked)
            self.explore()
        self.write([30, 10, 40])
        self.shape(self.rows[:40] + self.rows[60:] + self.rows[40:60], ROWS)
        errors = self.explore(status=1)
        for word in ("tokens.jsonl: line 3", "vectors 40 to 79", "acts.safetensors", "rows_crc32", "in the order"):
            self.assertIn(word, errors)
        self.write([30, 10, 40], False)
        self.explore()
        self.tokens.write_text('{"tokens": ["a"], "rows_crc32": "x"}\n')
        self.assertIn("rows_crc32 is not a whole number", self.explore(status=1))

    def test_fingerprints_of_shards(self):
        """Files whose order is not that of the tokens are found out, whatever their names."""
        self.shape(self.rows, ROWS)
        self.write([20, 20, 20, 20])
        self.explore()
        self.data.unlink()
        for name, first in ("a", 0), ("c", 20), ("b", 40), ("d", 60):
            write_safetensors(self.d / (name + ".safetensors"), "acts", self.rows[first:first + 20])
        errors = hsae("explore", "--model", self.folder / "run" / "model.safetensors", "--data", self.d, "--out", self.folder / "no.html",
                      "--device", "ref", status=1)[1]
        self.assertIn("line 2", errors)
        self.assertIn("b.safetensors", errors)
        self.assertFalse((self.folder / "no.html").exists())

    def test_lengths(self):
        """Where the data tell sequences, the lines are those."""
        self.shape(self.rows, 8, 10)
        self.write([10] * 8, False)
        self.explore()
        self.write([10, 20, 10, 10, 10, 10, 10], False)
        errors = self.explore(status=1)
        for word in ("line 2", "a sequence of 20 tokens", "at vector 10", "one of 10 vectors", "acts.safetensors"):
            self.assertIn(word, errors)
        self.write([10] * 7 + [0, 10], False)
        self.assertIn("a sequence of 0 tokens", self.explore(status=1))

    def test_byte_order_mark(self):
        self.shape(self.rows, ROWS)
        self.write([40, 40], encoding="utf-8-sig")
        self.explore()
        config = self.folder / "config.json"
        config.write_text('{"steps": 20}', encoding="utf-8-sig")
        hsae("train", "--data", self.data, "--config", config, "--out", self.folder / "other", *TINY)


def place(whole, name):
    """Where a tensor's bytes begin and end in a file."""
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    return [start + offset for offset in json.loads(whole[8:start])[name]["data_offsets"]]


class Decode(Case):
    def test_overflow(self):
        """What float32 cannot hold is an error with level and row, and leaves no file."""
        self.train()
        model, features, out = self.out / "model.safetensors", self.folder / "features.safetensors", self.folder / "out.safetensors"
        hsae("encode", "--model", model, "--data", self.data, "--out", features, "--device", "ref")
        whole = bytearray(model.read_bytes())
        first, end = place(whole, "input.scale")
        whole[first:end] = struct.pack("<f", 1e-3)  # in raw units all is 1000 times as large
        model.write_bytes(whole)
        decode = "decode", "--model", model, "--features", features, "--out", out, "--device", "ref"
        hsae(*decode)
        out.unlink()
        good = features.read_bytes()
        for level in 0, 1:
            first, end = place(good, "levels.%d.indptr" % level)
            ends = struct.unpack("<%dq" % (ROWS + 1), good[first:end])
            row = next(r for r in range(ROWS) if ends[r] >= 3 and ends[r + 1] > ends[r])
            at = place(good, "levels.%d.values" % level)[0] + 4 * ends[row]
            for value, words in (3.4e38, ["row %d, column" % row, "level %d overflows" % level, "features.safetensors: level %d" % level]), (math.nan, ["level %d" % level]):
                features.write_bytes(good[:at] + struct.pack("<f", value) + good[at + 4:])
                errors = hsae(*decode, status=1)[1]
                for word in words:
                    self.assertIn(word, errors)
                self.assertFalse(out.exists())
        self.assert_no_litter()


if __name__ == "__main__":
    main(__doc__)
