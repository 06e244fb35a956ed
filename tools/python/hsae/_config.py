# SPDX-License-Identifier: MIT
"""The configuration of a training run."""
import dataclasses
import json

from ._config_keys import ConfigKeys
from ._library import check, context, ffi, lib, text


def _as_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    return ",".join(_as_text(item) for item in value)


class Config(ConfigKeys):
    __doc__ = ConfigKeys.__doc__

    def _apply(self, native):
        """Sets the keys that are given."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                check(lib.hsae_config_set(context, native, field.name.encode(), _as_text(value).encode()))

    def _native(self):
        native = ffi.new("hsae_config *")
        lib.hsae_config_defaults(native)
        self._apply(native)
        return native

    def resolved(self, dim):
        """The values of all keys for activations of width `dim`, as a dict; ConfigError where they cannot be trained with."""
        native = self._native()
        check(lib.hsae_config_resolve(context, native, dim))
        return as_dict(native)


def as_dict(native):
    json_text = lib.hsae_config_json(native)
    values = json.loads(text(json_text))
    lib.hsae_free(json_text)
    return values


def make_config(config, keys):
    """A Config from a Config, a dict or None, and keywords."""
    if config is None:
        return Config(**keys)
    if isinstance(config, ConfigKeys):
        return dataclasses.replace(config, **keys)
    return Config(**{**config, **keys})
