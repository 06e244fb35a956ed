#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Made-up data in the explorer's page, consistent in itself: every figure of a feature follows from the activations.

sample.py TEMPLATE.html OUT.html [--paper] [--hostile]    --paper: 30,720 features; --hostile: tokens that try to break out of the page
"""
import argparse
import base64
import collections
import json
import math
import random
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HOSTILE = ["<script>window.hacked=1</script>", "</script><script>window.hacked=2</script>", "<img src=x onerror=window.hacked=3>", "\u202egnirts", "\u2067rtl\u2069",
           "\x00\x01\x1b[31m", "\ufffd", "&lt;b&gt;", "'\"`${window.hacked=4}", "\r\n\t", "\u200b\u2028", "javascript:window.hacked=5", "<!--", "]]>", "\u05e9\u05dc\u05d5\u05dd",
           "\U0001f333", "__proto__", "e\u0301", "\ud800", "a\udc00b", "\xa0"]
# As jansson writes them: no lone surrogates, no U+0000.
HOSTILE_LABELS = ["<script>window.hacked=11</script>", "</script><img src=x onerror=window.hacked=12>", "\u202egnirts", "&lt;b&gt; '\"`${window.hacked=13}", "a\x1b[31m\r\n", "x" * 400,
                  "__proto__", "constructor"]
CHUNK, TEXT_CHUNK, PATHS_CHUNK, REACH, TOP, SAMPLED, STRONGEST, EXACT = 256, 4096, 1024, 12, 10, 10, 10, 1


def text(paper, hostile, rng):
    """Sequences of token strings: the demo's, and for the paper's size made-up words beside them."""
    lines = [json.loads(line)["tokens"] for line in (ROOT / "tools/demo/tokens.jsonl").read_text(encoding="utf-8").splitlines()]
    if not paper:
        lines = lines[:24]
    else:
        words = [" " + "".join(rng.choice("ba ce di fo gu la me ni po ru sa te vi xo zu".split()) for _ in range(rng.randint(1, 4))) for _ in range(9000)]
        lines += [[words[int(len(words) * rng.random() ** 2)] for _ in range(127)] for _ in range(150)]
    return ([HOSTILE * 3] if hostile else []) + lines


def forest(sizes, rng):
    """parent[l][j], -1 for a fifth; uneven families."""
    return [None] + [[-1 if rng.random() < 0.2 else int(above * rng.random() ** 1.4) for _ in range(size)] for above, size in zip(sizes, sizes[1:])]


def single(value):
    """As the program writes activations."""
    return float("%.4g" % value)


def activate(sequences, sizes, parent, paper, rng):
    """active[level][token] = {feature: activation}: a chain by the token's string, others by chance."""
    living = [max(1, int(size * 0.97)) for size in sizes]
    active = [[] for _ in sizes]
    for sequence in sequences:
        previous = ""
        for token in sequence:
            found = [{} for _ in sizes]
            leaves = [zlib.crc32(token.encode("utf-8", "replace"))] + [zlib.crc32((previous + token + str(k)).encode("utf-8", "replace")) for k in range(12 if paper else 4)]
            for rank, leaf in enumerate(leaves):
                feature, level = leaf % living[-1], len(sizes) - 1
                strength = (9 if rank == 0 else 3) * (0.6 + 0.8 * rng.random())
                while feature >= 0 and level >= 0:
                    found[level][feature] = single(max(strength, found[level].get(feature, 0)))
                    strength *= 0.75 + 0.3 * rng.random()
                    if level == 0 or rng.random() < 0.15:
                        break
                    feature, level = parent[level][feature], level - 1
                for at, size in enumerate(living[:-1]):
                    if rng.random() < 0.5:
                        found[at].setdefault(rng.randrange(size), single(0.3 + rng.random()))
            for level, features in enumerate(found):
                active[level].append(features)
            previous = token
    return active


def histogram(values):
    """Counts of equal bins from 0 to the largest value."""
    counts = [0] * 24 if values else []
    for value in values:
        counts[min(23, int(value / max(values) * 24))] += 1
    return counts


def flat(pairs):
    return [part for pair in pairs for part in pair]


