#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command line as its users run it, on the reference device: test_cli.py HSAE [TEST]..."""
import csv
import fcntl
import json
import os
import pathlib
import pty
import re
import resource
import signal
import struct
import subprocess
import sys
import termios

from program import (DIM, DRIVERS, EVAL, GOLDEN, PATIENCE, PROGRAM, ROWS, TINY, Case, has_content, hsae, main, random_rows, read_rows, until,
                     write_safetensors)

MODEL = pathlib.Path(__file__).resolve().parents[1] / "measure/model_step.py"
LIMITS = ("memory_bytes", "max_allocation_bytes", "max_binding_bytes", "max_bindings", "max_args_bytes", "max_group_size", "max_local_bytes",
          "vector_width")


class Usage(Case):
    def test_help_and_version(self):
        for command in ("devices", "train", "report", "eval", "encode", "decode", "export", "import", "tree", "explore", "info", "bench", "tune"):
            text, errors = hsae(command, "--help")
            self.assertIn("Usage: hsae " + command, text)
            self.assertIn("Examples:", text)
            self.assertEqual(errors, "")
            self.assertIn("  %s" % command, hsae("--help")[0])
        self.assertRegex(hsae("--version")[0], r"^hsae \d+\.\d+\.\d+\n$")

    def test_every_key_is_an_option(self):
        self.train("--stop-after", "0")
        text = hsae("train", "--help", "all")[0]
        for key in json.loads((self.out / "config.json").read_text()):
            self.assertIn("--%s " % key.replace("_", "-"), text)
        brief = hsae("train", "--help")[0]
        self.assertEqual(re.findall(r"^  --(\S+)", brief, flags=re.M), ["data", "out", "epochs", "levels", "steps", "target-l0"])
        self.assertIn("hsae train --help all", brief)

    def test_wrong_usage(self):
        for arguments in ([], ["nonsense"], ["train"], ["train", "--data", self.data], ["eval", "--model"], ["eval", "stray"],
                          ["info"], ["encode", "--model", "m"], ["devices", "-x"], ["devices", "--json=yes"],
                          ["train", "--data", self.data, "--out", self.out, "--holdout", "1"],
                          ["train", "--data", self.data, "--out", self.out, "--keep", "0"],
                          ["train", "--data", self.data, "--out", self.out, "--log-every", "-1"],
                          ["train", "--data", self.data, "--out", self.out, "--holdout", "0.1", "--eval-data", self.data]):
            text, errors = hsae(*arguments, status=2)
            self.assertEqual(text, "")
            self.assertIn("--help", errors)

    def test_unknown_key_has_a_suggestion(self):
        self.assertIn("--target-l0", hsae("train", "--taget-l0", "3", status=2)[1])
        self.assertIn("--checkpoint-every", hsae("train", "--checkpoint-evry", "3", status=2)[1])
        config = self.folder / "config.json"
        config.write_text('{"tagret_l0": 3}')
        self.assertIn("target_l0", self.train("--config", config, status=2)[1])
        self.assertFalse(self.out.exists())

    def test_configuration_errors(self):
        for option, value, word in (("--levels", "16,8", "levels"), ("--target-l0", "9", "target_l0"), ("--batch", "many", "batch"),
                                    ("--tree", "oak", "forest"), ("--steps", "0", "steps")):
            self.assertIn(word, self.train(option, value, status=2)[1])
        self.assertFalse(self.out.exists())

    def test_options_win_over_the_file(self):
        config = self.folder / "config.json"
        config.write_text('{"seed": 9223372036854775807, "rho": 0.5, "levels": [8, 16, 24]}')
        self.train("--config", config, "--rho", "0.25", "--stop-after", "0")
        found = json.loads((self.out / "config.json").read_text())
        self.assertEqual((found["seed"], found["rho"], found["levels"]), (9223372036854775807, 0.25, [8, 16]))


class Plan(Case):
    def test_dry_run(self):
        text = hsae("train", "--data", self.data, *TINY, "--dry-run", "--quiet")[0]
        self.assertRegex(text, r"decoder second moments +1 +0\.\d\d")
        self.assertRegex(text, r"on the device +\d+\.\d\d MiB at the start")
        self.assertRegex(text, r"a step +\d\d launches of kernels")
        plan = json.loads(hsae("train", "--data", self.data, *TINY, "--dry-run", "--json")[0])
        self.assertTrue(plan["fits"])
        self.assertGreater(plan["launches"], 10)
        self.assertEqual(sum(row["bytes"] for row in plan["buffers"] if not row["later"] and not row["host"]), plan["start_bytes"])
        self.assertFalse(self.out.exists())

    def test_what_does_not_fit(self):
        large = ["--levels", "8,16", "--batch", "100000000", "--steps", "1", "--target-l0", "2", "--device", "ref"]
        text, errors = hsae("train", "--data", self.data, *large, "--dry-run", status=1)
        self.assertIn("It does not fit.", text)
        batch = re.search(r"with --batch (\d+) it would", errors).group(1)
        hsae("train", "--data", self.data, *large, "--batch", batch, "--dry-run")

    def test_what_would_fit(self):
        large = ["--data", self.data, "--steps", "1", "--target-l0", "2", "--similarity", "coactivation", "--device", "ref"]
        levels, batch = "80000,160000", "2000000"
        errors = hsae("train", *large, "--levels", levels, "--batch", batch, "--dry-run", status=1)[1]
        self.assertRegex(errors, r"error: ref: buffer \w+ \w+ needs \d+ bytes, a buffer that a kernel of this device sees may have \d+")
        fitting = re.search(r"error: with --batch (\d+) or --levels (\S+) it would fit ref", errors)
        refused = hsae("train", *large, "--levels", "40000000,80000000", "--batch", "8", "--out", self.out, status=1)[1]
        self.assertEqual(refused.count("features are too many"), 1, refused)
        self.assertIn("it would fit ref", refused)
        hsae("train", *large, "--levels", levels, "--batch", fitting.group(1), "--dry-run")
        hsae("train", *large, "--levels", fitting.group(2), "--batch", batch, "--dry-run")
        plan = json.loads(hsae("train", *large, "--levels", levels, "--batch", batch, "--dry-run", "--json", status=1)[0])
        self.assertEqual((plan["fits"], plan["fitting_batch"], plan["only_both"]), (False, int(fitting.group(1)), False))
        self.assertEqual(",".join(map(str, plan["fitting_levels"])), fitting.group(2))

    def test_usage(self):
        hsae("train", "--data", self.data, "--dry-run", "--resume", "auto", "--out", self.out, status=2)


