# SPDX-License-Identifier: MIT
"""Training from files, arrays and iterators."""
from __future__ import annotations

import contextlib
import os
import threading
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Union

import numpy as np

from ._config import Config, as_dict, make_config
from ._library import Error, check, context, ffi, lib, open_device
from ._model import Model
from ._rows import Rows, is_path, is_rows, open_dataset

CALIBRATION_ROWS = 65536
Metrics = Dict[str, Any]
Path = Union[str, os.PathLike]


def _metrics(native: Any) -> Metrics:
    levels = [{"reconstruction": level.reconstruction, "variance_explained": level.variance_explained, "l0": level.l0, "lambda": getattr(level, "lambda"),
               "constraint": level.constraint, "dead": level.dead} for level in (native.levels[k] for k in range(native.level_count))]
    return {"step": native.step, "tokens": native.tokens, "lr": native.lr, "seconds": native.seconds,
            "tokens_per_second": native.tokens_per_second, "data_wait": native.data_wait, "left_out": native.left_out, "levels": levels}


def flat(metrics: Mapping[str, Any]) -> Dict[str, float]:
    """The figures of a step as one dict of numbers, for loggers: {"step": 10, "lr": ..., "level_0/l0": ...}."""
    numbers = {key: value for key, value in metrics.items() if key != "levels"}
    for number, level in enumerate(metrics["levels"]):
        numbers.update({f"level_{number}/{key}": value for key, value in level.items()})
    return numbers


class _Run:
    """What the library's callbacks belong to, on this thread. An exception in one ends the run and is raised after it."""

    current = threading.local()

    def __init__(self, trainer: Trainer, callbacks: Sequence[Callable[[Metrics], Any]], checkpoint: Optional[Path]) -> None:
        self.trainer, self.callbacks, self.checkpoint = trainer, callbacks, checkpoint
        self.raised: Optional[BaseException] = None

    def __enter__(self) -> _Run:
        self.outer, _Run.current.run = getattr(_Run.current, "run", None), self
        return self

    def __exit__(self, *_: Any) -> None:
        _Run.current.run = self.outer

    def report(self, metrics: Metrics) -> bool:
        self.trainer.metrics.append(metrics)
        answers = [callback(metrics) for callback in self.callbacks]
        return not any(answer is False for answer in answers)


def _failed(kind: Any, error: BaseException, trace: Any) -> None:
    run = _Run.current.run
    run.raised = run.raised or error


@ffi.def_extern(error=False, onerror=_failed)
def hsae_py_progress(user: Any, step: int, until: int) -> bool:
    return True


@ffi.def_extern(error=False, onerror=_failed)
def hsae_py_metrics(user: Any, metrics: Any) -> bool:
    return _Run.current.run.report(_metrics(metrics))


@ffi.def_extern(error=False, onerror=_failed)
def hsae_py_checkpoint(user: Any, trainer: Any) -> bool:
    run = _Run.current.run
    run.trainer.save_checkpoint(run.checkpoint)
    return True


@ffi.def_extern(error=lib.HSAE_ERROR_CONFIG, onerror=_failed)
def hsae_py_override(user: Any, native: Any) -> int:
    _Run.current.run.trainer.config._apply(native)
    return lib.HSAE_OK


