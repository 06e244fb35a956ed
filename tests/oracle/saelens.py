#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exported models in the real SAELens, and SAEs of SAELens imported, on real activations: saelens.py HSAE [FOLDER]

Needs sae-lens in a virtual environment of its own (ran with sae-lens 6.54.12, torch 2.15.0, transformers 5.24.0, numpy 2.4.6, Python 3.11):
    python3 -m venv VENV && VENV/bin/pip install sae-lens==6.54.12
    VENV/bin/python tests/oracle/saelens.py build/tools/hsae
With sae-bench's sources on PYTHONPATH (pip download --no-deps sae-bench, unpacked) its own check of decoder norms runs, too.

Activations and reconstructions may differ by 1e-5, relative to the largest magnitude of their row, in float32. A pair of sample and feature
whose pre-activation is so near its threshold that rounding decides counts apart: near is |p - threshold| <= d u sum |terms|, the bound of
any order of summation, u = 2^-24; p and the sum in double. Every other pair must be active in both or in neither."""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from sae_lens import SAE, __version__
from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput

HERE = pathlib.Path(__file__).resolve().parent.parent.parent
DATA = HERE / "tools" / "demo" / "activations-00000.safetensors"
LIMIT = 1e-5
failed = False


def check(what, good, text):
    global failed
    failed |= not good
    print("%-46s %s %s" % (what, text, "" if good else "  FAILED"))


def run(hsae, *arguments):
    subprocess.run([hsae, *map(str, arguments), "--quiet"], check=True, stdout=subprocess.DEVNULL)


def dense(features, level, n):
    """Rows of what `hsae encode` wrote."""
    start, index, value = (features["levels.%d.%s" % (level, part)] for part in ("indptr", "indices", "values"))
    out = np.zeros((len(start) - 1, n), np.float32)
    rows = np.repeat(np.arange(len(start) - 1), np.diff(start))
    out[rows, index] = value
    return out


def relative(a, b):
    """Largest difference, relative to the largest magnitude of the row."""
    scale = np.maximum(np.abs(a).max(1), np.abs(b).max(1))
    difference = np.abs(a.astype(np.float64) - b).max(1)
    return float((difference / np.where(scale > 0, scale, 1)).max())


def compare(what, raw, sae, ours, theirs, ours_out, theirs_out):
    x = raw.astype(np.float64)
    if sae.cfg.apply_b_dec_to_input:
        x = x - sae.b_dec.detach().numpy()
    weights, bias = sae.W_enc.detach().numpy().astype(np.float64), sae.b_enc.detach().numpy().astype(np.float64)
    threshold = np.maximum(sae.threshold.detach().numpy().astype(np.float64), 0)
    p = x @ weights + bias
    terms = np.abs(x) @ np.abs(weights) + np.abs(bias)
    near = np.abs(p - threshold) <= raw.shape[1] * 2.0**-24 * terms
    differ = (ours > 0) != (theirs > 0)
    same_rows = ~differ.any(1)
    both = ~differ
    check(what + ": active in one only", not (differ & ~near).any(),
          "%d of %d pairs near their thresholds, %d not near" % ((differ & near).sum(), near.sum(), (differ & ~near).sum()))
    got = relative(np.where(both, ours, 0), np.where(both, theirs, 0))
    check(what + ": activations", got <= LIMIT, "%.2e" % got)
    got = relative(ours_out[same_rows], theirs_out[same_rows])
    check(what + ": reconstructions", got <= LIMIT, "%.2e in %d of %d rows" % (got, same_rows.sum(), len(raw)))


def outputs(hsae, model, data, folder):
    run(hsae, "encode", "--model", model, "--data", data, "--out", folder / "features.safetensors", "--device", "ref")
    run(hsae, "decode", "--model", model, "--features", folder / "features.safetensors", "--out", folder / "out.safetensors", "--device", "ref")
    return load_file(folder / "features.safetensors"), load_file(folder / "out.safetensors")


def exported(hsae, raw, data, folder):
    run(hsae, "train", "--data", DATA, "--out", folder / "run", "--levels", "64,128,256", "--batch", "64", "--steps", "200", "--target-l0",
        "12", "--device", "ref")
    model = folder / "run" / "model.safetensors"
    run(hsae, "export", "--model", model, folder / "exported", "--meta", "model_name=HuggingFaceTB/SmolLM2-135M", "context_size=128",
        "prepend_bos=true", "hook_name=blocks.15.hook_resid_post")
    features, out = outputs(hsae, model, data, folder)
    scale = load_file(model)["input.scale"][0]
    for level, n in enumerate((64, 128, 256)):
        sae = SAE.load_from_disk(str(folder / "exported" / ("level-%d" % level)))
        with torch.no_grad():
            theirs = sae.encode(torch.from_numpy(raw))
            theirs_out = sae.decode(theirs)
        compare("level %d" % level, raw, sae, dense(features, level, n) / scale, theirs.numpy(), out["levels.%d.reconstruction" % level],
                theirs_out.numpy())
        bench("level %d" % level, sae, raw)
        check("level %d: metadata" % level, (sae.cfg.metadata.model_name, sae.cfg.metadata.context_size, sae.cfg.metadata.prepend_bos,
                                             sae.cfg.metadata.hsae_level) == ("HuggingFaceTB/SmolLM2-135M", 128, True, level), "")
        sae.save_model(folder / "again" / ("level-%d" % level))
    # Their own copies of ours, and ours: the same model.
    run(hsae, "import", folder / "exported", "--out", folder / "direct.safetensors")
    run(hsae, "import", folder / "again", "--out", folder / "again.safetensors")
    direct, again, first = (load_file(folder / name) for name in ("direct.safetensors", "again.safetensors", "run/model.safetensors"))
    check("round trip through SAELens", all(np.array_equal(direct[key], again[key]) for key in direct if "parent" not in key), "same weights")
    check("round trip: tree", all(np.array_equal(direct[key], first[key]) for key in first if "parent" in key), "same parents")
    back, back_out = outputs(hsae, folder / "direct.safetensors", data, folder)
    for level, n in enumerate((64, 128, 256)):
        a, b = dense(back, level, n), dense(features, level, n) / scale
        rows = ((a > 0) == (b > 0)).all(1)
        name = "levels.%d.reconstruction" % level
        off = relative(a[rows], b[rows]), relative(back_out[name][rows], out[name][rows])
        check("round trip: level %d" % level, max(off) <= 1e-6, "activations %.2e, reconstructions %.2e, the same active in %d of %d rows" %
              (*off, rows.sum(), len(rows)))


def bench(what, sae, raw):
    """What SAEBench asks of an SAE (custom_saes/base_sae.py): unit rows within 1e-5, shapes, and forward = decode(encode)."""
    x = torch.from_numpy(raw)
    with torch.no_grad():
        acts = sae.encode(x)
        good = sae.W_enc.shape == (sae.cfg.d_in, sae.cfg.d_sae) and sae.W_dec.shape == (sae.cfg.d_sae, sae.cfg.d_in)
        good &= sae.b_enc.shape == (sae.cfg.d_sae,) and sae.b_dec.shape == (sae.cfg.d_in,) and acts.shape == (len(raw), sae.cfg.d_sae)
        good &= torch.allclose(sae(x), sae.decode(acts))
        norm = float((sae.W_dec.norm(dim=1) - 1).abs().max())
    check(what + ": SAEBench, by hand", bool(good and norm < 1e-5), "rows off 1 by at most %.1e" % norm)
    try:
        from sae_bench.custom_saes.base_sae import BaseSAE
    except ImportError:
        return
    check(what + ": SAEBench, its own", BaseSAE.check_decoder_norms(sae), "")


def trained(raw, steps, **settings):
    """A jumprelu SAE by their training code."""
    torch.manual_seed(1)
    settings = {"d_in": raw.shape[1], "jumprelu_init_threshold": 2.0, "jumprelu_bandwidth": 2.0, "l0_coefficient": 5.0, **settings}
    sae = JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(**settings))
    optimizer = torch.optim.Adam(sae.parameters(), lr=2e-3)
    x = torch.from_numpy(raw)
    for step in range(steps):
        batch = x[torch.randint(len(x), (256,))]
        output = sae.training_forward_pass(TrainStepInput(sae_in=batch, coefficients={"l0": sae.cfg.l0_coefficient}, dead_neuron_mask=None,
                                                          n_training_steps=step, is_logging_step=False))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    return sae


def imported(hsae, raw, data, folder):
    sizes = (48, 96)
    for level, n in enumerate(sizes):
        sae = trained(raw, 150, d_sae=n, apply_b_dec_to_input=level == 0)
        sae.save_inference_model(folder / "theirs" / str(n))
    run(hsae, "import", *(folder / "theirs" / str(n) for n in reversed(sizes)), "--out", folder / "imported.safetensors")
    features, out = outputs(hsae, folder / "imported.safetensors", data, folder)
    for level, n in enumerate(sizes):
        sae = SAE.load_from_disk(str(folder / "theirs" / str(n)))
        with torch.no_grad():
            theirs = sae.encode(torch.from_numpy(raw))
            theirs_out = sae.decode(theirs).numpy()
            norms = sae.W_dec.norm(dim=1).numpy()
        what = "imported, %d features, b_dec %s" % (n, "subtracted" if sae.cfg.apply_b_dec_to_input else "added only")
        print("%s: L0 %.1f, decoder norms %.3f to %.3f" % (what, float((theirs > 0).sum(1).float().mean()), norms.min(), norms.max()))
        compare(what, raw, sae, dense(features, level, n) / norms, theirs.numpy(), out["levels.%d.reconstruction" % level], theirs_out)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    hsae = str(pathlib.Path(sys.argv[1]).resolve())
    raw = next(iter(load_file(DATA).values())).astype(np.float32)[:1024]
    with tempfile.TemporaryDirectory() as holder:
        folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else holder)
        folder.mkdir(exist_ok=True)
        save_file({"activations": raw}, folder / "raw.safetensors")
        print("sae-lens %s, torch %s, numpy %s" % (__version__, torch.__version__, np.__version__))
        exported(hsae, raw, folder / "raw.safetensors", folder)
        imported(hsae, raw, folder / "raw.safetensors", folder)
    sys.exit(1 if failed else 0)


main()
