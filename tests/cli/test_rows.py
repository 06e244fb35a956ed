#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rows that rule everything: left out by one rule in every command, counted, said; rows that are not finite: test_rows.py HSAE [TEST]..."""
import array
import json
import math
import os
import shlex
import struct
import subprocess
import time

from program import DIM, DRIVERS, GOLDEN, PROGRAM, TINY, Case, hsae, main, random_rows, write_safetensors

COUNT = 300
LONG = [0, 90, 91, 299]  # far too long
OPTIONS = ["--levels", "8,16", "--batch", "16", "--target-l0", "2", "--device", "ref"]


def made(bad=()):
    """Rows of some structure, of which those in LONG are 100 times too long and those in `bad` are not finite."""
    rows = random_rows(COUNT)
    for r, row in enumerate(rows):
        row[r % 4] += 3
        if r in LONG:
            row[r % DIM] = 400.0
        if r in bad:
            row[5] = math.nan if r % 2 else -math.inf
    return rows


def tensors(path):
    """The configuration of a checkpoint and the bytes of its tensors by name."""
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:start])
    config = json.loads(header.pop("__metadata__")["config"])
    return config, {name: whole[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]] for name, entry in header.items()}


def with_config(source, target, change):
    """A copy of a model or checkpoint whose configuration `change` has changed."""
    whole = source.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:start])
    config = json.loads(header["__metadata__"]["config"])
    change(config)
    header["__metadata__"]["config"] = json.dumps(config)
    text = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + whole[start:])


def without_the_keys(config):
    for key in "max_norm", "norm_limit", "skip_bad_rows":
        config.pop(key, None)


