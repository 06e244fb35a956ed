#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page that `hsae explore` writes, in a headless Chromium: its numbers are those of `hsae eval` and `hsae encode`, its text is the data's.

test_real.py HSAE [TEST]...
"""
import array
import json
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import program as shared
from browser import Browser, program as chromium
from program import hsae
from sample import HOSTILE

LEVELS = 2


def encoded(path):
    """Per level and token {feature: activation}."""
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:start])

    def tensor(name, code):
        values = array.array(code)
        first, last = header[name]["data_offsets"]
        values.frombytes(whole[start + first:start + last])
        return values

    levels = []
    for level in range(LEVELS):
        ends, features, values = (tensor(f"levels.{level}.{name}", code) for name, code in (("indptr", "q"), ("indices", "i"), ("values", "f")))
        levels.append([{features[k]: values[k] for k in range(ends[token], ends[token + 1])} for token in range(len(ends) - 1)])
    return levels


class Real(shared.Case):
    def setUp(self):
        super().setUp()
        self.train()
        self.model = self.out / "model.safetensors"
        self.tokens = [HOSTILE, HOSTILE[::-1], HOSTILE[: shared.ROWS - 2 * len(HOSTILE)]]
        if sum(map(len, self.tokens)) < shared.ROWS:
            self.tokens.append([" word"] * (shared.ROWS - sum(map(len, self.tokens))))
        (self.folder / "tokens.jsonl").write_text("".join(json.dumps({"tokens": line}) + "\n" for line in self.tokens))
        self.page = self.folder / "page.html"
        self.evaluation = json.loads(hsae("eval", "--model", self.model, "--data", self.data, "--device", "ref", "--json")[0])
        hsae("encode", "--model", self.model, "--data", self.data, "--device", "ref", "--out", self.folder / "encoded.safetensors")
        self.active = encoded(self.folder / "encoded.safetensors")
        hsae("explore", "--model", self.model, "--data", self.data, "--tokens", self.folder / "tokens.jsonl", "--device", "ref", "--out", self.page)

    def test_numbers_and_text(self):
        with Browser() as browser:
            browser.open(self.page, "#about")
            rows = browser.js("[...document.querySelectorAll('#card table')].map(table => [...table.querySelectorAll('tbody tr')].map(row => [...row.children].map(cell => cell.textContent)))")
            for level, row in zip(self.evaluation["levels"], rows[0]):
                self.assertAlmostEqual(float(row[2]), level["l0"], delta=6e-4 * level["l0"])
                self.assertAlmostEqual(float(row[4]), level["variance_explained"], delta=6e-4)
            for level in range(LEVELS):
                for feature in range(self.evaluation["levels"][level]["features"]):
                    self.check_card(browser, level, feature)
            for position in range(0, shared.ROWS, 7):
                self.check_path(browser, position)
            self.assertIsNone(browser.js("window.hacked"))
            self.assertEqual(browser.complaints, [])

    def check_card(self, browser, level, feature):
        browser.js(f"location.hash = 'l{level}/{feature}'")
        browser.until(f"document.body.dataset.shown === 'l{level}/{feature}'")
        values = {token: row[feature] for token, row in enumerate(self.active[level]) if feature in row}
        figures = browser.js("Object.fromEntries([...document.querySelectorAll('.figure')].map(one => [one.firstChild.textContent, one.lastChild.textContent]))")
        self.assertAlmostEqual(float(figures["density"].split("\u202f")[0]) / 100, len(values) / shared.ROWS, delta=6e-4)
        if not values:
            self.assertEqual(browser.js("document.querySelectorAll('.context').length"), 0)
            return
        self.assertAlmostEqual(float(figures["max"]), max(values.values()), delta=6e-4 * max(values.values()))
        self.assertAlmostEqual(float(figures["mean"]), sum(values.values()) / len(values), delta=6e-4 * max(values.values()))
        contexts = browser.js("[...document.querySelectorAll('.context')].map(one => [...one.querySelectorAll('.token')].map(token => [+token.dataset.position, +token.dataset.value || 0]))")
        self.assertTrue(contexts)
        for position, value in (entry for context in contexts for entry in context):
            self.assertAlmostEqual(value, values.get(position, 0), delta=6e-4 * max(values.values()))
        self.assertAlmostEqual(max(value for _, value in contexts[0]), max(values.values()), delta=6e-4 * max(values.values()))

    def check_path(self, browser, position):
        browser.js(f"location.hash = 't/{position}'")
        browser.until(f"document.body.dataset.shown === 't/{position}'")
        if browser.js("document.getElementById('card').textContent.includes('not kept')"):
            return
        for level in range(LEVELS):
            row = self.active[level][position]
            strongest = sorted(row, key=lambda feature: -row[feature])[:10]
            names = browser.js(f"[...document.querySelectorAll('.path-level.level-{level} .name')].map(name => name.textContent)")
            self.assertEqual(set(names), {f"l{level}/{feature}" for feature in strongest})
        text = browser.js("document.querySelector('.token.here').textContent")
        token = [token for line in self.tokens for token in line][position]
        if token.isascii() and token.isprintable() and not token.startswith(" "):
            self.assertEqual(text, token)


if __name__ == "__main__":
    if not chromium():
        sys.exit(77)
    shared.main(__doc__)
