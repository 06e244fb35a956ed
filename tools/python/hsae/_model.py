# SPDX-License-Identifier: MIT
"""Trained models."""
from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from . import _hub, _saelens
from ._config import Config, as_dict, make_config
from ._library import check, context, ffi, lib, open_device
from ._rows import Path, Rows, open_dataset
from ._tree import Tree


class Features(NamedTuple):
    """Active features of rows, compressed sparse rows, where scipy is not installed.

    Row r has the features indices[indptr[r]:indptr[r + 1]], ascending, with these values; shape is (rows, features of the level).
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    shape: Tuple[int, int]


class Level:
    """One level of a model: arrays that are views of the model's memory, not to be written to. n features of width d.

    encoder, decoder: float32 [n, d], row i is feature i; the rows of the decoder have norm 1
    encoder_bias, threshold: float32 [n]; a feature is active where encoder @ x + encoder_bias is above the threshold
    decoder_bias: float32 [d]
    parent: int32 [n], a feature of the level above or -1; None at level 0
    """

    def __init__(self, model: Model, native: Any) -> None:
        n, d = native.features, model.dim
        self.features = n
        self.encoder = model._view(native.encoder_weight, (n, d))
        self.encoder_bias = model._view(native.encoder_bias, (n,))
        self.threshold = model._view(native.threshold, (n,))
        self.decoder = model._view(native.decoder_weight, (n, d))
        self.decoder_bias = model._view(native.decoder_bias, (d,))
        self.parent = model._view(native.parent, (n,), np.int32) if native.parent else None


class Model:
    """A model: `dim`, `config` (a dict), `mean` [dim] and `scale` of the input normalisation, x = scale * (raw - mean), `levels` (a list of
    Level), `tree` (a Tree), and `device`, the id of the device that computes where none is given (None: the default one).

    Activations are those of normalised rows: raw ones are as large divided by `scale`. A model does not change. Threads may share it.
    """

    def __init__(self, pointer: Any, device: Optional[str] = None) -> None:
        def free(model: Any) -> None:
            lib.hsae_model_free(ffi.new("hsae_model **", model))

        self._native = ffi.gc(pointer, free)
        self.device = device
        self._sessions: Dict[str, Any] = {}
        self.dim = lib.hsae_model_dim(pointer)
        self.config = as_dict(lib.hsae_model_config(pointer))
        self.scale = lib.hsae_model_scale(pointer)
        self.mean = self._view(lib.hsae_model_mean(pointer), (self.dim,))
        self.levels = [Level(self, lib.hsae_model_level(pointer, number)) for number in range(len(self.config["levels"]))]
        self.tree = Tree(self.levels)

    def _view(self, pointer: Any, shape: Tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """An array over the model's memory, which it keeps alive."""
        model = self._native
        kept = ffi.gc(ffi.cast("char *", pointer), lambda _: model)
        view = np.frombuffer(ffi.buffer(kept, int(np.prod(shape)) * 4), dtype).reshape(shape)
        view.flags.writeable = False
        return view

    @classmethod
    def load(cls, path: Path, device: Optional[str] = None) -> Model:
        """A model of a file, model.safetensors or a checkpoint, or of the Hugging Face hub: hf://OWNER/NAME, whose model.safetensors is meant, or
        hf://OWNER/NAME@REVISION/FILE. FileError, FormatError."""
        if _hub.is_address(path):
            path = _hub.download(str(path))
        out = ffi.new("hsae_model **")
        check(lib.hsae_model_load(context, os.fsencode(path), out))
        return cls(out[0], device)

    @classmethod
    def from_arrays(cls, levels: Sequence[Mapping[str, Any]], mean: Any = None, scale: float = 1.0,
                    config: Union[Config, Mapping[str, Any], None] = None, device: Optional[str] = None, **keys: Any) -> Model:
        """A model of arrays, which are copied. levels: dicts with encoder, encoder_bias, threshold, decoder, decoder_bias and, where there is
        a tree, parent, as in Level. config and keywords: keys that are kept with it."""
        def floats(array: Any) -> Any:
            held.append(np.ascontiguousarray(array, np.float32))
            return ffi.from_buffer("float[]", held[-1])

        held: List[np.ndarray] = []
        out = ffi.new("hsae_model **")
        n, d = zip(*(np.shape(level["encoder"]) for level in levels))
        native = ffi.new("hsae_level[]", len(levels))
        for number, level in enumerate(levels):
            shapes = {"encoder": (n[number], d[0]), "decoder": (n[number], d[0]), "encoder_bias": (n[number],), "threshold": (n[number],),
                      "decoder_bias": (d[0],)}
            for name, shape in shapes.items():
                if np.shape(level[name]) != shape:
                    raise ValueError(f"level {number}: {name} has the shape {np.shape(level[name])}, expected {shape}")
                setattr(native[number], name + "_weight" if name in ("encoder", "decoder") else name, floats(level[name]))
            native[number].features = n[number]
            if number and level.get("parent") is not None:
                if np.shape(level["parent"]) != (n[number],):
                    raise ValueError(f"level {number}: parent has the shape {np.shape(level['parent'])}, expected {(n[number],)}")
                held.append(np.ascontiguousarray(level["parent"], np.int32))
                native[number].parent = ffi.from_buffer("int32_t[]", held[-1])
        mean = np.zeros(d[0]) if mean is None else mean
        if np.shape(mean) != (d[0],):
            raise ValueError(f"mean has the shape {np.shape(mean)}, expected {(d[0],)}")
        config = make_config(config, {**keys, "levels": n})
        native_config = config._native()
        for number in range(len(n) if config.target_l0 is None else 0):
            native_config.target_l0[number] = min(native_config.target_l0[number], n[number])
        check(lib.hsae_model_create(context, native_config, d[0], floats(mean), scale, native, out))
        return cls(out[0], device)

    def save(self, path: Path) -> None:
        """Writes model.safetensors. The old file stays until the new one is whole."""
        check(lib.hsae_model_save(context, self._native, os.fsencode(path)))

    # ---- elsewhere

    def push_to_hub(self, name: str, *, file: str = _hub.FILE, private: Optional[bool] = None, token: Optional[str] = None,
                    message: str = "Add a hierarchical sparse autoencoder") -> str:
        """Writes the model to the repository OWNER/NAME of the Hugging Face hub, which is made if it is not there, and returns the address that
        `load` takes. Needs huggingface_hub, and a token: that one, or the one that `hf auth login` keeps."""
        return _hub.push(self.save, name, file, private, token, message)

    def export(self, folder: Path, format: str = "saelens", **metadata: Any) -> None:
        """Writes a new folder with one folder for each level, as other tools load it, and the tree beside them. format: "saelens" or
        "gemma-scope". metadata, SAELens only: model_name, hook_name, context_size ... of cfg.json. FileError, ArgumentError."""
        _saelens.export(self._native, folder, format, metadata)

    @classmethod
    def from_files(cls, *paths: Path, device: Optional[str] = None) -> Model:
        """A model of SAEs that were trained elsewhere on the same activations, from files and folders of SAELens, Gemma Scope, Gemma Scope 2 or
        Llama Scope: levels from the fewest features to the most. It takes raw activations (mean 0, scale 1). DataError names what cannot be
        represented, such as TopK."""
        return cls(_saelens.import_files(paths), device)

    def to_saelens(self, device: str = "cpu", **metadata: Any) -> List[Any]:
        """A sae_lens.SAE for each level, on a device of torch. They take raw activations; theirs are as large as the model's divided by `scale`.
        The tree is not part of them. metadata: as of `export`. Needs sae_lens."""
        return _saelens.to_saelens(lambda folder: self.export(folder, **metadata), len(self.levels), device)

    @classmethod
    def from_saelens(cls, saes: Sequence[Any], device: Optional[str] = None) -> Model:
        """A model of objects of sae_lens, of architecture jumprelu or standard: as `from_files` makes it of their files."""
        return cls(_saelens.from_saelens(saes), device)

    # ---- on a device

    def _session(self, device: Optional[str]) -> Any:
        opened = open_device(device or self.device)
        if opened.id not in self._sessions:
            out, model = ffi.new("hsae_session **"), self._native
            check(lib.hsae_session_create(opened.pointer, model, 0, out))

            def discard(session: Any) -> None:
                def destroy() -> None:
                    lib.hsae_session_destroy(ffi.new("hsae_session **", session))
                    kept.clear()
                opened.discard(destroy)

            kept = [model]
            self._sessions[opened.id] = ffi.gc(out[0], discard)
        return self._sessions[opened.id]

    def encode(self, rows: Any, device: Optional[str] = None) -> List[Any]:
        """The active features of raw rows [count, dim], any type that Trainer takes: for each level a scipy.sparse.csr_matrix
        [count, features], or Features where scipy is not installed. A row that the model's norm_limit leaves out has none."""
        rows = Rows(rows)
        if rows.dim != self.dim:
            raise ValueError(f"the rows have width {rows.dim}, the model has {self.dim}")
        raw, out = np.ascontiguousarray(rows.floats()), ffi.new("hsae_features[]", len(self.levels))
        with open_device(device or self.device):
            check(lib.hsae_session_encode(self._session(device), ffi.from_buffer("float[]", raw), rows.count, out))
        try:
            return [_sparse(out[number], level.features) for number, level in enumerate(self.levels)]
        finally:
            for number in range(len(self.levels)):
                lib.hsae_features_free(out + number)

    def decode(self, level: int, features: Any, device: Optional[str] = None) -> np.ndarray:
        """Reconstructions [count, dim] in raw units from the active features of one level: Features, a scipy.sparse matrix, or a dense array
        [count, features]."""
        native, held = ffi.new("hsae_features *"), _compressed(features, self.levels[level].features)
        native.rows = len(held.indptr) - 1
        native.indptr = ffi.from_buffer("uint64_t[]", held.indptr)
        native.indices = ffi.from_buffer("uint32_t[]", held.indices)
        native.values = ffi.from_buffer("float[]", held.values)
        out = np.empty((native.rows, self.dim), np.float32)
        with open_device(device or self.device):
            check(lib.hsae_session_decode(self._session(device), level, native, ffi.from_buffer("float[]", out)))
        return out

    def evaluate(self, data: Any, device: Optional[str] = None, tensor: Optional[str] = None) -> Dict[str, Any]:
        """The figures of `hsae eval` on paths, an array or a tensor, as a dict; a figure that does not exist is nan."""
        out, dataset = ffi.new("hsae_evaluation *"), open_dataset(data, tensor)
        with open_device(device or self.device):
            check(lib.hsae_session_evaluate(self._session(device), dataset, ffi.NULL, ffi.NULL, out))
        count = out.level_count
        return {"tokens": out.tokens, "left_out": out.left_out.norm + out.left_out.bad,
                "levels": [_fields(out.levels[k]) for k in range(count)], "pairs": [_fields(out.pairs[k]) for k in range(count - 1)],
                "mean_level": _fields(out.mean_level), "mean_pair": _fields(out.mean_pair)}


