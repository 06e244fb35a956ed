#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page of a run: well formed, with the run's own figures, harmless and small: test_report.py HSAE [TEST]..."""
import csv
import html.parser
import json
import math
import os
import re
import shlex
import signal
import subprocess
import xml.etree.ElementTree

from program import DIM, PATIENCE, PROGRAM, TINY, Case, has_content, hsae, main, random_rows, until, write_safetensors

HTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"
VOID = {"meta"}
CURVES = {"Reconstruction error": "reconstruction", "Variance explained": "variance_explained", "L0": "l0", "λ": "lambda",
          "Constraint": "constraint"}


class Balance(html.parser.HTMLParser):
    """Elements as an HTML parser sees them; fails on a tag that closes nothing."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()


def text_of(element):
    return "".join(element.itertext())


def number(text):
    """A tick: 0.5, 20k, 1.5M, 2e-5."""
    return float(text.replace("k", "e3").replace("M", "e6"))


class Chart:
    """The curves of a <figure>, back in the figures' own units by means of its ticks."""

    def __init__(self, figure):
        self.logarithmic = "logarithmic" in text_of(figure.find(HTML + "figcaption"))
        ticks = {axis: [(float(text.get(axis)), number(text.text)) for text in figure.iter(SVG + "text") if text.get("class") == axis]
                 for axis in "xy"}
        self.x, self.y = self.scale(ticks["x"], False), self.scale([(place - 4, value) for place, value in ticks["y"]], self.logarithmic)
        lines = [path for path in figure.iter(SVG + "path") if path.get("class", "").startswith("l l")]
        self.lines = {int(path.get("class").split()[1][1:]): self.points(path.get("d")) for path in lines}
        bands = [path for path in figure.iter(SVG + "path") if path.get("class", "").startswith("b l")]
        self.bands = {int(path.get("class")[3:]): self.points(path.get("d")) for path in bands}
        self.marks = [self.y(float(re.match(r"M\S+ (\S+)h", path.get("d"))[1])) for path in figure.iter(SVG + "path")
                      if path.get("class", "").split()[:1] == ["m"]]
        self.zones = [(float(zone[0].get("x")), float(zone[0].get("width")), [float(word) for word in zone[2].text.split()[1:]])
                      for zone in figure.iter(SVG + "g") if zone.get("class") == "h"]

    @staticmethod
    def scale(ticks, logarithmic):
        (first, low), (last, high) = ticks[0], ticks[-1]
        forth, back = (math.log10, lambda value: 10 ** value) if logarithmic else (float, float)
        return lambda place: back(forth(low) + (place - first) / (last - first) * (forth(high) - forth(low)))

    def points(self, path):
        x = y = 0
        points = []
        for command, a, b in re.findall(r"([Ml])(-?\d+) ?(-?\d+)", path):
            x, y = (int(a), int(b)) if command == "M" else (x + int(a), y + int(b))
            points.append((self.x(x / 10), self.y(y / 10)))
        return points


