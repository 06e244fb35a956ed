#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models to and from the files of other tools, and trees made afterwards. test_exchange.py HSAE [TEST]..."""
import array
import json
import random
import struct
import zipfile

from program import DIM, DRIVERS, EVAL, Case, hsae, main, random_rows, read_rows, write_safetensors

KEYS = {"architecture", "d_in", "d_sae", "dtype", "device", "apply_b_dec_to_input", "normalize_activations", "reshape_activations", "metadata"}
WEIGHTS = ["W_dec", "W_enc", "b_dec", "b_enc", "threshold"]


def read_tensors(path):
    """{name: (dtype, shape, bytes)} and the metadata."""
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:start])
    metadata = header.pop("__metadata__", {})
    return {name: (entry["dtype"], entry["shape"], whole[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]])
            for name, entry in header.items()}, metadata


def write_tensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def floats(values):
    return array.array("f", values).tobytes()


def npy(shape, content, descr="<f4"):
    text = ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, tuple(shape))).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def random_sae(n, d=DIM, seed=3, norm=1.5):
    numbers = random.Random(seed)
    gauss = lambda count, scale=1.0: [numbers.gauss(0, scale) for _ in range(count)]
    return {"W_dec": ("F32", [n, d], floats(gauss(n * d, norm / d**0.5))), "W_enc": ("F32", [d, n], floats(gauss(n * d))),
            "b_dec": ("F32", [d], floats(gauss(d, 0.1))), "b_enc": ("F32", [n], floats(gauss(n, 0.1))),
            "threshold": ("F32", [n], floats([0.5 + abs(value) for value in gauss(n)]))}


def write_sae(folder, tensors, **cfg):
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "sae_weights.safetensors", tensors)
    n, d = tensors["W_dec"][1] if "W_dec" in tensors else (8, DIM)
    (folder / "cfg.json").write_text(json.dumps({"architecture": "jumprelu", "d_in": d, "d_sae": n, "apply_b_dec_to_input": False,
                                                 "normalize_activations": "none", **cfg}))
    return folder


def values(tensors, name):
    out = array.array("f")
    out.frombytes(tensors[name][2])
    return out