class Trainer:
    """Trains a hierarchical sparse autoencoder.

    config: a Config, a dict of its keys, or None; keywords are keys, too. `steps` must be given.
    data: where the rows come from:
        a path or a list of paths: files and folders, as `hsae train --data` takes them; may be larger than memory
        an array or a tensor [rows, width] or [..., width]: float32, float16 and bfloat16 are used where they are, without a copy, and must
            stay as they are while they are trained on; other numbers are converted to float32
        an iterator of such arrays, with any number of rows each: trained on in the order in which they come
        None: rows come by step()
    device: the id of a device, as of devices(); None: the default one.
    tensor: of files, the tensor or column to read, where several fit.
    calibration: of an iterator, how many of its first rows give mean, scale and norm limit; they are kept in memory until they are trained on.

    The library's trainer is made by the first call that needs it, from the first rows, or from a checkpoint by fit(resume=...).
    """

    def __init__(self, config: Union[Config, Mapping[str, Any], None] = None, data: Any = None, *, device: Optional[str] = None,
                 tensor: Optional[str] = None, calibration: int = CALIBRATION_ROWS, **keys: Any) -> None:
        self.config = make_config(config, keys)
        self.metrics: List[Metrics] = []
        self._device = open_device(device)
        self._native, self._dataset, self._rows, self._waiting = None, None, None, []
        self._calibration = calibration
        if is_path(data) or is_rows(data):
            self._dataset = open_dataset(data, tensor)
        elif data is not None:
            self._rows = iter(data)

    # ---- the library's trainer

    def _take(self, pointer: Any) -> None:
        device = self._device

        def discard(trainer: Any) -> None:
            device.discard(lambda: lib.hsae_trainer_destroy(ffi.new("hsae_trainer **", trainer)))

        self._native = ffi.gc(pointer, discard)

    def _create(self, dataset: Any) -> None:
        out = ffi.new("hsae_trainer **")
        with self._device:
            check(lib.hsae_trainer_create(self._device.pointer, self.config._native(), dataset, out))
        self._take(out[0])

    def _resume(self, path: Path) -> None:
        out = ffi.new("hsae_trainer **")
        with self._device, _Run(self, (), None) as run:
            status = lib.hsae_trainer_resume(self._device.pointer, os.fsencode(path), lib.hsae_py_override, ffi.NULL, out)
        if run.raised:
            raise run.raised
        check(status)
        self._take(out[0])

    def _need(self) -> None:
        """Makes the trainer from the first rows, where it is not made yet."""
        if self._native is not None:
            return
        if self._dataset is not None:
            self._create(self._dataset)
        elif self._rows is not None:
            self._calibrate()
        else:
            raise Error("there are no rows yet: give data, or call step() first")

    def _calibrate(self) -> None:
        held = 0
        while held < self._calibration:
            rows = next(self._rows, None)
            if rows is None:
                break
            self._waiting.append(Rows(rows))
            held += self._waiting[-1].count
        if not self._waiting:
            raise Error("the iterator gives no rows")
        kinds = {rows.dtype for rows in self._waiting}
        if len(kinds) > 1:
            raise TypeError("the arrays of the iterator are of different types")
        first = self._waiting[0].part(0, 0)
        first.array = np.concatenate([rows.array for rows in self._waiting])[:self._calibration]
        first.count = len(first.array)
        self._create(first.dataset())

    # ---- state

    @property
    def steps_done(self) -> int:
        """Steps done, those of a resumed run included."""
        return lib.hsae_trainer_step_count(self._native) if self._native is not None else 0

    @property
    def resolved(self) -> Dict[str, Any]:
        """The configuration in use, all keys, as a dict."""
        self._need()
        return as_dict(lib.hsae_trainer_config(self._native))

    @property
    def model(self) -> Model:
        """A copy of the model as it is now."""
        self._need()
        out = ffi.new("hsae_model **")
        with self._device:
            check(lib.hsae_trainer_model(self._native, out))
        return Model(out[0], device=self._device.id)

    def save_model(self, path: Path) -> None:
        """Writes model.safetensors, the bytes that `hsae train` writes."""
        self._need()
        with self._device:
            check(lib.hsae_trainer_save_model(self._native, os.fsencode(path)))

    def save_checkpoint(self, path: Path) -> None:
        """Writes what a run goes on from. The old file stays until the new one is whole."""
        self._need()
        with self._device:
            check(lib.hsae_trainer_save_checkpoint(self._native, os.fsencode(path)))

    # ---- training

    def step(self, rows: Any, metrics: bool = False) -> Optional[Metrics]:
        """Trains on rows [any number, width]: they are gathered into batches, and each full batch is a step.

        The rows of the first call calibrate a trainer without data, so they must be a batch or more. Returns the figures of the last step,
        if metrics are wanted and there was one; they are added to `metrics`, too. Rows after the last of config.steps are not used.
        """
        rows = Rows(rows)
        if self._native is None and self._dataset is None and self._rows is None:
            self._create(rows.dataset())
        self._need()
        figures = self._step(rows, metrics)
        if figures:
            self.metrics.append(figures)
        return figures

    def _step(self, rows: Rows, metrics: bool) -> Optional[Metrics]:
        dim = lib.hsae_trainer_dim(self._native)
        if rows.dim != dim:
            raise ValueError(f"the rows have width {rows.dim}, the model has {dim}")
        native = ffi.new("hsae_step_metrics *") if metrics else ffi.NULL
        with self._device:
            check(lib.hsae_trainer_step_rows(self._native, rows.pointer, rows.dtype, rows.count, ffi.NULL, native))
        return _metrics(native) if metrics and native.step else None

    def fit(self, *, callbacks: Iterable[Callable[[Metrics], Any]] = (), metrics_every: int = 100, checkpoint: Optional[Path] = None,
            checkpoint_every: int = 0, resume: Union[Path, bool, None] = None, until: Optional[int] = None) -> Trainer:
        """Trains up to config.steps, or step `until`. Returns self.

        callbacks: functions of the figures of a step (a dict, as in `metrics`), called every `metrics_every` steps and after the last;
            one that returns False ends the training after that step. hsae.callbacks has those of tqdm, TensorBoard, W&B and Trackio, and says
            what else a callback may have.
        checkpoint: the path of a file that is written every `checkpoint_every` steps, and when the training ends early: by a callback, by
            Ctrl-C or by an exception of a callback. Without it nothing is written.
        resume: the path of a checkpoint to go on from, or True: `checkpoint`, if that file exists. Keys that are given in the configuration
            replace the run's where the library allows it. Of an iterator, the rows that were trained on are passed over.

        Ctrl-C ends the training after the step that is being done, saves the checkpoint, and raises KeyboardInterrupt.
        """
        if resume is True:
            resume = checkpoint if checkpoint and os.path.exists(checkpoint) else None
        if resume:
            if self._native is not None:
                raise Error("fit(resume=...): this trainer has begun; make a new one to go on from a checkpoint")
            self._resume(resume)
            if self._rows is not None:
                self._pass_over(self.steps_done * lib.hsae_trainer_config(self._native).batch)
        self._need()
        run = _Run(self, tuple(callbacks), checkpoint)
        steps = lib.hsae_trainer_config(self._native).steps
        until = min(until or steps, steps)
        with contextlib.ExitStack() as ends:
            for callback in run.callbacks:
                if hasattr(callback, "begin"):
                    callback.begin(self)
                if hasattr(callback, "end"):
                    ends.callback(callback.end)
            whole = False
            try:
                whole = (self._fit_dataset if self._dataset is not None else self._fit_rows)(run, until, metrics_every, checkpoint_every)
            finally:
                if not whole and checkpoint and not self._diverged():
                    self.save_checkpoint(checkpoint)
        return self

    def _diverged(self) -> bool:
        return bool(lib.hsae_trainer_divergence(self._native, ffi.new("hsae_divergence *")))

    def _fit_dataset(self, run, until, metrics_every, checkpoint_every):
        params = ffi.new("hsae_run_params *")
        params.until, params.metrics_every = until, metrics_every
        params.progress, params.metrics = lib.hsae_py_progress, lib.hsae_py_metrics
        if run.checkpoint and checkpoint_every:
            params.checkpoint, params.checkpoint_every = lib.hsae_py_checkpoint, checkpoint_every
        with self._device, run:
            status = lib.hsae_trainer_run(self._native, self._dataset, params)
        if run.raised:
            raise run.raised
        if status == lib.HSAE_CANCELLED:
            return False
        check(status)
        return True

    def _next_rows(self):
        if self._waiting:
            return self._waiting.pop(0)
        rows = next(self._rows, None) if self._rows is not None else None
        return None if rows is None else Rows(rows)

    def _pass_over(self, count):
        while count:
            rows = self._next_rows()
            if rows is None:
                raise Error(f"the iterator ends {count} rows before the place at which the checkpoint was made")
            if rows.count > count:
                self._waiting.insert(0, rows.part(count, rows.count - count))
            count -= min(count, rows.count)

    def _fit_rows(self, run, until, metrics_every, checkpoint_every):
        batch = lib.hsae_trainer_config(self._native).batch
        while self.steps_done < until:
            rows = self._next_rows()
            if rows is None:
                raise Error(f"the rows ended after {self.steps_done} of {until} steps")
            # As many rows as fill the batch up to the next step that is reported or saved.
            done = self.steps_done
            stops = [until] + [done - done % every + every for every in (metrics_every, checkpoint_every) if every]
            wanted = (min(stops) - done) * batch - lib.hsae_trainer_gathered(self._native)
            if rows.count > wanted:
                self._waiting.insert(0, rows.part(wanted, rows.count - wanted))
                rows = rows.part(0, wanted)
            due = rows.count == wanted and metrics_every and (min(stops) % metrics_every == 0 or min(stops) == until)
            figures = self._step(rows, bool(due))
            if due:
                go_on = run.report(figures)
            if rows.count == wanted and run.checkpoint and checkpoint_every and self.steps_done % checkpoint_every == 0:
                self.save_checkpoint(run.checkpoint)
            if due and not go_on:
                return False
        return True
