# SPDX-License-Identifier: MIT
"""Training from files, arrays and iterables."""
from __future__ import annotations

import contextlib
import os
import threading
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from ._config import Config, as_dict, make_config
from ._library import Error, check, context, ffi, lib, open_device
from ._model import Model
from ._rows import Path, Rows, is_path, is_rows, open_dataset
from ._source import Source

Metrics = Dict[str, Any]


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
    source = _Run.current.run.trainer._source
    return source is None or not source.stopped


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

    config: a Config, a dict of its keys, or None; keywords are keys, too. `steps` must be given. Without `levels` files and arrays have levels that
        suit their rows and the device, as `hsae train` chooses them; other data have those of the paper.
    data: where the rows come from:
        a path or a list of paths: files and folders, as `hsae train --data` takes them; may be larger than memory
        an array or a tensor [rows, width] or [..., width]: float32, float16 and bfloat16 are used where they are, without a copy, and must
            stay as they are while they are trained on; other numbers are converted to float32
        an iterable of such arrays, all of one type, with any number of rows each: for activations that are made while the training runs. Half of a
            buffer is filled while steps draw from the other, in an order that follows from the seed
        None: rows come by step()
    device: the id of a device, as of devices(); None: the default one.
    tensor: of files, the tensor or column to read, where several fit.
    buffer_rows: of an iterable, the rows of the buffer, which takes buffer_rows * (width * 2 or 4 + 8) bytes; 0: 131,072. A run must be resumed
        with the same number.
    folder: of an iterable, a folder that keeps the rows of the first pass, for later passes and runs; any run can use it as data, too. Without
        it, later passes take the rows from the iterable again, which is not possible with an iterator that can be read once.
    identity: of an iterable, a text that says which rows these are; a checkpoint remembers it, and goes on with no other.

    The library's trainer is made by the first call that needs it, from the first rows, or from a checkpoint by fit(resume=...).
    """

    def __init__(self, config: Union[Config, Mapping[str, Any], None] = None, data: Any = None, *, device: Optional[str] = None,
                 tensor: Optional[str] = None, buffer_rows: int = 0, folder: Optional[Path] = None, identity: Optional[str] = None,
                 **keys: Any) -> None:
        self.config = make_config(config, keys)
        self.metrics: List[Metrics] = []
        self._device = open_device(device)
        self._native, self._dataset = None, None
        self._source: Optional[Source] = None
        if is_path(data) or is_rows(data):
            self._dataset = open_dataset(data, tensor)
        elif data is not None:
            self._source = Source(data, identity, buffer_rows, folder)

    # ---- the library's trainer

    def _take(self, pointer: Any) -> None:
        device = self._device

        def discard(trainer: Any) -> None:
            device.discard(lambda: lib.hsae_trainer_destroy(ffi.new("hsae_trainer **", trainer)))

        self._native = ffi.gc(pointer, discard)

    def _create(self, function: Callable[..., int], data: Any, config: Any = None) -> None:
        out = ffi.new("hsae_trainer **")
        with self._device:
            check(function(self._device.pointer, config or self.config._native(), data, out))
        self._take(out[0])

    def _create_from_dataset(self) -> None:
        config = self.config._native()
        if self.config.levels is None:
            with self._device:
                lib.hsae_levels_choose(self._device.pointer, config, lib.hsae_dataset_dim(self._dataset), lib.hsae_dataset_rows(self._dataset))
        self._create(lib.hsae_trainer_create, self._dataset, config)

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
        source = self._source
        if self._dataset is not None:
            self._create_from_dataset()
        elif source is not None:
            source.run(lambda: self._create(lib.hsae_trainer_create_from_source, source.pointer))
        else:
            raise Error("there are no rows yet: give data, or call step() first")

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

    def set_lr(self, lr: Optional[float]) -> None:
        """The learning rate of all coming steps, which a checkpoint keeps; None: that of the configuration's schedule. Callbacks may call it."""
        self._need()
        with self._device:
            check(lib.hsae_trainer_set_lr(self._native, -1.0 if lr is None else lr))

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
        if self._native is None and self._dataset is None and self._source is None:
            self._create(lib.hsae_trainer_create, rows.dataset())
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
            replace the run's where the library allows it. An iterable must give the same rows again; those that were trained on are passed over.

        Ctrl-C ends the training after the step that is being done, saves the checkpoint, and raises KeyboardInterrupt. With an iterable, rows and
        callbacks are called in other threads than this one.
        """
        if resume is True:
            resume = checkpoint if checkpoint and os.path.exists(checkpoint) else None
        if resume:
            if self._native is not None:
                raise Error("fit(resume=...): this trainer has begun; make a new one to go on from a checkpoint")
            self._resume(resume)
        if self._dataset is None and self._source is None:
            raise Error("fit: this trainer has no data; give data, or call step()")
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
            whole, source = False, self._source
            try:
                if source is None:
                    whole = self._run(run, lib.hsae_trainer_run, self._dataset, until, metrics_every, checkpoint_every)
                else:
                    whole = source.run(lambda: self._run(run, lib.hsae_trainer_run_source, source.pointer, until, metrics_every, checkpoint_every))
            finally:
                if not whole and checkpoint and not self._diverged():
                    self.save_checkpoint(checkpoint)
        return self

    def _diverged(self) -> bool:
        return bool(lib.hsae_trainer_divergence(self._native, ffi.new("hsae_divergence *")))

    def _run(self, run: _Run, function: Callable[..., int], data: Any, until: int, metrics_every: int, checkpoint_every: int) -> bool:
        """False: a callback ended it."""
        params = ffi.new("hsae_run_params *")
        params.until, params.metrics_every = until, metrics_every
        params.progress, params.metrics = lib.hsae_py_progress, lib.hsae_py_metrics
        if run.checkpoint and checkpoint_every:
            params.checkpoint, params.checkpoint_every = lib.hsae_py_checkpoint, checkpoint_every
        with self._device, run:
            status = function(self._native, data, params)
        if run.raised:
            raise run.raised
        if status == lib.HSAE_CANCELLED:
            return False
        check(status)
        return True
