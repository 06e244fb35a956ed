#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The installed package against the program, at d 576, levels 128 to 1024, batch 512, on the demo's activations: measure.py HSAE DEVICE [bytes|cost]

190 steps from files, arrays, tensors, an iterable and by step() must give the model file of `hsae train`; then what Python adds to a step.
Needs torch.
"""
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import hsae

HSAE, DEVICE = sys.argv[1:3]
CHECKED = sys.argv[3] if len(sys.argv) > 3 else "both"
KEYS = {"levels": [128, 256, 512, 1024], "batch": 512, "steps": 190, "target_l0": 20}
DEMO = Path(__file__).resolve().parents[2] / "tools/demo/activations-00000.safetensors"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def program(folder, name, *more):
    options = [part for key, value in KEYS.items() for part in ("--" + key.replace("_", "-"), str(value).strip("[]").replace(" ", ""))]
    subprocess.run([HSAE, "train", "--quiet", "--force", "--data", folder / name, "--out", folder / "run", "--device", DEVICE, *options, *more],
                   check=True, stdout=subprocess.DEVNULL)
    return digest(folder / "run/model.safetensors")


def bytes_of_models(folder):
    whole = DEMO.read_bytes()
    f16 = np.frombuffer(whole, np.float16, offset=8 + int.from_bytes(whole[:8], "little")).reshape(-1, 576).copy()
    f32, bf16 = f16.astype(np.float32), torch.from_numpy(f16).to(torch.bfloat16)
    np.save(folder / "f16.npy", f16)
    (folder / "bf16.raw").write_bytes(bf16.view(torch.int16).numpy().tobytes())
    shuffled, sequential = program(folder, "f16.npy"), program(folder, "f16.npy", "--order", "sequential")
    rounded = program(folder, "bf16.raw", "--dim", "576", "--dtype", "bf16")
    for name, data, expected in (("path", folder / "f16.npy", shuffled), ("numpy float16", f16, shuffled), ("numpy float32", f32, shuffled),
                                 ("torch float16", torch.from_numpy(f16), shuffled), ("torch float32", torch.from_numpy(f32), shuffled),
                                 ("torch bfloat16", bf16, rounded), ("iterable", [f16[at:at + 300] for at in range(0, len(f16), 300)], shuffled),
                                 ("step", None, sequential)):
        if data is None:
            trainer = hsae.Trainer(KEYS, f16, device=DEVICE, order="sequential")
            while trainer.steps_done < KEYS["steps"]:
                trainer.step(torch.from_numpy(f16))
        else:
            trainer = hsae.Trainer(KEYS, data, device=DEVICE).fit()
        trainer.save_model(folder / "model.safetensors")
        print(f"{name:15} {'the bytes of hsae train' if digest(folder / 'model.safetensors') == expected else 'OTHER BYTES'}", flush=True)


def cost_of_a_step(dim, batch):
    """Microseconds of processor time: all of step() but the library's work, since no rows are handed over."""
    trainer = hsae.Trainer(levels=[8, 16], batch=batch, steps=9, target_l0=2, device="ref")
    trainer.step(np.random.default_rng(0).standard_normal((batch, dim)).astype(np.float32))
    for name, rows in (("numpy", np.ones((batch, dim), np.float32)), ("torch", torch.ones(batch, dim))):
        best = float("inf")
        for _ in range(7):
            start = time.thread_time()
            for _ in range(1000):
                nothing = hsae._rows.Rows(rows).part(0, 0)
                with trainer._device:
                    trainer._step(nothing, False)
            best = min(best, time.thread_time() - start)
        print(f"d {dim}, batch {batch}, {name}: {best * 1e3:.1f} us a step")


if CHECKED != "cost":
    with tempfile.TemporaryDirectory() as name:
        bytes_of_models(Path(name))
if CHECKED != "bytes":
    # Those of `hsae bench --preset laptop` and `paper`.
    cost_of_a_step(768, 512)
    cost_of_a_step(2304, 1024)