class Report(Case):
    def page(self, path=None):
        text = (path or self.out / "report.html").read_text(encoding="utf-8")
        balance = Balance()
        balance.feed(text)
        self.assertEqual(balance.open, [])
        tags = {tag for tag, _ in balance.seen}
        self.assertFalse(tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}, tags)
        for tag, attributes in balance.seen:
            self.assertFalse([name for name in attributes if name.startswith("on") or name in ("src", "style")], (tag, attributes))
            self.assertEqual(attributes.get("href", "forest.html"), "forest.html")
        policies = [attributes["content"] for tag, attributes in balance.seen if attributes.get("http-equiv") == "Content-Security-Policy"]
        self.assertEqual(policies, ["default-src 'none'; style-src 'unsafe-inline'"])
        self.assertNotIn("url(", text)
        self.assertNotIn("@import", text)
        self.assertNotRegex(text, r"[>\s](nan|inf|-nan|-inf)[<\s]")
        self.text, self.root = text, xml.etree.ElementTree.fromstring(text)
        self.words = text_of(self.root.find(HTML + "body"))
        return self.root

    def chart(self, title):
        for figure in self.root.iter(HTML + "figure"):
            if figure.find(HTML + "figcaption/" + HTML + "b").text == title:
                return Chart(figure)
        raise AssertionError(title)

    def table(self, name):
        table = next(table for table in self.root.iter(HTML + "table") if table.get("id") == name)
        return [[text_of(cell) for cell in row] for row in table.find(HTML + "tbody")]

    def lines(self):
        return [json.loads(line) for line in (self.out / "metrics.jsonl").read_text().splitlines()]

    def check_curve(self, points, expected):
        """Equal within a tenth of a pixel, or within the rounding of a tick."""
        points = sorted(set(points))
        self.assertEqual(len(points), len(expected), (points, expected))
        span = max(value for _, value in expected) - min(value for _, value in expected)
        for (x, y), (step, value) in zip(points, sorted(expected)):
            self.assertAlmostEqual(x, step, delta=0.002 * expected[-1][0])
            self.assertAlmostEqual(y, value, delta=0.005 * max(span, abs(value)))

    def check_curves(self):
        lines = self.lines()
        for title, key in CURVES.items():
            chart = self.chart(title)
            levels = (0,) if title == "Constraint" else (0, 1)
            self.assertEqual(sorted(chart.lines), list(levels))
            self.assertFalse(chart.bands)
            for level in levels:
                floor = 0 if title == "Variance explained" else -math.inf
                self.check_curve([point for point in chart.lines[level] if point[1] >= floor],
                                 [(line["step"], line["levels"][level][key]) for line in lines if line["levels"][level][key] >= floor])
        self.check_curve(self.chart("Loss").lines[0],
                         [(line["step"], sum(level["reconstruction"] + level["lambda"] * level["l0"] + level["constraint"]
                                             for level in line["levels"])) for line in lines])
        self.check_curve(self.chart("Speed").lines[0], [(line["step"], line["tokens_per_second"]) for line in lines])
        self.check_curve(self.chart("Waiting for data").lines[0], [(line["step"], 100 * line["data_wait"]) for line in lines])
        self.check_curve(self.chart("Learning rate").lines[0], [(line["step"], line["lr"]) for line in lines])
        self.check_zones(lines)
        mark, = self.chart("L0").marks
        self.assertAlmostEqual(mark, 2, delta=0.02)

    def check_zones(self, lines):
        """Each step has a strip of the plot that shows its values; the strips cover the plot."""
        zones = self.chart("L0").zones
        self.assertEqual([values for _, _, values in zones],
                         [[line["step"], *(float("%.4g" % level["l0"]) for level in line["levels"])] for line in lines])
        for (x, width, _), (after, _, _) in zip(zones, zones[1:]):
            self.assertAlmostEqual(x + width, after, delta=0.2)

    def check_density(self, levels):
        """The histogram's zones show the counts of evaluation.json, which are those of hsae eval --per-feature."""
        hsae("eval", "--model", self.out / "model.safetensors", "--data", self.folder / "rest.safetensors", "--device", "ref", "--per-feature", self.folder / "all.csv")
        with open(self.folder / "all.csv") as file:
            rows = [(int(row["level"]), float(row["density"])) for row in csv.DictReader(file)]
        for l, level in enumerate(levels):
            counts = [0] * 24
            for share in (share for at, share in rows if at == l and share):
                counts[min(23, int(-4 * math.log10(share) + 1e-9))] += 1
            self.assertEqual(level["density"], counts)
        figure = next(figure for figure in self.root.iter(HTML + "figure") if figure.get("id") == "density")
        shown = [re.findall(r"\u2003(\d+)", zone[2].text) for zone in figure.iter(SVG + "g")]
        self.assertEqual([list(map(int, zone)) for zone in shown], [[level["density"][bin] for level in levels] for bin in range(24)])

    def test_figures_are_those_of_the_run(self):
        self.train("--log-every", "1", "--holdout", "0.2", "--rho", "0.5", "--dead-steps", "3")
        self.page()
        self.check_curves()
        evaluation = json.loads((self.out / "evaluation.json").read_text())
        write_safetensors(self.folder / "rest.safetensors", "activations", random_rows()[64:])
        found = hsae("eval", "--model", self.out / "model.safetensors", "--data", self.folder / "rest.safetensors", "--device", "ref", "--json")
        self.assertEqual(evaluation, json.loads(found[0]))
        levels, pairs, mean = evaluation["levels"], evaluation["pairs"], evaluation["mean"]
        shown = [[str(i), str(level["features"]), level] for i, level in enumerate(levels)] + [["mean", "", mean]]
        self.assertEqual(self.table("levels"), [
            [name, features, "%.2f" % level["l0"], "%.4f" % level["variance_explained"], "%.4f" % level["variance_explained_legacy"],
             "%.2f" % (100 * level["dead_fraction"])] for name, features, level in shown])
        shown = [["0–1", pairs[0], str(pairs[0]["assigned"])], ["mean", mean, ""]]
        self.assertEqual(self.table("pairs"), [
            [name, "%.2f" % pair["hamming"], "%.4f" % pair["p_parent_given_child"], "%.4f" % pair["p_child_given_parent"],
             "%.2f" % pair["lift"], "%.2f" % (100 * pair["duplicates"]), "%.2f" % (100 * pair["largest_share"]), assigned]
            for name, pair, assigned in shown])
        self.check_density(levels)
        last = self.lines()[-1]["levels"]
        self.assertEqual(self.table("newest"), [
            [str(i), *("%.5g" % value for value in (level["reconstruction"], level["variance_explained"], level["l0"], 2, level["lambda"],
                                                    level["dead"], level["constraint"]))] for i, level in enumerate(last)])
        for word in ("Finished at step 20 of 20", "reference (plain C)", "64 vectors of %d values" % DIM, "16 vectors of %d values" % DIM, str(self.data),
                     "hsae train --data"):
            self.assertIn(word, self.words)
        keys = next(element for element in self.root.iter(HTML + "dl") if element.get("id") == "configuration")
        shown = {entry[0].text: entry[1].text for entry in keys}
        config = json.loads((self.out / "config.json").read_text())
        self.assertEqual(set(shown), set(config))
        for key, value in config.items():
            text = shown[key] if isinstance(value, str) else json.loads("[%s]" % shown[key] if isinstance(value, list) else shown[key])
            self.assertEqual(text, value)

    def test_evaluations_during_training(self):
        options = ["--holdout", "0.2", "--log-every", "5", "--checkpoint-every", "6"]
        self.train(*options)
        model, evaluation = ((self.out / name).read_bytes() for name in ("model.safetensors", "evaluation.json"))
        self.train(*options, "--eval-every", "4", "--force")
        self.assertEqual((self.out / "model.safetensors").read_bytes(), model)
        lines = [line for line in self.lines() if "evaluation" in line]
        self.assertEqual([line["step"] for line in lines], [4, 8, 12, 16, 20])
        self.assertEqual(lines[-1]["evaluation"], json.loads(evaluation))
        self.page()
        for title, group, key in (("Variance explained, held out", "levels", "variance_explained"), ("L0, held out", "levels", "l0"),
                                  ("P(p|c)", "pairs", "p_parent_given_child"), ("Hamming", "pairs", "hamming")):
            chart = self.chart(title)
            for k, curve in chart.lines.items():
                self.check_curve([point for point in curve if point[1] >= 0 or "Variance" not in title],
                                 [(line["step"], line["evaluation"][group][k][key]) for line in lines
                                  if line["evaluation"][group][k][key] >= 0 or "Variance" not in title])
        # A resumed run has the same lines, and a report of them after each part.
        other = self.folder / "other"
        self.train(*options, "--eval-every", "4", "--stop-after", "12", out=other)
        hsae("train", "--data", self.data, "--out", other, "--resume", "auto", *options, "--eval-every", "4", "--device", "ref")
        self.assertEqual([line for line in map(json.loads, (other / "metrics.jsonl").read_text().splitlines()) if "evaluation" in line], lines)
        self.assertEqual((other / "model.safetensors").read_bytes(), model)
        self.assertIn("--holdout", self.train("--eval-every", "4", "--force", status=2)[1])

    def test_leads_to_the_features(self):
        self.assertNotIn("hsae explore", self.train()[0])
        (self.folder / "tokens.jsonl").write_text(json.dumps({"tokens": ["x"] * len(random_rows())}) + "\n")
        text = self.train("--force", "--tensor", "activations")[0]
        command = text.splitlines()[-1].removeprefix("Its features: ")
        self.page()
        self.assertEqual([pre.text for pre in self.root.iter(HTML + "pre") if pre.get("id") == "explore"], [command])
        link, = self.root.iter(HTML + "a")
        words = shlex.split(command)
        self.assertEqual(words[:2] + words[-2:], ["hsae", "explore", "--out", str(self.out / link.get("href"))])
        hsae(*words[1:], "--device", "ref")
        self.assertTrue((self.out / link.get("href")).exists())

    def test_made_again(self):
        self.train("--holdout", "0.2")
        first = (self.out / "report.html").read_bytes()
        (self.out / "report.html").unlink()
        self.assertEqual(hsae("report", self.out)[0], "Report: %s/report.html\n" % self.out)
        self.assertEqual((self.out / "report.html").read_bytes(), first)
        hsae("report", self.out, "--out", self.folder / "other.html")
        self.assertEqual((self.folder / "other.html").read_bytes(), first)
        self.assert_no_litter()

    def test_one_step_and_nothing(self):
        self.train("--steps", "1")
        self.page()
        self.assertEqual(len(set(self.chart("L0").lines[0])), 1)
        self.assertIn("None: it is made at the end", self.words)
        self.train("--force", "--stop-after", "0")
        self.page()
        self.assertIn("Stopped as asked, to be gone on with, at step 0 of 20", self.words)
        self.assertIn("No figures were logged", self.words)
        self.train("--force", "--levels", "8", "--holdout", "0.5")
        self.page()
        self.assertEqual(len(self.table("levels")), 2)
        self.assertIn("No figures.", self.words)  # a level alone has no constraint

    def test_repeats_from_its_own_command(self):
        self.train("--holdout", "0.2")
        self.page()
        command = shlex.split(next(self.root.iter(HTML + "pre")).text)
        while "=" in command[0]:
            command.pop(0)
        before = (self.out / "model.safetensors").read_bytes()
        self.assertEqual(command[:2], ["hsae", "train"])
        hsae(*command[1:], "--force")
        self.assertEqual((self.out / "model.safetensors").read_bytes(), before)

    def test_resumed(self):
        self.train("--log-every", "1", "--stop-after", "7", "--checkpoint-every", "5", "--keep", "9", "--holdout", "0.2")
        self.page()
        self.assertIn("at step 7 of 20", self.words)
        again = ["train", "--data", self.data, "--out", self.out, "--log-every", "1", "--device", "ref", "--keep", "9", "--resume"]
        hsae(*again, "auto", "--stop-after", "9", "--other-data")
        self.assertFalse((self.out / "evaluation.json").exists())
        hsae(*again, self.out / "checkpoint-5.safetensors", "--holdout", "0.2")
        parts = json.loads((self.out / "run.json").read_text())["parts"]
        self.assertEqual([(part["first_step"], part["step"], part["end"]) for part in parts], [(0, 5, "stopped"), (5, 20, "finished")])
        self.page()
        self.check_curves()
        self.assertIn("Steps 1 to 5", self.words)
        self.assertIn("Steps 6 to 20", self.words)
        hsae(*again, "auto", "--other-data")  # all steps are done: the evaluation of the model stays
        self.assertTrue((self.out / "evaluation.json").exists())

    def test_interrupted(self):
        command = [PROGRAM, "train", "--data", self.data, "--out", self.out, *TINY, "--steps", "1000000", "--log-every", "1", "--quiet"]
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: has_content(self.out / "metrics.jsonl"), process)
        hsae("report", self.out, "--out", self.folder / "meanwhile.html")
        self.page(self.folder / "meanwhile.html")
        self.assertIn("Still running, or killed", self.words)
        until(lambda: has_content(self.out / "report.html"), process)  # by itself, for a browser that waits
        self.page()
        self.assertIn('<meta http-equiv="refresh" content="10"/>', self.text)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130)
        self.page()
        self.assertNotIn("refresh", self.text)
        self.assertIn("Interrupted at step %d of 1000000" % self.steps()[-1], self.words)
        self.assert_no_litter()

    def test_failed(self):
        rows = random_rows() * 900
        rows[70000] = [math.nan] * DIM  # after the rows of calibration
        write_safetensors(self.data, "activations", rows)
        self.train("--order", "sequential", "--batch", "4096", "--log-every", "1", status=1)
        self.page()
        self.assertIn("Failed at step %d of 20" % json.loads((self.out / "run.json").read_text())["parts"][0]["step"], self.words)
        self.assertTrue(self.chart("L0").lines)

    def test_hostile_names(self):
        for name in ("</title><script>alert(1)</script>", "a\"b'c&amp;<!--", "new\nline\ttab\x01\x1b[31m", "\u202ertl\ufffe", "it's",
                     os.fsdecode(b"\xff\xc0\x80\xed\xa0\x80")):
            folder = self.folder / name.replace("/", "∕")
            folder.mkdir()
            data = folder / "data.safetensors"
            write_safetensors(data, "activations", random_rows())
            self.out = folder / "run ]]>"
            arguments = ["train", "--data", data, "--out", self.out, *TINY, "--stop-after", "2"]
            subprocess.run([PROGRAM, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.page()
            # The command means the same path to a shell, byte by byte.
            words = subprocess.run(["bash", "-c", "printf '%s\\0' " + next(self.root.iter(HTML + "pre")).text.split("hsae train", 1)[1]],
                                   stdout=subprocess.PIPE, check=True).stdout.split(b"\0")
            self.assertEqual(words[:4], [b"--data", os.fsencode(data), b"--out", os.fsencode(self.out)])

    def test_torn_and_strange_files(self):
        self.train("--log-every", "1", "--holdout", "0.2")
        metrics = self.out / "metrics.jsonl"
        whole = metrics.read_text()
        lines = whole.splitlines()
        gap = json.loads(lines[9])
        for level in gap["levels"]:
            level.update(dict.fromkeys(level))
        lines[9] = json.dumps(gap)
        metrics.write_text("\n".join([*lines[:12], "[1, 2]", '{"step": "x"}', '{"step": 3}', "", *lines[12:-1], lines[-1][:40]]))
        hsae("report", self.out)
        self.page()
        steps = sorted({round(x) for x, _ in self.chart("L0").lines[0]})
        self.assertEqual(steps, [step for step in range(1, 20) if step != 10])
        for name in ("evaluation.json", "run.json"):
            (self.out / name).write_text("[[{")
        self.assertIn("run.json", hsae("report", self.out)[1])
        self.page()
        self.assertIn("were not recorded", self.words)
        for name in ("evaluation.json", "run.json"):
            (self.out / name).write_text('{"parts": [3, {"command": 4, "data": {"paths": [null]}}], "levels": 7, "pairs": [0], "mean": []}')
        hsae("report", self.out)
        self.page()
        metrics.unlink()
        hsae("report", self.out)
        self.page()
        self.assertIn("No figures were logged", self.words)

    def test_compare(self):
        first, second, page = self.out, self.folder / "</th><script>alert(1)<", self.folder / "both.html"
        self.train("--holdout", "0.2", "--log-every", "1")
        self.train("--holdout", "0.2", "--log-every", "1", "--lr", "0.02", out=second)
        hsae("report", first, second, "--out", page)
        self.page(page)
        evaluations = [json.loads((run / "evaluation.json").read_text()) for run in (first, second)]
        for row, evaluation, run in zip(self.table("means"), evaluations, (first, second)):
            self.assertEqual(row[0], str(run))
            self.assertEqual(row[2:5], ["%.2f" % evaluation["mean"]["l0"], "%.4f" % evaluation["mean"]["variance_explained"], "%.2f" % (100 * evaluation["mean"]["dead_fraction"])])
            self.assertEqual(row[6:8], ["%.4f" % evaluation["mean"][key] for key in ("p_parent_given_child", "p_child_given_parent")])
            self.assertEqual(row[8:], ["%.2f" % evaluation["mean"]["lift"], "%.2f" % (100 * evaluation["mean"]["duplicates"])])
        for level in range(2):
            self.assertEqual([row[3] for row in self.table(f"level-{level}")], ["%.4f" % evaluation["levels"][level]["variance_explained"] for evaluation in evaluations])
        chart = self.chart("L0")
        for k, run in enumerate((first, second)):
            lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            self.check_curve(chart.lines[k], [(line["step"], sum(level["l0"] for level in line["levels"]) / 2) for line in lines])
        self.assertNotIn("held out", page.read_text())
        self.assertIn(["lr", "0.02"], [[row[0], row[2]] for row in self.table("differences")])
        self.assertNotIn("levels", [row[0] for row in self.table("differences")])
        # What is missing or strange leaves gaps.
        (second / "evaluation.json").write_text('{"levels": 7, "mean": []}')
        (second / "metrics.jsonl").write_text('[1]\n{"step": 1, "levels": []}\n{"step": 2, "levels": [3, {"l0": "x"}]}\n')
        (second / "config.json").write_text('{"levels": "many"}')
        hsae("report", first, second, "--out", page)
        self.page(page)
        self.assertIn("is not the folder of a run", hsae("report", first, self.folder / "none", "--out", page, status=1)[1])
        hsae("report", *[first] * 9, "--out", page, status=2)

    def test_compare_held_out(self):
        """Curves of the runs that have them: the first, every 4 steps."""
        second, page = self.folder / "second", self.folder / "both.html"
        self.train("--holdout", "0.2", "--eval-every", "4")
        self.train("--holdout", "0.2", out=second)
        hsae("report", self.out, second, "--out", page)
        self.page(page)
        means = [(line["step"], line["evaluation"]["mean"]) for line in self.lines() if "evaluation" in line]
        self.assertEqual(len(means), 5)
        for title, key in ("L0, held out", "l0"), ("P(p|c), held out", "p_parent_given_child"):
            chart = self.chart(title)
            self.assertEqual(list(chart.lines), [0])
            self.check_curve(chart.lines[0], [(step, mean[key]) for step, mean in means])

    def test_no_run(self):
        self.assertIn("is not the folder of a run", hsae("report", self.folder, status=1)[1])
        hsae("report", status=2)
        hsae("report", self.folder, self.folder, status=2)
        self.train()
        before = (self.out / "report.html").read_bytes()
        self.assertIn("none", hsae("report", self.out, "--out", self.folder / "none" / "report.html", status=1)[1])
        (self.out / "config.json").write_text('{"levels": "many"}')
        hsae("report", self.out, status=1)
        self.assertEqual((self.out / "report.html").read_bytes(), before)

    def test_long_runs_stay_small(self):
        levels = [8 * 2 ** l for l in range(8)]
        self.train("--levels", ",".join(map(str, levels)), "--stop-after", "0")
        with open(self.out / "metrics.jsonl", "w") as file:
            for step in range(1, 20001):
                noise = step * 7919 % 1000 / 1000
                level = {"reconstruction": 2 + noise, "variance_explained": noise, "l0": 50 * noise, "lambda": 0.1 + noise, "dead": step % 8,
                         "constraint": 1 + noise if step != 12345 else 99}
                file.write(json.dumps({"step": step, "tokens": step, "lr": 1, "seconds": step, "tokens_per_second": 1000 * noise,
                                       "levels": [level] * 8}) + "\n")
        hsae("report", self.out)
        self.assertLess((self.out / "report.html").stat().st_size, 500000)
        self.page()
        # Not one step's peak is lost.
        self.assertAlmostEqual(max(y for _, y in self.chart("Constraint").bands[0]), 99, delta=0.5)
        mean = [y for x, y in self.chart("L0").lines[0]]
        self.assertLess(max(abs(y - 25) for y in mean), 2)
        self.assertEqual(len(mean), 350)


if __name__ == "__main__":
    main(__doc__)
