#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A run's folder belongs to its run: test_folder.py HSAE [TEST]... What another run holds is not overwritten, a run without a checkpoint
keeps its configuration, and data that are not those of the run are noticed."""
import json
import os
import shutil
import struct
import subprocess
import time

from program import PROGRAM, TINY, Case, hsae, main, random_rows, write_safetensors

LONG = [*TINY, "--steps", "1000000", "--log-every", "10", "--checkpoint-every", "0"]


def write_numbers(path, rows, dtype="F32", name="activations"):
    """Whole numbers, which F16 holds as well: `rows` of 12."""
    values = [value for row in rows for value in row]
    data = struct.pack("<%d%s" % (len(values), "f" if dtype == "F32" else "e"), *values)
    header = json.dumps({name: {"dtype": dtype, "shape": [len(rows), len(rows[0])], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


class FolderCase(Case):
    def resume(self, *arguments, data=None, out=None, **more):
        return hsae("train", "--data", *(data or [self.data]), "--out", out or self.out, "--device", "ref", "--resume", *(arguments or ["auto"]),
                    **more)

    def contents(self, folder=None):
        return {path.name: path.read_bytes() for path in (folder or self.out).iterdir()}

    def refused(self, *arguments, out=None, **more):
        """The message; the folder is as it was."""
        before = self.contents(out)
        errors = self.resume(*arguments, out=out, status=1, **more)[1]
        self.assertEqual(self.contents(out), before)
        return errors

    def record(self, out=None):
        return json.loads(((out or self.out) / "run.json").read_text())["parts"]

    def killed(self, *arguments, out=None):
        """A run that is killed before its first checkpoint."""
        out = out or self.out
        command = [PROGRAM, "train", "--data", self.data, "--out", out, *LONG, *arguments]
        with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not ((out / "metrics.jsonl").exists() and (out / "metrics.jsonl").stat().st_size):
                time.sleep(0.02)
            process.kill()
        self.assertEqual(self.checkpoints(out), [])


class AnotherRun(FolderCase):
    def setUp(self):
        super().setUp()
        self.other = self.folder / "other"
        self.train("--stop-after", "10", "--checkpoint-every", "5")
        self.train("--seed", "5", "--stop-after", "12", out=self.other)
        self.checkpoint = self.out / "checkpoint-5.safetensors"

    def test_refused(self):
        errors = self.refused(self.checkpoint, out=self.other)
        self.assertIn("%s holds a run already, and %s is not one of its checkpoints" % (self.other, self.checkpoint), errors)
        self.assertIn("--force", errors)
        for name in [path for path in self.other.iterdir() if path.name.startswith("checkpoint-")]:
            name.unlink()
        self.refused(self.checkpoint, out=self.other)  # it has a model
        before = self.contents(self.other)
        self.resume("auto", out=self.other, status=1)
        self.assertEqual(self.contents(self.other), before)

    def test_a_branch_is_another_run(self):
        """Two runs that went on from the same checkpoint."""
        for name, rho in (("left", "0.01"), ("right", "0.02")):
            self.resume(self.checkpoint, "--rho", rho, "--stop-after", "8", out=self.folder / name)
        self.refused(self.folder / "left" / "checkpoint-8.safetensors", out=self.folder / "right")
        self.refused(self.checkpoint, out=self.folder / "right")

    def test_forced(self):
        self.resume(self.checkpoint, "--force", "--stop-after", "7", "--keep", "1", out=self.other)
        self.assertEqual(self.checkpoints(self.other), [7])
        self.assertEqual([part["first_step"] for part in self.record(self.other)], [0, 5])

    def test_force_does_not_remove_its_own(self):
        self.resume(self.checkpoint, "--force", "--stop-after", "7", "--keep", "9", "--checkpoint-every", "0")
        self.assertEqual(self.checkpoints(), [5, 7])

    def test_the_same_folder_by_other_names(self):
        link, file = self.folder / "link", self.folder / "link.safetensors"
        link.symlink_to(self.out)
        file.symlink_to(self.checkpoint)
        relative = os.path.relpath(self.checkpoint, self.folder)
        later = self.out / "checkpoint-10.safetensors"
        whole = later.read_bytes()
        for checkpoint, out, where in ((self.checkpoint, str(self.out) + "/", None), (link / self.checkpoint.name, self.out, None),
                                       (self.checkpoint, link, None), (file, self.out, None), (relative, "run/../run", self.folder),
                                       (self.checkpoint.name, ".", self.out), ("./" + self.checkpoint.name, self.out, self.out)):
            with self.subTest(checkpoint=str(checkpoint), out=str(out)):
                later.write_bytes(whole)
                errors = self.resume(checkpoint, "--stop-after", "5", out=out, cwd=where)[1]
                self.assertIn("going back to step 5: later checkpoints, up to that of step 10,", errors)

    def test_a_fresh_folder(self):
        fresh = self.folder / "fresh"
        self.resume(self.checkpoint, "--stop-after", "8", out=fresh)
        self.assertEqual([part["first_step"] for part in self.record(fresh)], [0, 5])
        self.assertEqual(self.record(fresh)[1]["from"], os.path.realpath(self.checkpoint))
        write_safetensors(self.folder / "b.safetensors", "activations", random_rows(seed=9))
        self.assertIn("data differ", self.refused("auto", out=fresh, data=[self.folder / "b.safetensors"]))

    def test_data_of_a_checkpoint_elsewhere(self):
        write_safetensors(self.folder / "b.safetensors", "activations", random_rows(seed=9))
        fresh = self.folder / "fresh"
        errors = self.resume(self.checkpoint, data=[self.folder / "b.safetensors"], out=fresh, status=1)[1]
        self.assertIn("the rows hold other values", errors)
        self.assertFalse(fresh.exists())

    def test_a_missing_checkpoint(self):
        errors = self.refused(self.folder / "none.safetensors", out=self.other)
        self.assertIn("none.safetensors: cannot be read", errors)


class BeforeTheFirstCheckpoint(FolderCase):
    def config(self, out=None):
        return json.loads(((out or self.out) / "config.json").read_text())

    def test_auto_takes_the_configuration(self):
        self.killed("--seed", "7")
        before = self.config()
        errors = self.resume("auto", "--steps", "10", "--lr", "0.01")[1]
        self.assertIn("with the configuration of its config.json", errors)
        self.assertEqual(self.config(), {**before, "steps": 10, "lr": 0.01})
        whole = self.folder / "whole"
        hsae("train", "--data", self.data, "--out", whole, *TINY, "--seed", "7", "--steps", "10", "--lr", "0.01", "--hierarchy-period",
             before["hierarchy_period"], "--dead-steps", before["dead_steps"])
        self.assert_same_bytes(self.out / "model.safetensors", whole / "model.safetensors")

    def test_auto_may_not_change_the_rest(self):
        self.killed()
        before = self.contents()
        for key, value in (("--levels", "8,17"), ("--seed", "3"), ("--batch", "4")):
            errors = self.resume("auto", "--steps", "10", key, value, status=2)[1]
            self.assertIn("only steps, lr, target_l0, rho, perturb and skip_bad_rows may change", errors)
        write_safetensors(self.data, "activations", random_rows(40))
        self.assertIn("training data: 80 rows in the run, 40 rows now", self.refused("auto", "--steps", "10"))
        self.assertEqual(self.contents(), before)
        (self.out / "config.json").write_text("{")
        errors = self.resume("auto", "--steps", "10", status=2)[1]
        self.assertIn("%s: the configuration of its run cannot be used" % self.out, errors)
        self.train("--force")

    def test_a_new_run_in_its_place(self):
        """Begun again it loses nothing; another run is refused."""
        self.killed()
        before = self.contents()
        errors = self.train("--seed", "9", status=1)[1]
        self.assertIn("%s holds another run, which ended before its first checkpoint:" % self.out, errors)
        self.assertIn("seed: 0 in the run, 9 now", errors)
        write_safetensors(self.folder / "b.safetensors", "activations", random_rows(seed=2))
        errors = hsae("train", "--data", self.folder / "b.safetensors", "--out", self.out, *LONG, status=1)[1]
        self.assertIn("the rows hold other values", errors)
        self.assertEqual(self.contents(), before)
        errors = hsae("train", "--data", self.data, "--out", self.out, *LONG, "--stop-after", "3")[1]
        self.assertIn("its run ended before the first checkpoint and is begun again", errors)
        self.assertEqual(self.steps(), [3])
        self.assertEqual(len(self.record()), 1)
        self.train("--seed", "9", "--force")

    def test_from_a_checkpoint_elsewhere(self):
        """A run that went on from elsewhere and has no checkpoint of its own yet does not begin at step 0."""
        first = self.folder / "first"
        hsae("train", "--data", self.data, "--out", first, *LONG, "--stop-after", "5")
        checkpoint = first / "checkpoint-5.safetensors"
        self.killed("--resume", checkpoint)
        errors = self.resume("auto", "--stop-after", "8")[1]
        self.assertIn("starting again from %s" % os.path.realpath(checkpoint), errors)
        self.assertEqual([part["first_step"] for part in self.record()], [0, 5])
        self.assertEqual(self.checkpoints(), [8])

    def test_a_configuration_alone_is_no_run(self):
        self.out.mkdir()
        (self.out / "config.json").write_text('{"levels": [8, 16], "batch": 8, "steps": 20, "target_l0": 2}')
        hsae("train", "--data", self.data, "--out", self.out, "--config", self.out / "config.json", "--device", "ref")
        self.assertEqual(self.checkpoints()[-1], 20)


class OtherData(FolderCase):
    """Each in a message that names it, and passed with --other-data."""
    def setUp(self):
        super().setUp()
        self.rows = [[float((31 * r + 7 * c) % 101 - 50) for c in range(12)] for r in range(90)]
        self.shards = self.folder / "shards"
        self.shards.mkdir()
        for i in range(3):
            write_numbers(self.shards / ("%d.safetensors" % i), self.rows[30 * i:30 * i + 30])
        self.paths = [self.shards / ("%d.safetensors" % i) for i in range(3)]

    def begin(self, *arguments, data=None):
        hsae("train", "--data", *(data or self.paths), "--out", self.out, *TINY, "--stop-after", "10", *arguments)

    def differs(self, expected, *arguments, data=None):
        errors = self.refused("auto", *arguments, data=data or self.paths)
        self.assertIn("error: %s: the data differ from those of the run:" % self.out, errors)
        self.assertIn(expected, errors)
        self.assertIn("--other-data", errors)
        errors = self.resume("auto", *arguments, "--other-data", data=data or self.paths)[1]
        self.assertIn("warning: %s: the data differ" % self.out, errors)
        self.assertIn(expected, "".join(self.record()[-1]["other_data"]))
        self.assertIn("Other data than before", (self.out / "report.html").read_text())
        self.resume("auto", *arguments, data=data or self.paths)  # they are the run's now

    def test_fewer_shards(self):
        self.begin()
        self.differs("training data: 90 rows in the run, 60 rows now", data=self.paths[:2])

    def test_more_shards(self):
        self.begin(data=[self.shards])
        write_numbers(self.shards / "3.safetensors", self.rows[:5])
        self.differs("training data: 3 files in the run, 4 now", data=[self.shards])

    def test_order(self):
        self.begin()
        self.differs("number 1 is %s in the run, %s now" % (os.path.realpath(self.paths[0]), os.path.realpath(self.paths[1])),
                     data=[self.paths[1], self.paths[0], self.paths[2]])

    def test_dtype(self):
        self.begin()
        write_numbers(self.paths[1], self.rows[30:60], "F16")
        self.differs("training data: dtype f32 in the run, f16 now (%s)" % os.path.realpath(self.paths[1]))

    def test_other_values(self):
        self.begin()
        write_numbers(self.paths[1], [[value + (r == 17) for value in row] for r, row in enumerate(self.rows[30:60])])
        self.differs("training data: the rows hold other values (fingerprint ")

    def test_tensor(self):
        data = struct.pack("<1080f", *[value for row in self.rows for value in row])
        header = json.dumps({name: {"dtype": "F32", "shape": [45, 12], "data_offsets": [2160 * i, 2160 * i + 2160]}
                             for i, name in enumerate("ab")}).encode()
        both = self.folder / "both.safetensors"
        both.write_bytes(struct.pack("<Q", len(header)) + header + data)
        self.begin("--tensor", "a", data=[both])
        self.differs("training data: tensor a in the run, b now", "--tensor", "b", data=[both])

    def test_holdout(self):
        self.begin("--holdout", "0.1")
        self.differs("--holdout: 0.1 in the run, not given now")

    def test_another_holdout(self):
        self.begin("--holdout", "0.1")
        self.differs("--holdout: 0.1 in the run, 0.2 now", "--holdout", "0.2")

    def test_holdout_that_came_later(self):
        self.begin()
        self.differs("--holdout: not given in the run, 0.1 now", "--holdout", "0.1")

    def test_evaluation_data(self):
        self.begin("--eval-data", self.paths[2], data=self.paths[:2])
        self.differs("evaluation data: 30 rows in the run, none now", data=self.paths[:2])

    def test_other_evaluation_data(self):
        self.begin("--eval-data", self.paths[2], data=self.paths[:2])
        self.differs("evaluation data: the rows hold other values", "--eval-data", self.paths[1], data=self.paths[:2])

    def test_no_difference(self):
        """Other names of the same files, the same rows elsewhere or cut otherwise, and an evaluation that comes later."""
        self.begin()
        moved, link = self.folder / "moved", self.folder / "link"
        link.symlink_to(self.shards)
        names = [path.name for path in self.paths]
        self.assertNotIn("the files are others", self.resume("auto", "--stop-after", "10", data=[link])[1])
        self.assertNotIn("the files are others", self.resume("auto", "--stop-after", "10", data=names, cwd=self.shards)[1])
        shutil.move(self.shards, moved)
        self.assertIn("training data: the files are others than in the run, but their rows are the same",
                      self.resume("auto", "--stop-after", "10", data=[moved])[1])
        write_numbers(self.folder / "whole.safetensors", self.rows)
        self.resume("auto", "--stop-after", "10", "--eval-data", moved / "2.safetensors", data=[self.folder / "whole.safetensors"])
        self.assertNotIn("other_data", "".join(part for part in self.record()[-1]))

    def test_back_to_the_first_data(self):
        """The data are compared with those of the checkpoint's training."""
        self.begin("--checkpoint-every", "5")
        self.resume("auto", "--other-data", "--keep", "9", data=self.paths[:2])
        self.resume(self.out / "checkpoint-10.safetensors", "--stop-after", "12", data=self.paths)
        self.assertEqual([part["first_step"] for part in self.record()], [0, 10])

    def test_files_are_listed_once(self):
        self.begin()
        self.resume("auto", "--stop-after", "15", data=self.paths)
        self.assertEqual(["files" in part["data"] for part in self.record()], [True, False])
        self.differs("60 rows now", data=self.paths[1:])

    def test_older_record(self):
        """Rows, width and paths as they were given in a directory were all that run.json had."""
        hsae("train", "--data", "shards", "--out", self.out, *TINY, "--stop-after", "10", cwd=self.folder)
        record = json.loads((self.out / "run.json").read_text())
        part = record["parts"][0]
        del part["holdout"]
        part["data"] = {key: part["data"][key] for key in ("paths", "rows", "dim")}
        (self.out / "run.json").write_text(json.dumps(record))
        self.resume("auto", "--stop-after", "10", data=[self.shards])
        (self.out / "run.json").write_text(json.dumps(record))
        self.assertIn("other paths than in the run", self.refused("auto", data=self.paths))
        self.assertIn("90 rows in the run, 30 rows now", self.refused("auto", data=self.paths[:1]))
        (self.out / "run.json").unlink()
        self.resume("auto", "--stop-after", "10", data=self.paths[:1])

    def test_other_data_without_resume(self):
        self.train("--other-data", status=2)


if __name__ == "__main__":
    main(__doc__)
