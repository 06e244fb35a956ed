#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The explorer's files, whose figures are those of eval and encode, from tokens of any kind: test_explore.py HSAE [TEST]..."""
import array
import base64
import csv
import json
import math
import re
import struct
import xml.etree.ElementTree
import zlib

from program import DIM, DRIVERS, ROWS, Case, hsae, main, random_rows, read_rows, write_safetensors

HOSTILE = ["<script>alert(1)</script>", "</script><script>x", "<!--", "]]>", "&lt;", '"', "\\", "\x00", "\x1b[31m", "\u202egnirts", "\u2028", "\ufffd",
           "\U0001f333", "a\nb", ""]
BLOCK = re.compile(r'<script type="application/octet-stream" id="([^"]*)">([A-Za-z0-9+/=]+)</script>\n')


def blocks(path):
    return {name: json.loads(zlib.decompress(base64.b64decode(text, validate=True), wbits=-15)) for name, text in BLOCK.findall(path.read_text("ascii"))}


def encoded(path, levels):
    """found[l][row] = {feature: activation} of a file of `hsae encode`."""
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:start])

    def values(name, code):
        out = array.array(code)
        out.frombytes(whole[start + header[name]["data_offsets"][0]:start + header[name]["data_offsets"][1]])
        return out

    found = []
    for level in range(levels):
        indptr, indices, numbers = (values("levels.%d.%s" % (level, name), code) for name, code in (("indptr", "q"), ("indices", "i"), ("values", "f")))
        found.append([dict(zip(indices[a:b], numbers[a:b])) for a, b in zip(indptr, indptr[1:])])
    return found


def peaks_of(values, limits, length):
    """(row, value) of the peaks as include/hsae/explore.h defines them."""
    peaks, last = [], None
    for row, value in enumerate(values):
        if not value:
            continue
        if last is not None and limits[last] == limits[row] and row - last < length:
            if value > values[last]:
                peaks[-1], last = (row, value), row
        else:
            peaks.append((row, value))
            last = row
    return peaks


class Exploring(Case):
    def setUp(self):
        super().setUp()
        self.lengths = [1, 30, 0, 9, 40]
        self.texts = [["t%d" % (31 * s + k * k % 17) for k in range(length)] for s, length in enumerate(self.lengths)]
        self.texts[1][:len(HOSTILE)] = HOSTILE
        self.tokens = self.folder / "tokens.jsonl"
        self.write_tokens(self.texts)
        self.model = self.out / "model.safetensors"
        self.page = self.folder / "page.html"

    def write_tokens(self, texts):
        self.tokens.write_text("".join(json.dumps({"source": "made up", "tokens": text}) + "\n" for text in texts))

    def explore(self, *arguments, out=None, device="ref", **more):
        if not self.model.exists():
            self.train()
        return hsae("explore", "--model", self.model, "--data", self.data, "--out", out or self.page, "--device", device, *arguments, **more)


class Logits(Exploring):
    def test_tokens_that_features_promote(self):
        rows, vocabulary = random_rows(50, seed=7), ["token %d" % k for k in range(49)] + ["\u0000<b>"]
        write_safetensors(self.folder / "unembedding.safetensors", "unembedding", rows)
        (self.folder / "vocab.json").write_text(json.dumps(vocabulary[:-1]))
        arguments = ["--tokens", self.tokens, "--unembedding", self.folder / "unembedding.safetensors", "--vocab", self.folder / "vocab.json"]
        self.assertIn("49 tokens", self.explore(*arguments, status=1)[1])
        (self.folder / "vocab.json").write_text(json.dumps(vocabulary[:-1] + ["<b>"]))
        self.explore(*arguments)
        page, scale = blocks(self.page), read_rows(self.model, "input.scale")[2][0]
        for level in range(2):
            count, width, decoder = read_rows(self.model, "levels.%d.decoder.weight" % level)
            for i in range(count):
                logits = [math.fsum(a * b for a, b in zip(decoder[i * width:(i + 1) * width], row)) / scale for row in rows]
                mean, order = math.fsum(logits) / len(logits), sorted(range(50), key=lambda k: -logits[k])
                for found, expected in zip(page["logits-%d" % level]["logits"][i], (order[:8], order[::-1][:8])):
                    self.assertEqual(found[::2], [(vocabulary[:-1] + ["<b>"])[k] for k in expected])
                    for value, k in zip(found[1::2], expected):
                        self.assertAlmostEqual(value, logits[k] - mean, delta=1e-3 * abs(logits[k] - mean) + 1e-4)
        self.assertIn("--vocab", self.explore(*arguments[:-2], status=2)[1])
        (self.folder / "vocab.json").write_text("[1]")
        self.assertIn("array of strings", self.explore(*arguments, status=1)[1])


