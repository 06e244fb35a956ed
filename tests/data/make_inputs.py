#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes this folder's files with the very libraries that users have. Value of row r, column c: see value().

make_inputs.py [FOLDER]     needs numpy torch safetensors pyarrow datasets transformers sae-lens (from PyPI); runs offline.
The activation caches (saelens-*) hold what a tiny random model gives, and saelens-*.npy have the same rows.
"""
import os
import pathlib
import shutil
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1", WANDB_MODE="disabled")
import numpy as np
import pyarrow as pa
import torch
from datasets import Array2D, Dataset, Features, Sequence, Value, load_from_disk
from safetensors.torch import save_file

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
SEQUENCES, CONTEXT, DIM = 6, 4, 3
ROWS = SEQUENCES * CONTEXT


def value(row, column):
    """Exact in every dtype, bfloat16 included."""
    return (row % 16) * 0.25 - column


FLAT = np.array([[value(r, c) for c in range(DIM)] for r in range(ROWS)], np.float32)
DEEP = FLAT.reshape(SEQUENCES, CONTEXT, DIM)


def write_npy():
    np.save(OUT / "f4.npy", FLAT)
    np.save(OUT / "f2.npy", DEEP.astype(np.float16))
    for version in ((2, 0), (3, 0)):
        with open(OUT / f"v{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, FLAT, version=version)
    np.save(OUT / "big-endian.npy", FLAT.astype(">f2"))
    np.save(OUT / "fortran.npy", np.asfortranarray(FLAT))
    np.save(OUT / "double.npy", FLAT.astype(np.float64))
    np.save(OUT / "objects.npy", FLAT.astype(object), allow_pickle=True)


def write_safetensors():
    ids = torch.arange(ROWS, dtype=torch.int64).reshape(SEQUENCES, CONTEXT)
    save_file({"activations": torch.from_numpy(FLAT)}, OUT / "f32.safetensors")
    save_file({"activations": torch.from_numpy(DEEP).to(torch.float16), "tokens": ids}, OUT / "f16.safetensors")
    save_file({"activations": torch.from_numpy(DEEP).to(torch.bfloat16)}, OUT / "bf16.safetensors")


def write_raw():
    FLAT.tofile(OUT / "f32.bin")
    FLAT.astype(np.float16).tofile(OUT / "f16.bin")
    (OUT / "bf16.bin").write_bytes(torch.from_numpy(FLAT).to(torch.bfloat16).view(torch.int16).numpy().tobytes())


def write_stream(name, columns, batches=1, file=False, **options):
    table = pa.table(columns)
    writer = (pa.ipc.new_file if file else pa.ipc.new_stream)(OUT / name, table.schema, options=pa.ipc.IpcWriteOptions(**options))
    with writer:
        writer.write_table(table, max_chunksize=-(-table.num_rows // batches))


def write_arrow():
    nested = pa.array(DEEP.tolist(), pa.list_(pa.list_(pa.float32())))
    ids = pa.array([[1, 2, 3, 4]] * SEQUENCES, pa.list_(pa.int32()))
    other = pa.array((DEEP + 1).astype(np.float16).tolist(), pa.list_(pa.list_(pa.float16(), DIM), CONTEXT))
    write_stream("lists.arrow", {"ids": ids, "first": nested, "second": other}, batches=3)
    write_stream("flat.arrow", {"activations": pa.array(FLAT.tolist(), pa.list_(pa.float32(), DIM))})
    write_stream("large.arrow", {"activations": pa.array(FLAT.tolist(), pa.large_list(pa.float32()))})
    write_stream("file.arrow", {"first": nested}, batches=2, file=True)
    write_stream("sliced.arrow", {"first": nested.slice(2, 3)})
    write_stream("lz4.arrow", {"first": nested}, compression="lz4")
    write_stream("zstd.arrow", {"first": nested}, compression="zstd")
    write_stream("ragged.arrow", {"first": pa.array([DEEP[0].tolist(), DEEP[1].tolist(), [[1, 2, 3], [4, 5]]], nested.type)})
    write_stream("null-row.arrow", {"first": pa.array([DEEP[0].tolist(), None], nested.type)})
    write_stream("null-value.arrow", {"first": pa.array([DEEP[0].tolist(), [[1, 2, None]] * CONTEXT], nested.type)})
    write_stream("dictionary.arrow", {"first": pa.array(["a", "b", "a"]).dictionary_encode()})
    write_stream("tokens.arrow", {"ids": ids})


def write_datasets():
    """A folder with a tail of its own features: two columns that fit, of both dtypes, in three shards of two batches."""
    features = Features({"ids": Sequence(Value("int32"), length=CONTEXT), "layer.0": Array2D((CONTEXT, DIM), "float16"),
                         "layer.1": Array2D((CONTEXT, DIM), "float32")})
    rows = {"ids": np.ones((SEQUENCES, CONTEXT), np.int32), "layer.0": DEEP.astype(np.float16), "layer.1": DEEP + 1}
    Dataset.from_dict(rows, features=features).save_to_disk(OUT / "datasets", num_shards=3)


def tiny_model(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, **{f"w{i}": i for i in range(1, 16)}}, unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>", unk_token="<s>", pad_token="<s>",
                            model_max_length=32).save_pretrained(folder)
    torch.manual_seed(1)
    GPT2LMHeadModel(GPT2Config(vocab_size=16, n_positions=32, n_embd=8, n_layer=1, n_head=2, bos_token_id=0,
                               eos_token_id=0)).save_pretrained(folder)


def write_saelens():
    """SAELens' own activation cache of a tiny random GPT-2."""
    from sae_lens import CacheActivationsRunner, CacheActivationsRunnerConfig
    with tempfile.TemporaryDirectory() as folder:
        tiny_model(folder)
        tokens = Dataset.from_dict({"input_ids": np.random.default_rng(1).integers(1, 16, (40, 8)).tolist()})
        tokens.set_format("torch")
        for dtype in ("float32", "float16"):
            out = OUT / f"saelens-{dtype}"
            runner = CacheActivationsRunner(CacheActivationsRunnerConfig(
                dataset_path="none", model_name=folder, model_batch_size=2, hook_name="transformer.h.0", d_in=8, training_tokens=96,
                context_size=8, model_class_name="AutoModelForCausalLM", new_cached_activations_path=str(out), shuffle=False, dtype=dtype,
                device="cpu", buffer_size_gb=2 * 2 * 8 * 8 * 4 / 1e9, prepend_bos=False, streaming=False), override_dataset=tokens)
            runner.run()
            cached = load_from_disk(str(out)).with_format("numpy")["transformer.h.0"][:]
            np.save(OUT / f"saelens-{dtype}.npy", np.asarray(cached, dtype))


for name in ("datasets", "saelens-float32", "saelens-float16"):
    shutil.rmtree(OUT / name, ignore_errors=True)
write_npy()
write_safetensors()
write_raw()
write_arrow()
write_datasets()
write_saelens()