class Devices(Case):
    def test_json(self):
        found = json.loads(hsae("devices", "--json", environment=DRIVERS)[0])
        for device in found["devices"]:
            self.assertIn(device["backend"], ("ref", "opencl", "vulkan"))
            self.assertIn(device["type"], ("cpu", "integrated", "discrete", "virtual"))
            self.assertGreater(device["memory_bytes"], 0)
            self.assertTrue(device["name"] and device["driver"])
            self.assertEqual([sorted(quirk) for quirk in device["quirks"]], [["quirk", "source"]] * len(device["quirks"]))
            limits = [*device["max_groups"], *(device[name] for name in LIMITS)]
            self.assertTrue(all(value > 0 for value in limits), device)
            self.assertIs(type(device["dot_products"]), bool)
            self.assertEqual(len(device["matrices"]), min(device["matrix_count"], 16))
            for matrix in device["matrices"]:
                self.assertTrue(matrix["m"] > 0 and matrix["n"] > 0 and matrix["k"] > 0 and matrix["result"], matrix)
            if device["backend"] == "vulkan":
                self.assertTrue(0 < device["subgroup"][0] <= device["subgroup"][1], device)
            if device["backend"] == "opencl":
                self.assertTrue(device["clock_mhz"] is None or device["clock_mhz"] > 0)
        ids = [device["id"] for device in found["devices"]]
        self.assertTrue(any(device["quirks"] for device in found["devices"] if "PoCL HSTR: pthread" in device["driver"]) or "opencl:0" not in ids)
        self.assertIn("ref", ids)
        self.assertIn(found["default"], ids)

    def test_self_test(self):
        found = json.loads(hsae("devices", "--test", "--json", environment=DRIVERS)[0])
        self.assertEqual({device["self_test"] for device in found["devices"]}, {"passed"})

    def test_a_device_is_tested_once(self):
        tested = {**DRIVERS, "HSAE_SELF_TEST": "", "HSAE_CACHE_DIR": str(self.folder / "cache")}
        for _ in range(2):
            self.train("--device", "opencl:0", "--force", environment=tested)
            self.assertEqual(len(list((self.folder / "cache").glob("selftest-*"))), 1)

    def test_unknown_device_lists_those_that_exist(self):
        self.assertIn("ref", self.train("--device", "opencl:99", status=1)[1])
        self.assertFalse(self.out.exists())

    def test_no_driver_at_all(self):
        nothing = {"OCL_ICD_VENDORS": "/nonexistent", "VK_DRIVER_FILES": "/nonexistent", "VK_ICD_FILENAMES": "/nonexistent"}
        found = json.loads(hsae("devices", "--json", environment=nothing)[0])
        self.assertEqual(([device["id"] for device in found["devices"]], found["default"]), (["ref"], "ref"))
        hsae("train", "--data", self.data, "--out", self.out, *TINY[:-2], environment=nothing)
        self.assertEqual(self.checkpoints()[-1], 20)

    def test_environment_chooses(self):
        arguments = ["eval", "--model", EVAL / "model.safetensors", "--data", EVAL / "data.safetensors"]
        self.assertIn("HSAE_DEVICE", hsae(*arguments, environment={"HSAE_DEVICE": "ref"})[1])
        hsae(*arguments, environment={"HSAE_DEVICE": "nonsense"}, status=1)
        hsae(*arguments, "--device", "ref", environment={"HSAE_DEVICE": "nonsense"})

    def test_quiet(self):
        self.assertEqual([line for line in self.train("--quiet")[1].splitlines() if not line.startswith("hsae: warning: ")], [])


