# SPDX-License-Identifier: MIT
"""The configuration of a training run."""
from __future__ import annotations

import dataclasses
import json
from typing import Any, Dict, Mapping, Union

from ._config_keys import ConfigKeys
from ._library import check, context, ffi, lib, text


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    return ",".join(_as_text(item) for item in value)


class Config(ConfigKeys):
    __doc__ = ConfigKeys.__doc__

    def _apply(self, native: Any) -> None:
        """Sets the keys that are given."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                check(lib.hsae_config_set(context, native, field.name.encode(), _as_text(value).encode()))

    def _native(self) -> Any:
        native = ffi.new("hsae_config *")
        lib.hsae_config_defaults(native)
        self._apply(native)
        return native

    def resolved(self, dim: int) -> Dict[str, Any]:
        """The values of all keys for activations of width `dim`, as a dict; ConfigError where they cannot be trained with."""
        native = self._native()
        check(lib.hsae_config_resolve(context, native, dim))
        return as_dict(native)


def as_dict(native: Any) -> Dict[str, Any]:
    json_text = lib.hsae_config_json(native)
    values: Dict[str, Any] = json.loads(text(json_text))
    lib.hsae_free(json_text)
    return values


def make_config(config: Union[Config, Mapping[str, Any], None], keys: Mapping[str, Any]) -> Config:
    """A Config from a Config, a dict or None, and keywords."""
    if config is None:
        return Config(**keys)
    if isinstance(config, Config):
        return dataclasses.replace(config, **keys)
    return Config(**{**config, **keys})
