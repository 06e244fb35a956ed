#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The figures that `hsae explore` writes, as librsvg and Chromium draw them: every word where the file says, nothing beyond the boxes.

test_figure.py HSAE [TEST]...
"""
import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import unittest
import xml.etree.ElementTree
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import program as shared
from browser import Browser, program as chromium
from program import hsae

SVG = "{http://www.w3.org/2000/svg}"
SCALE = 4  # pixels of a point
TEXT = (" In the beginning God created the heaven and the earth , and the earth was without form ; \u4e2d\u6587 caf\u00e9 <b> & \"quoted\" " * 4).split(" ")


def pixels(data):
    """Width, height and rows of RGBA of a PNG of 8 bits, RGB or RGBA."""
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", data[at + 8:at + 18])
        elif kind == b"IDAT":
            packed += data[at + 8:at + 8 + size]
        at += 12 + size
    assert depth == 8 and colour in (2, 6)
    bytes_per = 3 if colour == 2 else 4
    raw, stride, rows, above = zlib.decompress(packed), width * bytes_per, [], bytes(width * bytes_per)
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            a, b, c = line[x - bytes_per] if x >= bytes_per else 0, above[x], above[x - bytes_per] if x >= bytes_per else 0
            if kind == 1:
                line[x] = (line[x] + a) & 255
            elif kind == 2:
                line[x] = (line[x] + b) & 255
            elif kind == 3:
                line[x] = (line[x] + (a + b) // 2) & 255
            elif kind == 4:
                p = a + b - c
                line[x] = (line[x] + min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]) & 255
        rows.append([line[x:x + 3] for x in range(0, stride, bytes_per)])
        above = bytes(line)
    return width, height, rows


class Figures(shared.Case):
    def setUp(self):
        super().setUp()
        self.train()
        words = [" " + word if word else "\n" for word in TEXT][:shared.ROWS]
        (self.folder / "tokens.jsonl").write_text(json.dumps({"tokens": words + [" x"] * (shared.ROWS - len(words))}) + "\n")
        (self.folder / "labels.jsonl").write_text(json.dumps({"feature": "l0/0", "label": "the <creation> & \"all\" " + "that came after " * 12}) + "\n")

    def draw(self, *arguments):
        """The figure of the root with the most children."""
        figure = self.folder / "tree.svg"
        hsae("explore", "--model", self.out / "model.safetensors", "--data", self.data, "--tokens", self.folder / "tokens.jsonl", "--device", "ref", "--labels", self.folder / "labels.jsonl",
             "--figure", "l0/0", "--out", figure, *arguments)
        return figure

    def check_places(self, figure):
        """Texts of one line follow each other, within their box; all is at least 7 points high."""
        root = xml.etree.ElementTree.parse(figure).getroot()
        self.assertGreaterEqual(float(root.get("font-size")), 7)
        width = float(root.get("width").removesuffix("pt"))
        texts = [(float(one.get("y")), float(one.get("x")), float(one.get("textLength")), one.text) for one in root.iter(SVG + "text")]
        self.assertTrue(all(not re.search(r"\s", text) and text for *_, text in texts))
        boxes = [[float(one.get(key)) for key in ("x", "y", "width", "height")] for one in root.iter(SVG + "rect") if one.get("rx")]
        for y, x, length, text in texts:
            self.assertTrue(any(bx <= x and x + length <= bx + bw + 0.1 and by <= y <= by + bh for bx, by, bw, bh in boxes), text)
            self.assertLessEqual(x + length, width)
        return texts

    def shapes(self):
        for arguments in ([], ["--width", "5.5in"], ["--width", "3in", "--depth", "2"], ["--width", "7in", "--examples", "5", "--depth", "2"]):
            with self.subTest(arguments):
                yield self.draw(*arguments)

    def test_librsvg(self):
        self.check_program("rsvg-convert", "-d", 72 * SCALE, "-p", 72 * SCALE)

    def test_cairosvg(self):
        self.check_program("cairosvg", "-f", "png", "-d", 72 * SCALE)

    def test_inkscape(self):
        self.check_program("inkscape", "--export-type=png", "--export-filename=-", f"--export-dpi={72 * SCALE}")

    def check_program(self, *command):
        """What a program makes of the figures, as a PNG of SCALE pixels a point."""
        if not shutil.which(command[0]):
            self.skipTest("no " + command[0])
        for figure in self.shapes():
            texts = self.check_places(figure)
            root = xml.etree.ElementTree.parse(figure).getroot()
            png = subprocess.run([*map(str, command), figure], stdout=subprocess.PIPE, check=True).stdout
            width, _, rows = pixels(png)
            self.assertAlmostEqual(width, float(root.get("width").removesuffix("pt")) * SCALE, delta=2)
            # On every line, ink stands where the file has words, and nowhere between them.
            for line in {y for y, *_ in texts}:
                band = rows[round((line - 5) * SCALE):round((line - 0.5) * SCALE)]
                ink = [any(sum(row[x]) < 200 for row in band) for x in range(width)]
                words = [(x * SCALE, (x + length) * SCALE, text) for y, x, length, text in texts if y == line]
                for begin, end, text in words:
                    if text.isalnum() and (text.isascii() or command[0] != "inkscape"):  # which draws nothing where it has no font
                        self.assertTrue(any(ink[int(begin):int(end) + 1]), text)
                edges = sorted(round(float(one.get("x")) * SCALE) + side for one in root.iter(SVG + "rect") if one.get("rx") for side in (0, round(float(one.get("width")) * SCALE)))
                for x in (x for x in range(width) if ink[x]):
                    self.assertTrue(any(begin - 3 <= x <= end + 3 for begin, end, _ in words) or any(abs(x - edge) <= 3 for edge in edges) or self.is_branch(root, x / SCALE, line), (line, x / SCALE))

    def is_branch(self, root, x, y):
        """Whether a line between boxes may pass here."""
        inside = [one for one in root.iter(SVG + "rect") if one.get("rx") and float(one.get("x")) <= x <= float(one.get("x")) + float(one.get("width"))
                  and float(one.get("y")) - 1 <= y <= float(one.get("y")) + float(one.get("height")) + 6]
        return not inside

    def test_pdf_by_librsvg(self):
        if not shutil.which("rsvg-convert"):
            self.skipTest("no rsvg-convert")
        pdf = subprocess.run(["rsvg-convert", "-f", "pdf", self.draw("--width", "5.5in")], stdout=subprocess.PIPE, check=True).stdout
        box = re.search(rb"/MediaBox \[ *0 0 ([\d.]+) ", pdf)
        self.assertAlmostEqual(float(box.group(1)), 396, delta=1)

    def test_chromium(self):
        if not chromium():
            self.skipTest("no Chromium")
        with Browser() as browser:
            for figure in self.shapes():
                self.check_places(figure)
                page = self.folder / "page.html"
                page.write_text("<!doctype html><meta charset=utf-8><body data-ready=1 data-shown='' style='margin:0'>" + figure.read_text())
                browser.open(page)
                wide = browser.js("""[...document.querySelectorAll('text')].map(text => [text.getBBox().width, +text.getAttribute('textLength'), text.textContent])""")
                self.assertTrue(wide)
                for found, said, text in wide:
                    self.assertAlmostEqual(found, said, delta=0.1 * said + 0.5, msg=text)
                self.assertEqual(browser.complaints, [])


if __name__ == "__main__":
    if not chromium() and not shutil.which("rsvg-convert"):
        sys.exit(77)
    shared.main(__doc__)
