#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hsae train --data -: rows of standard input. test_stream.py HSAE [TEST]..."""
import array
import json
import os
import signal
import subprocess

from program import DIM, DRIVERS, PATIENCE, PROGRAM, ROWS, TINY, Case, has_content, hsae, main, random_rows, until, write_safetensors

INPUT = ["train", "--data", "-", "--dim", str(DIM), *TINY]


def numbers(rows, code="f"):
    return array.array(code, [value for row in rows for value in row]).tobytes()


class Stream(Case):
    def piped(self, content, out, *more, status=0):
        done = subprocess.run([PROGRAM, *INPUT, "--out", str(out), *map(str, more)], input=content, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE)
        errors = done.stderr.decode()
        self.assertEqual(done.returncode, status, errors)
        return errors

    def assert_refused(self, content, words, *more, status=1):
        errors = self.piped(content, self.folder / ("refused-%d" % len(list(self.folder.iterdir()))), *more, status=status)
        for word in words:
            self.assertIn(word, errors)
        return errors

    def test_same_as_file(self):
        """Where the buffer holds all rows, and the pipe gives them in portions that end anywhere."""
        self.train()
        process = subprocess.Popen([PROGRAM, *INPUT, "--out", str(self.folder / "piped")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        content = numbers(random_rows())
        for at in range(0, len(content), 1001):
            process.stdin.write(content[at:at + 1001])
            process.stdin.flush()
        errors = process.communicate(timeout=PATIENCE)[1].decode()
        self.assertEqual(process.returncode, 0, errors)
        self.assert_same_bytes(self.out / "model.safetensors", self.folder / "piped" / "model.safetensors")
        report = (self.folder / "piped" / "report.html").read_text()
        self.assertIn("rows of 12 values that were made while it trained", report)

    def test_goes_on(self):
        """The pipe begins with its first row again, and more rows than the buffer has were read."""
        content, buffer = numbers(random_rows(200)), ("--buffer", 16)
        self.piped(content, self.out, *buffer)
        part = self.folder / "part"
        self.piped(content, part, *buffer, "--stop-after", 9)
        other = numbers(random_rows(200, seed=2))
        for more, words in ((buffer, ["the data differ", "standard input, first rows"]), (("--buffer", 32), ["--buffer 16 in the run, 32 now"])):
            errors = self.piped(content if words[0].startswith("--") else other, part, *more, "--resume", "auto", status=1)
            for word in words:
                self.assertIn(word, errors)
        self.piped(content, part, *buffer, "--resume", "auto")
        for name in ("model.safetensors", "checkpoint-20.safetensors"):
            self.assert_same_bytes(self.out / name, part / name)

    def test_killed(self):
        """-9 in the middle of a buffer."""
        content, command = numbers(random_rows(200)), [PROGRAM, *INPUT, "--buffer", "16", "--checkpoint-every", "2", "--resume", "auto"]
        self.piped(content, self.out, "--buffer", 16, "--checkpoint-every", 2)
        killed = self.folder / "killed"
        process = subprocess.Popen([*command, "--out", str(killed)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        process.stdin.write(content[:100 * DIM * 4])  # and no end: it waits for more
        process.stdin.flush()
        until(lambda: any(killed.glob("checkpoint-*")), process)
        process.kill()
        process.communicate()
        self.piped(content, killed, "--buffer", 16, "--checkpoint-every", 2, "--resume", "auto")
        for name in ("model.safetensors", "checkpoint-20.safetensors"):
            self.assert_same_bytes(self.out / name, killed / name)

    def test_interrupted_while_it_waits(self):
        process = subprocess.Popen([PROGRAM, *INPUT, "--buffer", "16", "--log-every", "1", "--out", str(self.out)], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **DRIVERS})
        process.stdin.write(numbers(random_rows(64)))
        process.stdin.flush()
        until(lambda: has_content(self.out / "metrics.jsonl") and (self.out / "metrics.jsonl").read_bytes().count(b"\n") == 8, process)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read().decode()
        self.assertEqual(process.wait(timeout=PATIENCE), 128 + signal.SIGINT, errors)
        self.assertEqual(self.checkpoints()[-1], 8, errors)
        self.assertIn("where standard input gives its rows again, from the first on", errors)
        process.stdin.close()
        process.stderr.close()

    def test_end(self):
        """A pipe cannot begin again; --cache keeps its rows, as data that can be trained on."""
        content, cache = numbers(random_rows()), self.folder / "rows"
        self.assert_refused(content, ["ended after 80 rows", "--cache DIR", "--buffer"], "--buffer", 16)
        self.piped(content, self.out, "--buffer", 16, "--cache", cache)
        self.assertEqual(len(list(cache.iterdir())), 10)
        kept = subprocess.run([PROGRAM, "info", str(cache), "--json"], stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(json.loads(kept)["tokens"], ROWS)

    def test_types(self):
        write_safetensors(self.data, "activations", [[1.0, -1.0] * (DIM // 2), [0.5, 2.0] * (DIM // 2)] * 40)
        self.train()
        halves = array.array("H", [0x3c00, 0xbc00] * (DIM // 2) + [0x3800, 0x4000] * (DIM // 2)).tobytes() * 40
        self.piped(halves, self.folder / "halves", "--dtype", "f16", "--eval-data", self.data)
        self.assert_same_bytes(self.out / "model.safetensors", self.folder / "halves" / "model.safetensors")

    def test_refused(self):
        rows = numbers(random_rows())
        self.assert_refused(rows[:-4], ["standard input ends within row 79, after 44 of its 48 bytes", "--dim"], "--buffer", 16)
        self.assert_refused(rows[:20], ["standard input ends within row 0"])
        self.assert_refused(b"", ["has no rows"])
        self.assert_refused(self.data.read_bytes(), ["standard input is a safetensors file"])
        self.assert_refused(b"\x93NUMPY\1\0" + bytes(200), ["standard input is an npy file"])
        for more, word in ((("--holdout", "0.1"), "--eval-data"), (("--data", self.data), "stands alone"), (("--dry-run",), "files"),
                           (("--deterministic-check",), "files"), (("--buffer", "1"), "2 or more")):
            self.assert_refused(rows, [word], *more, status=2)
        self.assertIn("--cache goes with --data -", hsae("train", "--data", self.data, "--cache", "x", "--out", self.out, *TINY, status=2)[1])


if __name__ == "__main__":
    main(__doc__)
