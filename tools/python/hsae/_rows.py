# SPDX-License-Identifier: MIT
"""Rows of activations as the library takes them: from files, numpy arrays, tensors."""
from __future__ import annotations

import os
import sys
from typing import Any, Optional, Tuple, Union

import numpy as np

from ._library import check, context, ffi, lib

Path = Union[str, "os.PathLike[str]"]
_TYPES = {"float32": lib.HSAE_DTYPE_F32, "float16": lib.HSAE_DTYPE_F16, "bfloat16": lib.HSAE_DTYPE_BF16}


class Rows:
    """[count, dim] numbers without gaps: `array` (bfloat16 as uint16) and the library's `dtype`. No copy where the source is laid out so."""

    def __init__(self, source: Any) -> None:
        array, kind = _as_array(source)
        if array.ndim == 1:
            array = array[None, :]
        if array.ndim < 2:
            raise ValueError(f"activations have the shape {array.shape}: expected [rows, width] or [..., width]")
        self.array = np.ascontiguousarray(array.reshape(-1, array.shape[-1]))
        self.dtype = _TYPES[kind]
        self.count, self.dim = self.array.shape

    @property
    def bfloat16(self) -> bool:
        return self.dtype == lib.HSAE_DTYPE_BF16

    def floats(self) -> np.ndarray:
        """The numbers as float32; a copy where they are not."""
        if self.bfloat16:
            return (self.array.astype(np.uint32) << 16).view(np.float32)
        return self.array.astype(np.float32, copy=False)

    @property
    def pointer(self) -> Any:
        return ffi.from_buffer(self.array) if self.array.size else ffi.new("char[1]")

    def part(self, first: int, count: int) -> Rows:
        other = object.__new__(Rows)
        other.array, other.dtype, other.dim = self.array[first:first + count], self.dtype, self.dim
        other.count = len(other.array)
        return other

    def dataset(self) -> Any:
        out = ffi.new("hsae_dataset **")
        check(lib.hsae_dataset_from_memory(context, self.pointer, self.dtype, self.count, self.dim, out))
        return _own(out[0], self.array)


def _own(pointer: Any, *keep: Any) -> Any:
    """A data set that is closed with its last reference; what it reads from lives as long."""
    def close(dataset: Any) -> None:
        lib.hsae_dataset_close(ffi.new("hsae_dataset **", dataset))
        del keep_alive[:]

    keep_alive = list(keep)
    return ffi.gc(pointer, close)


def _as_array(source: Any) -> Tuple[np.ndarray, str]:
    """(array, name of its type); bfloat16 comes as uint16."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.Tensor):
        source = source.detach().cpu().contiguous()
        if source.dtype == torch.bfloat16:
            return np.from_dlpack(source.view(torch.int16)).view(np.uint16), "bfloat16"
    if not isinstance(source, np.ndarray) and hasattr(source, "__dlpack__"):
        source = np.from_dlpack(source)
    array = np.asarray(source)
    if array.dtype.name == "bfloat16":
        return array.view(np.uint16), "bfloat16"
    if array.dtype.name in _TYPES and array.dtype.isnative:
        return array, array.dtype.name
    if array.dtype.kind not in "fiu":
        raise TypeError(f"activations of type {array.dtype}: expected numbers")
    return array.astype(np.float32), "float32"


def is_path(data: Any) -> bool:
    """A path, or a list of paths."""
    paths = data if isinstance(data, (list, tuple)) and data else [data]
    return all(isinstance(path, (str, os.PathLike)) for path in paths)


def is_rows(data: Any) -> bool:
    return hasattr(data, "__array__") or hasattr(data, "__dlpack__") or hasattr(data, "__array_interface__")


def open_dataset(data: Any, tensor: Optional[str] = None) -> Any:
    """A data set of paths, of an array or of a tensor."""
    if not is_path(data):
        return Rows(data).dataset()
    texts = [ffi.new("char[]", os.fsencode(path)) for path in (data if isinstance(data, (list, tuple)) else [data])]
    name = ffi.new("char[]", tensor.encode()) if tensor else ffi.NULL
    params, out = ffi.new("hsae_dataset_params *"), ffi.new("hsae_dataset **")
    params.paths = paths = ffi.new("char *[]", texts)
    params.path_count, params.tensor = len(texts), name
    check(lib.hsae_dataset_open(context, params, out))
    del paths
    return _own(out[0])
