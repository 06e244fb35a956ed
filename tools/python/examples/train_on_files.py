# SPDX-License-Identifier: MIT
"""Trains on activations in files and evaluates on rows that were held out.

    train_on_files.py [DATA] [OUT.safetensors] [STEPS]      default: the demo's activations, model.safetensors, 1000

DATA is anything that `hsae train --data` takes.
"""
# What is there to train on
import sys
from pathlib import Path

import hsae

DEMO = Path(__file__).resolve().parents[2] / "demo"
given = dict(enumerate(sys.argv))
data, out, steps = given.get(1, str(DEMO)), given.get(2, "model.safetensors"), int(given.get(3, 1000))
for device in hsae.devices():
    print(f"{device.id:10} {device.kind:10} {device.name}")

# Train. Ctrl-C leaves checkpoint.safetensors, and the same command goes on from there.
trainer = hsae.Trainer(levels=[64, 128, 256, 512], batch=256, steps=steps, target_l0=20, data=data)
trainer.fit(callbacks=[lambda figures: print(figures["step"], *(f"{level['l0']:7.2f}" for level in figures["levels"]))],
            metrics_every=max(1, steps // 10), checkpoint=out + ".checkpoint", resume=True)
model = trainer.model
model.save(out)

# Evaluate. These rows were trained on: take others for figures that count.
for number, level in enumerate(model.evaluate(data)["levels"]):
    print(f"level {number}: L0 {level['l0']:.2f}, variance explained {level['variance_explained']:.4f}, dead {level['dead_fraction']:.2%}")
