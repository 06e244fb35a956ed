#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten questions of a user, answered in the page with mouse and keys alone; prints the actions and seconds that each takes. An action is a click, a key
or a word that is typed.

test_questions.py TEMPLATE.html [TEST]...
"""
import pathlib
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

from browser import Browser, program
from sample import Sample, fill

MAX_ACTIONS = 6


class Questions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.sample = Sample()
        cls.page = pathlib.Path(cls.folder.name) / "page.html"
        cls.page.write_text(fill(TEMPLATE.read_text(), cls.sample))
        cls.browser = Browser(1400, 900)
        cls.blocks = dict(cls.sample.blocks())

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.folder.cleanup()

    def setUp(self):
        self.browser.size(1400, 900)
        self.browser.dark(False)
        self.browser.open(self.page)
        self.actions, self.began = 0, time.monotonic()

    def tearDown(self):
        seconds = time.monotonic() - self.began
        print(f"{self.shortDescription()}  {self.actions} actions, {seconds:.1f} s", flush=True)
        self.assertLessEqual(self.actions, MAX_ACTIONS)
        self.assertEqual(self.browser.complaints, [])
        self.browser.js("localStorage.clear()")

    def click(self, selector):
        self.actions += 1
        self.browser.click(selector)

    def press(self, key):
        self.actions += 1
        self.browser.press(key)

    def write(self, word):
        self.actions += 1
        self.browser.type(word)

    def search(self, word):
        """Opens the feature that fits best."""
        self.press("/")
        self.write(word)
        self.press("Enter")
        self.browser.until("/^l\\d/.test(document.body.dataset.shown)")

    def texts(self, selector):
        return self.browser.js(f"[...document.querySelectorAll({selector!r})].map(element => element.textContent)")

    def shown(self):
        return self.browser.js("document.body.dataset.shown")

    def test_01(self):
        """Which feature is for religion?"""
        self.search("religion")
        self.assertEqual(self.shown(), "l0/10")

    def test_02(self):
        """What are its children, and how sure is each?"""
        self.search("religion")
        self.assertEqual(len(self.texts(".family .meter + .meter")), min(8, len(self.sample.children[0].get(10, []))))

    def test_03(self):
        """Show a context of a child."""
        self.search("religion")
        self.click(".family .feature")
        self.browser.until("document.querySelectorAll('.context').length > 0 && document.body.dataset.shown.startsWith('l1/')")
        self.assertTrue(self.texts(".context .peak"))

    def test_04(self):
        """Save a figure for a paper: it, its children, a context of each."""
        self.search("religion")
        self.actions += 1
        saved = self.browser.download(".save-figure", pathlib.Path(self.folder.name) / "downloads")
        texts = [one.text for one in xml.etree.ElementTree.parse(saved).iter()]
        children = self.sample.children[0].get(10, [])
        self.assertEqual(sum(text in {f"l1/{child}" for child in children} for text in texts), min(4, len(children)))
        self.assertIn("l0/10", texts)
        self.assertNotIn("context", texts)  # "no context"

    def test_05(self):
        """Which family is worth a look first?"""
        self.assertEqual(self.texts(".showcase h3")[0], "Families that split")
        self.click(".showcase .feature")
        self.browser.until("/^l\\d/.test(document.body.dataset.shown)")
        self.assertGreater(len(self.texts(".family .relative")), 1)

    def test_06(self):
        """Name it, and pass the name on as a file."""
        self.click(".showcase .feature")
        self.browser.until("/^l\\d/.test(document.body.dataset.shown)")
        name = self.shown()
        self.press("n")
        self.browser.until("document.activeElement.name === 'label'")
        self.write("mine")
        self.press("Enter")
        self.browser.until("document.querySelector('#card h2 .label') !== null")
        self.click("#to-labels")
        self.actions += 1
        saved = self.browser.download("#save-labels", pathlib.Path(self.folder.name) / "downloads")
        self.assertIn(f'{{"feature":"{name}","label":"mine"}}', saved.read_text())

    def test_07(self):
        """Which features are active on one word of the text?"""
        word = next(string for string in self.sample.strings if len(string) > 5 and string[1:].isalpha() and string[0] == " ").strip()
        self.press("/")
        self.write(word)
        self.browser.until("!document.getElementById('find').hidden")
        self.click("#find")
        self.browser.until("document.body.dataset.shown === 'find'")
        self.assertTrue(self.texts("#card .relative .name"))

    def test_08(self):
        """Which feature is active most often?"""
        self.browser.js("(() => { const sort = document.getElementById('sort'); sort.value = 'density'; sort.dispatchEvent(new Event('change')); })()")
        self.click("[data-view=list]")
        self.actions += 2
        best = max((share, -level, -feature) for level, row in enumerate(self.blocks["index"]["levels"]) for feature, share in enumerate(row["density"]))
        self.assertEqual(self.texts("#rows .name")[0], f"l{-best[1]}/{-best[2]}")

    def test_09(self):
        """What else is active in this context, level by level?"""
        self.search("religion")
        self.click(".all-levels")
        self.browser.until("document.querySelectorAll('.branch-row').length > 0")
        self.assertIn("l0/10", self.texts(".branch-row .feature"))

    def test_10(self):
        """How good is the model, by the usual figures?"""
        self.click("#to-about")
        self.browser.until("document.body.dataset.shown === 'about'")
        self.assertIn("variance explained", self.texts("#card thead th"))


if __name__ == "__main__":
    if not program():
        sys.exit(77)
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    TEMPLATE = pathlib.Path(sys.argv[1])
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
