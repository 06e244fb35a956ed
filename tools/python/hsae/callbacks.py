# SPDX-License-Identifier: MIT
"""What `Trainer.fit(callbacks=[...])` takes, for the usual loggers. Each imports its package when it is made.

A callback is a function of the figures of a step. It may be an object with methods begin(trainer) and end(), called before the first step of a
`fit` and when that ends, however it ends.
"""
from __future__ import annotations

import importlib
from typing import Any, Dict, Mapping

from ._trainer import Trainer, flat


class Progress:
    """A bar of tqdm, with the mean L0 and variance explained over the levels. It moves every `metrics_every` steps. Keywords are tqdm's."""

    def __init__(self, **options: Any) -> None:
        self._tqdm, self._options = importlib.import_module("tqdm.auto").tqdm, options

    def begin(self, trainer: Trainer) -> None:
        self._bar = self._tqdm(**{"total": trainer.resolved["steps"], "initial": trainer.steps_done, "unit": " steps", **self._options})

    def __call__(self, figures: Mapping[str, Any]) -> None:
        levels = figures["levels"]
        means = {name: sum(level[key] for level in levels) / len(levels) for name, key in (("l0", "l0"), ("explained", "variance_explained"))}
        self._bar.set_postfix({name: f"{mean:.4g}" for name, mean in means.items()}, refresh=False)
        self._bar.update(figures["step"] - self._bar.n)

    def end(self) -> None:
        self._bar.close()


def _numbers(figures: Mapping[str, Any]) -> Dict[str, float]:
    """All but the step, which loggers take by itself."""
    return {name: value for name, value in flat(figures).items() if name != "step"}


class TensorBoard:
    """Scalars for TensorBoard in a folder, by torch.utils.tensorboard or, where that is missing, by tensorboardX."""

    def __init__(self, folder: str) -> None:
        try:
            self._module = importlib.import_module("torch.utils.tensorboard")
        except ImportError:
            self._module = importlib.import_module("tensorboardX")
        self._folder = folder

    def begin(self, trainer: Trainer) -> None:
        self._writer = self._module.SummaryWriter(self._folder)

    def __call__(self, figures: Mapping[str, Any]) -> None:
        for name, value in _numbers(figures).items():
            self._writer.add_scalar(name, value, figures["step"])

    def end(self) -> None:
        self._writer.close()


class _Run:
    """A run of a package with init(), log() and finish()."""

    package = ""

    def __init__(self, run: Any = None, **init: Any) -> None:
        self._module, self._run, self._own, self._init = importlib.import_module(self.package), run, run is None, init

    def begin(self, trainer: Trainer) -> None:
        if self._own:
            self._run = self._module.init(**{"config": trainer.resolved, **self._init})

    def __call__(self, figures: Mapping[str, Any]) -> None:
        self._run.log(_numbers(figures), step=figures["step"])

    def end(self) -> None:
        if self._own:
            self._run.finish()


class WandB(_Run):
    """Figures for Weights & Biases: a run that is there, which stays open, or a new one of each `fit`, from wandb.init(**keywords).

    The configuration of the training is the run's, unless a keyword `config` is given.
    """

    package = "wandb"


class Trackio(_Run):
    """Figures for Trackio; like WandB, but trackio.init needs the keyword `project`."""

    package = "trackio"
