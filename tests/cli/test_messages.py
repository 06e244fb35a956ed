#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the program says when something is wrong: which file, what was expected, what was found, what to do. test_messages.py HSAE [TEST]..."""
import fcntl
import json
import os
import shlex
import shutil
import signal
import struct
import subprocess

from program import DIM, PATIENCE, PROGRAM, ROWS, TINY, Case, hsae, main, random_rows, until, write_safetensors

AGAIN = "fetch or write it again"
COPY = "take another copy or an older checkpoint"


def write_raw(path, header, data=b"", length=None):
    """A safetensors file with this header, unchecked."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


class Messages(Case):
    def fails(self, message, *arguments, status=1):
        """The program must end with this status and exactly this message, and write no folder."""
        errors = hsae(*arguments, "--quiet", status=status)[1]
        self.assertEqual(errors.splitlines()[0], "hsae: error: " + message)
        self.assertFalse(self.out.exists())

    def train_fails(self, message, *arguments, **more):
        self.fails(message, "train", "--data", self.data, "--out", self.out, *TINY, *arguments, **more)


class Data(Messages):
    def test_truncated_header(self):
        self.data.write_bytes(struct.pack("<Q", 100) + b'{"a":')
        for command in ([], ["info", self.data]):
            (self.fails if command else self.train_fails)(
                "%s: not a safetensors file, or truncated: a header of 100 bytes is announced, 5 follow; %s" % (self.data, AGAIN), *command)

    def test_header_longer_than_the_file(self):
        write_raw(self.data, {"a": tensor("F32", [2, 2], 0, 16)}, bytes(16), length=1 << 40)
        self.train_fails("%s: not a safetensors file, or truncated: a header of 1099511627776 bytes is announced, 81 follow; %s" %
                         (self.data, AGAIN))

    def test_truncated_data(self):
        write_raw(self.data, {"a": tensor("F32", [2, 2], 0, 16)}, bytes(12))
        self.train_fails("%s: tensor \"a\": its data reach beyond the end of the file; the file is truncated: %s" % (self.data, AGAIN))

    def test_overlapping_tensors(self):
        write_raw(self.data, {"a": tensor("F32", [2, 4], 0, 32), "b": tensor("F32", [2, 4], 16, 48)}, bytes(48))
        self.train_fails("%s: tensor \"b\" overlaps the one before it; the file is damaged: %s" % (self.data, AGAIN))

    def test_missing_tensor(self):
        self.train_fails("%s: there is no tensor \"acts\" among its 1, of which the first is \"activations\"; \"hsae info\" lists them" %
                         self.data, "--tensor", "acts")

    def test_wrong_dtype(self):
        write_raw(self.data, {"a": tensor("I64", [2, 2], 0, 32)}, bytes(32))
        self.train_fails("%s: tensor \"a\" is I64 [2, 2]; F32, F16 or BF16 of 2 or 3 dimensions is read: convert it, or name another" %
                         self.data, "--tensor", "a")
        self.train_fails("%s: none of its 1 tensors is F32, F16 or BF16 of 2 or 3 dimensions, as activations must be; convert one" %
                         self.data)

    def test_wrong_shape(self):
        write_raw(self.data, {"a": tensor("F32", [8], 0, 32)}, bytes(32))
        self.train_fails("%s: tensor \"a\" is F32 [8]; F32, F16 or BF16 of 2 or 3 dimensions is read: convert it, or name another" %
                         self.data, "--tensor", "a")

    def test_shards_of_different_width(self):
        other = self.folder / "other.safetensors"
        write_safetensors(other, "activations", random_rows(width=13))
        self.fails("%s: its vectors have 13 numbers, those of %s have 12; give files of one width, of the same place in the same model" %
                   (other, self.data), "train", "--data", self.data, other, "--out", self.out, *TINY)

    def test_row_that_is_not_finite(self):
        rows = random_rows()
        rows[17][3] = float("nan")
        write_safetensors(self.data, "activations", rows)
        self.train_fails("%s: row 17, column 3 (from 0): a value that is not finite; drop the row, make it again, or leave such rows out with "
                         "skip_bad_rows" % self.data)

    def test_empty(self):
        write_raw(self.data, {"a": tensor("F32", [0, 4], 0, 0)})
        self.train_fails("%s: the data set is empty: it has no activation vector; give files that hold some" % self.data)

    def test_fewer_rows_than_a_batch(self):
        self.train_fails("%s: 80 activation vectors are fewer than a batch of 81; lower batch or give more data" % self.data, "--batch", "81")

    def test_missing_path(self):
        gone = self.folder / "gone.safetensors"
        message = "%s: cannot be read: No such file or directory; check the path" % gone
        self.fails(message, "train", "--data", gone, "--out", self.out, *TINY)
        self.fails(message, "eval", "--model", gone, "--data", self.data, "--device", "ref")
        self.fails(message, "info", gone)
        self.train_fails(message, "--resume", gone)
        self.train_fails(message, "--config", gone)

    def test_no_permission(self):
        """Root reads and writes whatever the permissions say, unless it gives that power away."""
        drop = []
        if os.geteuid() == 0:
            if not shutil.which("setpriv"):
                self.skipTest("root, and no setpriv to drop its power over permissions")
            drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        advice = "Permission denied; check its permissions and those of its folder (ls -ld), or choose another place"
        arguments = ["train", "--data", self.data, "--out", self.out, *TINY, "--quiet"]

        def fails(message):
            done = subprocess.run([*drop, PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr.splitlines()[:1]), (1, ["hsae: error: " + message]))

        self.data.chmod(0)
        fails("%s: cannot be read: %s" % (self.data, advice))
        self.data.chmod(0o600)
        self.folder.chmod(0o500)
        fails("cannot make the folder %s: %s" % (self.out, advice))
        self.folder.chmod(0o700)
        self.train("--stop-after", "10")
        before = {path.name: path.read_bytes() for path in self.out.iterdir()}
        self.out.chmod(0o500)
        arguments += ["--resume", "auto"]
        fails("cannot write %s/metrics.jsonl: %s" % (self.out, advice))
        self.assertEqual({path.name: path.read_bytes() for path in self.out.iterdir()}, before)
        self.out.chmod(0o700)


class Configuration(Messages):
    def test_json(self):
        config = self.folder / "config.json"
        for text, message in (('{"seed": 1, "seed": 2}', "not valid JSON: duplicate key \"seed\" (line 1, column 19); mend it there"),
                              ('{"seed" 1}', "not valid JSON: a colon is missing (line 1, column 9); mend it there"),
                              ('{"tagret_l0": 1}', "unknown key \"tagret_l0\"; did you mean \"target_l0\"?"),
                              ('{"batch": 0}', "batch is 0; allowed: an integer from 1 to 4294967295")):
            config.write_text(text)
            self.train_fails("%s: %s" % (config, message), "--config", config, status=2)

    def test_options(self):
        self.train_fails("unknown option --tagret-l0; did you mean --target-l0?", "--tagret-l0", "3", status=2)


class Checkpoints(Messages):
    """Files that a run wrote and somebody changed."""

    def setUp(self):
        super().setUp()
        done = self.folder / "done"
        self.train(out=done)
        self.whole = (done / "checkpoint-20.safetensors").read_bytes()
        self.changed = self.folder / "changed.safetensors"

    def change(self, how):
        end = 8 + struct.unpack("<Q", self.whole[:8])[0]
        header = json.loads(self.whole[8:end])
        how(header)
        write_raw(self.changed, header, self.whole[end:])

    def both_fail(self, message):
        for arguments in (["train", "--data", self.data, "--out", self.out, *TINY, "--resume", self.changed],
                          ["eval", "--model", self.changed, "--data", self.data, "--device", "ref"]):
            self.fails("%s: %s" % (self.changed, message), *arguments)

    def test_another_format_version(self):
        self.change(lambda header: header["__metadata__"].update(version="2", library_version="7.0.0"))
        ours = hsae("--version")[0].split()[1]
        self.both_fail("a model of format version 2, written by version 7.0.0 of this library; version %s reads format version 1: use the one "
                       "that wrote it, or a newer one" % ours)

    def test_sizes_that_contradict_the_configuration(self):
        def change(header):
            header["__metadata__"]["config"] = header["__metadata__"]["config"].replace("[8, 16]", "[8, 17]")
        self.change(change)
        self.both_fail("tensor \"levels.1.encoder.weight\" has shape [16, 12]; its configuration wants [17, 12]; the file contradicts itself: " +
                       COPY)

    def test_missing_tensor(self):
        self.change(lambda header: header.update(other=header.pop("levels.0.threshold")))
        self.both_fail("tensor \"levels.0.threshold\" is missing; the file is damaged: " + COPY)

    def test_wrong_dtype(self):
        self.change(lambda header: header["levels.0.threshold"].update(dtype="I32"))
        self.both_fail("tensor \"levels.0.threshold\" is I32; expected F32, F16 or BF16; the file is damaged: " + COPY)

    def test_truncated(self):
        self.changed.write_bytes(self.whole[:-4])
        errors = hsae("train", "--data", self.data, "--out", self.out, *TINY, "--resume", self.changed, status=1)[1]
        self.assertRegex(errors, "%s: tensor .*: its data reach beyond the end of the file; the file is truncated: %s" % (self.changed, AGAIN))

    def test_not_ours(self):
        self.fails("%s: not a model or checkpoint of this library: its metadata lacks format = \"hsae\"; give one that hsae train wrote" %
                   self.data, "eval", "--model", self.data, "--data", self.data, "--device", "ref")

    def test_model_in_place_of_a_checkpoint(self):
        model = self.folder / "done" / "model.safetensors"
        self.train_fails("%s: a model without the state of its training, which is in checkpoints only; give a checkpoint-*.safetensors" % model,
                         "--resume", model)


class RunFolder(Case):
    def resume(self, *arguments, **more):
        return hsae("train", "--data", self.data, "--out", self.out, "--device", "ref", "--resume", "auto", *arguments, **more)

    def test_in_use(self):
        command = [PROGRAM, "train", "--data", self.data, "--out", self.out, *TINY, "--steps", "1000000", "--log-every", "10"]
        with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
            until((self.out / "metrics.jsonl").exists, first)
            for more in ([], ["--force"], ["--resume", "auto"]):
                errors = self.train(*more, status=1)[1]
                self.assertIn("%s: another process is training into this folder; wait for its end, stop it, or choose another --out" % self.out,
                              errors)
            first.send_signal(signal.SIGKILL)
            first.communicate()
        self.train("--force")  # the lock went with the process

    def test_half_written_files_go(self):
        self.train("--stop-after", "10")
        for name in (".hsae-1-0.tmp", ".hsae-4194305-3.tmp"):
            (self.out / name).write_text("half")
        kept = [self.out / name for name in ("notes.tmp", ".hsae-mine", "config.json.tmp")]
        for path in kept:
            path.write_text("mine")
        self.resume()
        self.assertEqual(sorted(path.name for path in self.out.iterdir() if path.suffix == ".tmp" or path.name[0] == "."),
                         sorted(path.name for path in kept))

    def test_files_at_work_stay(self):
        """Somebody writes features into the folder of a run: the lock says that their file is not a leftover."""
        self.train("--stop-after", "10")
        with open(self.out / ".hsae-1-0.tmp", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.resume()
            self.assertTrue((self.out / ".hsae-1-0.tmp").exists())

    def test_damaged_checkpoints(self):
        self.train("--stop-after", "10", "--checkpoint-every", "5")
        newest, other = self.out / "checkpoint-10.safetensors", self.out / "checkpoint-5.safetensors"
        newest.write_bytes(newest.read_bytes()[:-1])
        errors = self.resume("--stop-after", "5")[1]
        self.assertIn("warning: %s: tensor" % newest, errors)
        self.assertIn("resuming from %s" % other, errors)
        other.write_bytes(b"")
        errors = self.resume(status=1)[1]
        self.assertIn("%s: the warning above says what is wrong with its checkpoints, none of which is whole; mend that, or start anew (--force, without --resume)" %
                      self.out, errors)
        self.assertTrue(other.exists())

    def test_unreadable_checkpoint_is_not_passed_over(self):
        """What cannot be read today may be whole tomorrow: going on from an older one would drop it."""
        self.train("--stop-after", "10", "--checkpoint-every", "5")
        newest = self.out / "checkpoint-10.safetensors"
        newest.unlink()
        newest.mkdir()
        errors = self.resume(status=1)[1]
        self.assertIn("%s: the warning above says what is wrong with its newest checkpoint; mend that, or start anew (--force, without --resume)" % self.out,
                      errors)
        self.assertEqual(self.checkpoints(), [5, 10])

    def test_broken_data(self):
        """A run that breaks off prints the command that resumes it, quoted for a shell."""
        data = self.folder / "it's data.safetensors"
        self.data.rename(data)
        whole = data.read_bytes()
        command = [PROGRAM, "train", "--data", str(data), "--out", str(self.out), *TINY, "--steps", "1000000", "--checkpoint-every", "5", "--force"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            until(self.checkpoints, process)
            with open(data, "r+b") as file:
                file.seek(len(whole) - ROWS * DIM * 4)
                file.write(b"\xff" * (ROWS * DIM * 4))
            errors = process.communicate(timeout=PATIENCE)[1]
        self.assertEqual(process.returncode, 1)
        self.assertRegex(errors, "%s: row .* is not finite; drop the row" % data)
        step = self.checkpoints()[-1]
        self.assertIn("error: the run broke off; its checkpoint of step %d is whole: to leave out rows that are not finite (else repair the data, and drop "
                      "--skip-bad-rows) go on with\n" % step, errors)
        last = errors.splitlines()[-1]
        self.assertEqual(shlex.split(last), ["hsae", *command[1:-1], "--skip-bad-rows", "--resume", "auto"])
        data.write_bytes(whole)
        hsae(*shlex.split(last)[1:], "--stop-after", step + 3)
        self.assertEqual(self.checkpoints()[-1], step + 3)
        self.assert_no_litter()


if __name__ == "__main__":
    main(__doc__)
