# SPDX-License-Identifier: MIT
"""Trains while a language model makes the activations, without storing them.

    train_while_model_runs.py [STEPS [MODEL HOOK TEXT.txt...]]      e.g. 1000 HuggingFaceTB/SmolLM2-135M model.layers.14 books/*.txt

MODEL is what transformers loads. Without one, numpy plays the model: rows that are sums of few directions of a hidden forest.
"""
# Rows, as they are made: any iterable of arrays or tensors [any number, width] will do
import sys
from pathlib import Path

import numpy as np

import hsae

steps, names = int(sys.argv[1]) if len(sys.argv) > 1 else 300, sys.argv[2:]


class MadeUp:
    """An endless stream, the same whenever it is read."""

    def __iter__(self):
        random = np.random.default_rng(0)
        topics = random.standard_normal((16, 64))
        details = topics.repeat(4, axis=0) + random.standard_normal((64, 64))
        while True:
            chosen = random.random((500, 64)) < 0.03
            yield (chosen @ details + 0.1 * random.standard_normal((500, 64))).astype(np.float16)


if names:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(names[0])
    model = transformers.AutoModelForCausalLM.from_pretrained(names[0])
    texts = [Path(name).read_text(encoding="utf-8") for name in names[2:]]
    rows = hsae.activations(model, tokenizer, texts, names[1])
else:
    rows = MadeUp()

# Train
trainer = hsae.Trainer(levels=[16, 64], batch=256, steps=steps, target_l0=[2, 3], data=rows)
trainer.fit(metrics_every=max(1, steps // 5), callbacks=[
    lambda figures: print(f"step {figures['step']}: explained {figures['levels'][-1]['variance_explained']:.4f}, "
                          f"{figures['tokens_per_second']:.0f} rows/s, {figures['data_wait']:.0%} of the time waiting for rows")])
