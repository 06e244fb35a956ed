#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training that diverges ends at once, saves nothing, and says where, why and what to do. test_diverged.py HSAE [TEST]..."""
import json
import re
import shlex
import struct

from program import DIM, DRIVERS, PROGRAM, TINY, Case, hsae, main, random_rows, write_safetensors

DEVICES = ["ref"] + [device["id"] for device in json.loads(hsae("devices", "--json", environment=DRIVERS)[0])["devices"] if device["id"] == "opencl:0"]


def tensor_place(path, name):
    """(offset, size) of a tensor's bytes in a safetensors file."""
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    begin, end = json.loads(whole[8:start])[name]["data_offsets"]
    return start + begin, end - begin


def fill_tensor(path, name, value):
    """Writes one F32 value to all elements."""
    offset, size = tensor_place(path, name)
    whole = bytearray(path.read_bytes())
    whole[offset:offset + size] = struct.pack("<f", value) * (size // 4)
    path.write_bytes(whole)


def advice(errors):
    """The words of the command that is advised."""
    (command,) = [line.strip() for line in errors.splitlines() if line.startswith("  hsae train")]
    return shlex.split(command)[1:]


class Diverged(Case):
    def files(self):
        return {path.name: path.read_bytes() for path in self.out.iterdir() if path.suffix == ".safetensors"}

    def diverges(self, *arguments, **more):
        """A run that must diverge: (errors, the command that it advises or None)."""
        errors = self.train(*arguments, status=1, **more)[1]
        self.assertIn("the training diverged at step ", errors)
        self.assertEqual(errors.count("the training diverged"), 1, errors)
        self.assertNotIn("-nan", errors)
        self.assert_no_litter()
        self.assertEqual(json.loads((self.out / "run.json").read_text())["parts"][-1]["end"], "diverged")
        self.assertIn("Diverged at step", (self.out / "report.html").read_text())
        return errors, advice(errors)

    def check_folder(self):
        """Every file that is there can be read."""
        for name in self.files():
            hsae("info", self.out / name)


class Causes(Diverged):
    def test_resumed_with_an_absurd_rate(self):
        for device in DEVICES:
            self.out = self.folder / device.replace(":", "-")
            self.train("--stop-after", "10", "--checkpoint-every", "5", "--device", device, environment=DRIVERS)
            before = self.files()
            errors, command = self.diverges("--resume", "auto", "--lr", "1e38", "--checkpoint-every", "5", "--device", device, environment=DRIVERS)
            self.assertRegex(errors, r"diverged at step 1[12], level [01]: .* is (-?inf|nan|0); lower lr")
            self.assertIn("nothing was saved after the checkpoint of step 10, which is finite", errors)
            self.assertIn("of where it was resumed", errors)
            self.assertEqual(self.files(), before)
            hsae(*command, environment=DRIVERS)  # the advice works
            self.assertEqual(self.checkpoints()[-1], 20)
            self.check_folder()

    def test_an_absurd_rate_from_the_start(self):
        for device in DEVICES:
            self.out = self.folder / device.replace(":", "-")
            errors, command = self.diverges("--lr=1e38", "--checkpoint-every", "10", "--device", device)
            self.assertEqual(self.files(), {})
            self.assertIn("before its first checkpoint", errors)
            hsae(*command)
            self.assertEqual(self.checkpoints()[-1], 20)

    def test_an_absurd_constraint(self):
        errors, command = self.diverges("--rho", "3e38", "--hierarchy-period", "4", "--checkpoint-every", "3", "--lr", "0.01")
        self.assertRegex(errors, r"; lower rho\n")
        self.assertIn("--rho", command)
        hsae(*command)
        self.assertEqual(self.checkpoints()[-1], 20)

    def test_a_key_that_a_checkpoint_fixes(self):
        """The advice is to start again, with the configuration of the checkpoint."""
        self.train("--stop-after", "10", "--adam-eps", "1e-20")
        fill_tensor(self.out / "checkpoint-10.safetensors", "levels.0.decoder.bias", 3e38)
        errors = hsae("train", "--data", self.data, "--out", self.out, "--device", "ref", "--resume", "auto", status=1)[1]
        self.assertIn("; raise adam_eps\n", errors)
        hsae(*advice(errors))
        self.assertEqual(self.checkpoints()[-1], 20)
        self.assertEqual(json.loads((self.out / "config.json").read_text())["levels"], [8, 16])

    def test_one_absurd_row(self):
        """Behind the sample that the normalisation is made of."""
        first, second = self.folder / "a.safetensors", self.folder / "b.safetensors"
        rows = random_rows(64, 4)
        write_safetensors(first, "activations", rows * 1024)
        rows[6] = [-3.3895e38] * 4
        write_safetensors(second, "activations", rows)
        for device in DEVICES:
            self.out = self.folder / device.replace(":", "-")
            settings = ["--levels", "2,4", "--target-l0", "1", "--batch", "4096", "--steps", "40", "--device", device]
            settings += ["--max-norm", "0"]
            errors = hsae("train", "--data", first, second, "--out", self.out, *settings, "--checkpoint-every", "1", status=1)[1]
            self.assertRegex(errors, r"the training diverged at step \d+, level 0: the reconstruction loss is (nan|inf); ")
            self.assertIn("%s: row 6 did it, with " % second, errors)
            step = int(errors.split("diverged at step ")[1].split(",")[0])
            self.assertEqual(self.checkpoints(), [before for before in (step - 2, step - 1) if before > 0])
            self.check_folder()
            hsae(*advice(errors))
            self.assertEqual(self.checkpoints()[-1], 40)

    def test_dead_features_far_below_their_thresholds(self):
        """Their ghost gradients are none, not infinite."""
        for device in DEVICES:
            self.out = self.folder / device.replace(":", "-")
            self.train("--stop-after", "10", "--dead-steps", "3", "--device", device)
            fill_tensor(self.out / "checkpoint-10.safetensors", "levels.0.encoder.bias", -97)
            self.train("--resume", "auto", "--dead-steps", "3", "--device", device)
            self.check_folder()


class Normalisation(Case):
    def fails(self, rows, message):
        write_safetensors(self.data, "activations", rows)
        errors = self.train("--quiet", status=1)[1]
        self.assertIn(message, errors)
        self.assertEqual(list(self.out.iterdir()) if self.out.exists() else [], [])

    def test_subnormal_data(self):
        self.fails([[1e-40 * value for value in row] for row in random_rows()], "too small to be normalised in float32; multiply all")

    def test_huge_data(self):
        self.fails([[1e38 * max(-3, min(3, value)) for value in row] for row in random_rows()], "too large to be normalised in float32")

    def test_the_advice(self):
        write_safetensors(self.data, "activations", [[1e-40 * 2.0**100 * value for value in row] for row in random_rows()])
        self.train()
        write_safetensors(self.data, "activations", [[3e38 * 2.0**-100 * value for value in row] for row in random_rows()])
        self.train("--force")


class Folder(Case):
    def test_a_broken_checkpoint_pushes_out_no_good_one(self):
        self.train("--stop-after", "10", "--checkpoint-every", "5", "--keep", "1")
        (self.out / "checkpoint-12.safetensors").write_bytes(b"broken")
        self.train("--resume", "auto", "--stop-after", "15", "--checkpoint-every", "100", "--keep", "2")
        self.assertEqual(self.checkpoints(), [10, 15])

    def test_settings_beyond_float32(self):
        for key, value in (("--lr", "1e39"), ("--bandwidth", "1e-50"), ("--rho", "1e39")):
            errors = self.train(key, value, status=2)[1]
            self.assertIn("; allowed: ", errors)
            self.assertIn("3.4e38", errors)


class Warnings(Case):
    """Runs that end as they should, with figures that no one wants."""

    def warnings(self, *arguments):
        output, errors = self.train(*arguments, "--quiet", "--force", "--json")
        warnings = json.loads(output)["warnings"]
        said = {line for line in errors.splitlines() if "so that the tree says little" not in line}  # these come as the tree is updated, too
        self.assertEqual({"hsae: warning: " + text for text in warnings if "so that the tree" not in text}, said)
        part = json.loads((self.out / "run.json").read_text())["parts"][-1]
        self.assertEqual(part.get("warnings", []), warnings)
        self.assertEqual('id="warnings"' in (self.out / "report.html").read_text(), bool(warnings))
        return "\n".join(warnings)

    def test_l0_off_its_target(self):
        warnings = self.warnings("--sparsity-control", "penalty", "--lambda-init", "0", "--steps", "120", "--init-l0", "4")
        self.assertRegex(warnings, r"level 1 ends with L0 [\d.]+, its target is 2: the penalty is 0: give --lambda-init 0.07")
        self.assertNotIn("level 1 ends with L0", self.warnings("--steps", "800"))

    def test_dead_features(self):
        settings = ["--steps", "60", "--dead-steps", "20", "--lr", "0.02"]
        errors = self.train(*settings, "--stop-after", "30")[1]
        checkpoint = self.out / "checkpoint-30.safetensors"
        fill_tensor(checkpoint, "levels.1.encoder.bias", -50)
        output, errors = self.train(*settings, "--resume", "auto", "--quiet")
        self.assertIn("16 of the 16 features of level 1 (100 %) are dead: ", errors)

    def test_settings_that_lead_nowhere(self):
        warnings = self.warnings("--hierarchy-period", "15")
        self.assertIn("80 rows let each of the 16 features of level 1 be active 10 times, too few to learn it from: give 1600 rows of --data", warnings)
        self.assertIn("20 steps are fewer than the 200 over which Adam averages (--beta2 0.995): give --steps 1000", warnings)
        self.assertIn("updated every 15 steps, so in this run of 20 steps once: give --hierarchy-period 1", warnings)
        write_safetensors(self.data, "activations", random_rows(800))
        self.assertEqual(self.warnings("--batch", "80", "--steps", "201", "--target-l0", "4"), "")
        warnings = self.warnings("--batch", "800", "--steps", "201", "--target-l0", "4")
        self.assertEqual(warnings, "every row is seen 201 times, of which the last teach little: give more --data, or --steps 200")

    def test_one_parent_of_all(self):
        """A feature that is always active is active with every other one most often."""
        warning = r"feature 3 of level 0 is the parent of \d+ of the 13 features of level 1 that have one \([\d.]+ %\), so that the tree says little: use similarity inclusion"
        settings = ["--similarity", "coactivation", "--hierarchy-period", "5", "--lr", "1e-9"]
        self.train(*settings, "--stop-after", "11")
        checkpoint = self.out / "checkpoint-11.safetensors"
        offset, _ = tensor_place(checkpoint, "levels.0.encoder.bias")
        whole = bytearray(checkpoint.read_bytes())
        whole[offset + 12:offset + 16] = struct.pack("<f", 50)
        checkpoint.write_bytes(whole)
        output, errors = self.train(*settings, "--resume", "auto", "--quiet", "--json")
        self.assertEqual(len(re.findall(warning, errors)), 2)  # once as the tree was updated, once at the end
        self.assertEqual(len([text for text in json.loads(output)["warnings"] if re.fullmatch(warning, text)]), 1)
        model, linked = self.out / "model.safetensors", self.folder / "linked.safetensors"
        self.assertRegex(hsae("eval", "--model", model, "--data", self.data, "--device", "ref")[1], warning)
        errors = hsae("tree", "--model", model, "--data", self.data, "--similarity", "coactivation", "--out", linked, "--device", "ref")[1]
        self.assertRegex(errors, warning)
        errors = hsae("tree", "--model", model, "--data", self.data, "--similarity", "inclusion", "--out", linked, "--device", "ref")[1]
        self.assertNotIn("says little", errors)

    def test_rows_that_are_learned_by_heart(self):
        rows = self.folder / "other.safetensors"
        write_safetensors(rows, "activations", [[4 * value for value in row] for row in random_rows(seed=2)])
        warnings = self.warnings("--steps", "300", "--eval-data", rows, "--max-norm", "0")
        self.assertRegex(warnings, r"level 1 has L0 [\d.]+ on held-out vectors, its target is 2: it has learned its rows by heart; give more --data, or --levels of at most 8 ")

    def test_variance_explained(self):
        self.assertIn("explains less than nothing of the variance (-", self.warnings("--lr", "3", "--ghost", "false"))
        self.assertNotIn("variance", self.warnings("--steps", "100"))

    def test_a_stopped_run_is_not_at_its_target_yet(self):
        self.assertNotIn("L0", self.warnings("--steps", "1000", "--stop-after", "5", "--lambda-init", "0"))


if __name__ == "__main__":
    main(__doc__)
