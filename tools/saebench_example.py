#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A level of a model in SAEBench: saebench_example.py EXPORTED_LEVEL [MODEL_NAME HOOK_LAYER]

hsae export --model runs/first/model.safetensors exported --meta model_name=gemma-2-2b hook_name=blocks.13.hook_resid_post
python tools/saebench_example.py exported/level-2 gemma-2-2b 13       (pip install sae-lens sae-bench)"""
import sys

import torch
from sae_lens import SAE

if len(sys.argv) not in (2, 4):
    sys.exit(__doc__)
sae = SAE.load_from_disk(sys.argv[1])
assert torch.allclose(sae.W_dec.norm(dim=1), torch.ones(sae.cfg.d_sae), atol=1e-5), "SAEBench wants decoder rows of norm 1"
print("%s: %d features of width %d, rows of norm 1" % (sys.argv[1], sae.cfg.d_sae, sae.cfg.d_in))
if len(sys.argv) == 4:
    import sae_bench.evals.core.main as core

    sae.cfg.model_name, sae.cfg.hook_layer, sae.cfg.hook_name = sys.argv[2], int(sys.argv[3]), sae.cfg.metadata.hook_name
    device = "cuda" if torch.cuda.is_available() else "cpu"
    core.multiple_evals([(sys.argv[1].replace("/", "_"), sae.to(device))], n_eval_reconstruction_batches=10,
                        n_eval_sparsity_variance_batches=100, output_folder="saebench", device=device)