def _fields(struct: Any) -> Dict[str, Any]:
    return {name: getattr(struct, name) for name, _ in ffi.typeof(struct).fields}


def _copy(pointer: Any, count: int, dtype: Any) -> np.ndarray:
    return np.frombuffer(ffi.buffer(pointer, count * np.dtype(dtype).itemsize), dtype).copy() if count else np.zeros(0, dtype)


def _sparse(native: Any, features: int) -> Any:
    indptr = _copy(native.indptr, native.rows + 1, np.uint64).astype(np.int64)
    indices, values = _copy(native.indices, int(indptr[-1]), np.uint32), _copy(native.values, int(indptr[-1]), np.float32)
    shape = (native.rows, features)
    try:
        from scipy.sparse import csr_matrix
    except ImportError:
        return Features(indptr, indices, values, shape)
    return csr_matrix((values, indices.astype(np.int32), indptr), shape=shape)


def _compressed(features: Any, count: int) -> Features:
    """Features with the types of the library, whose indices it checks."""
    if hasattr(features, "tocsr"):
        matrix = features.tocsr()
        matrix.sort_indices()
        features = Features(matrix.indptr, matrix.indices, matrix.data, matrix.shape)
    elif not isinstance(features, Features):
        dense = np.atleast_2d(features)
        rows, columns = np.nonzero(dense)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(dense)))])
        features = Features(indptr, columns, dense[rows, columns], dense.shape)
    if features.shape[1] != count:
        raise ValueError(f"the features have {features.shape[1]} columns, the level has {count} features")
    indptr = np.ascontiguousarray(features.indptr, np.uint64)
    if len(indptr) != features.shape[0] + 1 or indptr[-1] != len(features.indices) or len(features.indices) != len(features.values):
        raise ValueError("indptr, indices and values do not belong together")
    return Features(indptr, np.ascontiguousarray(features.indices, np.uint32), np.ascontiguousarray(features.values, np.float32), features.shape)