class Data(Case):
    def test_unreadable(self):
        self.data.unlink()
        self.assertIn("data.safetensors", self.train(status=1)[1])
        self.data.write_bytes(b"not safetensors at all")
        self.assertIn("data.safetensors", self.train(status=1)[1])
        self.assertFalse(self.out.exists())

    def test_shards(self):
        other = self.folder / "other.safetensors"
        write_safetensors(other, "activations", random_rows(width=DIM + 1))
        errors = hsae("train", "--data", self.data, other, "--out", self.out, *TINY, status=1)[1]
        self.assertIn("other.safetensors", errors)
        write_safetensors(other, "activations", random_rows(seed=2))
        hsae("train", "--data", self.data, other, "--out", self.out, *TINY)
        hsae("train", "--data", self.data, "--data", other, "--out", self.folder / "twice", *TINY)
        self.assert_same_bytes(self.out / "model.safetensors", self.folder / "twice" / "model.safetensors")

    def test_not_finite(self):
        rows = random_rows()
        rows[17][3] = float("nan")
        write_safetensors(self.data, "activations", rows)
        errors = self.train(status=1)[1]
        self.assertIn("data.safetensors", errors)
        self.assertIn("17", errors)

    def test_too_few_rows(self):
        self.train("--batch", "81", status=1)
        self.train("--holdout", "0.001", status=1)

    def test_held_out_rows_are_not_trained_on(self):
        self.train("--holdout", "0.25", "--json", out=self.folder / "a")
        rows = random_rows()
        write_safetensors(self.data, "activations", rows[:60])
        write_safetensors(self.folder / "rest.safetensors", "activations", rows[60:])
        self.train(out=self.folder / "b")
        self.assert_same_bytes(self.folder / "a" / "model.safetensors", self.folder / "b" / "model.safetensors")
        found = json.loads(hsae("eval", "--model", self.folder / "b" / "model.safetensors", "--data", self.folder / "rest.safetensors",
                                "--device", "ref", "--json")[0])
        self.assertEqual(found["tokens"], 20)


