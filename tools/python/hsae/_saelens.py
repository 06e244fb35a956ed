# SPDX-License-Identifier: MIT
"""Models as objects of SAELens 6. The rules of `hsae export` and `hsae import` hold; files in a temporary folder carry the weights."""
from __future__ import annotations

import importlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Callable, List, Mapping, Sequence

from ._library import check, context, ffi, lib


def export(native: Any, folder: Any, format: str, metadata: Mapping[str, Any]) -> None:
    formats = {"saelens": lib.HSAE_EXPORT_SAELENS, "gemma-scope": lib.HSAE_EXPORT_GEMMA_SCOPE}
    if format not in formats:
        raise ValueError(f"format {format!r}: expected one of {', '.join(formats)}")
    held, entries = [], ffi.new("hsae_metadata[]", len(metadata))
    for entry, (key, value) in zip(entries, metadata.items()):
        held += [ffi.new("char[]", text.encode()) for text in (key, value if isinstance(value, str) else json.dumps(value))]
        entry.key, entry.value = held[-2:]
    check(lib.hsae_model_export(context, native, formats[format], os.fsencode(folder), entries, len(metadata)))


def import_files(paths: Sequence[Any]) -> Any:
    texts, out = [ffi.new("char[]", os.fsencode(path)) for path in paths], ffi.new("hsae_model **")
    check(lib.hsae_model_import(context, ffi.new("char *[]", texts), len(texts), out))
    return out[0]


def to_saelens(export_to: Callable[[Path], None], levels: int, device: str) -> List[Any]:
    sae = importlib.import_module("sae_lens").SAE
    with tempfile.TemporaryDirectory(prefix="hsae-saelens-") as name:
        folder = Path(name) / "saes"
        export_to(folder)
        return [sae.load_from_disk(str(folder / f"level-{level}"), device=device) for level in range(levels)]


def from_saelens(saes: Sequence[Any]) -> Any:
    with tempfile.TemporaryDirectory(prefix="hsae-saelens-") as name:
        folders = [Path(name) / f"level-{number}" for number in range(len(saes))]
        for sae, folder in zip(saes, folders):
            sae.save_model(str(folder))
        return import_files(folders)
