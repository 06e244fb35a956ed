#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/collect_activations.py: test_collect.py HSAE [Pure | Whole]. Pure needs no package. Whole needs those of tools/requirements-collect.txt, in
the Python that HSAE_COLLECT_PYTHON names (default: this one), and is skipped (77) without them."""
import array
import importlib.util
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

from program import PATIENCE, Case, hsae, main, read_rows

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "collect_activations.py"
PYTHON = os.environ.get("HSAE_COLLECT_PYTHON", sys.executable)
OFFLINE = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}

# A Llama of two layers with random weights, and a tokenizer trained on the text: MODEL TEXT.
MAKE_MODEL = """
import sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
bpe.train([sys.argv[2]], trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>").save_pretrained(sys.argv[1])
torch.manual_seed(1)
model = LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=300, bos_token_id=0))
torch.nn.init.uniform_(model.model.norm.weight, 0.5, 2)
model.save_pretrained(sys.argv[1])
"""
# What the collector should have stored, the slow way: MODEL, then a JSON list of token ids a line; prints the rows of each.
EXPECT = """
import json, sys, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
with torch.no_grad():
    for line in sys.stdin:
        states = model(torch.tensor([json.loads(line)]), output_hidden_states=True).hidden_states
        print(json.dumps(states[1][0].tolist()))