class Training(Case):
    def test_folder(self):
        text, errors = self.train("--log-every", "5", "--checkpoint-every", "6", "--holdout", "0.2")
        self.assertEqual(sorted(path.name for path in self.out.iterdir()),
                         ["checkpoint-18.safetensors", "checkpoint-20.safetensors", "config.json", "evaluation.json", "metrics.jsonl",
                          "model.safetensors", "report.html", "run.json"])
        self.assertEqual(self.steps(), [5, 10, 15, 20])
        line = json.loads((self.out / "metrics.jsonl").read_text().splitlines()[0])
        self.assertEqual(set(line), {"step", "tokens", "lr", "seconds", "tokens_per_second", "data_wait", "left_out", "levels"})
        self.assertEqual(set(line["levels"][0]), {"reconstruction", "variance_explained", "l0", "lambda", "dead", "constraint"})
        self.assertEqual((line["tokens"], len(line["levels"])), (40, 2))
        for word in ("level", "pair", "P(p|c)", str(self.out / "model.safetensors")):
            self.assertIn(word, text)
        self.assertIn("step 5/20", errors)

    def test_json(self):
        found = json.loads(self.train("--json", "--eval-data", self.data)[0])
        self.assertEqual((found["out"], found["step"]), (str(self.out), 20))
        self.assertTrue(os.path.exists(found["model"]) and os.path.exists(found["checkpoint"]))
        self.assertEqual(found["evaluation"]["tokens"], ROWS)

    def test_same_seed_same_bytes(self):
        for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
            self.train("--seed", seed, out=self.folder / name)
        for name in ("model.safetensors", "checkpoint-20.safetensors"):
            self.assert_same_bytes(self.folder / "a" / name, self.folder / "b" / name)
        self.assertNotEqual((self.folder / "a" / "model.safetensors").read_bytes(), (self.folder / "c" / "model.safetensors").read_bytes())

    def test_threads_do_not_matter(self):
        ids = [device["id"] for device in json.loads(hsae("devices", "--json", environment=DRIVERS)[0])["devices"]]
        if "opencl:0" not in ids:
            self.skipTest("there is no OpenCL device")
        for threads in ("1", "2"):
            hsae("train", "--data", self.data, "--out", self.folder / threads, *TINY[:-1], "opencl:0",
                 environment={**DRIVERS, "POCL_MAX_PTHREAD_COUNT": threads})
        self.assert_same_bytes(self.folder / "1" / "checkpoint-20.safetensors", self.folder / "2" / "checkpoint-20.safetensors")

    def test_deterministic_check(self):
        self.assertIn("same bytes", self.train("--deterministic-check")[0])

    def test_stop_and_resume_equals_one_run(self):
        for similarity in ("encoder", "coactivation"):
            whole, parts = self.folder / (similarity + "-whole"), self.folder / (similarity + "-parts")
            self.train("--similarity", similarity, "--log-every", "1", out=whole)
            self.train("--similarity", similarity, "--log-every", "1", "--stop-after", "7", out=parts)
            self.assertEqual(self.checkpoints(parts)[-1], 7)
            errors = hsae("train", "--data", self.data, "--out", parts, "--resume", "auto", "--log-every", "1", "--device", "ref")[1]
            self.assertIn("checkpoint-7", errors)
            for name in ("model.safetensors", "checkpoint-20.safetensors", "config.json"):
                self.assert_same_bytes(whole / name, parts / name)
            self.assertEqual(self.steps(parts), list(range(1, 21)))

    def test_resume_drops_what_came_after(self):
        self.train("--log-every", "1", "--checkpoint-every", "5")
        with open(self.out / "metrics.jsonl", "a") as file:
            file.write('{"step": 21, "tok')
        checkpoint = self.out / "checkpoint-15.safetensors"
        hsae("train", "--data", self.data, "--out", self.out, "--resume", checkpoint, "--log-every", "1", "--checkpoint-every", "5",
             "--stop-after", "17", "--device", "ref")
        self.assertEqual(self.steps(), list(range(1, 18)))
        self.assertEqual(self.checkpoints(), [15, 17])

    def test_resume_may_change_some_keys(self):
        self.train("--stop-after", "10")
        self.train("--resume", "auto", "--seed", "1", status=2)
        hsae("train", "--data", self.data, "--out", self.out, "--resume", "auto", "--steps", "30", "--rho", "0.02", "--device", "ref")
        self.assertEqual(self.checkpoints()[-1], 30)
        self.assertEqual(json.loads((self.out / "config.json").read_text())["rho"], 0.02)

    def test_resume_without_a_checkpoint(self):
        self.assertIn("beginning", self.train("--resume", "auto")[1])
        self.train("--resume", self.folder / "none.safetensors", status=1)
        (self.out / "checkpoint-20.safetensors").unlink()
        (self.out / "checkpoint-18.safetensors").unlink()
        self.train("--resume", "auto", status=1)

    def test_bad_checkpoints(self):
        self.train("--keep", "3", "--checkpoint-every", "5")
        newest = self.out / "checkpoint-20.safetensors"
        whole = newest.read_bytes()
        newest.write_bytes(whole[:len(whole) // 2])
        self.assertIn("checkpoint-20", self.train("--resume", newest, status=1)[1])
        arguments = ["train", "--data", self.data, "--out", self.out, "--resume", "auto", "--device", "ref"]
        self.assertIn("checkpoint-15", hsae(*arguments)[1])
        self.assertEqual(newest.read_bytes(), whole)
        self.assertIn("data.safetensors", self.train("--resume", self.data, status=1)[1])

    def test_finished_folder_is_kept(self):
        self.train()
        before = (self.out / "model.safetensors").read_bytes()
        errors = self.train("--seed", "3", status=1)[1]
        self.assertTrue("--resume" in errors and "--force" in errors)
        self.assertEqual((self.out / "model.safetensors").read_bytes(), before)
        self.train("--seed", "3", "--force")
        self.assertNotEqual((self.out / "model.safetensors").read_bytes(), before)

    def test_stop_before_the_checkpoint(self):
        self.train("--stop-after", "10")
        self.train("--resume", "auto", "--stop-after", "5", status=2)
        self.train("--resume", "auto", "--stop-after", "10")
        self.assertEqual(self.checkpoints()[-1], 10)


class Terminal(Case):
    def shown(self, *arguments, width=80, status=0, **environment):
        """What a terminal of that width gets to see."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        with subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=slave,
                              env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment}) as done:
            os.close(slave)
            shown = b""
            try:
                while piece := os.read(master, 65536):
                    shown += piece
            except OSError:  # the other end is closed
                pass
        os.close(master)
        self.assertEqual(done.returncode, status)
        return shown.decode()

    def test_one_line_that_updates(self):
        shown = self.shown("train", "--data", self.data, "--out", self.out, *TINY, "--steps", "2000", "--holdout", "0.2", NO_COLOR="1")
        shown, cleared, rest = shown.rpartition("\r\x1b[K")
        self.assertTrue(cleared)
        for line in rest.splitlines():  # random vectors cannot be explained
            self.assertTrue(line.startswith("hsae: warning: "), line)
        self.assertLess(shown.count("\n"), 5)

    def test_bar_of_any_width(self):
        """Figures are left out where there is no room, the bar before the numbers is not; a line that is cut says so."""
        for width, figures in ((120, r"L0 \d+\.\d \d+\.\d  VE -?\d\.\d{3} -?\d\.\d{3}"), (80, r"tokens/s"), (50, "0:00 left")):
            shown = self.shown("train", "--data", self.data, "--out", self.folder / str(width), *TINY, "--steps", "500", width=width)
            lines = [line.partition("\x1b[K")[0] for line in shown.split("\r") if line.startswith("step ")]
            self.assertRegex(lines[-1], r"^step 500/500 \[=+\] 100 %% .*%s" % figures)
            for line in lines:
                self.assertLess(len(line), width)
        self.assertRegex(self.shown("train", "--data", self.data, "--out", self.folder / "narrow", *TINY, width=14), r"\rstep 20/20 ?\.\.\.\x1b")

    def test_color(self):
        self.assertIn("hsae: \x1b[1;31merror:\x1b[0m ", self.shown("info", self.folder / "gone", status=1))
        self.assertIn("hsae: error: ", self.shown("info", self.folder / "gone", status=1, NO_COLOR="1"))
        self.assertIn("hsae: error: ", hsae("info", self.folder / "gone", status=1)[1])

    def test_figures_are_means_of_the_interval(self):
        self.train("--log-every", "1")
        steps = [json.loads(line)["levels"] for line in (self.out / "metrics.jsonl").read_text().splitlines()]
        errors = self.train("--log-every", "10", "--force")[1]
        lines = re.findall(r"^step \d+/20 .* L0 (\S+) \S+  VE (\S+) \S+$", errors, flags=re.M)
        self.assertEqual(len(lines), 2)
        for half, line in enumerate(lines):
            for key, found in zip(("l0", "variance_explained"), line):
                mean = sum(step[0][key] for step in steps[10 * half:10 * half + 10]) / 10
                self.assertAlmostEqual(float(found), mean, delta=0.0501 if key == "l0" else 0.000501)


class Interrupted(Case):
    def start(self, *arguments, hup=signal.SIG_DFL):
        """What SIGHUP does at its start is the test's choice: `nohup` has it ignored in all that it starts, this test included."""
        command = [PROGRAM, "train", "--data", self.data, "--out", self.out, *TINY, "--steps", "1000000", "--hierarchy-period", "10",
                   "--log-every", "10", *arguments]
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   preexec_fn=lambda: signal.signal(signal.SIGHUP, hup))
        until(lambda: has_content(self.out / "metrics.jsonl"), process)
        return process

    def test_signals(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            self.out = self.folder / ("run-%d" % number)
            process = self.start()
            process.send_signal(number)
            text, errors = process.communicate(timeout=PATIENCE)
            self.assertEqual((process.returncode, text), (status, ""), errors)
            step = self.checkpoints()[-1]
            self.assertIn("checkpoint of step %d" % step, errors)
            self.assertEqual(self.steps()[-1] // 10, step // 10)
            self.assert_no_litter()
        text, errors = hsae("train", "--data", self.data, "--out", self.out, "--resume", "auto", "--stop-after", step + 3, "--device", "ref")
        self.assertIn("checkpoint-%d" % step, errors)
        self.assertEqual(self.checkpoints()[-1], step + 3)

    def test_nohup(self):
        process = self.start(hup=signal.SIG_IGN)
        process.send_signal(signal.SIGHUP)
        metrics = self.out / "metrics.jsonl"
        size = metrics.stat().st_size
        until(lambda: metrics.stat().st_size > size + 4096, process)  # the run continues
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.communicate(timeout=PATIENCE)[0], process.returncode), ("", 130))


SMALL_BENCH = ["--preset", "tiny", "--dim", "24", "--levels", "16,32", "--batch", "32", "--target-l0", "4", "--steps", "2"]


class Bench(Case):
    def check_result(self, found):
        step, kernels = found["step"], found["kernels"]
        names = [kernel["name"] for kernel in kernels]
        self.assertEqual(len(names), len(set(names)))
        for name in ("load", "lists_fill", "decode", "update", "family"):
            self.assertIn(name, names)
        self.assertEqual(len({"encode", "screen", "screen8"} & set(names)), 1)
        for kernel in kernels:
            self.assertAlmostEqual(kernel["share"], kernel["seconds"] / step["seconds"]["lowest"])
            if kernel["seconds"]:
                self.assertAlmostEqual(kernel["of_fma_peak"] * found["peaks"]["fma_flops_per_second"] * kernel["seconds"] / (kernel["flops"] or 1),
                                       1 if kernel["flops"] else 0)
        self.assertEqual([gather["buffer_bytes"] >> 20 for gather in found["peaks"]["gathers"]], [2, 8, 32])
        self.assertTrue(all(gather["bytes_per_second"] > 0 for gather in found["peaks"]["gathers"]))
        self.assertGreater(found["peaks"]["submit_seconds"], 0)
        self.assertAlmostEqual(sum(kernel["seconds"] for kernel in kernels), step["kernel_seconds"])
        self.assertLess(step["kernel_seconds"], 2 * step["seconds"]["highest"])
        self.assertAlmostEqual(found["shares"]["hierarchy_extra"],
                               (step["kernel_seconds"] + step["tree_seconds"] / 5000) / step["flat_kernel_seconds"] - 1)
        if step["gap_seconds"] <= step["seconds"]["lowest"]:
            self.assertAlmostEqual(found["shares"]["gaps"], step["gap_seconds"] / step["seconds"]["lowest"])
        else:  # other work on the machine ran between the kernels
            self.assertIsNone(found["shares"]["gaps"])
        self.assertGreater(step["gap_seconds"], -0.1 * step["seconds"]["lowest"])  # two clocks
        for time in ("seconds", "fed_seconds", "flat_seconds"):
            self.assertLessEqual(0, step[time]["lowest"])
            self.assertLessEqual(step[time]["lowest"], step[time]["median"])
            self.assertLessEqual(step[time]["median"], step[time]["highest"])
        self.assertEqual([level["features"] for level in found["levels"]], [16, 32])
        self.assertEqual(found["levels"][1]["with_parent"], 32 - 6)
        for level in found["levels"]:
            self.assertTrue(0.5 * 4 * 32 < level["active"] <= level["listed"])
        encode = next(kernel for kernel in kernels if kernel["name"] in ("encode", "screen", "screen8"))
        self.assertEqual(encode["flops"], 2 * 24 * 32 * 48)
        self.assertGreater(found["memory"]["device_bytes"], 0)

    def test_json_on_standard_output(self):
        text, errors = hsae("bench", "--device", "ref", *SMALL_BENCH, "--json", "-")
        found = json.loads(text)
        self.check_result(found)
        file = self.folder / "bench.json"
        file.write_text(text)
        model = subprocess.run([sys.executable, MODEL, file, "--launches", "1000"], check=True, stdout=subprocess.PIPE, text=True).stdout
        encode, peaks = next(kernel for kernel in found["kernels"] if kernel["name"] == "encode"), found["peaks"]
        least = max(encode["flops"] / peaks["fma_flops_per_second"], encode["bytes"] / peaks["copy_bytes_per_second"])
        self.assertIn("| encode | %.2f | %.2f |" % (1e3 * (least + encode["launches"] * peaks["launch_seconds"]), 1e3 * encode["seconds"]), model)
        self.assertIn("| H200 | 0.00 | 0.00 | 0.00 | 0.00 | 0.00 | 4.00 | 4.00 |", model)  # the launches of so small a step
        self.assertEqual((found["work"]["dim"], found["work"]["batch"], found["preset"]), (24, 32, "tiny"))
        self.assertIn("ref", errors)
        self.assert_no_litter()

    def test_table_and_file(self):
        path = self.folder / "bench.json"
        text = hsae("bench", "--device", "ref", *SMALL_BENCH, "--json", path, "--minutes", "0.001")[0]
        found = json.loads(path.read_text())
        self.check_result(found)
        self.assertEqual([call["vectors"] for call in found["encode"]], [1, 16, 1024])
        for call in found["encode"]:
            self.assertTrue(0 < call["seconds"]["lowest"] <= call["seconds"]["median"] <= call["seconds"]["highest"])
        self.assertRegex(text.splitlines()[-1], r"^RESULT hsae %s tiny, changed \| ref reference \(plain C\) \| libhsae \S+ \| "
                         r"\d+ tokens/s ± \d+\.\d %% \| \d+\.\d %% FMA \| 0\.\d{3} GB( \| not quiet)?$" % re.escape(found["version"]))
        self.assertEqual(found["quiet"], "not quiet" not in text)
        self.assertEqual(found["sustained"]["intervals"][-1][1], found["sustained"]["tokens_last"])
        for word in ("reference", "encode", "GFLOP/s", "of copy", "gaps", "flat", "hidden", "tokens/s", "sustained", found["version"]):
            self.assertIn(word, text)

    def test_one_line_a_device(self):
        """md and csv have the same cells; a budget that is over leaves one round."""
        bench = ["bench", "--device", "ref", *SMALL_BENCH, "--budget", "0.001", "--json", self.folder / "bench.json", "--format"]
        rows = list(csv.DictReader(hsae(*bench, "csv")[0].splitlines()))
        self.assertEqual([(row["id"], row["preset"], row["driver"]) for row in rows], [("ref", "tiny, changed", "libhsae " + rows[0]["version"])])
        self.assertEqual(json.loads((self.folder / "bench.json").read_text())["rounds"], 1)
        self.assertEqual(float(rows[0]["range_percent"]), 0)
        table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in hsae(*bench, "md")[0].splitlines()]
        self.assertEqual((table[0], len(table), table[2][:5]), (list(rows[0]), 3, list(rows[0].values())[:5]))
        self.assertEqual(json.loads(hsae("bench", "--device", "ref", *SMALL_BENCH, "--format", "json")[0])["rounds"], 5)

    def test_noise_is_told(self):
        """A machine that does something else meanwhile: no share that cannot be, and a mark on the result."""
        found = {}
        with subprocess.Popen(["sh", "-c", "while :; do :; done & while :; do :; done & while :; do :; done & wait"], start_new_session=True) as busy:
            for _ in range(20):
                text = hsae("bench", "--device", "ref", *SMALL_BENCH, "--json", self.folder / "bench.json")[0]
                found = json.loads((self.folder / "bench.json").read_text())
                if not found["quiet"]:
                    break
            os.killpg(busy.pid, signal.SIGKILL)
        self.assertFalse(found["quiet"])
        self.assertGreater(found["noise"], 0.2)
        self.assertIsNone(found["shares"]["hierarchy_extra_of_steps"])
        self.assertRegex(text, r"not quiet +blocks of steps differ by \d+ %")
        self.assertTrue(text.splitlines()[-1].endswith(" | not quiet"))
        shares = [float(share) for share in re.findall(r"(-?\d+\.\d) %", text.partition("gaps")[2].partition("step")[0])]
        self.assertTrue(all(0 <= share <= 100 for share in shares), shares)

    def test_all_devices(self):
        found = json.loads(hsae("bench", "--all-devices", *SMALL_BENCH, "--json", "-", environment=DRIVERS)[0])
        ids = [device["id"] for device in json.loads(hsae("devices", "--json", environment=DRIVERS)[0])["devices"]]
        self.assertEqual([device["device"]["id"] for device in found["devices"]], ids)
        for device in found["devices"]:
            self.assertNotIn("left_out", device)
            self.check_result(device)

    def test_devices_that_cannot(self):
        """The paper's step on the reference alone: the comparison says why it is left out."""
        nothing = {"OCL_ICD_VENDORS": "/nonexistent", "VK_DRIVER_FILES": "/nonexistent", "VK_ICD_FILENAMES": "/nonexistent"}
        text, errors = hsae("bench", "--all-devices", "--preset", "paper", "--batch", "100000", environment=nothing, status=1)
        self.assertRegex(text, r"ref +left out: .*GFLOP/s")
        self.assertIn("no device could be measured", errors)

    def test_refused(self):
        self.assertIn("laptop", hsae("bench", "--preset", "huge", "--device", "ref", status=2)[1])
        hsae("bench", "--device", "ref", "--all-devices", status=2)
        hsae("bench", "--minutes", "-1", status=2)
        self.assertIn("batch", hsae("bench", "--batch", "0", "--device", "ref", status=2)[1])
        self.assertIn("need at least", hsae("bench", "--dim", "1000000", "--levels", "1000000,20000000", "--device", "ref", status=1)[1])
        self.assertIn("cannot write", hsae("bench", "--device", "ref", *SMALL_BENCH, "--json", self.folder / "no" / "such", status=1)[1])


