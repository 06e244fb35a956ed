#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the seeds of the fuzz targets anew with the real libraries (numpy, safetensors) and programs: make_corpus.py HSAE."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy
from safetensors.numpy import save_file

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
RUN = ["--levels", "2,4", "--batch", "4", "--steps", "4", "--target-l0", "1", "--hierarchy-period", "2", "--device", "ref", "--quiet"]


def folder(name):
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    return CORPUS / name


def npy(rows):
    out = folder("npy")
    numpy.save(out / "f4.npy", rows)
    numpy.save(out / "f2-3d.npy", rows.reshape(4, 4, 3).astype(numpy.float16))
    numpy.save(out / "f8.npy", rows.astype(numpy.float64))
    numpy.save(out / "fortran.npy", numpy.asfortranarray(rows))
    numpy.save(out / "object.npy", numpy.array([{}, None], dtype=object))
    for version in (2, 0), (3, 0):
        with open(out / ("version-%d.npy" % version[0]), "wb") as file:
            numpy.lib.format.write_array(file, rows, version=version)


def safetensors(rows):
    out = folder("safetensors")
    save_file({"activations": rows}, out / "f32.safetensors", metadata={"format": "np"})
    save_file({"a": rows.astype(numpy.float16), "b": numpy.arange(5), "c": rows.astype(numpy.int32), "d": numpy.zeros((0, 3), numpy.float32)},
              out / "many.safetensors")


def runs(hsae, rows):
    out = folder("checkpoint")
    with tempfile.TemporaryDirectory() as name:
        data = pathlib.Path(name) / "data.npy"
        numpy.save(data, rows)
        for kind in "encoder", "coactivation":
            run = pathlib.Path(name) / kind
            subprocess.run([hsae, "train", "--data", data, "--out", run, "--similarity", kind, *RUN], check=True, stdout=subprocess.DEVNULL)
            for path in run.glob("checkpoint-4.safetensors"):
                (out / (kind + ".safetensors")).write_bytes(path.read_bytes())
        (out / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes())
        config = json.loads((run / "config.json").read_text())
        (folder("config") / "resolved.json").write_text(json.dumps(config))
        (folder("config") / "lists.json").write_text('{"levels": [4, 8], "target_l0": [1, 2.5], "tree": "binary", "seed": 9223372036854775807}')
        (folder("config") / "option").write_text("target_l0=1,2")