"""
# Of a model whose final norm is not all ones: the head's rows with the norm's weight, one list.
EXPECT_UNEMBEDDING = """
import json, sys
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
print(json.dumps((model.lm_head.weight * model.model.norm.weight).flatten().tolist()))
"""


def load_tool():
    spec = importlib.util.spec_from_file_location("collect", TOOL.parent / "python/hsae/collect.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def run(*arguments, status=0, python=(PYTHON,)):
    done = subprocess.run([*python, str(TOOL), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, env=OFFLINE)
    if done.returncode != status:
        raise AssertionError("%s\nexit status %d, expected %d\n%s\n%s" % (done.args, done.returncode, status, done.stdout, done.stderr))
    return done.stdout, done.stderr


def words(count, seed=1):
    numbers = random.Random(seed)
    return " ".join("".join(numbers.choice("abcdefgh") for _ in range(numbers.randint(1, 6))) for _ in range(count))


class Pure(Case):
    def setUp(self):
        super().setUp()
        sys.dont_write_bytecode = True
        self.tool = load_tool()

    def refuse(self, *paths):
        with self.assertRaises(self.tool.Failure) as caught:
            list(self.tool.documents(paths))
        return str(caught.exception)

    def test_help(self):
        shown = run("--help", python=(sys.executable,))[0]
        for word in ("--hook", "--outlier", "tokens.jsonl", "examples:", "requirements-collect.txt"):
            self.assertIn(word, shown)

    def test_arguments(self):
        self.assertIn("--hook is missing", run("--model", "m", status=2, python=(sys.executable,))[1])
        whole = ["--model", "m", "--hook", "h", "--text", self.folder, "--out", self.out]
        for wrong in (["--context", "0"], ["--outlier", "-1"], ["--outlier", "nan"], ["--dtype", "f8"], ["--batch", "x"]):
            self.assertIn(wrong[0], run(*whole, *wrong, status=2, python=(sys.executable,))[1])

    def test_missing_package(self):
        (self.folder / "a.txt").write_text("word")
        told = run("--model", "m", "--hook", "h", "--text", self.folder, "--out", self.out, status=1, python=(sys.executable, "-I", "-S"))[1]
        self.assertIn("torch is missing: pip install torch", told)
        self.assertFalse(self.out.exists())

    def test_documents(self):
        below = self.folder / "below"
        below.mkdir()
        (self.folder / "b.txt").write_text("one\n\ntwo")
        (self.folder / "blank.txt").write_text(" \n")
        (self.folder / "c.md").write_text("not text")
        (below / "a.jsonl").write_text('{"text": "first", "id": 1}\n\n{"text": "second"}\n')
        found = [("b.txt", "one\n\ntwo"), ("a.jsonl", "first"), ("a.jsonl", "second")]
        self.assertEqual(list(self.tool.documents([self.folder])), found)
        self.assertEqual(list(self.tool.documents([self.folder / "c.md"])), [("c.md", "not text")])

    def test_bad_text(self):
        bad = self.folder / "bad.jsonl"
        for line in ("{", "[]", '{"text": 1}', '{"other": "x"}', '"text"'):
            bad.write_text('{"text": "good"}\n%s\n' % line)
            self.assertIn('bad.jsonl:2: expected a JSON object with a string "text"', self.refuse(bad))
        (self.folder / "latin.txt").write_bytes(b"caf\xe9 au lait")
        self.assertIn("latin.txt: not UTF-8", self.refuse(self.folder / "latin.txt"))
        self.assertIn("no such file or folder", self.refuse(self.folder / "none"))
        (self.folder / "empty").mkdir()
        self.assertIn("no .txt and no .jsonl file", self.refuse(self.folder / "empty"))

    def test_sequences(self):
        self.assertEqual(list(self.tool.pieces([1, 2, 3, 4, 5], [0], 3)), [[0, 1, 2], [0, 3, 4], [0, 5]])
        self.assertEqual(list(self.tool.pieces([1, 2], [], 2)), [[1, 2]])
        (self.folder / "a.txt").write_text(words(50))
        made = [list(self.tool.sequences([self.folder], str.split, ["<s>"], 8, seed)) for seed in (None, 1, 1, 2)]
        self.assertEqual(made[1], made[2])
        self.assertNotEqual(made[1], made[3])
        self.assertEqual(sorted(made[0]), sorted(made[3]))
        self.assertEqual([len(batch) for batch in self.tool.batches(range(7), 3)], [3, 3, 1])

    def test_sources(self):
        (self.folder / "odd.gguf").write_bytes(b"JUNK")
        for name, what in ((self.folder / "odd.gguf", "not a GGUF file"), (self.folder / "none", "no such file"), ("none.gguf", "no such file")):
            with self.assertRaisesRegex(self.tool.Failure, what):
                self.tool.source_of(str(name))
        self.assertEqual(self.tool.source_of("owner/name"), {"pretrained_model_name_or_path": "owner/name"})


class Whole(Case):
    def setUp(self):
        super().setUp()
        self.model, self.text = self.folder / "model", self.folder / "text.jsonl"
        self.text.write_text("".join(json.dumps({"text": words(200, seed)}) + "\n" for seed in range(40)))
        subprocess.run([PYTHON, "-c", MAKE_MODEL, str(self.model), str(self.text)], check=True, env=OFFLINE, stdout=subprocess.DEVNULL)

    def arguments(self, out, *more):
        return ["--model", self.model, "--hook", "model.layers.0", "--text", self.text, "--out", out, "--context", "24", "--batch", "4",
                "--shard-rows", "300", "--dtype", "f32", *more]

    def stored(self, out):
        """(state, tokens of each sequence, all values) after checking that the counts agree."""
        state = json.loads((out / "collection.json").read_text())
        lines = [json.loads(line) for line in (out / "tokens.jsonl").read_text().splitlines()]
        tokens = [line["tokens"] for line in lines]
        values = array.array("f")
        for shard in sorted(out.glob("activations-*.safetensors")):
            _, width, part = read_rows(shard, "activations")
            self.assertEqual(width, 32)
            values += part
        self.assertEqual(len(values), 32 * state["rows"])
        first = 0
        for line in lines:
            end = first + 32 * len(line["tokens"])
            self.assertEqual(line["rows_crc32"], zlib.crc32(values[first:end].tobytes()))
            first = end
        self.assertEqual(sum(map(len, tokens)), state["rows"])
        self.assertEqual(len(tokens), state["sequences"])
        self.assertTrue(state["finished"])
        return state, tokens, values

    def test_unembedding(self):
        folder = self.folder / "words"
        run(*self.arguments(self.out, "--tokens", "100", "--unembedding", folder))
        expected = subprocess.run([PYTHON, "-c", EXPECT_UNEMBEDDING, str(self.model)], stdout=subprocess.PIPE, text=True, check=True, env=OFFLINE).stdout
        whole = (folder / "unembedding.safetensors").read_bytes()
        start = 8 + int.from_bytes(whole[:8], "little")
        values = struct.unpack("<%de" % (300 * 32), whole[start:])
        for value, other in zip(values, json.loads(expected)):
            self.assertAlmostEqual(value, other, delta=1e-3 * abs(other) + 1e-4)
        vocabulary = json.loads((folder / "vocab.json").read_text())
        tokens = json.loads((self.model / "tokenizer.json").read_text())["model"]["vocab"]
        self.assertEqual(len(vocabulary), 300)
        self.assertEqual(vocabulary[tokens["\u0120a"]], " a")

    def test_values(self):
        run(*self.arguments(self.out, "--keep-bos", "--outlier", "0", "--tokens", "1000"))
        state, tokens, values = self.stored(self.out)
        self.assertEqual((state["rows"], state["dropped_bos"], state["dropped_outliers"]), (1000, 0, 0))
        vocabulary = json.loads((self.model / "tokenizer.json").read_text())["model"]["vocab"]
        ids = [[vocabulary[token.replace(" ", "\u0120")] for token in sequence] for sequence in tokens]
        done = subprocess.run([PYTHON, "-c", EXPECT, str(self.model)], input="".join(json.dumps(i) + "\n" for i in ids), stdout=subprocess.PIPE,
                              text=True, check=True, env=OFFLINE)
        expected = [value for line in done.stdout.splitlines() for row in json.loads(line) for value in row]
        self.assertEqual(len(expected), len(values))
        self.assertLess(max(abs(a - b) for a, b in zip(expected, values)), 1e-5)

    def test_drops(self):
        run(*self.arguments(self.folder / "all", "--outlier", "0"))
        run(*self.arguments(self.folder / "few", "--outlier", "1.05"))
        every, few = self.stored(self.folder / "all")[0], self.stored(self.folder / "few")[0]
        self.assertGreater(few["dropped_outliers"], 0)
        self.assertEqual(every["rows"], few["rows"] + few["dropped_outliers"])
        self.assertEqual(every["dropped_bos"], every["sequences"])
        hsae("train", "--data", self.folder / "few", "--out", self.folder / "run", "--levels", "8,16", "--batch", "64", "--steps", "20",
             "--target-l0", "2", "--device", "ref")

    def test_killed(self):
        calm = self.folder / "calm"
        run(*self.arguments(calm, "--seed", "3"))
        shards = self.stored(calm)[0]["shards"]
        numbers, kills = random.Random(5), 0
        while kills < 6:
            after = numbers.randrange(shards)
            child = subprocess.Popen([PYTHON, str(TOOL), *map(str, self.arguments(self.out, "--seed", "3"))], env=OFFLINE, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            while child.poll() is None and not (self.out / ("activations-%05d.safetensors" % after)).exists():
                time.sleep(0.001)
            time.sleep(numbers.random() * 0.02)
            child.send_signal(signal.SIGKILL)
            kills += child.wait() == -signal.SIGKILL
            if child.returncode == 0:  # it was faster
                shutil.rmtree(self.out)
        run(*self.arguments(self.out, "--seed", "3"))
        self.assertEqual(sorted(p.name for p in calm.iterdir()), sorted(p.name for p in self.out.iterdir()))
        for path in calm.iterdir():
            self.assert_same_bytes(path, self.out / path.name)
        self.assertIn("complete already", run(*self.arguments(self.out, "--seed", "3"))[0])
        self.assertIn("other settings (seed 3, now 4)", run(*self.arguments(self.out, "--seed", "4"), status=1)[1])

    def test_errors(self):
        wrong = self.arguments(self.out)
        wrong[3] = "model.layer.0"
        self.assertIn("close: model.layers.0", run(*wrong, status=1)[1])
        self.assertIn("model.layers.1.mlp ", run("--model", self.model, "--list-hooks")[0])
        wrong[1], wrong[3] = "nobody/nothing", "model.layers.0"
        self.assertIn("nobody/nothing: transformers cannot load it", run(*wrong, status=1)[1])
        self.assertIn("no such token", run(*self.arguments(self.out, "--bos", "<none>"), status=1)[1])
        self.text.write_text("\n")
        self.assertIn("no text in there", run(*self.arguments(self.out), status=1)[1])
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    needed = "import torch, transformers, tokenizers, safetensors, tqdm"
    if "Whole" in sys.argv[2:] and subprocess.run([PYTHON, "-c", needed], stderr=subprocess.DEVNULL).returncode:
        print("skipped: %s lacks a package of tools/requirements-collect.txt" % PYTHON)
        sys.exit(77)
    main(__doc__)