class Tune(Case):
    ENTRY = {"group_size": 1, "columns": 1, "vector_width": 4}

    def devices(self):
        return json.loads(hsae("devices", "--json", environment=DRIVERS)[0])["devices"]

    def test_refused(self):
        self.assertIn("nothing to tune", hsae("tune", "--device", "ref", status=1)[1])
        self.assertIn("laptop", hsae("tune", "--preset", "huge", "--device", "ref", status=2)[1])
        hsae("tune", "--minutes", "0", status=2)
        if "opencl:0" in [device["id"] for device in self.devices()]:
            self.assertIn("encode", hsae("tune", "--device", "opencl:0", "--kernel", "encod", status=2, environment=DRIVERS)[1])

    def test_file_is_written_and_used(self):
        device = next((device for device in self.devices() if device["id"] == "opencl:0"), None)
        if not device:
            self.skipTest("there is no OpenCL device")
        path = self.folder / "tuning.json"
        other = {"name": "another", "driver": "1", "backend": "opencl", "type": "discrete", "kernels": {"encode": self.ENTRY}}
        path.write_text(json.dumps({"format": "hsae tuning 1", "devices": [other]}))
        work = ["tune", "--device", "opencl:0", "--preset", "tiny", "--kernel", "samples_fill", "--steps", "3", "--minutes", "0.2"]
        before = path.read_bytes()
        text = hsae(*work, "--out", path, "--dry-run", environment=DRIVERS)[0]
        self.assertRegex(text, r"samples_fill +[0-9.]+ +[0-9.]+")
        self.assertEqual(path.read_bytes(), before)
        found = json.loads(hsae(*work, "--out", path, "--json", environment=DRIVERS)[0])
        kernel, = found["kernels"]
        self.assertEqual(found["refused"], not found["tuned_step_seconds"] < found["default_step_seconds"] and kernel["changed"])
        self.assertEqual((kernel["name"], kernel["rejected"]), ("samples_fill", 0))
        self.assertTrue(1 <= kernel["tried"] <= kernel["shapes"])
        self.assertTrue(kernel["changed"] or kernel["shape"] == kernel["default_shape"])
        if found["refused"]:  # the machine was not quiet: the file stays as it was
            self.assertNotIn("file", found)
            self.assertEqual(path.read_bytes(), before)
            entry = {key: device[key] for key in ("name", "driver", "backend", "type")}
            written = {"format": "hsae tuning 1", "devices": [other, entry]}
        else:
            self.assertEqual(found["file"], str(path))
            written = json.loads(path.read_text())
            self.assertEqual(written["devices"][0], other)
            entry = written["devices"][1]
            self.assertEqual((entry["name"], entry["driver"], entry["type"]), (device["name"], device["driver"], device["type"]))
            self.assertEqual(list(entry["kernels"]), ["samples_fill"] if kernel["changed"] else [])
        self.assert_no_litter()

        entry["kernels"] = {"decode": self.ENTRY, "update": dict(self.ENTRY, group_size=8), "nonsense": {}}
        path.write_text(json.dumps(written))
        errors = self.train("--device", "opencl:0", "-v", environment={**DRIVERS, "HSAE_TUNING": str(path)})[1]
        self.assertIn("shapes of 1 kernels from %s" % path, errors)
        self.assertIn("update", errors)
        self.assertIn("nonsense", errors)
        errors = self.train("--device", "opencl:0", "-v", out=self.folder / "2", environment={**DRIVERS, "HSAE_TUNING": "off"})[1]
        self.assertNotIn("tuning", errors)
        path.write_text("{")
        errors = self.train("--device", "opencl:0", out=self.folder / "3", environment={**DRIVERS, "HSAE_TUNING": str(path)})[1]
        self.assertRegex(errors, "tuning.json: ignored: not valid JSON")


