# SPDX-License-Identifier: MIT
"""Hierarchical sparse autoencoders of language-model activations, trained on any GPU or CPU.

    import hsae

    trainer = hsae.Trainer(levels=[64, 128, 256], batch=256, steps=1000, target_l0=20, data="activations/")
    trainer.fit(callbacks=[print])
    features = trainer.model.encode(rows)      # one sparse matrix a level
"""
from . import callbacks
from ._config import Config
from ._explore import Page, explore
from ._library import (ArgumentError, ConfigError, DataError, Device, DeviceError, Diverged, Error, FileError, FormatError, OutOfMemory,
                       default_device, devices, test_device, version)
from ._model import Features, Level, Model
from ._trainer import Trainer, flat
from ._tree import Tree
from .collect import activations

__version__ = version()
__all__ = ["ArgumentError", "Config", "ConfigError", "DataError", "Device", "DeviceError", "Diverged", "Error", "Features", "FileError",
           "FormatError", "Level", "Model", "OutOfMemory", "Page", "Trainer", "Tree", "activations", "callbacks", "default_device", "devices", "explore",
           "flat", "test_device", "version"]
