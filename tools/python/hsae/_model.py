# SPDX-License-Identifier: MIT
"""Trained models."""
import os
from typing import NamedTuple

import numpy as np

from ._config import as_dict, make_config
from ._library import check, context, ffi, lib, open_device
from ._rows import Rows, open_dataset


class Features(NamedTuple):
    """Active features of rows, compressed sparse rows, where scipy is not installed.

    Row r has the features indices[indptr[r]:indptr[r + 1]], ascending, with these values; shape is (rows, features of the level).
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    shape: tuple


class Level:
    """One level of a model: arrays that are views of the model's memory, not to be written to. n features of width d.

    encoder, decoder: float32 [n, d], row i is feature i; the rows of the decoder have norm 1
    encoder_bias, threshold: float32 [n]; a feature is active where encoder @ x + encoder_bias is above the threshold
    decoder_bias: float32 [d]
    parent: int32 [n], a feature of the level above or -1; None at level 0
    """

    def __init__(self, model, native):
        n, d = native.features, model.dim
        self.features = n
        self.encoder = model._view(native.encoder_weight, (n, d))
        self.encoder_bias = model._view(native.encoder_bias, (n,))
        self.threshold = model._view(native.threshold, (n,))
        self.decoder = model._view(native.decoder_weight, (n, d))
        self.decoder_bias = model._view(native.decoder_bias, (d,))
        self.parent = model._view(native.parent, (n,), np.int32) if native.parent else None


def _children(parent, count):
    """For each of `count` parents, its children in ascending order."""
    order = np.argsort(parent, kind="stable")
    return np.split(order, np.searchsorted(parent[order], np.arange(count + 1)))[1:-1]


class Model:
    """A model: `dim`, `config` (a dict), `mean` [dim] and `scale` of the input normalisation, x = scale * (raw - mean), and `levels`.

    Activations are those of normalised rows: raw ones are as large divided by `scale`. A model does not change.
    """

    def __init__(self, pointer, device=None):
        def free(model):
            lib.hsae_model_free(ffi.new("hsae_model **", model))

        self._native = ffi.gc(pointer, free)
        self._device, self._sessions = device, {}
        self.dim = lib.hsae_model_dim(pointer)
        self.config = as_dict(lib.hsae_model_config(pointer))
        self.scale = lib.hsae_model_scale(pointer)
        self.mean = self._view(lib.hsae_model_mean(pointer), (self.dim,))
        self.levels = [Level(self, lib.hsae_model_level(pointer, number)) for number in range(len(self.config["levels"]))]

    def _view(self, pointer, shape, dtype=np.float32):
        """An array over the model's memory, which it keeps alive."""
        model = self._native
        kept = ffi.gc(ffi.cast("char *", pointer), lambda _: model)
        view = np.frombuffer(ffi.buffer(kept, int(np.prod(shape)) * 4), dtype).reshape(shape)
        view.flags.writeable = False
        return view

    @classmethod
    def load(cls, path, device=None):
        """A model of a file: model.safetensors or a checkpoint."""
        out = ffi.new("hsae_model **")
        check(lib.hsae_model_load(context, os.fsencode(path), out))
        return cls(out[0], device)

    @classmethod
    def from_arrays(cls, levels, mean=None, scale=1.0, config=None, device=None, **keys):
        """A model of arrays, which are copied. levels: dicts with encoder, encoder_bias, threshold, decoder, decoder_bias and, where there is
        a tree, parent, as in Level. config and keywords: keys that are kept with it."""
        def floats(array):
            held.append(np.ascontiguousarray(array, np.float32))
            return ffi.from_buffer("float[]", held[-1])

        held, out = [], ffi.new("hsae_model **")
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

    def save(self, path):
        """Writes model.safetensors. The old file stays until the new one is whole."""
        check(lib.hsae_model_save(context, self._native, os.fsencode(path)))

    # ---- on a device

    def _session(self, device):
        opened = open_device(device or self._device)
        if opened.id not in self._sessions:
            out, model = ffi.new("hsae_session **"), self._native
            check(lib.hsae_session_create(opened.pointer, model, 0, out))

            def discard(session):
                def destroy():
                    lib.hsae_session_destroy(ffi.new("hsae_session **", session))
                    kept.clear()
                opened.discard(destroy)

            kept = [model]
            self._sessions[opened.id] = ffi.gc(out[0], discard)
        return self._sessions[opened.id]

    def encode(self, rows, device=None):
        """The active features of raw rows [count, dim], any type that Trainer takes: for each level a scipy.sparse.csr_matrix
        [count, features], or Features where scipy is not installed. A row that the model's norm_limit leaves out has none."""
        rows = Rows(rows)
        if rows.dim != self.dim:
            raise ValueError(f"the rows have width {rows.dim}, the model has {self.dim}")
        if rows.dtype != lib.HSAE_DTYPE_F32:
            rows = Rows(_floats(rows))
        out = ffi.new("hsae_features[]", len(self.levels))
        with open_device(device or self._device):
            check(lib.hsae_session_encode(self._session(device), ffi.cast("float *", rows.pointer), rows.count, out))
        try:
            return [_sparse(out[number], level.features) for number, level in enumerate(self.levels)]
        finally:
            for number in range(len(self.levels)):
                lib.hsae_features_free(out + number)

    def decode(self, level, features, device=None):
        """Reconstructions [count, dim] in raw units from the active features of one level: Features, a scipy.sparse matrix, or a dense array
        [count, features]."""
        native, out, held = ffi.new("hsae_features *"), None, _compressed(features, self.levels[level].features)
        native.rows = len(held.indptr) - 1
        native.indptr = ffi.from_buffer("uint64_t[]", held.indptr)
        native.indices = ffi.from_buffer("uint32_t[]", held.indices)
        native.values = ffi.from_buffer("float[]", held.values)
        out = np.empty((native.rows, self.dim), np.float32)
        with open_device(device or self._device):
            check(lib.hsae_session_decode(self._session(device), level, native, ffi.from_buffer("float[]", out)))
        return out

    def evaluate(self, data, device=None, tensor=None):
        """The figures of `hsae eval` on paths, an array or a tensor, as a dict; a figure that does not exist is nan."""
        out, dataset = ffi.new("hsae_evaluation *"), open_dataset(data, tensor)
        with open_device(device or self._device):
            check(lib.hsae_session_evaluate(self._session(device), dataset, ffi.NULL, ffi.NULL, out))
        count = out.level_count
        return {"tokens": out.tokens, "left_out": out.left_out.norm + out.left_out.bad,
                "levels": [_fields(out.levels[k]) for k in range(count)], "pairs": [_fields(out.pairs[k]) for k in range(count - 1)],
                "mean_level": _fields(out.mean_level), "mean_pair": _fields(out.mean_pair)}

    # ---- the tree

    def parents(self, level):
        """int32 [n]: the parent of each feature of a level, a feature of the level above, or -1."""
        parent = self.levels[level].parent
        return np.full(self.levels[level].features, -1, np.int32) if parent is None else parent

    def children(self, level):
        """A list with an array for each feature of a level: its children, features of the level below."""
        if level + 1 >= len(self.levels):
            return [np.zeros(0, np.int64)] * self.levels[level].features
        return _children(self.parents(level + 1), self.levels[level].features)

    @property
    def tree(self):
        """A networkx.DiGraph of all features, nodes (level, feature), edges from parents to children. Needs networkx."""
        import networkx

        graph = networkx.DiGraph()
        for number, level in enumerate(self.levels):
            graph.add_nodes_from((number, feature) for feature in range(level.features))
            graph.add_edges_from(((number - 1, int(parent)), (number, feature)) for feature, parent in enumerate(self.parents(number)) if parent >= 0)
        return graph


def _fields(struct):
    return {name: getattr(struct, name) for name, _ in ffi.typeof(struct).fields}


def _floats(rows):
    if rows.dtype == lib.HSAE_DTYPE_F16:
        return rows.array.astype(np.float32)
    return (rows.array.astype(np.uint32) << 16).view(np.float32)


def _copy(pointer, count, dtype):
    return np.frombuffer(ffi.buffer(pointer, count * np.dtype(dtype).itemsize), dtype).copy() if count else np.zeros(0, dtype)


def _sparse(native, features):
    indptr = _copy(native.indptr, native.rows + 1, np.uint64).astype(np.int64)
    indices, values = _copy(native.indices, int(indptr[-1]), np.uint32), _copy(native.values, int(indptr[-1]), np.float32)
    shape = (native.rows, features)
    try:
        from scipy.sparse import csr_matrix
    except ImportError:
        return Features(indptr, indices, values, shape)
    return csr_matrix((values, indices.astype(np.int32), indptr), shape=shape)


def _compressed(features, count):
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