class Rows(Case):
    def setUp(self):
        super().setUp()
        self.rows = made()
        write_safetensors(self.data, "activations", self.rows)
        (self.folder / "tokens.jsonl").write_text((json.dumps({"tokens": ["a", " b", " c"] * 10}) + "\n") * 10)

    def run_train(self, *more, steps=60, **options):
        return hsae("train", "--data", self.data, "--out", self.out, *OPTIONS, "--steps", steps, *more, **options)

    def model(self):
        return self.out / "model.safetensors"

    def evaluate(self, *more, model=None, data=None):
        return json.loads(hsae("eval", "--model", model or self.model(), "--data", data or self.data, "--device", "ref", "--json", *more)[0])

    def test_every_command_agrees(self):
        out, messages = self.run_train("--eval-data", self.data)
        self.assertIn("warning: calibration: 4 of 300 rows left out (norm above ", messages)
        self.assertIn("4 of 300 rows left out", out)
        self.assertIn("data.safetensors row 0)", messages)
        config = json.loads((self.out / "config.json").read_text())
        self.assertEqual(config["max_norm"], 10)
        self.assertTrue(20 < config["norm_limit"] < 100)
        last = json.loads((self.out / "metrics.jsonl").read_text().splitlines()[-1])
        self.assertEqual((last["left_out"], last["tokens"]), (4, 60 * 16))
        evaluation = json.loads((self.out / "evaluation.json").read_text())
        self.assertEqual((evaluation["left_out"], evaluation["tokens"]), (4, 296))
        self.assertEqual(self.evaluate(), evaluation)
        report = (self.out / "report.html").read_text()
        self.assertIn("296 activation vectors; 4 rows left out.", report)
        self.assertIn("<dt>Rows left out</dt><dd>4</dd>", report)
        encoded, features = self.folder / "features", ["--model", self.model(), "--data", self.data, "--device", "ref"]
        out, messages = hsae("encode", *features, "--out", encoded, "--json")
        self.assertEqual((json.loads(out)["left_out"], json.loads(out)["tokens"]), (4, 300))
        self.assertIn("4 of 300 rows left out", messages)
        for level in tensors_of_features(encoded):
            self.assertEqual(len(level), COUNT + 1)
            self.assertEqual([level[r + 1] - level[r] for r in LONG], [0] * 4)
        explored = json.loads(hsae("explore", *features, "--out", self.folder / "page.html", "--json")[0])
        self.assertEqual((explored["left_out"], explored["tokens"]), (4, 296))
        table = self.folder / "features.csv"
        self.assertEqual(json.loads(hsae("eval", *features, "--per-feature", table, "--json")[0])["left_out"], 4)
        self.assertIn("296 activation vectors; 4 of 300 rows left out", hsae("eval", *features)[0])

    def test_as_if_they_were_not_there(self):
        """What a model says of rows does not change by rows that are left out beside them."""
        self.run_train()
        clean = self.folder / "clean.safetensors"
        write_safetensors(clean, "activations", [row for r, row in enumerate(self.rows) if r not in LONG])
        ours, theirs = self.evaluate(), self.evaluate(data=clean)
        self.assertEqual((ours.pop("left_out"), theirs.pop("left_out")), (4, 0))
        self.assertEqual(ours, theirs)

    def test_off(self):
        _, messages = self.run_train("--max-norm", 0, "--eval-data", self.data)
        self.assertNotIn("left out", messages)
        config = json.loads((self.out / "config.json").read_text())
        self.assertEqual((config["max_norm"], config["norm_limit"]), (0, 0))
        self.assertEqual(self.evaluate()["left_out"], 0)
        self.assertEqual(self.evaluate("--max-norm", 10)["left_out"], 4)

    def test_override(self):
        self.run_train()
        self.assertEqual([self.evaluate("--max-norm", x)["left_out"] for x in (0, 1e6, 10)], [0, 0, 4])
        features = ["--model", self.model(), "--data", self.data, "--device", "ref", "--max-norm", 0]
        self.assertEqual(json.loads(hsae("encode", *features, "--out", self.folder / "features", "--json")[0])["left_out"], 0)
        self.assertEqual(json.loads(hsae("explore", *features, "--out", self.folder / "page.html", "--json")[0])["left_out"], 0)
        messages = hsae("eval", "--model", self.model(), "--data", self.data, "--max-norm", -1, status=2)[1]
        self.assertIn("--max-norm takes a number of at least 0", messages)

    def test_tree(self):
        """Parents that are counted on rows with a limit are those counted with the next kept row in the place of one that is left out."""
        self.run_train("--max-norm", 0, "--tree", "posthoc")
        linked, kept = self.folder / "linked.safetensors", self.folder / "kept.safetensors"
        left_out = set(range(0, COUNT, 3))
        rows = [[value * 100 for value in row] if r in left_out else row for r, row in enumerate(random_rows(COUNT))]
        write_safetensors(self.data, "activations", rows)
        following = lambda r: r // 16 * 16 + (r + 1) % 16  # in its batch of 16
        next_kept = lambda r: next_kept(following(r)) if r in left_out else r
        write_safetensors(kept, "activations", [rows[next_kept(r)] if r < COUNT // 16 * 16 else rows[1] for r in range(COUNT)])

        def parents(data, *more):
            evaluation = json.loads(hsae("tree", "--model", self.model(), "--data", data, "--out", linked, "--device", "ref", "--similarity",
                                         "coactivation", "--json", *more)[0])["evaluation"]
            return tensors(linked)[1]["levels.1.parent"], evaluation["left_out"]

        for more in ["--max-norm", 10], ["--max-norm", 10, "--skip-bad-rows"]:
            self.assertEqual(parents(self.data, *more), (parents(kept)[0], len(left_out)))
        self.assertEqual(parents(self.data), parents(self.data, "--max-norm", 0))
        self.assertNotEqual(parents(self.data)[0], parents(kept)[0])
        with_config(self.model(), self.folder / "limited.safetensors", lambda config: config.update(max_norm=10, norm_limit=50))
        (self.folder / "limited.safetensors").rename(self.model())
        self.assertEqual(parents(self.data), (parents(kept)[0], len(left_out)))
        self.assertNotEqual(parents(self.data, "--max-norm", 0)[0], parents(kept)[0])
        rows[1][2] = math.nan
        write_safetensors(self.data, "activations", rows)
        self.assertIn("row 1, column 2", hsae("tree", "--model", self.model(), "--data", self.data, "--out", linked, "--device", "ref", status=1)[1])
        self.assertEqual(parents(self.data, "--max-norm", 10, "--skip-bad-rows")[1], len(left_out) + 1)
        messages = hsae("tree", "--model", self.model(), "--out", linked, "--max-norm", 10, status=2)[1]
        self.assertIn("--data is needed", messages)

    def test_old_files(self):
        """A model and a checkpoint from before the keys: nothing is left out, and a resumed run has the bits that it had."""
        self.run_train("--max-norm", 0, "--stop-after", 30)
        first, whole = tensors(self.out / "checkpoint-30.safetensors")
        self.assertEqual((first["max_norm"], "train.left_out" in whole), (0, False))
        old, runs = self.folder / "old.safetensors", [self.folder / "a", self.folder / "b"]
        with_config(self.out / "checkpoint-30.safetensors", old, without_the_keys)
        for start, run in zip([self.out / "checkpoint-30.safetensors", old], runs):
            hsae("train", "--data", self.data, "--resume", start, "--out", run, "--device", "ref", "--quiet")
        self.assert_same_bytes(runs[0] / "model.safetensors", runs[1] / "model.safetensors")
        with_config(self.model(), old, without_the_keys)
        self.assertEqual(self.evaluate(model=old)["left_out"], 0)
        self.assertEqual(self.evaluate("--max-norm", 10, model=old)["left_out"], 4)

    def test_golden_with_a_limit(self):
        """A limit that no row meets changes no bit."""
        for name in "coactivation-window", "epoch-straddle", "defaults":
            case, runs = GOLDEN / "train" / name, [self.folder / (name + way) for way in ("-off", "-on")]
            steps = json.loads((case / "case.json").read_text())["steps"]
            limited = self.folder / "limited.safetensors"
            with_config(case / "init.safetensors", limited, lambda config: config.update(max_norm=10, norm_limit=1e4, skip_bad_rows=True))
            for start, run in zip([case / "init.safetensors", limited], runs):
                hsae("train", "--resume", start, "--data", case / "data.safetensors", "--stop-after",
                     int.from_bytes(tensors(case / "init.safetensors")[1]["train.step"], "little") + steps, "--out", run, "--device", "ref", "--quiet")
            results = [tensors(max(run.glob("checkpoint-*"))) for run in runs]
            self.assertEqual(results[0][1], results[1][1], name)
            self.assertEqual((results[0][0]["max_norm"], results[1][0]["norm_limit"]), (0, 1e4))

    def test_resume(self):
        self.run_train("--stop-after", 7)
        self.run_train("--resume", "auto", "--max-norm", 10)
        whole = self.folder / "whole"
        hsae("train", "--data", self.data, "--out", whole, *OPTIONS, "--steps", 60)
        self.assert_same_bytes(self.model(), whole / "model.safetensors")
        self.assert_same_bytes(self.out / "checkpoint-60.safetensors", whole / "checkpoint-60.safetensors")
        counts = [[json.loads(line)["left_out"] for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (self.out, whole)]
        self.assertEqual(counts[0][-1], 4)
        self.assertEqual(counts[0], counts[1])
        self.assertIn("only steps, lr, target_l0, rho, perturb and skip_bad_rows may change",
                      self.run_train("--resume", "auto", "--max-norm", 3, steps=70, status=2)[1])

    def test_holdout(self):
        self.run_train("--holdout", 0.5)
        evaluation = json.loads((self.out / "evaluation.json").read_text())
        self.assertEqual((evaluation["left_out"], evaluation["tokens"]), (1, 149))

    def test_one_absurd_row(self):
        """A mask's fill value that occurs only in training does not make the run diverge."""
        rows = random_rows(2000)
        rows[1500] = [-3.3895e38] * DIM
        write_safetensors(self.data, "activations", rows)
        config = self.folder / "config.json"
        config.write_text(json.dumps({"norm_limit": 100}))
        messages = self.run_train("--config", config, "--eval-data", self.data, steps=130)[1]
        self.assertIn("1 of 2,000 rows left out (norm above 100; first: %s row 1500)" % self.data, messages)
        self.assertTrue(0 < self.evaluate()["mean"]["variance_explained"] < 1)
        hsae("info", self.model())

    def test_rows_near_the_largest_float(self):
        """Ten times their median norm is beyond floats; the limit is one that can be written and read."""
        write_safetensors(self.data, "activations", [[1e37 * value for value in row] for row in random_rows(200)])
        self.run_train()
        self.assertEqual(self.evaluate()["tokens"], 200)

    def test_all_left_out(self):
        self.run_train()
        far = self.folder / "far.safetensors"
        write_safetensors(far, "activations", [[100 * value for value in row] for row in random_rows(50)])
        messages = hsae("eval", "--model", self.model(), "--data", far, "--device", "ref", status=1)[1]
        self.assertIn("all 50 rows are left out", messages)

    # ---- rows that are not finite ----

    def bad_data(self, bad):
        write_safetensors(self.data, "activations", made(bad))

    def test_bad_row(self):
        """The last whole step is saved, and the command that is printed goes on as if such rows had been left out from the start. The rows are
        beyond those of calibration: 65,536 of one column."""
        rows, run = 66000, self.folder / "a run"
        values = array.array("f", [math.sin(k) + k % 7 for k in range(rows)])
        values[65900] = math.inf
        data = self.folder / "the data.bin"
        data.write_bytes(values.tobytes())
        command = ["train", "--data", data, "--dim", 1, "--levels", "4,8", "--batch", 1000, "--target-l0", 1, "--steps", 80, "--device", "ref", "--out", run]
        messages = hsae(*command, status=1)[1]
        self.assertIn("the data.bin: row 65900, column 0 (from 0): a value that is not finite", messages)
        saved = self.checkpoints(run)
        self.assertTrue(saved)
        self.assertIn("its checkpoint of step %d is whole" % saved[-1], messages)
        self.assertEqual(json.loads((run / "run.json").read_text())["parts"][-1]["end"], "failed")
        words = shlex.split([line for line in messages.splitlines() if line.startswith("  hsae train")][-1])
        messages = hsae(*words[1:])[1]
        self.assertIn("1 of 66,000 rows left out (a value that is not finite; first: %s row 65900)" % data, messages)
        whole = self.folder / "whole"
        hsae(*command[:-1], whole, "--skip-bad-rows")
        self.assert_same_bytes(run / "model.safetensors", whole / "model.safetensors")
        self.assert_same_bytes(run / "checkpoint-80.safetensors", whole / "checkpoint-80.safetensors")

    def test_bad_row_in_the_first_batch(self):
        """There is nothing to keep; the command that is printed starts again, and works."""
        values = array.array("f", [math.sin(k) for k in range(65600)])
        values[65540:] = array.array("f", [math.nan] * 60)  # beyond calibration; some of them are in the first batch
        data = self.folder / "data.bin"
        data.write_bytes(values.tobytes())
        messages = hsae("train", "--data", data, "--dim", 1, "--levels", "2,4", "--batch", 60000, "--target-l0", 1, "--steps", 2, "--device", "ref", "--out",
                        self.out, status=1)[1]
        self.assertIn("the run broke off before its first step", messages)
        self.assertEqual(self.checkpoints(), [])
        words = shlex.split([line for line in messages.splitlines() if line.startswith("  hsae train")][-1])
        self.assertIn("60 of 65,600 rows left out", hsae(*words[1:])[1])

    def test_bad_row_in_calibration(self):
        self.bad_data([33, 120])
        messages = self.run_train(status=1)[1]
        self.assertIn("row 33, column 5", messages)
        self.assertIn("skip_bad_rows", messages)
        self.assertFalse(self.model().exists())
        messages = self.run_train("--skip-bad-rows")[1]
        self.assertIn("6 of 300 rows left out (4 with a norm above ", messages)
        self.assertIn(", 2 not finite; first: ", messages)
        self.assertEqual(self.evaluate()["left_out"], 6)
        encoded = json.loads(hsae("encode", "--model", self.model(), "--data", self.data, "--out", self.folder / "f", "--device", "ref", "--json")[0])
        self.assertEqual((encoded["left_out"], encoded["tokens"]), (6, 300))

    def test_bad_row_of_a_session(self):
        """A model that was trained without the rule meets such a row: an error whose advice works."""
        self.run_train()
        self.bad_data([33])
        features = ["--model", self.model(), "--data", self.data, "--device", "ref"]
        for command in ["eval"], ["encode", "--out", self.folder / "features"], ["explore", "--out", self.folder / "page.html"]:
            messages = hsae(command[0], *features, *command[1:], status=1)[1]
            self.assertIn("data.safetensors: row 33, column 5", messages)
            self.assertIn("skip_bad_rows", messages)
            out = json.loads(hsae(command[0], *features, *command[1:], "--skip-bad-rows", "--json")[0])
            self.assertEqual(out["left_out"], 5, command[0])

    def test_option_without_a_value(self):
        self.bad_data([33])
        for words in ["--skip-bad-rows", "--quiet"], ["--skip-bad-rows=true"], ["--skip-bad-rows", "true"], ["--skip_bad_rows"]:
            self.run_train("--force", *words, steps=2)
            self.assertIs(json.loads((self.out / "config.json").read_text())["skip_bad_rows"], True)
        self.run_train("--force", "--skip-bad-rows", "false", steps=2, status=1)
        self.assertIn("skip_bad_rows is \"maybe\"; allowed: true or false", self.run_train("--force", "--skip-bad-rows=maybe", status=2)[1])

    def test_cut_data(self):
        """Data that can no longer be read: the last whole step is saved, too."""
        data = self.folder / "long.bin"
        data.write_bytes(array.array("f", [math.sin(k) for k in range(600000)]).tobytes())
        command = [PROGRAM, "train", "--data", data, "--dim", "12", *TINY[:-1], "ref", "--steps", "1000000", "--log-every", "1", "--out", self.out]
        run = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **DRIVERS})
        metrics = self.out / "metrics.jsonl"
        while run.poll() is None and not (metrics.exists() and metrics.stat().st_size > 2000):
            time.sleep(0.02)
        os.truncate(data, 1000)
        messages = run.communicate()[1]
        self.assertEqual(run.returncode, 1, messages)
        self.assertIn("long.bin: row ", messages)
        self.assertIn("cannot be read", messages)
        self.assertEqual(len(self.checkpoints()), 1)
        self.assertIn("once the data can be read again go on with", messages)

    # ---- info --check ----

    def test_check(self):
        rows = made([120])
        rows[200] = list(rows[10])
        for row in rows:
            row[8] = 0.25
        rows[250] = [0.0] * DIM
        rows[250][8] = 0.25
        second = self.folder / "second.safetensors"
        write_safetensors(self.data, "activations", rows[:150])
        write_safetensors(second, "activations", rows[150:])
        told = json.loads(hsae("info", "--check", self.data, second, "--json")[0])
        check = told["check"]
        norms = sorted(math.sqrt(sum(value * value for value in row)) for r, row in enumerate(rows) if r != 120)
        self.assertAlmostEqual(check["norm"]["median"], norms[149], delta=1e-5)
        self.assertAlmostEqual(check["norm"]["min"], 0.25)
        self.assertAlmostEqual(check["norm"]["max"], norms[-1], delta=1e-4)
        self.assertAlmostEqual(check["norm"]["percent_99"], norms[int(0.99 * 298)], delta=1e-3)
        self.assertEqual(check["far_rows"], {"count": 4, "first": {"row": 0, "path": str(self.data), "file_row": 0}})
        self.assertEqual(check["bad_rows"], {"count": 1, "first": {"row": 120, "path": str(self.data), "file_row": 120}})
        self.assertEqual(check["duplicates"], {"count": 1, "first": {"row": 200, "path": str(second), "file_row": 50},
                                               "original": {"row": 10, "path": str(self.data), "file_row": 10}})
        self.assertEqual(check["constant_columns"], {"count": 1, "first": [8]})
        self.assertEqual(check["zero_rows"], {"count": 0})
        text = hsae("info", "--check", self.data, second)[0]
        for line in ("beyond 10 times the median   4, the first: %s row 0" % self.data, "with values not finite       1, the first: %s row 120" % self.data,
                     "equal to an earlier row      1, the first: %s row 50, equal to %s row 10" % (second, self.data),
                     "constant columns             1, the first: 8"):
            self.assertIn(line, text)

    def test_check_formats(self):
        self.run_train()
        self.assertIn("--check reads activations", hsae("info", "--check", self.model(), status=1)[1])
        self.assertNotIn("check", json.loads(hsae("info", self.data, "--json")[0]))
        halves = self.folder / "halves.bin"
        halves.write_bytes(struct.pack("<6e", 1, 2, 3, 4, math.inf, 6))
        check = json.loads(hsae("info", "--check", halves, "--dim", 2, "--dtype", "f16", "--json")[0])["check"]
        self.assertEqual((check["bad_rows"]["first"]["row"], check["norm"]["max"]), (2, 5.0))
        halves.write_bytes(struct.pack("<2e", math.inf, math.nan))
        check = json.loads(hsae("info", "--check", halves, "--dim", 1, "--dtype", "f16", "--json")[0])["check"]
        self.assertEqual((check["bad_rows"]["count"], check["norm"]["median"]), (2, None))
        self.assertIn("median                       -", hsae("info", "--check", halves, "--dim", 1, "--dtype", "f16")[0])


def tensors_of_features(path):
    """indptr of every level."""
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:start])
    for name in sorted(header):
        if name.endswith(".indptr"):
            begin, end = header[name]["data_offsets"]
            level = array.array("q")
            level.frombytes(whole[start + begin:start + end])
            yield level


if __name__ == "__main__":
    main(__doc__)
