# SPDX-License-Identifier: MIT
"""Signals, standard streams and names: what ends a command, what it saves first, and what it prints.

    test_signals.py HSAE [TEST]...
"""
import fcntl
import json
import os
import signal
import subprocess
import threading
import time

from program import Case, DRIVERS, PROGRAM, TINY, hsae, main, random_rows, write_safetensors

# Longer than any of these waits, on a machine however busy.
LIMIT = 300


def start(*arguments, environment=None, **more):
    """A command whose signals are as in a terminal, whatever this process ignores."""
    return subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, **(environment or {})}, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL), **more)


def is_open(process, path):
    """Whether the process has the file open."""
    folder = "/proc/%d/fd" % process.pid
    return any(os.path.realpath(os.path.join(folder, name)) == os.path.realpath(path) for name in os.listdir(folder))


class Signals(Case):
    def end(self, process, number):
        process.send_signal(number)
        text, errors = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 128 + number, errors)
        return text, errors

    def start_training(self):
        process = start("train", "--data", self.data, "--out", self.out, *TINY, "--steps", 90000000, "--log-every", 10,
                        "--checkpoint-every", 80000000)
        metrics = self.out / "metrics.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.02)
        return process

    def test_batch_systems(self):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU):
            self.out = self.folder / ("run-%d" % number)
            process = self.start_training()
            process.send_signal(number)  # the end() below sends another: a warning that is repeated does not cut the saving short
            text, errors = self.end(process, number)
            self.assertIn("checkpoint of step %d" % self.checkpoints()[-1], errors)

    def test_cpu_limit(self):
        # Larger batches than TINY's: so few steps in two seconds that the penalty, whose target is out of reach, stays finite.
        words = ["train", "--data", self.data, "--out", self.out, *TINY, "--batch", 64, "--steps", 90000000, "--checkpoint-every", 80000000]
        process = subprocess.Popen(["sh", "-c", 'ulimit -S -t 2; exec "$@"', "sh", PROGRAM, *map(str, words)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        text, errors = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 128 + signal.SIGXCPU, errors)
        self.assertEqual(len(self.checkpoints()), 1)

    def test_pipe_without_a_writer(self):
        pipe = self.folder / "pipe.npy"
        os.mkfifo(pipe)
        for arguments in (["info", pipe], ["train", "--data", self.data, "--out", self.out, *TINY, "--config", pipe]):
            process = start(*arguments)
            while process.poll() is None and not is_open(process, pipe):
                time.sleep(0.02)
            text, errors = self.end(process, signal.SIGTERM)
            self.assertEqual((text, errors), ("", ""))
        errors = hsae("train", "--data", self.data, "--out", self.out, *TINY, "--config", pipe, status=1)[1]
        self.assertIn("where it is a pipe, start its writer first", errors)

    def test_pipe_with_a_writer(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=lambda: pipe.write_text('{"steps": 3}'))
        writer.start()
        hsae("train", "--data", self.data, "--out", self.out, "--levels", "8,16", "--batch", 8, "--target-l0", 2, "--device", "ref", "--config", pipe)
        writer.join()
        self.assertEqual(self.checkpoints()[-1], 3)

    def test_lock_of_another(self):
        devices = json.loads(hsae("devices", "--json", environment=DRIVERS)[0])["devices"]
        if not any(device["id"] == "opencl:0" for device in devices):
            self.skipTest("no OpenCL device")
        cache = self.folder / "cache"
        cache.mkdir(mode=0o700)
        with open(cache / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = start("train", "--data", self.data, "--out", self.out, *TINY, "--device", "opencl:0",
                            environment={**DRIVERS, "HSAE_CACHE_DIR": str(cache)})
            lines = []
            for line in process.stderr:
                lines.append(line)
                if "waiting for another process that compiles kernels; it holds %s/.lock" % cache in line:
                    break
            else:
                self.fail("".join(lines))
            self.end(process, signal.SIGTERM)


class Streams(Case):
    def test_closed(self):
        def close():
            for stream in range(3):
                os.close(stream)
        words = ["train", "--data", self.data, "--out", self.out, *TINY, "--log-every", "1"]
        done = subprocess.run([PROGRAM, *map(str, words)], preexec_fn=close, timeout=LIMIT)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.steps(), list(range(1, 21)))
        self.assertIn('"end": "finished"', (self.out / "run.json").read_text())

    def test_reader_that_goes(self):
        self.train()
        read, write = os.pipe()
        os.close(read)
        for words in (["--help"], ["info", self.out / "model.safetensors"], ["eval", "--model", self.out / "model.safetensors", "--data", self.data,
                                                                              "--device", "ref", "--json"]):
            done = subprocess.run([PROGRAM, *map(str, words)], stdout=write, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
            self.assertEqual(done.returncode, 141, done.stderr)
            self.assertNotIn("error", done.stderr)
        os.close(write)


class Names(Case):
    """Paths are bytes; in JSON, bytes that are not UTF-8 become U+FFFD."""

    def test_json(self):
        strange = os.fsencode(str(self.folder)) + b"/f\xff\xc3("
        os.mkdir(strange)
        name = lambda text: os.path.join(strange, text)
        write_safetensors(self.folder / "data.safetensors", "activations", random_rows())
        os.rename(self.data, name(b"data.safetensors"))
        data, model = name(b"data.safetensors"), name(b"run/model.safetensors")

        def run(*words):
            done = subprocess.run([PROGRAM, *words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT,
                                  env={**os.environ, "HSAE_DEVICE": "ref"})
            self.assertEqual(done.returncode, 0, done.stderr[-2000:])
            return json.loads(done.stdout.decode())

        result = run("train", "--data", data, "--out", name(b"run"), *TINY, "--holdout", "0.2")
        self.assertTrue(result["model"].endswith("/f\ufffd\ufffd(/run/model.safetensors"), result)
        self.assertIn("f\ufffd\ufffd(", run("encode", "--model", model, "--data", data, "--out", name(b"codes"))["out"])
        self.assertIn("f\ufffd\ufffd(", run("decode", "--model", model, "--features", name(b"codes"), "--out", name(b"back"))["out"])
        self.assertIn("f\ufffd\ufffd(", run("export", "--model", model, name(b"exported"))["out"])
        self.assertIn("f\ufffd\ufffd(", run("import", name(b"exported/level-0"), "--out", name(b"imported"))["out"])
        self.assertIn("f\ufffd\ufffd(", run("tree", "--model", model, "--out", name(b"tree"))["out"])
        self.assertIn("f\ufffd\ufffd(", run("info", data)["files"][0]["path"])
        run("info", model)
        run("eval", "--model", model, "--data", data)
        with open(name(b"tokens.jsonl"), "w") as tokens:
            tokens.write(json.dumps({"tokens": ["a"] * 80}) + "\n")
        self.assertIn("f\ufffd\ufffd(", run("explore", "--model", model, "--data", data, "--out", name(b"page.html"))["out"])


if __name__ == "__main__":
    main(__doc__)
