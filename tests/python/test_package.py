#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Python package: the bytes of the program, from every kind of data; resumed and interrupted runs; models; errors: test_package.py HSAE ..."""
import gc
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from package import BATCH, DIM, FOLDER, HSAE, KEYS, ROWS, STEPS, hsae, installed, made_rows, main, np, trainer


class Bytes(unittest.TestCase):
    """The same data give the very bytes that the program writes, however they come."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(dir=FOLDER.name))
        cls.f32 = made_rows()
        cls.f16 = cls.f32.astype(np.float16)
        cls.bf16 = (cls.f32.view(np.uint32) >> 16).astype(np.uint16)
        np.save(cls.folder / "f32.npy", cls.f32)
        np.save(cls.folder / "f16.npy", cls.f16)
        (cls.folder / "bf16.raw").write_bytes(cls.bf16.tobytes())
        cls.programs = {}

    def program(self, name, order):
        """The model that `hsae train` makes of a file."""
        out = self.folder / f"{name}-{order}"
        if not out.exists():
            command = [HSAE, "train", "--data", self.folder / name, "--device", "ref", "--order", order, "--out", out]
            for key, value in KEYS.items():
                command += ["--" + key.replace("_", "-"), ",".join(map(str, value)) if isinstance(value, list) else str(value)]
            if name.endswith("raw"):
                command += ["--dim", str(DIM), "--dtype", "bf16"]
            subprocess.run(command, check=True, capture_output=True)
        return (out / "model.safetensors").read_bytes()

    def saved(self, trained):
        trained.save_model(self.folder / "out.safetensors")
        return (self.folder / "out.safetensors").read_bytes()

    def test_path(self):
        self.assertEqual(self.saved(trainer(self.folder / "f32.npy").fit()), self.program("f32.npy", "shuffle"))
        self.assertEqual(self.saved(trainer([self.folder / "f16.npy"]).fit()), self.program("f16.npy", "shuffle"))

    def test_array(self):
        self.assertEqual(self.saved(trainer(self.f32).fit()), self.program("f32.npy", "shuffle"))
        self.assertEqual(self.saved(trainer(self.f16.reshape(10, 15, DIM)).fit()), self.program("f16.npy", "shuffle"))
        wide = np.zeros((ROWS, 2 * DIM), np.float32)
        wide[:, ::2] = self.f32
        self.assertEqual(self.saved(trainer(wide[:, ::2].astype(np.float64)).fit()), self.program("f32.npy", "shuffle"))

    def pieces(self, array):
        """Once, in pieces of different lengths, some of them empty."""
        at, length = 0, 1
        while at < ROWS:
            length = length * 7 % 101
            yield array[at:at + length]
            yield array[:0]
            at += length

    def endless(self):
        """New rows for ever, the same ones each time."""
        random = np.random.default_rng(2)
        while True:
            yield (self.f32[random.integers(0, ROWS, 21)] + random.standard_normal((21, DIM)) / 20).astype(np.float16)

    def test_iterable(self):
        for name, array in ("f32.npy", self.f32), ("f16.npy", self.f16):
            for order in "shuffle", "sequential":
                trained = trainer(list(self.pieces(array)), order=order).fit(metrics_every=7)
                self.assertEqual(self.saved(trained), self.program(name, order))
        self.assertEqual([figures["step"] for figures in trained.metrics], [7, 14, 21, 28, 35, 40])
        self.assertEqual(self.saved(trainer(self.pieces(self.f32)).fit()), self.program("f32.npy", "shuffle"))

    def test_buffer(self):
        """More rows than the buffer holds: again from the iterable, or from a folder, in later epochs."""
        models = [self.saved(trainer(list(self.pieces(self.f32)), buffer_rows=80).fit())]
        for rows in self.pieces(self.f32), [self.f32[:30], self.f32[30:] * np.nan]:
            models.append(self.saved(trainer(rows, buffer_rows=80, folder=self.folder / "kept").fit()))
        self.assertEqual(models, models[:1] * 3)
        self.assertEqual(hsae.Model.load(self.folder / "out.safetensors").evaluate(self.folder / "kept")["tokens"], ROWS)
        with self.assertRaisesRegex(hsae.DataError, "source ended after 150 rows"):
            trainer(self.pieces(self.f32), buffer_rows=80).fit()

    def test_iterable_errors(self):
        def fails():
            yield self.f32[:40]
            raise ZeroDivisionError("mine")

        with self.assertRaisesRegex(ZeroDivisionError, "mine"):
            trainer(fails()).fit()
        with self.assertRaisesRegex(TypeError, "row 40 of the iterable"):
            trainer([self.f32[:40], self.f16[:40]]).fit()
        with self.assertRaisesRegex(hsae.Error, "gives no rows"):
            trainer([self.f32[:0]]).fit()
        with self.assertRaisesRegex(hsae.DataError, "fewer than a batch"):
            trainer([self.f32[:5]]).fit()
        begun = trainer(list(self.pieces(self.f32)), identity="a").fit(until=3)
        begun.save_checkpoint(self.folder / "identity.safetensors")
        with self.assertRaisesRegex(hsae.ConfigError, "a"):
            trainer(list(self.pieces(self.f32)), identity="b").fit(resume=self.folder / "identity.safetensors")

    def test_steps(self):
        trained = trainer(self.f16, order="sequential")
        for piece in itertools.chain.from_iterable(map(self.pieces, [self.f16] * STEPS)):
            figures = trained.step(piece, metrics=True)
            self.assertTrue(figures is None or figures["step"] == trained.steps_done)
            if trained.steps_done == STEPS:
                break
        self.assertEqual(self.saved(trained), self.program("f16.npy", "sequential"))
        self.assertEqual(trained.metrics[-1]["step"], STEPS)
        with self.assertRaisesRegex(hsae.ArgumentError, "all 40 steps are done"):
            trained.step(self.f16)

    @unittest.skipUnless(installed("torch"), "torch is not installed")
    def test_torch(self):
        import torch

        expected = self.program("f32.npy", "shuffle")
        self.assertEqual(self.saved(trainer(torch.from_numpy(self.f32).requires_grad_()).fit()), expected)
        self.assertEqual(self.saved(trainer(torch.from_numpy(self.f16)).fit()), self.program("f16.npy", "shuffle"))
        bf16 = torch.from_numpy(self.bf16.view(np.int16)).view(torch.bfloat16)
        self.assertEqual(self.saved(trainer(bf16).fit()), self.program("bf16.raw", "shuffle"))
        tensor = torch.from_numpy(self.f32)
        self.assertEqual(hsae._rows.Rows(tensor).array.ctypes.data, tensor.data_ptr())

    def test_bfloat16(self):
        rows = hsae._rows.Rows(self.f16)
        rows.array, rows.dtype = self.bf16, hsae._library.lib.HSAE_DTYPE_BF16
        made = trainer()
        made._dataset = rows.dataset()
        self.assertEqual(self.saved(made.fit()), self.program("bf16.raw", "shuffle"))

    def test_no_copy(self):
        for array in self.f32, self.f16:
            self.assertEqual(hsae._rows.Rows(array).array.ctypes.data, array.ctypes.data)

    def test_resume(self):
        checkpoint = self.folder / "half.safetensors"
        for data, more in (lambda: self.f32, {}), (self.endless, {"buffer_rows": 200}):
            whole, seen = self.saved(trainer(data(), **more).fit()), []
            trainer(data(), **more).fit(callbacks=[lambda figures: seen.append(figures["step"]) or figures["step"] < 17], metrics_every=17,
                                        checkpoint=checkpoint)
            self.assertEqual(seen, [17])
            self.assertEqual(self.saved(hsae.Trainer(data=data(), device="ref", **more).fit(resume=checkpoint)), whole)
        trainer(self.f32).fit(until=17).save_checkpoint(checkpoint)
        other = trainer(self.f32, batch=BATCH + 1)
        with self.assertRaisesRegex(hsae.ConfigError, "batch"):
            other.fit(resume=checkpoint)
        longer = hsae.Trainer(data=self.f32, device="ref", steps=STEPS + 2).fit(resume=checkpoint)
        self.assertEqual(longer.steps_done, STEPS + 2)
        self.assertEqual(longer.resolved["batch"], BATCH)
        fresh = trainer(self.f32).fit(checkpoint=self.folder / "none.safetensors", resume=True)
        self.assertEqual(self.saved(fresh), self.program("f32.npy", "shuffle"))
        self.assertFalse((self.folder / "none.safetensors").exists())

    def test_interrupt(self):
        """Ctrl-C ends the run, saves the checkpoint, and the run goes on from there to the same bytes."""
        checkpoint = self.folder / "interrupted.safetensors"

        def slow():
            for number, rows in enumerate(self.endless()):
                if number == 21:  # the second half of the buffer has these rows
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.2)
                yield rows

        def interrupt(figures):
            if figures["step"] == 5:
                os.kill(os.getpid(), signal.SIGINT)

        for first, data, more, callback in ((self.f32, lambda: self.f32, {}, interrupt), (self.endless(), self.endless, {"buffer_rows": 600}, interrupt),
                                            (slow(), self.endless, {"buffer_rows": 600}, lambda figures: None)):
            checkpoint.unlink(missing_ok=True)
            begun = trainer(first, **more)
            with self.assertRaises(KeyboardInterrupt):
                begun.fit(callbacks=[callback], metrics_every=1, checkpoint=checkpoint)
            self.assertLess(begun.steps_done, 30)
            resumed = trainer(data(), **more).fit(checkpoint=checkpoint, resume=True)
            self.assertEqual(self.saved(resumed), self.saved(trainer(data(), **more).fit()))

    def test_kill(self):
        """A process that is killed in the middle of a half of the buffer: another goes on from its last checkpoint, to the same bytes."""
        checkpoint = self.folder / "killed.safetensors"
        program = f"""