class Sample:
    def __init__(self, paper=False, hostile=False, seed=1):
        rng = random.Random(seed)
        self.sizes = [2048, 4096, 8192, 16384] if paper else [48, 96, 192, 384]
        self.sequences = text(paper, hostile, rng)
        self.parent = forest(self.sizes, rng)
        self.active = activate(self.sequences, self.sizes, self.parent, paper, rng)
        self.tokens = [token for sequence in self.sequences for token in sequence]
        self.starts, total = [], 0
        for sequence in self.sequences:
            self.starts.append(total)
            total += len(sequence)
        self.sequence_of = [k for k, sequence in enumerate(self.sequences) for _ in sequence]
        # JSON has no lone surrogates: the program maps them to U+FFFD.
        self.strings, self.ids = [], {}
        for token in self.tokens:
            clean = token.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if clean not in self.ids:
                self.ids[clean] = len(self.strings)
                self.strings.append(clean)
            self.ids[token] = self.ids[clean]
        self.frequency = collections.Counter(self.ids[token] for token in self.tokens)
        self.fired = [collections.defaultdict(list) for _ in self.sizes]
        for level, tokens in enumerate(self.active):
            for position, features in enumerate(tokens):
                for feature, value in features.items():
                    self.fired[level][feature].append((value, position))
        self.children = [collections.defaultdict(list) for _ in self.sizes]
        for level in range(1, len(self.sizes)):
            for feature, above in enumerate(self.parent[level]):
                if above >= 0:
                    self.children[level - 1][above].append(feature)
        self.kept = set()
        # Labels: [level, feature, label, score, note, marked]; edges: [level, child, score].
        self.labels = None
        if not paper:
            names = HOSTILE_LABELS if hostile else ["religion", "numbers"]
            self.labels = {"labels": [[0, k, text, 0.5, None, False] for k, text in enumerate(names, 10)] + [[1, 3, "a named child", None, "a note\nof two lines <b>", True]],
                           "edges": [[1, k, 0.25] for k, above in enumerate(self.parent[1]) if above >= 0][:8], "judged": {"tree": [8, 0.25], "other": [2, 0.125]}}

    def values(self, level, feature, start, end):
        tokens = self.active[level]
        return flat((at - start, tokens[at][feature]) for at in range(start, end) if feature in tokens[at])

    def context(self, level, feature, position, share):
        first = self.starts[self.sequence_of[position]]
        start = max(first, position - REACH)
        end = min(first + len(self.sequences[self.sequence_of[position]]), position + REACH + 1)
        self.kept.update(range(start, end))
        return [start, end - start, position - start, share, self.values(level, feature, start, end)]

    def relatives(self, level, feature, start, end):
        """The window at the other levels of the branch: ancestors, then the strongest children."""
        ancestors, up, at = [], feature, level
        while at > 0 and self.parent[at][up] >= 0:
            up, at = self.parent[at][up], at - 1
            ancestors.append([at, up, self.values(at, up, start, end)])
        below = [[level + 1, child, self.values(level + 1, child, start, end)] for child in self.children[level].get(feature, [])[:64]]
        below.sort(key=lambda entry: -max(entry[2][1::2], default=0))
        return [entry for entry in ancestors + below[:8] if entry[2]]

    def words(self, level, feature):
        """[token, share in thousandths ..] by share and lift; every token here, where the program keeps 32."""
        mass, mine = collections.Counter(), self.fired[level].get(feature, [])
        for value, position in mine:
            mass[self.ids[self.tokens[position]]] += value
        whole = math.fsum(value for value, _ in mine)
        rank = {token: part / whole * math.log(part / whole * len(self.tokens) / self.frequency[token]) for token, part in mass.items()}
        return flat((token, round(1000 * mass[token] / whole)) for token in sorted(rank, key=lambda token: (-rank[token], token))[:32])

    def siblings(self, level, feature, mine):
        if level == 0 or self.parent[level][feature] < 0:
            return []
        shares = [[other, sum(other in self.active[level][at] for _, at in mine) / len(mine)]
                  for other in self.children[level - 1][self.parent[level][feature]] if other != feature and mine]
        return sorted((entry for entry in shares if entry[1]), key=lambda entry: -entry[1])[:10]

    def feature(self, level, feature):
        mine = sorted(self.fired[level].get(feature, []), reverse=True)
        contexts = [self.context(level, feature, position, None) for _, position in mine[:TOP]]
        for context in contexts[:EXACT]:
            context.append(self.relatives(level, feature, context[0], context[0] + context[1]))
        for k in range(SAMPLED if len(mine) > TOP + SAMPLED else 0):
            rank = len(mine) * (k + 1) // (SAMPLED + 1)
            contexts.append(self.context(level, feature, mine[rank][1], single(1 - rank / len(mine))))
        return {"histogram": histogram([value for value, _ in mine]), "contexts": contexts, "siblings": self.siblings(level, feature, mine)}

    def level(self, level):
        fired, count = self.fired[level], len(self.tokens)
        row = {"features": self.sizes[level], "parent": self.parent[level], "density": [], "mean": [], "max": [], "peak": [], "high": [], "p_parent": [], "p_child": [], "together": [], "duplicate": [], "top": []}
        for feature in range(self.sizes[level]):
            mine = fired.get(feature, [])
            row["density"].append(len(mine) / count)
            row["mean"].append(single(math.fsum(value for value, _ in mine) / len(mine)) if mine else None)
            row["max"].append(max(mine)[0] if mine else None)
            row["peak"].append(row["max"][-1])
            row["high"].append(single(sorted(value for value, _ in mine)[math.ceil(0.99 * len(mine)) - 1]) if mine else None)
            row["top"].append(self.words(level, feature)[0:10:2])
            row["together"].append(max((share for _, share in self.siblings(level, feature, mine)), default=0))
            if level == 0:
                continue
            above = self.parent[level][feature]
            both = sum(above in self.active[level - 1][at] for _, at in mine) if above >= 0 else 0
            parent_count = len(self.fired[level - 1].get(above, []))
            row["p_parent"].append(both / len(mine) if above >= 0 and mine else None)
            row["p_child"].append(both / parent_count if above >= 0 and parent_count else None)
            row["duplicate"].append(int((row["p_parent"][-1] or 0) > 0.9 and row["p_child"][-1] > 0.9))
        return row if level else row | {"p_parent": None, "p_child": None, "together": None, "duplicate": None}

    def evaluation(self, levels):
        count = len(self.tokens)
        rows = [{"features": row["features"], "l0": sum(row["density"]), "dead_fraction": sum(not share for share in row["density"]) / row["features"],
                 "variance_explained": 0.6 + 0.05 * k, "variance_explained_legacy": 0.58 + 0.05 * k} for k, row in enumerate(levels)]
        mean = lambda values: sum(values) / len(values) if values else None
        pairs = [{"hamming": 9.5 + k, "p_parent_given_child": mean([p for p in row["p_parent"] if p is not None]),
                  "p_child_given_parent": mean([p for p in row["p_child"] if p is not None]), "lift": 8.5 + k, "duplicates": mean(row["duplicate"]),
                  "largest_share": 0.1, "largest_family": 3, "assigned": sum(p >= 0 for p in row["parent"])}
                 for k, row in enumerate(levels[1:])]
        means = {key: mean([row[key] for row in rows]) for key in rows[0] if key != "features"}
        means |= {key: mean([row[key] for row in pairs]) for key in ("hamming", "p_parent_given_child", "p_child_given_parent", "lift", "duplicates", "largest_share")}
        return {"tokens": count, "levels": rows, "pairs": pairs, "mean": means}

    def blocks(self):
        """name -> object; the index last, as it needs the rest."""
        for level, size in enumerate(self.sizes):
            for start in range(0, size, CHUNK):
                yield f"features-{level}-{start // CHUNK}", {"features": [self.feature(level, at) for at in range(start, min(size, start + CHUNK))]}
        for level, size in enumerate(self.sizes):
            yield f"words-{level}", {"words": [self.words(level, feature) for feature in range(size)]}
        for level, size in enumerate(self.sizes):
            yield f"neighbours-{level}", {"neighbours": [[level, (feature + 1) % size, 0.5, 0, 0, 0.25] for feature in range(size)]}
            yield f"logits-{level}", {"logits": [[[f"<b>{feature}", 0.5, " x", 0.25], ["\u202ey", -0.5]] for feature in range(size)]}
        yield from self.texts()
        yield from self.paths()
        yield "tokens", {"strings": self.strings}
        if self.labels:
            yield "labels", self.labels
        levels = [self.level(level) for level in range(len(self.sizes))]
        yield "index", {"version": 1, "title": "sample", "created_by": "hsae 0.1.0", "chunk": CHUNK, "text_chunk": TEXT_CHUNK, "paths_chunk": PATHS_CHUNK, "context": 2 * REACH + 1, "paths": STRONGEST,
                        "model": {"path": "model.safetensors", "dim": 576, "config": {"levels": self.sizes, "batch": 512, "steps": 4000, "tree": "forest"}},
                        "data": {"paths": ["tools/demo"], "tokens": len(self.tokens), "sequences": len(self.sequences), "outliers": 0},
                        "evaluation": self.evaluation(levels), "levels": levels}

    def texts(self):
        runs = collections.defaultdict(list)
        last = None
        for at in sorted(self.kept):
            chunk = at // TEXT_CHUNK
            if last != at - 1 or at % TEXT_CHUNK == 0 or self.sequence_of[at] != self.sequence_of[at - 1]:
                runs[chunk].append([at, self.sequence_of[at], []])
            runs[chunk][-1][2].append(self.ids[self.tokens[at]])
            last = at
        for chunk, parts in runs.items():
            yield f"text-{chunk}", {"runs": parts}

    def paths(self):
        chunks = collections.defaultdict(dict)
        for at in sorted(self.kept):
            levels = [sorted(tokens[at].items(), key=lambda entry: -entry[1]) for tokens in self.active]
            chunks[at // PATHS_CHUNK][str(at)] = [flat(level[:STRONGEST]) for level in levels] + [[max(0, len(level) - STRONGEST) for level in levels]]
        for chunk, tokens in chunks.items():
            yield f"paths-{chunk}", {"tokens": tokens}


def block(name, value):
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = squeeze.compress(json.dumps(value, separators=(",", ":")).encode()) + squeeze.flush()
    return f'<script type="application/octet-stream" id="{name}">{base64.b64encode(data).decode()}</script>\n'


def fill(template, sample):
    head, tail = template.split("<!--DATA-->")
    return head + "".join(block(name, value) for name, value in sample.blocks()) + tail


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("template", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--hostile", action="store_true")
    options = parser.parse_args()
    options.out.write_text(fill(options.template.read_text(), Sample(options.paper, options.hostile)))