def by_hand(tensors, row, subtract):
    """{feature: activation} and the reconstruction, in Python's double precision."""
    n, d = tensors["W_dec"][1]
    w_enc, w_dec, b_enc, b_dec, threshold = (values(tensors, name) for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"))
    x = [value - (b_dec[k] if subtract else 0) for k, value in enumerate(row)]
    acts = {}
    for i in range(n):
        p = b_enc[i] + sum(x[k] * w_enc[k * n + i] for k in range(d))
        if p > max(threshold[i], 0):
            acts[i] = p
    out = [b_dec[k] + sum(a * w_dec[i * d + k] for i, a in acts.items()) for k in range(d)]
    return acts, out


class Exchange(Case):
    def setUp(self):
        super().setUp()
        self.model = EVAL / "model.safetensors"
        self.target = self.folder / "exported"

    def fails(self, words, *arguments, status=1):
        text, errors = hsae(*arguments, status=status)
        self.assertEqual(text, "")
        for word in words if isinstance(words, (list, tuple)) else [words]:
            self.assertIn(word, errors)

    def reconstructions(self, model, level=0, data=None):
        hsae("encode", "--model", model, "--data", data or self.data, "--out", self.folder / "f.safetensors", "--device", "ref")
        hsae("decode", "--model", model, "--features", self.folder / "f.safetensors", "--out", self.folder / "r.safetensors", "--device", "ref")
        features, _ = read_tensors(self.folder / "f.safetensors")
        indptr = struct.unpack("<%dq" % features["levels.%d.indptr" % level][1][0], features["levels.%d.indptr" % level][2])
        indices = struct.unpack("<%di" % indptr[-1], features["levels.%d.indices" % level][2])
        acts = values(features, "levels.%d.values" % level)
        rows, width, out = read_rows(self.folder / "r.safetensors", "levels.%d.reconstruction" % level)
        return ([dict(zip(indices[a:b], acts[a:b])) for a, b in zip(indptr, indptr[1:])],
                [out[r * width:(r + 1) * width] for r in range(rows)])

    def assert_close(self, left, right, limit=1e-5):
        scale = max(max(map(abs, left), default=0), max(map(abs, right), default=0), 1e-30)
        self.assertLessEqual(max((abs(a - b) for a, b in zip(left, right)), default=0), limit * scale)


    def imported(self, *paths):
        out = self.folder / "model.safetensors"
        hsae("import", *paths, "--out", out)
        return out

    def refused(self, words, *paths):
        self.fails(words, "import", *paths, "--out", self.folder / "no.safetensors")
        self.assertFalse((self.folder / "no.safetensors").exists())

    def compare(self, model, saes, subtract=False):
        rows = random_rows()
        for level, tensors in enumerate(saes):
            n, d = tensors["W_dec"][1]
            w = values(tensors, "W_dec")
            norms = [sum(value * value for value in w[i * d:(i + 1) * d])**0.5 for i in range(n)]
            acts, out = self.reconstructions(model, level)
            for row, found, reconstruction in zip(rows, acts, out):
                expected, whole = by_hand(tensors, array.array("f", row), subtract)
                self.assertEqual(sorted(found), sorted(expected))
                self.assert_close([found[i] for i in expected], [expected[i] * norms[i] for i in expected])
                self.assert_close(reconstruction, whole)


class Export(Exchange):
    def test_saelens(self):
        printed = json.loads(hsae("export", "--model", self.model, self.target, "--json", "--meta", "model_name=gemma", "context_size=128",
                                  "prepend_bos=true", "--meta", "hook_name=blocks.1")[0])
        self.assertEqual(printed["format"], "saelens")
        for level, n in enumerate(printed["levels"]):
            folder = self.target / ("level-%d" % level)
            tensors, _ = read_tensors(folder / "sae_weights.safetensors")
            d = tensors["b_dec"][1][0]
            self.assertEqual(sorted(tensors), WEIGHTS)
            self.assertEqual([tensors[name][1] for name in WEIGHTS], [[n, d], [d, n], [d], [n], [n]])
            cfg = json.loads((folder / "cfg.json").read_text())
            self.assertEqual(set(cfg), KEYS)
            self.assertEqual((cfg["architecture"], cfg["d_in"], cfg["d_sae"], cfg["apply_b_dec_to_input"]), ("jumprelu", d, n, False))
            found = cfg["metadata"]
            self.assertEqual((found["sae_lens_version"], found["sae_lens_training_version"], found["seqpos_slice"], found["hsae_level"]),
                             ("6.0.0", None, [None], level))
            self.assertEqual((found["model_name"], found["context_size"], found["prepend_bos"], found["dataset_path"], found["hook_name"]),
                             ("gemma", 128, True, None, "blocks.1"))
        self.assert_no_litter()

    def test_what_is_exported_takes_raw_activations(self):
        hsae("export", "--model", self.model, self.target)
        scale = values(read_tensors(self.model)[0], "input.scale")[0]
        _, _, flat = read_rows(EVAL / "data.safetensors", next(iter(read_tensors(EVAL / "data.safetensors")[0])))
        for level in range(2):
            tensors, _ = read_tensors(self.target / ("level-%d" % level) / "sae_weights.safetensors")
            d = tensors["b_dec"][1][0]
            acts, out = self.reconstructions(self.model, level, EVAL / "data.safetensors")
            for r in range(20):
                expected, reconstruction = by_hand(tensors, flat[r * d:(r + 1) * d], False)
                self.assertEqual(sorted(acts[r]), sorted(expected))
                self.assert_close([acts[r][i] / scale for i in expected], list(expected.values()))
                self.assert_close(out[r], reconstruction)

    def test_tree(self):
        hsae("export", "--model", self.model, self.target)
        tree, metadata = read_tensors(self.target / "tree.safetensors")
        parents = struct.unpack("<%di" % tree["levels.1.parent"][1][0], tree["levels.1.parent"][2])
        self.assertEqual(tree["levels.1.parent"], read_tensors(self.model)[0]["levels.1.parent"])
        self.assertEqual(metadata["format"], "hsae tree")
        readable = json.loads((self.target / "tree.json").read_text())["levels"]
        self.assertEqual([parent if parent >= 0 else None for parent in parents], readable[1]["parents"])
        self.assertEqual((readable[0]["parents"], readable[1]["children"], readable[0]["folder"]), (None, None, "level-0"))
        for i, children in enumerate(readable[0]["children"]):
            self.assertEqual(children, [j for j, parent in enumerate(parents) if parent == i])

    def test_gemma_scope(self):
        hsae("export", "--model", self.model, self.target)
        hsae("export", "--model", self.model, "--format", "gemma-scope", self.folder / "scope")
        for level in range(2):
            tensors, _ = read_tensors(self.target / ("level-%d" % level) / "sae_weights.safetensors")
            with zipfile.ZipFile(self.folder / "scope" / ("level-%d" % level) / "params.npz") as archive:
                self.assertIsNone(archive.testzip())
                self.assertEqual(sorted(archive.namelist()), sorted(name + ".npy" for name in WEIGHTS))
                for name in WEIGHTS:
                    content = archive.read(name + ".npy")
                    self.assertEqual(content, npy(tensors[name][1], tensors[name][2]))
                    self.assertEqual(len(content[:content.index(b"\n") + 1]) % 64, 0)

    def test_half_precision(self):
        for dtype, bits in (("f16", 11), ("bf16", 8)):
            half = self.folder / (dtype + ".safetensors")
            hsae("export", "--model", self.model, "--format", "hsae", "--dtype", dtype, half)
            before, after = read_tensors(self.model)[0], read_tensors(half)[0]
            self.assertEqual(before.keys(), after.keys())
            for name, (kind, shape, content) in after.items():
                self.assertEqual(kind, dtype.upper() if name.endswith("r.weight") else before[name][0])
                if kind == before[name][0]:
                    self.assertEqual(content, before[name][2])
            hsae("export", "--model", half, "--format", "hsae", self.folder / "wide.safetensors")
            wide = read_tensors(self.folder / "wide.safetensors")[0]
            for name in ("levels.0.encoder.weight", "levels.1.decoder.weight"):
                for a, b in zip(values(before, name), values(wide, name)):
                    self.assertLessEqual(abs(a - b), max(abs(a) * 2.0**-bits, 2.0**-25))
                    if dtype == "f16":
                        self.assertEqual(b, struct.unpack("<e", struct.pack("<e", a))[0])

    def test_refusals(self):
        self.target.mkdir()
        hsae("export", "--model", self.model, self.target)
        self.fails([str(self.target), "exists already"], "export", "--model", self.model, self.target)
        self.fails("cannot be made", "export", "--model", self.model, self.folder / "none" / "out")
        self.fails("hsae_level", "export", "--model", self.model, self.folder / "b", "--meta", "hsae_level=3")
        self.fails("KEY=VALUE", "export", "--model", self.model, self.folder / "b", "--meta", "alone", status=2)
        self.fails("gemma-scope", "export", "--model", self.model, "--format", "torch", self.folder / "b", status=2)
        self.fails("bf16", "export", "--model", self.model, "--format", "hsae", "--dtype", "f64", self.folder / "b", status=2)
        self.fails("--dtype", "export", "--model", self.model, "--dtype", "f16", self.folder / "b", status=2)
        self.fails("--model", "export", self.folder / "b", status=2)
        self.assertFalse((self.folder / "b").exists())
        self.assert_no_litter()


class Import(Exchange):
    def test_round_trip(self):
        for form in ("saelens", "gemma-scope"):
            target, again = self.folder / form, self.folder / (form + "-again")
            hsae("export", "--model", self.model, "--format", form, target)
            model = self.imported(target)
            first, second = read_tensors(self.model)[0], read_tensors(model)[0]
            for name in ("levels.0.decoder.weight", "levels.1.encoder.weight", "levels.1.parent"):
                self.assertEqual(first[name], second[name])
            scale = values(first, "input.scale")[0]
            for level in range(2):
                left, left_out = self.reconstructions(self.model, level, EVAL / "data.safetensors")
                right, right_out = self.reconstructions(model, level, EVAL / "data.safetensors")
                for a, b, x, y in zip(left, right, left_out, right_out):
                    self.assertEqual(a.keys(), b.keys())
                    self.assert_close([value / scale for value in a.values()], list(b.values()), 1e-6)
                    self.assert_close(x, y, 1e-6)
            hsae("export", "--model", model, "--format", form, again)
            for path in sorted(target.rglob("*.*")):
                self.assert_same_bytes(path, again / path.relative_to(target))

    def test_rows_get_unit_norm(self):
        saes = [random_sae(8, seed=1), random_sae(16, seed=2)]
        folders = [write_sae(self.folder / ("sae-%d" % k), sae) for k, sae in enumerate(saes)]
        model = self.imported(*reversed(folders))
        self.compare(model, saes)
        weight = values(read_tensors(model)[0], "levels.1.decoder.weight")
        for i in range(16):
            self.assertAlmostEqual(sum(value * value for value in weight[i * DIM:(i + 1) * DIM]), 1, places=6)
        text = json.loads(hsae("import", *folders, "--out", model, "--json")[0])
        self.assertEqual([level["features"] for level in text["levels"]], [8, 16])

    def test_subtracted_bias(self):
        sae = random_sae(8)
        for cfg in ({"apply_b_dec_to_input": True},):
            self.compare(self.imported(write_sae(self.folder / "sae", sae, **cfg)), [sae], True)

    def test_thresholds_at_zero(self):
        sae = random_sae(8)
        sae["threshold"] = ("F32", [8], floats([0, -1, 0.5, 0, 1, 1, -0.25, 2]))
        self.compare(self.imported(write_sae(self.folder / "sae", sae)), [sae])

    def test_dead_rows(self):
        sae = random_sae(8)
        sae["W_dec"] = ("F32", [8, DIM], bytes(4 * DIM) + sae["W_dec"][2][4 * DIM:])
        errors = hsae("import", write_sae(self.folder / "sae", sae), "--out", self.folder / "m.safetensors")[1]
        self.assertIn("1 of 8 decoder rows are zero", errors)
        acts, out = self.reconstructions(self.folder / "m.safetensors")
        for row, found, whole in zip(random_rows(), acts, out):
            self.assertNotIn(0, found)
            self.assert_close(whole, by_hand(sae, array.array("f", row), False)[1])

    def write_npz(self, arrays, compression=zipfile.ZIP_DEFLATED, name="params.npz"):
        path = self.folder / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            for key, content in arrays.items():
                archive.writestr(key + ".npy", content)
        return path

    def scope(self, sae):
        return {name: npy(shape, content) for name, (_, shape, content) in sae.items()}

    def test_npz(self):
        sae = random_sae(8)
        sae["threshold"] = ("F32", [8], floats([0, 0.25, 0.5, 0, 1, 1, 0.25, 2]))
        for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            self.compare(self.imported(self.write_npz(self.scope(sae), compression)), [sae])
        sae["threshold"] = ("F32", [8], floats([1, 1, 1, -0.5, 1, 1, 1, 1]))
        self.refused(["params.npz", "threshold", "element 3 is -0.5", "below 0"], self.write_npz(self.scope(sae)))

    def test_damaged_npz(self):
        sae = self.scope(random_sae(8))
        whole = self.write_npz(sae).read_bytes()
        path = self.folder / "bad.npz"
        for content, words in ((whole[:200], "truncated"), (whole[len(whole) // 2:], "damaged"), (b"", "end is missing"),
                               (b"PK\x05\x06" + bytes(18), "W_dec"), (whole.replace(b"PK\x03\x04", b"PK\x03\x05"), "not where")):
            path.write_bytes(content)
            self.refused(["bad.npz", words], path)
        flipped = bytearray(self.write_npz(sae, zipfile.ZIP_STORED).read_bytes())
        flipped[500] ^= 1
        path.write_bytes(flipped)
        self.refused(["bad.npz", "checksum"], path)
        # A directory that promises more than the bytes can hold, and a header that promises more than the directory.
        sized = bytearray(whole)
        at = sized.index(b"PK\x01\x02") + 24
        sized[at:at + 4] = struct.pack("<I", 1 << 31)
        path.write_bytes(sized)
        self.refused(["bad.npz", "larger than its bytes can hold"], path)
        self.refused(["shape does not fit"], self.write_npz({**sae, "W_dec": npy([1 << 20, 1 << 20], b"1234")}))
        self.refused(["W_dec", "<f8"], self.write_npz({**sae, "W_dec": npy([8, DIM], bytes(64 * DIM), "<f8")}))
        self.refused(["W_enc", "missing"], self.write_npz({name: sae[name] for name in sae if name != "W_enc"}))
        self.refused(["b_enc", "[9]", "[8]"], self.write_npz({**sae, "b_enc": npy([9], bytes(36))}))

    def test_refusals(self):
        sae, folder = random_sae(8), self.folder / "sae"
        for cfg, words in (({"architecture": "gated"}, ["cfg.json", "gated", "cannot be represented"]),
                           ({"normalize_activations": "layer_norm"}, ["layer_norm", "none", "fold"]),
                           ({"normalize_activations": True}, ["normalize_activations", "fold"]),
                           ({"apply_b_dec_to_input": 1}, "apply_b_dec_to_input"), ({"d_sae": 9}, ["d_sae is 9", "8"]),
                           ({"d_in": None}, "d_in is missing")):
            self.refused(words, write_sae(folder, sae, **cfg))
        for change, words in (({"W_enc": None}, ["W_enc", "missing"]), ({"b_dec": ("F32", [2], bytes(8))}, ["b_dec", "[2]", "[%d]" % DIM]),
                              ({"W_skip": ("F32", [1], bytes(4))}, ["W_skip", "no place"]),
                              ({"b_enc": ("F64", [8], bytes(64))}, ["b_enc", "F64", "BF16"]),
                              ({"b_enc": ("F32", [8], floats([1, 2, float("nan")] + [0] * 5))}, ["b_enc", "element 2", "nan"])):
            self.refused(words, write_sae(folder, {name: value for name, value in {**sae, **change}.items() if value}))
        write_sae(folder, sae)
        (folder / "cfg.json").write_text('{"architecture": "jumprelu", "architecture": "jumprelu"}')
        self.refused(["cfg.json", "duplicate"], folder)
        (folder / "cfg.json").write_text("[]")
        self.refused(["cfg.json", "not a JSON object"], folder)
        write_sae(folder, sae)
        self.refused(["8 features each", "models of their own"], folder, write_sae(self.folder / "same", random_sae(8, seed=9)))
        self.refused(["width %d" % (DIM + 1)], folder, write_sae(self.folder / "wide", random_sae(16, DIM + 1)))
        self.refused(["no SAE there", "cfg.json", "params.npz"], self.folder / "nothing")
        self.refused(["no SAE there"], self.target.parent / "data.safetensors")
        self.fails("--out", "import", folder, status=2)

    def test_tree_of_other_levels(self):
        hsae("export", "--model", self.model, self.target)
        errors = hsae("import", self.target / "level-1", "--out", self.folder / "m.safetensors")[1]
        self.assertIn("tree.safetensors: not used", errors)
        whole = (self.target / "tree.safetensors").read_bytes()
        (self.target / "tree.safetensors").write_bytes(whole[:-4] + struct.pack("<i", 10000))
        self.refused(["tree.safetensors", "10000"], self.target)
        (self.target / "tree.safetensors").unlink()
        text = json.loads(hsae("import", self.target, "--out", self.folder / "m.safetensors", "--json")[0])
        self.assertEqual([level["assigned"] for level in text["levels"]], [0, 0])


class Tree(Exchange):
    POSTHOC = ["--batch", "16", "--steps", "12", "--target-l0", "3", "--levels", "8,20,33"]

    def parents(self, model):
        tensors, _ = read_tensors(model)
        return [list(struct.unpack("<%di" % n, content)) for name, (_, (n, *_), content) in sorted(tensors.items()) if name.endswith("parent")]

    def linked(self, model, *arguments, device="ref"):
        out = self.folder / "linked.safetensors"
        return out, hsae("tree", "--model", *(model if isinstance(model, list) else [model]), "--out", out, "--device", device, *arguments,
                         environment={} if device == "ref" else DRIVERS)

    def test_as_training_makes_it(self):
        for device in ("ref", "opencl:0", "vulkan:0"):
            for tree in ("posthoc", "full", "binary"):
                for similarity in ("encoder", "decoder"):
                    out = self.folder / ("%s-%s-%s" % (device, tree, similarity))
                    hsae("train", "--data", self.data, "--out", out, *self.POSTHOC, "--tree", tree, "--similarity", similarity,
                         "--hierarchy-period", "12", "--device", device, environment=DRIVERS)
                    other, _ = self.linked(out / "model.safetensors", "--exclude", "0.6")
                    linked, _ = self.linked(other, "--similarity", similarity, "--tree", "forest" if tree == "posthoc" else tree, device=device)
                    self.assertEqual(self.parents(linked), self.parents(out / "model.safetensors"), (device, tree, similarity))
                    first, second = read_tensors(out / "model.safetensors")[0], read_tensors(linked)[0]
                    self.assertEqual(first, second)
                    config = json.loads(read_tensors(linked)[1]["config"])
                    self.assertEqual((config["tree"], config["similarity"], config["exclude"]), (tree, similarity, 0.2))

    def test_coactivation(self):
        self.train("--tree", "posthoc", "--target-l0", "4")
        model = self.out / "model.safetensors"
        above, below = (self.reconstructions(model, level)[0] for level in (0, 1))
        best = []
        for j in range(16):
            both = [sum(j in low and i in high for low, high in zip(below, above)) for i in range(8)]
            best.append((max(both), both.index(max(both))))
        expected = [parent for _, parent in best]
        for _, j in sorted((count, j) for j, (count, _) in enumerate(best))[:3]:
            expected[j] = -1
        for device in ("ref", "opencl:0", "vulkan:0"):
            linked, _ = self.linked(model, "--similarity", "coactivation", "--data", self.data, device=device)
            self.assertEqual(self.parents(linked), [expected], device)
        self.fails("--data", "tree", "--model", model, "--out", self.folder / "no", "--similarity", "coactivation", status=2)

    def test_figures(self):
        self.train()
        linked, (text, _) = self.linked(self.out / "model.safetensors", "--data", self.data, "--json", "--exclude", "0.5")
        found = json.loads(text)
        self.assertEqual(found["pairs"], [{"features": 16, "assigned": 8}])
        evaluated = json.loads(hsae("eval", "--model", linked, "--data", self.data, "--device", "ref", "--json")[0])
        self.assertEqual(found["evaluation"], evaluated)
        text = self.linked(self.out / "model.safetensors")[1][0]
        self.assertIn("13 of 16 features have a parent", text)

    def test_over_imported_saes(self):
        saes = [write_sae(self.folder / ("sae-%d" % n), random_sae(n, seed=n)) for n in (9, 17)]
        linked, _ = self.linked(saes, "--tree", "full")
        hsae("import", *saes, "--out", self.folder / "imported.safetensors")
        self.assertEqual(self.parents(linked), self.parents(self.linked(self.folder / "imported.safetensors", "--tree", "full")[0]))
        tensors, _ = read_tensors(linked)
        rows = lambda level, n: [values(tensors, "levels.%d.encoder.weight" % level)[i * DIM:(i + 1) * DIM] for i in range(n)]
        cosine = lambda a, b: sum(x * y for x, y in zip(a, b)) / (sum(x * x for x in a) * sum(y * y for y in b))**0.5
        expected = [max(range(9), key=lambda i: cosine(child, rows(0, 9)[i])) for child in rows(1, 17)]
        self.assertEqual(self.parents(linked), [expected])

    def test_refusals(self):
        sae = write_sae(self.folder / "sae", random_sae(8))
        self.fails("one level", "tree", "--model", sae, "--out", self.folder / "no", "--device", "ref")
        self.fails("forest, full or binary", "tree", "--model", sae, "--out", self.folder / "no", "--tree", "posthoc", status=2)
        self.fails("exclude", "tree", "--model", self.model, "--out", self.folder / "no", "--exclude", "1.5", status=2)
        self.fails("oak", "tree", "--model", self.model, "--out", self.folder / "no", "--tree", "oak", status=2)
        self.fails("--out", "tree", "--model", self.model, status=2)


if __name__ == "__main__":
    main(__doc__)
