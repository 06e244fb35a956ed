# SPDX-License-Identifier: MIT
"""Hierarchical sparse autoencoders of language-model activations, trained on any GPU or CPU.

    import hsae

    trainer = hsae.Trainer(levels=[64, 128, 256], batch=256, steps=1000, target_l0=20, data="activations/")
    trainer.fit(callbacks=[print])
    features = trainer.model.encode(rows)      # one sparse matrix a level
"""
from ._config import Config
from ._library import (ArgumentError, ConfigError, DataError, Device, DeviceError, Diverged, Error, FileError, FormatError, OutOfMemory,
                       default_device, devices, test_device, version)
from ._model import Features, Level, Model
from ._trainer import Trainer, flat

__version__ = version()
__all__ = ["ArgumentError", "Config", "ConfigError", "DataError", "Device", "DeviceError", "Diverged", "Error", "Features", "FileError",
           "FormatError", "Level", "Model", "OutOfMemory", "Trainer", "default_device", "devices", "flat", "test_device", "version"]
