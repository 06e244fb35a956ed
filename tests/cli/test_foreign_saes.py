#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SAEs as Gemma Scope 2, Llama Scope, SAELens of all versions and sparsify write them. test_foreign_saes.py HSAE [TEST]..."""
import array
import json

from program import DIM, hsae, main, random_rows
from test_exchange import Exchange, by_hand, floats, random_sae, values, write_sae, write_tensors


def scaled(tensor, factor):
    kind, shape, content = tensor
    numbers = array.array("f")
    numbers.frombytes(content)
    return kind, shape, floats([value * factor for value in numbers])


def transposed(tensor):
    kind, (n, d), content = tensor
    numbers = array.array("f")
    numbers.frombytes(content)
    return kind, [d, n], floats([numbers[i * d + k] for k in range(d) for i in range(n)])


def without(sae, *names):
    return {name: tensor for name, tensor in sae.items() if name not in names}


class Foreign(Exchange):
    def scope_2(self, name, sae, **more):
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / "params.safetensors", {name.replace("W_", "w_"): tensor for name, tensor in sae.items()})
        n = sae["W_dec"][1][0]
        (folder / "config.json").write_text(json.dumps({"hf_hook_point_in": "model.layers.9.output", "hf_hook_point_out": "model.layers.9.output",
                                                        "width": n, "model_name": "google/gemma-3-270m", "architecture": "jump_relu",
                                                        "l0": 60, "affine_connection": False, "type": "sae", **more}))
        return folder

    def test_gemma_scope_2(self):
        sae = random_sae(8)
        folder = self.scope_2("resid_post/layer_9_width_16k_l0_medium", sae)
        self.compare(self.imported(folder), [sae])
        self.compare(self.imported(folder / "params.safetensors"), [sae])
        for change, words in (({"architecture": "topk"}, ["config.json", "topk", "jump_relu"]), ({"type": "transcoder"}, ["transcoder"]),
                              ({"affine_connection": True}, ["affine_connection"]), ({"width": 9}, ["width is 9", "8"]),
                              ({"hf_hook_point_out": "model.layers.9.mlp.output"}, ["hf_hook_point_out", "transcoder"])):
            self.refused(words, self.scope_2("other", sae, **change))
        self.refused(["affine_skip_connection", "would be lost"],
                     self.scope_2("other", {**sae, "affine_skip_connection": ("F32", [DIM, DIM], bytes(4 * DIM * DIM))}))
        (folder / "config.json").unlink()
        errors = hsae("import", folder, "--out", self.folder / "m.safetensors")[1]
        self.assertIn("no config.json", errors)

    def test_which_folder(self):
        """A folder of folders gives its SAEs; SAEs of different places in the language model are refused."""
        for layer in 9, 12:
            for width, n in ("16k", 8), ("65k", 16):
                self.scope_2("scope/resid_post/layer_%d_width_%s" % (layer, width), random_sae(n, seed=layer + n),
                             hf_hook_point_in="model.layers.%d.output" % layer, hf_hook_point_out="model.layers.%d.output" % layer)
        self.refused(["4 in folders within", "layer_9_width_16k", "layer_12_width_65k"], self.folder / "scope")
        there = self.folder / "scope" / "resid_post"
        self.refused(["layers.9.output", "layers.12.output"], there / "layer_9_width_16k", there / "layer_12_width_65k")
        self.imported(there / "layer_9_width_16k", there / "layer_9_width_65k")
        (self.folder / "torch").mkdir()
        (self.folder / "torch" / "ae.pt").write_bytes(b"PK\x03\x04")
        self.refused(["ae.pt", "PyTorch"], self.folder / "torch")

    def llama_scope(self, sae, weights="checkpoints/final.safetensors", **more):
        folder = self.folder / "scope"
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        n, d = sae["W_dec"][1]
        tensors = {"encoder.weight": transposed(sae["W_enc"]), "encoder.bias": sae["b_enc"], "decoder.weight": transposed(sae["W_dec"])}
        if "b_dec" in sae:
            tensors["decoder.bias"] = sae["b_dec"]
        write_tensors(folder / weights, tensors)
        (folder / "hyperparams.json").write_text(json.dumps({
            "d_model": d, "d_sae": n, "expansion_factor": 8, "act_fn": "jumprelu", "jump_relu_threshold": 0.5, "top_k": 50, "use_decoder_bias": True,
            "apply_decoder_bias_to_pre_encoder": False, "norm_activation": "dataset-wise", "sparsity_include_decoder_norm": True,
            "dataset_average_activation_norm": {"in": 2.5, "out": 2.5}, "hook_point_in": "blocks.9.hook_resid_post",
            "hook_point_out": "blocks.9.hook_resid_post", **more}))
        return folder

    def test_llama_scope(self):
        """Raw activations against the formulas of the authors: biases divided by the norm's factor, thresholds of unit rows."""
        sae, factor = random_sae(8), DIM**0.5 / 2.5
        norms = [sum(value * value for value in values(sae, "W_dec")[i * DIM:(i + 1) * DIM])**0.5 for i in range(8)]
        expected = {**sae, "b_enc": scaled(sae["b_enc"], 1 / factor), "b_dec": scaled(sae["b_dec"], 1 / factor)}
        folder = self.llama_scope(sae)
        self.compare(self.imported(folder), [{**expected, "threshold": ("F32", [8], floats([0.5 / norm for norm in norms]))}])
        plain = {**expected, "threshold": ("F32", [8], floats([0.5] * 8))}
        self.compare(self.imported(self.llama_scope(sae, sparsity_include_decoder_norm=False)), [plain])
        self.compare(self.imported(self.llama_scope(sae, sparsity_include_decoder_norm=False, act_fn="topk")), [plain])
        self.compare(self.imported(self.llama_scope(sae, sparsity_include_decoder_norm=False, apply_decoder_bias_to_pre_encoder=True)), [plain], True)
        self.compare(self.imported(self.llama_scope(sae, norm_activation="none", sparsity_include_decoder_norm=False)),
                     [{**sae, "threshold": ("F32", [8], floats([0.5] * 8))}])
        self.compare(self.imported(self.llama_scope(without(sae, "b_dec"), act_fn="relu", use_decoder_bias=False)),
                     [{**expected, "b_dec": ("F32", [DIM], bytes(4 * DIM)), "threshold": ("F32", [8], bytes(32))}])

    def test_llama_scope_refusals(self):
        sae = random_sae(8)
        for change, words in (({"act_fn": "topk", "jump_relu_threshold": 0}, ["topk", "k largest"]), ({"norm_activation": "token-wise"}, ["token-wise"]),
                              ({"hook_point_out": "blocks.9.hook_mlp_out"}, ["transcoder"]), ({"use_glu_encoder": True}, ["use_glu_encoder"]),
                              ({"dataset_average_activation_norm": {"in": 2.5}}, ["norm.out"]), ({"d_model": DIM + 1}, ["d_model is"]),
                              ({"jump_relu_threshold": "x"}, ["jump_relu_threshold"]), ({"act_fn": None}, ["act_fn"]),
                              ({"dataset_average_activation_norm": {"in": 0, "out": 1}}, ["norm.in"])):
            self.refused([*words, "hyperparams.json"], self.llama_scope(sae, **change))

    def test_standard(self):
        sae = without(random_sae(8), "threshold")
        zero = {**sae, "threshold": ("F32", [8], bytes(32))}
        for number, cfg in enumerate(({"architecture": "standard"}, {"architecture": None}, {"architecture": "standard", "activation_fn": "relu"},
                                      {"architecture": "standard", "activation_fn_str": "relu", "finetuning_scaling_factor": False})):
            self.compare(self.imported(write_sae(self.folder / ("sae-%d" % number), sae, **cfg)), [zero])
        folder = write_sae(self.folder / "input", sae, architecture="standard", apply_b_dec_to_input=True)
        self.compare(self.imported(folder), [zero], True)
        errors = hsae("import", folder, "--out", self.folder / "m.safetensors")[1]
        self.assertIn("8 of 8 thresholds are not above 0", errors)
        cfg = json.loads((folder / "cfg.json").read_text())
        del cfg["architecture"], cfg["apply_b_dec_to_input"]  # before version 3; then the bias is subtracted
        (folder / "cfg.json").write_text("\ufeff" + json.dumps(cfg))
        self.compare(self.imported(folder), [zero], True)

    def test_scaling_factors(self):
        """finetuning_scaling_factor multiplies the activations that are decoded, and so the rows of the decoder."""
        sae = without(random_sae(8), "threshold")
        factors = [1, 2, 0.5, 1.5, 1, 3, -1, 0.25]
        w = values(sae, "W_dec")
        folder = write_sae(self.folder / "sae", {**sae, "scaling_factor": ("F32", [8], floats(factors))}, architecture="standard",
                           finetuning_scaling_factor=True)
        whole = {**sae, "threshold": ("F32", [8], bytes(32)),
                 "W_dec": ("F32", [8, DIM], floats([w[i * DIM + k] * factors[i] for i in range(8) for k in range(DIM)]))}
        self.compare(self.imported(folder), [whole])
        ones = {**sae, "scaling_factor": ("F32", [8], floats([1] * 8))}
        self.compare(self.imported(write_sae(self.folder / "ones", ones, architecture="standard")), [{**whole, "W_dec": sae["W_dec"]}])
        self.refused(["scaling_factor", "would be lost"],
                     write_sae(self.folder / "not-said", {**ones, "scaling_factor": ("F32", [8], floats(factors))}, architecture="standard"))

    def test_refused_by_name(self):
        sae = without(random_sae(8), "threshold")
        for cfg, word in (({"architecture": "topk", "k": 4}, "topk"), ({"architecture": "batchtopk"}, "batchtopk"), ({"architecture": "gated"}, "gated"),
                          ({"architecture": "jumprelu_skip_transcoder"}, "transcoder"), ({"architecture": "standard", "activation_fn_str": "topk"}, "topk"),
                          ({"architecture": "standard", "activation_fn": "tanh-relu"}, "tanh-relu"), ({"architecture": 3}, "architecture"),
                          ({"architecture": "standard", "normalize_activations": "expected_average_only_in"}, "expected_average_only_in"),
                          ({"architecture": "standard", "finetuning_scaling_factor": 1}, "finetuning_scaling_factor")):
            self.refused(["cfg.json", word], write_sae(self.folder / "sae", sae, **cfg))
        folder = self.folder / "layers.5"
        folder.mkdir()
        (folder / "cfg.json").write_text(json.dumps({"expansion_factor": 32, "normalize_decoder": True, "num_latents": 0, "k": 192, "d_in": DIM}))
        write_tensors(folder / "sae.safetensors", {"W_dec": sae["W_dec"], "encoder.weight": transposed(sae["W_enc"])})
        self.refused(["cfg.json", "sparsify", "TopK"], folder)

    def test_by_hand_agrees_with_zero_thresholds(self):
        """What the other tests compare with rectifies, too."""
        sae = {**random_sae(8), "threshold": ("F32", [8], bytes(32))}
        for row in random_rows()[:5]:
            self.assertTrue(all(value > 0 for value in by_hand(sae, row, False)[0].values()))


if __name__ == "__main__":
    main(__doc__)