class Full(Case):
    """Output that cannot be written."""

    def test_standard_output(self):
        with open("/dev/full", "w") as full:
            for arguments in (["--help"], ["devices", "--json"],
                              ["eval", "--model", EVAL / "model.safetensors", "--data", EVAL / "data.safetensors", "--device", "ref"]):
                done = subprocess.run([PROGRAM, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True,
                                      env={**os.environ, **DRIVERS})
                self.assertEqual(done.returncode, 1)
                self.assertIn("No space left", done.stderr)

    def test_files(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

        errors = self.train(status=1, preexec_fn=limit)[1]
        self.assertIn(str(self.out), errors)
        self.assertIn("File too large", errors)
        self.assertEqual(self.checkpoints(), [])
        self.assert_no_litter()
        errors = hsae("encode", "--model", EVAL / "model.safetensors", "--data", EVAL / "data.safetensors", "--device", "ref", "--out",
                      self.folder / "features.safetensors", status=1, preexec_fn=limit)[1]
        self.assertIn("features.safetensors", errors)
        self.assertFalse((self.folder / "features.safetensors").exists())
        self.assert_no_litter()

    def test_folders(self):
        blocked = self.folder / "file"
        blocked.write_text("")
        for out in (blocked, blocked / "below"):
            self.assertIn(str(blocked), self.train(out=out, status=1)[1])
        errors = hsae("encode", "--model", EVAL / "model.safetensors", "--data", EVAL / "data.safetensors", "--device", "ref", "--out",
                      self.folder / "none" / "features.safetensors", status=1)[1]
        self.assertIn("No such file", errors)


class Models(Case):
    def test_evaluation_shape(self):
        arguments = ["eval", "--model", EVAL / "model.safetensors", "--data", EVAL / "data.safetensors", "--device", "ref"]
        found = json.loads(hsae(*arguments, "--json")[0])
        self.assertEqual(set(found), {"tokens", "left_out", "levels", "pairs", "mean"})
        level = {"l0", "dead_fraction", "variance_explained", "variance_explained_legacy"}
        pair = {"hamming", "p_parent_given_child", "p_child_given_parent", "lift", "duplicates", "largest_share"}
        self.assertEqual(set(found["levels"][0]), level | {"features", "density"})
        self.assertEqual(set(found["pairs"][0]), pair | {"largest_family", "assigned"})
        self.assertEqual(set(found["mean"]), level | pair)
        self.assertIn("Hamming", hsae(*arguments)[0])

    def test_figures_that_do_not_exist(self):
        one = GOLDEN / "eval" / "one-level"
        found = json.loads(hsae("eval", "--model", one / "model.safetensors", "--data", one / "data.safetensors", "--device", "ref", "--json")[0])
        self.assertEqual((found["pairs"], found["mean"]["hamming"]), ([], None))

    def test_wrong_width(self):
        for command in (["eval"], ["encode", "--out", self.folder / "f"]):
            hsae(*command, "--model", EVAL / "model.safetensors", "--data", self.data, "--device", "ref", status=1)
        self.assertFalse((self.folder / "f").exists())

    def test_encode_and_decode(self):
        features, back = self.folder / "features.safetensors", self.folder / "back.safetensors"
        model = ["--model", EVAL / "model.safetensors", "--device", "ref"]
        found = json.loads(hsae("encode", *model, "--data", EVAL / "data.safetensors", "--out", features, "--json")[0])
        self.assertEqual((found["tokens"], len(found["levels"])), (200, 2))
        hsae("decode", *model, "--features", features, "--out", back)
        self.assert_no_litter()
        rows, width, original = read_rows(EVAL / "data.safetensors", "activations")
        expected = json.loads((EVAL / "expected.json").read_text())["levels"]
        means = [sum(original[j::width]) / rows for j in range(width)]
        spread = sum((value - means[i % width]) ** 2 for i, value in enumerate(original))
        for level in range(2):
            shape = read_rows(back, "levels.%d.reconstruction" % level)
            self.assertEqual(shape[:2], (rows, width))
            error = sum((a - b) ** 2 for a, b in zip(shape[2], original))
            self.assertAlmostEqual(1 - error / spread, expected[level]["variance_explained"], delta=1e-4)

    def test_bad_features(self):
        model = ["--model", EVAL / "model.safetensors", "--device", "ref"]
        features, back = self.folder / "features.safetensors", self.folder / "back.safetensors"
        whole = (EVAL / "encoded.safetensors").read_bytes()
        start = 8 + struct.unpack("<Q", whole[:8])[0]
        header = json.loads(whole[8:start])
        for name, at, value in (("levels.0.indptr", 0, struct.pack("<q", 1)), ("levels.0.indptr", 8, struct.pack("<q", -5)),
                                ("levels.1.indptr", 80, struct.pack("<q", 1 << 40)), ("levels.1.indices", 0, struct.pack("<i", -1)),
                                ("levels.1.indices", 0, struct.pack("<i", 99999))):
            offset = start + header[name]["data_offsets"][0] + at
            features.write_bytes(whole[:offset] + value + whole[offset + len(value):])
            hsae("decode", *model, "--features", features, "--out", back, status=1)
            self.assertFalse(back.exists())
        hsae("decode", *model, "--features", self.data, "--out", back, status=1)
        self.assert_no_litter()

    def test_info(self):
        self.train("--stop-after", "10")
        kinds = {self.data: "data", self.out / "model.safetensors": "model", self.out / "checkpoint-10.safetensors": "checkpoint",
                 EVAL / "encoded.safetensors": "features"}
        for path, kind in kinds.items():
            found = json.loads(hsae("info", path, "--json")[0])
            self.assertEqual((found["kind"], found["path"]), (kind, str(path)))
            self.assertIn(kind, hsae("info", path)[0])
        found = json.loads(hsae("info", self.out / "checkpoint-10.safetensors", "--json")[0])
        self.assertEqual((found["step"], found["config"]["batch"], found["dim"]), (10, 8, DIM))
        hsae("info", self.folder / "nothing", status=1)


if __name__ == "__main__":
    main(__doc__)