import os, signal, test_package
bytes_ = test_package.Bytes
bytes_.setUpClass()
def rows():
    for number, rows in enumerate(bytes_().endless()):
        if number == 33:  # while steps draw from the other half
            os.kill(os.getpid(), signal.SIGKILL)
        yield rows
test_package.trainer(rows(), buffer_rows=600).fit(checkpoint={str(checkpoint)!r}, checkpoint_every=1)
"""
        ended = subprocess.run([sys.executable, "-c", program, HSAE], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        self.assertEqual(ended.returncode, -signal.SIGKILL)
        resumed = trainer(self.endless(), buffer_rows=600).fit(resume=checkpoint, metrics_every=1)
        self.assertGreater(resumed.metrics[0]["step"], 2)
        self.assertEqual(self.saved(resumed), self.saved(trainer(self.endless(), buffer_rows=600).fit()))

    def test_callbacks(self):
        def fail(figures):
            raise ZeroDivisionError("mine")

        with self.assertRaisesRegex(ZeroDivisionError, "mine"):
            trainer(self.f32).fit(callbacks=[fail], metrics_every=3)
        trained = trainer(self.f32).fit(metrics_every=10, checkpoint=self.folder / "often.safetensors", checkpoint_every=30)
        self.assertEqual([figures["step"] for figures in trained.metrics], [10, 20, 30, 40])
        self.assertEqual(hsae.flat(trained.metrics[0])["level_1/l0"], trained.metrics[0]["levels"][1]["l0"])
        resumed = trainer(self.f32).fit(resume=self.folder / "often.safetensors")
        self.assertEqual(self.saved(resumed), self.program("f32.npy", "shuffle"))

    def test_set_lr(self):
        made = trainer(self.f32)
        made.fit(callbacks=[lambda figures: made.set_lr({10: 0.5, 20: None}.get(figures["step"], 0.5))], metrics_every=10)
        expected = trainer(self.f32).fit(metrics_every=10).metrics
        self.assertEqual([figures["lr"] for figures in made.metrics], [expected[0]["lr"], 0.5, expected[2]["lr"], 0.5])
        with self.assertRaisesRegex(hsae.ArgumentError, "learning rate"):
            made.set_lr(float("nan"))

    def test_gil(self):
        """Other threads go on while the library works."""
        stop, gaps = threading.Event(), []

        def work():
            last = time.perf_counter()
            while not stop.is_set():
                gaps.append(time.perf_counter() - last)
                last += gaps[-1]

        thread = threading.Thread(target=work)
        made = trainer(self.f32, steps=3000)
        made.fit(until=1)
        thread.start()
        try:
            with made._device:
                params, begin = hsae._library.ffi.new("hsae_run_params *"), time.perf_counter()
                hsae._library.check(hsae._library.lib.hsae_trainer_run(made._native, made._dataset, params))
                seconds = time.perf_counter() - begin
            self.assertLess(max(gaps), seconds / 2)
        finally:
            stop.set()
            thread.join()


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(dir=FOLDER.name))
        cls.rows = made_rows()
        cls.model = trainer(cls.rows).fit().model

    def test_files(self):
        self.model.save(self.folder / "a.safetensors")
        loaded = hsae.Model.load(self.folder / "a.safetensors", device="ref")
        loaded.save(self.folder / "b.safetensors")
        self.assertEqual((self.folder / "a.safetensors").read_bytes(), (self.folder / "b.safetensors").read_bytes())
        self.assertEqual(loaded.config["levels"], KEYS["levels"])

    def test_views(self):
        level = hsae.Model.from_arrays(self.arrays(), self.model.mean, self.model.scale).levels[1]
        gc.collect()
        np.testing.assert_array_equal(level.encoder, self.model.levels[1].encoder)
        np.testing.assert_allclose(np.linalg.norm(level.decoder, axis=1), 1, atol=1e-5)
        self.assertIsNone(self.model.levels[0].parent)
        with self.assertRaises(ValueError):
            level.encoder[0] = 0

    def arrays(self):
        names = "encoder", "encoder_bias", "threshold", "decoder", "decoder_bias", "parent"
        return [{name: getattr(level, name) for name in names} for level in self.model.levels]

    def test_from_arrays(self):
        made = hsae.Model.from_arrays(self.arrays(), self.model.mean, self.model.scale, self.model.config)
        made.save(self.folder / "made.safetensors")
        self.model.save(self.folder / "model.safetensors")
        self.assertEqual((self.folder / "made.safetensors").read_bytes(), (self.folder / "model.safetensors").read_bytes())
        arrays = self.arrays()
        arrays[1]["threshold"] = arrays[1]["threshold"] * 0
        with self.assertRaisesRegex(hsae.DataError, "levels.1.threshold"):
            hsae.Model.from_arrays(arrays)
        arrays[1]["threshold"] = np.ones(3)
        with self.assertRaisesRegex(ValueError, "level 1: threshold"):
            hsae.Model.from_arrays(arrays)

    def dense(self, features):
        if hasattr(features, "toarray"):
            return features.toarray()
        dense = np.zeros(features.shape, np.float32)
        for row in range(len(dense)):
            part = slice(features.indptr[row], features.indptr[row + 1])
            dense[row, features.indices[part]] = features.values[part]
        return dense

    def test_encode_decode(self):
        """By the formulas, in double."""
        kinds = [self.rows, self.rows.astype(np.float16), self.rows[3], self.rows[:0]]
        for rows in kinds:
            encoded = self.model.encode(rows)
            raw = np.atleast_2d(rows).astype(np.float64)
            x = self.model.scale * (raw - self.model.mean)
            for number, level in enumerate(self.model.levels):
                p = x @ level.encoder.T.astype(np.float64) + level.encoder_bias
                sure = abs(p - level.threshold) > 1e-4
                dense = self.dense(encoded[number])
                self.assertEqual(dense.shape, p.shape)
                np.testing.assert_allclose(dense[sure], np.where(p > level.threshold, p, 0)[sure], atol=1e-4)
                decoded = self.model.decode(number, encoded[number])
                expected = (dense.astype(np.float64) @ level.decoder + level.decoder_bias) / self.model.scale + self.model.mean
                np.testing.assert_allclose(decoded, expected, atol=1e-4)
                np.testing.assert_array_equal(self.model.decode(number, dense), decoded)
        with self.assertRaisesRegex(ValueError, "width 4"):
            self.model.encode(np.zeros((2, 4), np.float32))
        with self.assertRaisesRegex(ValueError, "columns"):
            self.model.decode(0, np.zeros((2, 4), np.float32))

    def test_evaluate(self):
        figures = self.model.evaluate(self.rows)
        self.assertEqual(figures["tokens"], ROWS)
        for number, level in enumerate(self.model.levels):
            found = self.dense(self.model.encode(self.rows)[number])
            self.assertAlmostEqual(figures["levels"][number]["l0"], (found > 0).sum(1).mean())
            self.assertAlmostEqual(figures["levels"][number]["dead_fraction"], (found == 0).all(0).mean())

    def test_tree(self):
        tree = self.model.tree
        for number, level in enumerate(self.model.levels):
            parents, children = tree.parents[number], tree.children(number)
            self.assertEqual(len(children), level.features)
            below = tree.parents[number + 1] if number + 1 < len(self.model.levels) else np.zeros(0)
            for feature in range(level.features):
                self.assertEqual(list(children[feature]), list(np.flatnonzero(below == feature)))
            self.assertEqual((parents >= 0).any(), number > 0)
        if installed("networkx"):
            graph = tree.networkx()
            self.assertEqual(len(graph), sum(level.features for level in self.model.levels))
            for parent, child in graph.edges:
                self.assertEqual((parent[0] + 1, tree.parents[child[0]][child[1]]), (child[0], parent[1]))

    def test_threads(self):
        expected, found = [self.dense(part) for part in self.model.encode(self.rows)], []

        def work():
            for _ in range(5):
                found.append([self.dense(part) for part in self.model.encode(self.rows)])

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(found), 15)
        for parts in found:
            for part, other in zip(parts, expected):
                np.testing.assert_array_equal(part, other)


class Others(unittest.TestCase):
    def test_devices(self):
        found = hsae.devices()
        self.assertEqual((found[-1].id, found[-1].kind), ("ref", "cpu"))
        self.assertIn(hsae.default_device(), [device.id for device in found])
        with self.assertRaisesRegex(hsae.DeviceError, "opencl:77"):
            hsae.Trainer(device="opencl:77")

    def test_levels_left_out(self):
        rows = np.random.default_rng(1).standard_normal((4000, 16), np.float32)
        trainer = hsae.Trainer(data=rows, device="ref", steps=1, batch=8, target_l0=4).fit()
        self.assertEqual(trainer.model.config["levels"], [16, 32])

    def test_config(self):
        self.assertEqual(hsae.Config(levels=[4, 8], steps=10, target_l0=2).resolved(16)["dead_steps"], 1)
        self.assertIn("peak learning rate", hsae.Config.__doc__)
        self.assertEqual(hsae.Config(tree="full", ghost=False, levels=[4, 8], steps=10, target_l0=[1, 2], seed=2**62).resolved(16)["target_l0"], [1, 2])
        with self.assertRaisesRegex(hsae.ConfigError, "lr"):
            hsae.Config(lr=-1, steps=1).resolved(16)
        with self.assertRaises(TypeError):
            hsae.Config(no_such_key=1)
        program = subprocess.run([HSAE, "train", "--help", "all"], capture_output=True, text=True).stdout
        for key in hsae.Config.__dataclass_fields__:
            self.assertIn("--" + key.replace("_", "-"), program)

    def test_errors(self):
        with self.assertRaisesRegex(hsae.FileError, "no-such-file") as caught:
            hsae.Model.load("no-such-file")
        self.assertEqual(caught.exception.status, "ERROR_FILE")
        self.assertIsInstance(caught.exception, OSError)
        bad = made_rows()
        bad[70, 3] = np.inf
        with self.assertRaisesRegex(hsae.DataError, "rows in memory: row 70, column 3"):
            trainer(bad).fit()
        with self.assertRaisesRegex(hsae.DataError, "fewer than a batch"):
            trainer().step(bad[:5])
        with self.assertRaises(hsae.Error):
            trainer().fit()
        with self.assertRaisesRegex(TypeError, "expected numbers"):
            trainer(np.array([["a"]]))
        begun = trainer(made_rows())
        begun.fit(until=1)
        with self.assertRaisesRegex(ValueError, "width 3"):
            begun.step(np.zeros((1, 3), np.float32))


if __name__ == "__main__":
    main()