class Page(Exploring):
    def is_duplicate(self, level, child, parent, children, parents, joint):
        """By the definition of model.h."""
        spread = math.sqrt(parents * (ROWS - parents) * children * (ROWS - children))
        rows = [read_rows(self.model, "levels.%d.decoder.weight" % at)[2][i * DIM:(i + 1) * DIM] for at, i in ((level, child), (level - 1, parent))]
        return int(spread > 0 and (ROWS * joint - parents * children) / spread > 0.7 and sum(a * b for a, b in zip(*rows)) > 0.7)

    def check_level(self, page, level, found, parent):
        """The index's figures of one level against the activations."""
        own, above = found[level], found[level - 1] if level else None
        index = page["index"]["levels"][level]
        for i in range(index["features"]):
            values = [row[i] for row in own if i in row]
            shown = lambda number: float("%.9g" % number)
            self.assertEqual(index["density"][i], shown(len(values) / ROWS))
            self.assertEqual(index["max"][i], shown(max(values)) if values else None)
            self.assertEqual(index["mean"][i], shown(math.fsum(values) / len(values)) if values else None)
            if above is None or parent[i] < 0:
                continue
            joint, parents = sum(i in a and parent[i] in b for a, b in zip(own, above)), sum(parent[i] in b for b in above)
            self.assertEqual(index["p_parent"][i], shown(joint / len(values)) if values else None)
            self.assertEqual(index["p_child"][i], shown(joint / parents) if parents else None)
            self.assertEqual(index["duplicate"][i], self.is_duplicate(level, i, parent[i], len(values), parents, joint))
            siblings = {j: sum(i in row and j in row for row in own) for j in range(index["features"]) if j != i and parent[j] == parent[i]}
            best = sorted(((j, n / len(values)) for j, n in siblings.items() if n), key=lambda pair: (-pair[1], pair[0]))[:10]
            feature = page["features-%d-0" % level]["features"][i]
            self.assertEqual([(j, p) for j, p in feature["siblings"]], [(j, shown(p)) for j, p in best])

    def check_contexts(self, page, level, found, flat, limits, length):
        strings, runs = page["tokens"]["strings"], page["text-0"]["runs"]
        ids = {first + k: (token, sequence) for first, sequence, tokens in runs for k, token in enumerate(tokens)}
        for i, feature in enumerate(page["features-%d-0" % level]["features"]):
            values = [row[i] for row in found[level] if i in row]
            self.assertEqual(sum(feature["histogram"]), len(values))
            peak, high = (page["index"]["levels"][level][key][i] for key in ("peak", "high"))
            if values:  # the end of the bin up to which 99 % are
                self.assertAlmostEqual(40 * high / peak, round(40 * high / peak), places=4)
                self.assertGreaterEqual(sum(v <= high * (1 + 1e-6) for v in values), 0.99 * len(values))
                self.assertLess(sum(v < (high - peak / 40) * (1 - 1e-6) for v in values), 0.99 * len(values))
            peaks = []
            for start, size, peak, quantile, pairs in feature["contexts"]:
                self.assertLessEqual(size, length)
                self.assertTrue(limits[start][0] <= start and start + size <= limits[start][1])
                self.assertEqual([strings[ids[start + k][0]] for k in range(size)], [flat[start + k] for k in range(size)])
                self.assertEqual({ids[start + k][1] for k in range(size)}, {limits[start][2]})
                self.assertEqual(dict(zip(pairs[::2], pairs[1::2])),
                                 {k: float("%.4g" % found[level][start + k][i]) for k in range(size) if i in found[level][start + k]})
                value = found[level][start + peak][i]
                if quantile is not None:
                    self.assertEqual(quantile, float("%.4g" % (sum(v <= value for v in values) / len(values))))
                peaks.append((quantile is not None, -value))
            self.assertEqual(peaks, sorted(peaks))
            self.assertEqual(bool(peaks), bool(values))
            if values:
                all_peaks = sorted(peaks_of([row.get(i, 0) for row in found[level]], limits, length), key=lambda p: (-p[1], p[0]))
                chosen = [(c[0] + c[2], c[3] is not None) for c in feature["contexts"]]
                self.assertEqual([row for row, sampled in chosen if not sampled], [row for row, _ in all_peaks[:3]])
                self.assertLessEqual({row for row, sampled in chosen if sampled}, {row for row, _ in all_peaks[3:]})
                self.assertTrue(len(all_peaks) <= 3 or any(sampled for _, sampled in chosen))
            self.check_words(strings, page["words-%d" % level]["words"][i], page["index"]["levels"][level]["top"][i], [row.get(i, 0) for row in found[level]], flat)

    def check_words(self, strings, words, top, values, flat):
        """Tokens by share of the activations and lift: exact where a feature is active on few tokens, else at most the truth."""
        whole, mass = sum(values), {}
        for token, value in zip(flat, values):
            if value:
                mass[token] = mass.get(token, 0) + value
        shares = {strings[token]: share / 1000 for token, share in zip(words[::2], words[1::2])}
        for token, share in shares.items():
            self.assertLessEqual(share, mass[token] / whole + 6e-4)
        if not 0 < len(mass) <= 32:
            return
        rank = {token: part / whole * math.log(part / whole / ((flat.count(token) + 3) / len(flat))) for token, part in mass.items()}
        self.assertEqual(set(shares), set(mass))
        for token, share in shares.items():
            self.assertAlmostEqual(share, mass[token] / whole, delta=6e-4)
        order = [rank[token] for token in shares]
        self.assertTrue(all(a >= b - 1e-6 for a, b in zip(order, order[1:])), order)
        self.assertTrue(top)

    def test_figures_are_those_of_eval_and_encode(self):
        for device in ("ref", "opencl:0", "vulkan:0"):
            with self.subTest(device):
                self.check_figures(device)

    def check_figures(self, device):
        self.explore("--contexts", "3", "--context-length", "6", "--quiet", device=device, environment=DRIVERS)
        page = blocks(self.page)
        features = self.folder / "features.safetensors"
        hsae("encode", "--model", self.model, "--data", self.data, "--out", features, "--device", device, environment=DRIVERS)
        evaluation = json.loads(hsae("eval", "--model", self.model, "--data", self.data, "--device", device, "--json", environment=DRIVERS)[0])
        self.assertEqual(page["index"]["evaluation"], evaluation)
        self.assertEqual((page["index"]["data"]["tokens"], page["index"]["data"]["sequences"]), (ROWS, len(self.lengths)))
        found = encoded(features, 2)
        flat = [token for text in self.texts for token in text]
        limits = {}
        for s, length in enumerate(self.lengths):
            begin = sum(self.lengths[:s])
            limits.update({row: (begin, begin + length, s) for row in range(begin, begin + length)})
        for level in range(2):
            parent = page["index"]["levels"][level]["parent"]
            self.check_level(page, level, found, parent)
            self.check_contexts(page, level, found, flat, limits, 6)
        for row, path in page["paths-0"]["tokens"].items():
            for level in range(2):
                active = sorted(found[level][int(row)].items(), key=lambda pair: (-pair[1], pair[0]))
                self.assertEqual(list(zip(path[level][::2], path[level][1::2])), [(i, float("%.4g" % v)) for i, v in active[:10]])
                self.assertEqual(path[2][level], max(0, len(active) - 10))
        self.assertEqual(set(map(int, page["paths-0"]["tokens"])), {first + k for first, _, ids in page["text-0"]["runs"] for k in range(len(ids))})

    def test_outliers_give_no_contexts_and_no_words(self):
        rows = random_rows()
        rows[40] = [12 * value for value in rows[40]]
        self.train()
        write_safetensors(self.data, "activations", rows)
        self.explore("--contexts", "20", "--max-norm", "0")
        page = blocks(self.page)
        self.assertEqual(page["index"]["data"]["outliers"], 1)
        token, held = [token for text in self.texts for token in text][40], 0
        for level in range(2):
            for i, feature in enumerate(page["features-%d-0" % level]["features"]):
                self.assertFalse(any(start + peak == 40 for start, _, peak, *_ in feature["contexts"]))
                held += any(40 - start in values[::2] for start, _, _, _, values in feature["contexts"])
                index = page["index"]["levels"][level]
                self.assertTrue(index["peak"][i] is None or index["peak"][i] <= index["max"][i])
        self.assertTrue(held, "no feature is active on the outlier: the test shows nothing")

    def test_neighbours_are_the_nearest_decoder_rows_outside_the_family(self):
        self.explore()
        page, rows, kin = blocks(self.page), {}, {}
        for level, count in ((0, 8), (1, 16)):
            _, width, values = read_rows(self.model, f"levels.{level}.decoder.weight")
            for i in range(count):
                rows[level, i] = values[i * width:(i + 1) * width]
            parent = page["index"]["levels"][level]["parent"] or [-1] * count
            kin.update({(level, i): (level - 1, parent[i]) if parent[i] >= 0 else None for i in range(count)})
        for (level, i), row in rows.items():
            cosines = sorted((-math.fsum(a * b for a, b in zip(row, other)), key) for key, other in rows.items()
                             if key != (level, i) and kin[key] != (level, i) and kin[level, i] != key and not (kin[key] and kin[key] == kin[level, i]))
            flat = page["neighbours-%d" % level]["neighbours"][i]
            self.assertEqual(len(flat) // 3, sum(cosine < 0 for cosine, _ in cosines[:5]))
            for k, (cosine, _) in zip(range(0, len(flat), 3), cosines):
                self.assertAlmostEqual(flat[k + 2], -cosine, delta=1e-3)
                found = rows[flat[k], flat[k + 1]]
                self.assertAlmostEqual(math.fsum(a * b for a, b in zip(row, found)), -cosine, delta=1e-3)

    def test_words_are_whole(self):
        self.texts[1][:] = [" relig", "ious", ",", " var", "ious"] * 6
        self.texts[4][:] = [" relig", "ious", ".", "The", " end", "!", "\u4e00", "\u4e01"] * 5
        self.write_tokens(self.texts)
        self.explore()
        page = blocks(self.page)
        strings = page["tokens"]["strings"]
        tops = {strings[t] for level in page["index"]["levels"] for top in level["top"] for t in top}
        self.assertIn(" religious", tops)
        self.assertFalse(tops & {"\u4e00\u4e01", "ious.", "The end"}, tops)

    def test_nothing_of_a_token_reaches_the_page_as_markup(self):
        self.explore()
        bare = BLOCK.sub("", self.page.read_text("ascii"))
        self.assertNotIn("alert(1)", bare)
        self.assertEqual(set(HOSTILE) - set(blocks(self.page)["tokens"]["strings"]), set())

    def test_half_a_surrogate_pair_is_shown_as_such(self):
        self.tokens.write_text('{"tokens":["\\ud800","x\\udc00y","\\ud83c\\udf33"' + ',"t"' * (ROWS - 3) + "]}\n\n")
        self.explore()
        strings = blocks(self.page)["tokens"]["strings"]
        for text in ("\ufffd", "x\ufffdy", "\U0001f333"):
            self.assertIn(text, strings)

    def test_same_bytes_and_no_litter(self):
        self.explore()
        first = self.page.read_bytes()
        found = json.loads(self.explore("--json")[0])
        self.assertEqual(first, self.page.read_bytes())
        self.assertEqual((found["bytes"], found["features"], found["tokens"]), (len(first), 24, ROWS))
        self.assert_no_litter()


class Exports(Exploring):
    def test_figure(self):
        figure = self.folder / "tree.svg"
        self.explore("--figure", "l0/0", out=figure)
        root = xml.etree.ElementTree.parse(figure).getroot()
        heads = [element[0].text for element in root.iter("{http://www.w3.org/2000/svg}g") if element.get("class") == "head"]
        self.assertEqual(heads[0], "l0/0")
        page = blocks(self.page) if self.explore() else None
        parent = page["index"]["levels"][1]["parent"]
        self.assertEqual(len(heads) - 1, min(4, parent.count(0)))
        self.assertTrue(all(parent[int(head[3:])] == 0 for head in heads[1:]))
        for wrong in ("0/8", "2/0", "0", "0/1x", "-1/0"):
            self.explore("--figure", wrong, out=figure, status=2)
        for wrong in (("--width", "5.5"), ("--width", "-5in"), ("--width", "nanin"), ("--width", "1in"), ("--width", "5.5inch"), ("--children", "65"), ("--examples", "21")):
            self.explore("--figure", "0/0", *wrong, out=figure, status=2)
        self.explore("--width", "5in", status=2)
        self.explore("--figure", "0/0", "--width", "140mm", "--depth", "1", "--examples", "1", out=figure)
        root = xml.etree.ElementTree.parse(figure).getroot()
        self.assertEqual(root.get("width"), "396.85pt")
        self.assertEqual(len([element for element in root.iter("{http://www.w3.org/2000/svg}g") if element.get("class") == "head"]), 1)
        self.explore("--figure", "0/0", "--children", "1", out=figure)
        heads = [element for element in xml.etree.ElementTree.parse(figure).iter("{http://www.w3.org/2000/svg}g") if element.get("class") == "head"]
        self.assertEqual(len(heads), 1 + min(1, parent.count(0)))

    def test_hostile_tokens_in_a_figure(self):
        for i in range(8):
            figure = self.folder / ("tree-%d.svg" % i)
            self.explore("--figure", "0/%d" % i, out=figure)
            names = {element.tag.split("}")[1] for element in xml.etree.ElementTree.parse(figure).iter()}
            self.assertLessEqual(names, {"svg", "title", "g", "rect", "text", "path"})

    def test_neuronpedia(self):
        folder = self.folder / "dashboards"
        self.explore()
        hsae("explore", "--model", self.model, "--data", self.data, "--neuronpedia", folder, "--device", "ref")
        page = blocks(self.page)
        for level, count in ((0, 8), (1, 16)):
            batch = json.loads((folder / ("level-%d" % level) / "batch-0.json").read_text())
            parents = page["index"]["levels"][level]["parent"] or [-1] * count
            self.assertEqual([feature["feature_index"] for feature in batch["features"]], list(range(count)))
            self.assertEqual([-1 if f["parent"] is None else f["parent"] for f in batch["features"]], parents)
            below = page["index"]["levels"][1]["parent"] if level == 0 else []
            for i, feature in enumerate(batch["features"]):
                detail = page["features-%d-0" % level]["features"][i]
                self.assertEqual(feature["children"], [j for j, p in enumerate(below) if p == i])
                self.assertEqual(feature["freq_hist_data_bar_heights"], detail["histogram"])
                self.assertEqual(feature["frac_nonzero"], page["index"]["levels"][level]["density"][i])
                self.assertEqual(len(feature["activations"]), len(detail["contexts"]))
                for activation, context in zip(feature["activations"], detail["contexts"]):
                    self.assertEqual(len(activation["tokens"]), context[1])
                    self.assertEqual({k: float("%.4g" % v) for k, v in enumerate(activation["values"]) if v}, dict(zip(context[4][::2], context[4][1::2])))
                    self.assertEqual(activation["bin_min"] == -1, context[3] is None)

    def test_pairs(self):
        out = self.folder / "pairs.jsonl"
        self.explore("--pairs", "3", out=out)
        lines = [json.loads(line) for line in out.read_text().split("\n")[:-1]]
        self.explore()
        parent = blocks(self.page)["index"]["levels"][1]["parent"]
        self.assertEqual([line["random"] for line in lines], [False, True] * 3)
        for line in lines:
            self.assertEqual(line["random"], parent[line["child"]["feature"]] != line["parent"]["feature"])
            self.assertTrue(line["parent"]["contexts"] and line["child"]["contexts"])
            self.assertEqual((line["parent"]["level"], line["child"]["level"]), (0, 1))
            for context in line["child"]["contexts"]:
                self.assertEqual(len(context["tokens"]), len(context["activations"]))
                self.assertGreater(context["activations"][context["peak"]], 0)

    def test_table_of_features(self):
        table = self.folder / "features.csv"
        self.explore()
        index = blocks(self.page)["index"]
        text = hsae("eval", "--model", self.model, "--data", self.data, "--device", "ref", "--per-feature", table, "--json")[0]
        self.assertEqual(json.loads(text), index["evaluation"])
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([(int(row["level"]), int(row["index"])) for row in rows], [(0, i) for i in range(8)] + [(1, i) for i in range(16)])
        figure = lambda text: float(text) if text else None
        for row in rows:
            level, i = int(row["level"]), int(row["index"])
            columns = index["levels"][level]
            for ours, theirs in (("density", "density"), ("mean", "mean"), ("max", "max"), ("p_parent", "p_parent_given_child"),
                                 ("p_child", "p_child_given_parent")):
                self.assertEqual(columns[ours][i] if columns[ours] else None, figure(row[theirs]))
            self.assertEqual(int(row["duplicate"]), columns["duplicate"][i] if columns["duplicate"] else 0)
            self.assertEqual(row["decoder_cosine"] == "", row["parent"] == "")
            self.assertEqual(int(row["parent"] or -1), columns["parent"][i] if columns["parent"] else -1)
            below = index["levels"][1]["parent"] if level == 0 else []
            self.assertEqual([int(child) for child in row["children"].split()], [j for j, parent in enumerate(below) if parent == i])

    def test_wrong_usage(self):
        for arguments in (["--pairs", "3", "--figure", "0/0"], ["--neuronpedia", "x"], ["--contexts", "1001"], ["--context-length", "1025"]):
            self.explore(*arguments, status=2)
        for name, kind, advice in (("a.b/x.pdf", ["--figure", "0/0"], "rsvg-convert -f pdf -o a.b/x.pdf a.b/x.svg"), ("x.png", [], "an HTML page"),
                                   ("x.svg", ["--pairs", "3"], "JSON lines")):
            self.assertIn(advice, self.explore(*kind, out=name, status=2)[1])
        self.assertIn("cannot write", self.explore(out=self.folder, status=1)[1])


class Labels(Exploring):
    def with_labels(self, text, option="--labels", **more):
        file = self.folder / "labels.jsonl"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.explore(option, file, **more)

    def test_reach_the_page(self):
        self.explore()
        parent = blocks(self.page)["index"]["levels"][1]["parent"]
        child = next(i for i, above in enumerate(parent) if above >= 0)
        stranger = next(i for i in range(8) if i != parent[child])
        lines = [{"feature": "l0/3", "label": "</script><script>alert(1)</script>", "score": 0.5}, {"feature": "1/2", "note": "n\n", "marked": True},
                 {"feature": "l0/3", "label": "later", "unknown": [1]}, {"parent": f"l0/{parent[child]}", "child": f"l1/{child}", "score": 0.75},
                 {"parent": f"l0/{stranger}", "child": f"l1/{child}", "score": 0.25}]
        self.with_labels("\n".join(map(json.dumps, lines)) + "\n\n")
        page = blocks(self.page)
        self.assertEqual(page["labels"], {"labels": [[0, 3, "later", 0.5, None, False], [1, 2, None, None, "n\n", True]], "edges": [[1, child, 0.75]],
                                          "judged": {"tree": [1, 0.75], "other": [1, 0.25]}})
        self.assertNotIn("alert(1)", BLOCK.sub("", self.page.read_text("ascii")))
        first = self.page.read_bytes()
        self.with_labels("\n".join(map(json.dumps, lines)), "--scores")
        self.assertEqual(first, self.page.read_bytes())
        self.explore("--title", "A <b> forest")
        self.assertEqual(blocks(self.page)["index"]["title"], "A <b> forest")

    def test_not_what_they_should_be(self):
        for text, *words in (("[]", "line 1", "an object"), ('\n{"feature": "l0/8"}', "line 2", "features 0 to 7"), ('{"feature": "l2/0"}', "levels 0 to 1"), ('{"feature": 3}', "must be a string"),
                             ('{"feature": "l0/3x"}', "l0/3x"), ('{"feature": "l0/99999999999999"}', "must be a feature"), ('{"feature": "l0/1", "label": 3}', '"label" must be a string'),
                             ('{"feature": "l0/1", "score": 2}', "from 0 to 1"), ('{"feature": "l0/1", "marked": 1}', "true or false"), ('{"label": "x"}', "neither"), ("{", "no JSON"),
                             ('{"feature": "l0/1", "feature": "l0/2"}', "no JSON", "duplicate"), (b'{"feature": "\xff"}', "no JSON"), ('{"feature": "l0/\x1b[31m"}', "no JSON"),
                             ('{"parent": "l0/1", "child": "l0/2", "score": 1}', "one above"), ('{"child": "l1/2", "score": 1}', '"parent" must be a string'),
                             ('{"feature": "l0/1", "label": "%s"}' % ("x" * 600), "600 bytes"), ('{"feature": "l0/1", "a": "%s"}' % ("x" * 70000), "65536")):
            with self.subTest(text[:60]):
                errors = self.with_labels(text, status=1)[1]
                for word in ("labels.jsonl: line ", *words):
                    self.assertIn(word, errors)
                self.assertNotIn("\x1b", errors)
                self.assertFalse(self.page.exists())
        self.assertIn("cannot read", self.explore("--labels", self.folder / "nowhere", status=1)[1])


class Tokens(Exploring):
    def fails(self, text, *words, data=False):
        self.tokens.write_bytes(text if isinstance(text, bytes) else text.encode())
        errors = self.explore(status=1)[1]
        for word in ("tokens.jsonl", *words):
            self.assertIn(word, errors)
        self.assertFalse(self.page.exists())

    def test_counts(self):
        self.write_tokens(self.texts[:-1])
        self.assertRegex(self.explore(status=1)[1], r"tokens\.jsonl: line \d: expected 80 tokens .* found the end after 40")
        self.write_tokens(self.texts + [["one more"]])
        self.assertRegex(self.explore(status=1)[1], r"tokens\.jsonl: line 6: expected 80 tokens .* found more")

    def test_missing(self):
        self.tokens.unlink()
        self.assertIn("there is no %s" % (self.folder / "tokens.jsonl"), self.explore(status=2)[1])
        self.assertIn("nowhere", self.explore("--tokens", self.folder / "nowhere", status=1)[1])

    def test_not_what_they_should_be(self):
        good = '{"tokens": ["a"]}\n'
        self.fails(good + "[]", "line 2", "expected an object")
        self.fails(good + '{"text": ["a"]}', "line 2", '"tokens"', "found none")
        self.fails(good + '{"tokens": ["a"], "tokens": ["b"]}', "line 2", "second")
        self.fails(good + '{"tokens": "a"}', "line 2", "list")
        self.fails(good + '{"tokens": ["a", 1]}', "line 2", "string", "'1'")
        self.fails(good + '{"tokens": ["a",]}', "line 2", "string", "']'")
        self.fails(good + '{"tokens": ["a"]} x', "line 2", "end of the line", "'x'")
        self.fails(good + '{"tokens": ["a\n"]}', "line 2", "end of a string", "end of the line")
        self.fails(good + '{"tokens": ["a\t"]}', "line 2", "control character", "0x09")
        self.fails(good + '{"tokens": ["\\q"]}', "line 2", "backslash", "'q'")
        self.fails(good + '{"tokens": ["\\u12g4"]}', "line 2", "hexadecimal")
        self.fails(good + '{"tokens": [', "line 2", "end of the file")
        self.fails(good + '{"a": ' + "[" * 100, "line 2", "nested")
        self.fails(b'{"tokens": ["\xff"]}', "line 1", "UTF-8", "0xff")
        self.fails(b'{"tokens": ["\xed\xa0\x80"]}', "line 1", "UTF-8")
        self.fails('{"tokens": ["%s"]}' % ("x" * 70000), "line 1", "65536")


if __name__ == "__main__":
    main(__doc__)