def exported(hsae, rows):
    """Gemma Scope's files by numpy and by the program; SAELens' files beside the weights."""
    out = folder("npz")
    arrays = {"W_enc": rows.T, "W_dec": rows, "b_enc": rows[:, 0], "b_dec": rows[0], "threshold": numpy.abs(rows[:, 1]) + 1}
    arrays["W_enc"] = numpy.ascontiguousarray(arrays["W_enc"])
    numpy.savez(out / "stored.npz", **arrays)
    numpy.savez_compressed(out / "deflated.npz", **{name: array.astype(numpy.float16) for name, array in arrays.items()})
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name)
        model = ["--model", CORPUS / "checkpoint" / "model.safetensors", "--quiet"]
        subprocess.run([hsae, "export", *model, path / "saelens", "--meta", "model_name=m", "context_size=8"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([hsae, "export", *model, "--format", "gemma-scope", path / "scope"], check=True, stdout=subprocess.DEVNULL)
        (out / "zip64.npz").write_bytes((path / "scope" / "level-0" / "params.npz").read_bytes())
        cfg = json.loads((path / "saelens" / "level-0" / "cfg.json").read_text())
        cfg.update(d_in=2, d_sae=2)  # those of the target
        tree = (path / "saelens" / "tree.safetensors").read_bytes()
        (folder("saelens") / "tree").write_bytes(json.dumps(cfg).encode() + b"\0" + tree)
        cfg.update(apply_b_dec_to_input=True, normalize_activations="layer_norm")
        (folder("saelens") / "normalised").write_bytes(json.dumps(cfg).encode())


def tuning():
    """What `hsae tune` writes, for the devices of the target."""
    shape = {"group_size": 1, "columns": 8, "vector_width": 8}
    tile = {"group_size": 64, "columns": 1, "vector_width": 1, "tile_vectors": 2, "tile_words": 2, "tile_step": 16, "tile_pad": 0, "tile_prefetch": 1}
    devices = [{"name": "n", "driver": "d", "backend": backend, "type": kind, "kernels": {"decode": shape, "update": shape, "encode": tile}}
               for backend in ("opencl", "vulkan") for kind in ("cpu", "discrete")]
    (folder("tuning") / "four.json").write_text(json.dumps({"format": "hsae tuning 1", "devices": devices}))


def arrow():
    """Of the files that pyarrow, datasets and SAELens wrote for the tests."""
    data = CORPUS.parent.parent / "data"
    for name in "lists", "flat", "large", "file", "sliced", "lz4", "ragged", "null-value", "dictionary":
        shutil.copy(data / (name + ".arrow"), folder("arrow"))
    shutil.copy(data / "datasets" / "data-00000-of-00003.arrow", folder("arrow") / "datasets.arrow")
    shutil.copy(data / "saelens-float16" / "data-00000-of-00002.arrow", folder("arrow") / "saelens.arrow")


def tokens():
    out = folder("tokens")
    (out / "plain.jsonl").write_text('{"tokens": ["The", " cat"], "source": "a"}\n\n{"source": {"b": [1, -2.5e3, true, null]}, "tokens": []}\n')
    (out / "escapes.jsonl").write_text('{"tokens": ["\\ud83c\\udf33", "\\ud800", "x\\udc00", "\\u0000\\n\\/", "\u00e9\u4e2d\U0001f333"]}\r\n', encoding="utf-8")
    (out / "deep.jsonl").write_text('{"a": %s%s, "tokens": ["t"]}' % ("[" * 60, "]" * 60))
    (out / "mark.jsonl").write_text('{"rows_crc32": 17, "tokens": ["a"]}\n{"tokens": [], "rows_crc32": 4294967296}', encoding="utf-8-sig")
    (out / "twice.jsonl").write_text('{"tokens": ["a"], "tokens": ["b"]}')


def foreign():
    """Configurations of Gemma Scope 2 and Llama Scope for the weights of the target."""
    hook = "blocks.9.hook_resid_post"
    (folder("foreign") / "gemma-scope-2.json").write_text(json.dumps({
        "hf_hook_point_in": hook, "hf_hook_point_out": hook, "width": 2, "model_name": "m", "architecture": "jump_relu", "l0": 60,
        "affine_connection": False, "type": "sae"}))
    (folder("foreign") / "llama-scope.json").write_text(json.dumps({
        "d_model": 2, "d_sae": 2, "act_fn": "jumprelu", "jump_relu_threshold": 0.5, "use_decoder_bias": True, "use_glu_encoder": False,
        "apply_decoder_bias_to_pre_encoder": True, "norm_activation": "dataset-wise", "sparsity_include_decoder_norm": False,
        "dataset_average_activation_norm": {"in": 2.5, "out": 5}, "hook_point_in": hook, "hook_point_out": hook}))
    cfg = {"d_in": 2, "d_sae": 2, "activation_fn_str": "relu", "finetuning_scaling_factor": True, "hook_point": hook, "normalize_activations": None}
    (folder("saelens") / "before-6").write_text(json.dumps(cfg))


def main():
    rows = numpy.random.default_rng(1).standard_normal((16, 3)).astype(numpy.float32)
    npy(rows)
    safetensors(rows)
    runs(sys.argv[1], rows)
    tokens()
    exported(sys.argv[1], rows)
    tuning()
    foreign()
    arrow()
    for name in "arrow/flat.arrow", "npy/f2-3d.npy", "npy/f4.npy", "safetensors/f32.safetensors", "safetensors/many.safetensors":
        path = CORPUS / name
        (folder("dataset") / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
