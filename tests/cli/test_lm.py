#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hsae collect and hsae train --gguf, with a small random model. test_lm.py HSAE [TEST]... Skipped where hsae has no libllama."""
import array
import json
import math
import os
import random
import signal
import struct
import subprocess
import sys

from program import DRIVERS, PATIENCE, PROGRAM, Case, hsae, main, read_rows, until

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 32, 3, 2, 64, 256
SKIPPED = 77
TRAIN = ["--levels", "8,16", "--batch", "8", "--target-l0", "2", "--device", "ref", "--threads", "1", "--context", "16", "--sequences", "2"]
TEXT = "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife. "


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(item):
    """A value of GGUF's metadata with its type."""
    if isinstance(item, bool):
        return struct.pack("<IB", 7, item)
    if isinstance(item, int):
        return struct.pack("<II", 4, item)
    if isinstance(item, float):
        return struct.pack("<If", 6, item)
    if isinstance(item, str):
        return struct.pack("<I", 8) + string(item)
    parts = [value(part) for part in item]
    return struct.pack("<I", 9) + parts[0][:4] + struct.pack("<Q", len(parts)) + b"".join(part[4:] for part in parts)


def write_gguf(path, seed=1, quantised=False):
    """A Llama of random weights whose tokens are bytes."""
    numbers = random.Random(seed)
    tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)] + ["\u2581"]
    metadata = {
        "general.architecture": "llama", "llama.block_count": LAYERS, "llama.context_length": CONTEXT, "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": INNER, "llama.attention.head_count": HEADS, "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": WIDTH // HEADS, "llama.vocab_size": len(tokens), "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0,
    }
    kinds = [2, 3, 3] + [6] * 256 + [1]
    types = struct.pack("<II", 9, 5) + struct.pack("<Q", len(kinds)) + struct.pack("<%di" % len(kinds), *kinds)
    shapes = {"token_embd.weight": (WIDTH, len(tokens)), "output.weight": (WIDTH, len(tokens)), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        for name, shape in (("attn_norm", (WIDTH,)), ("ffn_norm", (WIDTH,)), ("attn_q", (WIDTH, WIDTH)), ("attn_k", (WIDTH, WIDTH)),
                            ("attn_v", (WIDTH, WIDTH)), ("attn_output", (WIDTH, WIDTH)), ("ffn_gate", (WIDTH, INNER)),
                            ("ffn_up", (WIDTH, INNER)), ("ffn_down", (INNER, WIDTH))):
            shapes["blk.%d.%s.weight" % (layer, name)] = shape
    infos, data = b"", b""
    for name, shape in shapes.items():
        count = math.prod(shape)
        q8 = quantised and len(shape) == 2
        infos += string(name) + struct.pack("<I%dQIQ" % len(shape), len(shape), *shape, 8 if q8 else 0, len(data))
        if q8:  # Q8_0: a scale in float16, then 32 integers
            data += b"".join(struct.pack("<e32b", 0.01, *(numbers.randint(-60, 60) for _ in range(32))) for _ in range(count // 32))
        else:
            data += array.array("f", [1.0 if len(shape) == 1 else numbers.gauss(0, 0.3) for _ in range(count)]).tobytes()
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata) + 1)
    head += b"".join(string(key) + value(item) for key, item in metadata.items()) + string("tokenizer.ggml.token_type") + types + infos
    path.write_bytes(head + bytes(-len(head) % 32) + data)


class Model(Case):
    def setUp(self):
        super().setUp()
        self.model, self.text = self.folder / "tiny.gguf", self.folder / "text"
        write_gguf(self.model)
        self.text.mkdir()
        (self.text / "a.txt").write_text(TEXT)
        (self.text / "b.jsonl").write_text("".join(json.dumps({"text": TEXT[k:k + 30 + k]}) + "\n" for k in range(9)))
        self.reads = ["--gguf", self.model, "--layer", "1", "--text", self.text]

    def collect(self, out, *more, status=0, **others):
        options = [] if "--sequences" in more else ["--sequences", "2"]
        return hsae("collect", *self.reads, "--out", self.folder / out, "--threads", "1", "--context", "16", *options, *more, status=status,
                    **others)

    def rows(self, out):
        values = array.array("f")
        for path in sorted((self.folder / out).glob("*.safetensors")):
            values += read_rows(path, "activations")[2]
        return values

    def lines(self, out):
        return [json.loads(line) for line in (self.folder / out / "tokens.jsonl").read_text().splitlines()]

    def test_rows(self):
        """The same bytes for any threads and sequences at once; a sequence is not changed by those beside it."""
        self.collect("a", "--dtype", "f32")
        lines = self.lines("a")
        text = TEXT + "".join(TEXT[k:k + 30 + k] for k in range(9))
        self.assertEqual("".join("".join(line["tokens"]) for line in lines).replace(" ", ""), text.replace(" ", ""))
        self.assertEqual(max(len(line["tokens"]) for line in lines), 15)
        self.assertEqual(len(self.rows("a")), WIDTH * sum(len(line["tokens"]) for line in lines))
        self.assertEqual({line["source"] for line in lines}, {"a.txt", "b.jsonl"})
        for name, more in (("b", ("--sequences", "1")), ("c", ("--sequences", "5")), ("d", ("--threads", "2"))):
            self.collect(name, "--dtype", "f32", *more)
            self.assertEqual(self.rows(name), self.rows("a"), name)
            self.assertEqual(self.lines(name), lines)

    def test_types_and_outliers(self):
        report = json.loads(self.collect("all", "--outlier", "0", "--dtype", "f32", "--json")[0])
        self.assertEqual((report["dropped_outliers"], report["dim"], report["median_norm"]), (0, WIDTH, None))
        report = json.loads(self.collect("near", "--outlier", "1.05", "--json")[0])
        self.assertGreater(report["dropped_outliers"], 0)
        self.assertGreater(report["median_norm"], 0)
        self.assertEqual(sum(len(line["tokens"]) for line in self.lines("near")), report["rows"])
        told = json.loads(hsae("info", self.folder / "near", "--json")[0])
        self.assertEqual((told["tokens"], told["dim"]), (report["rows"], WIDTH))
        self.collect("few", "--tokens", "20", "--bos", "none")
        self.assertEqual(sum(len(line["tokens"]) for line in self.lines("few")), 20)
        self.assertEqual(len(self.lines("few")[0]["tokens"]), 16)

    def test_goes_on(self):
        """After the last whole shard; with other settings it is refused."""
        more = ("--shard-rows", "30")
        self.collect("whole", *more)
        self.collect("cut", *more)
        state = self.folder / "cut" / "collection.json"
        shards = sorted((self.folder / "cut").glob("activations-*"))
        self.assertGreater(len(shards), 3)
        whole = json.loads(state.read_text())
        # As a kill after the first shard's state leaves it.
        self.collect("one", *more, "--tokens", "30")
        first = json.loads((self.folder / "one" / "collection.json").read_text())
        state.write_text(json.dumps({**whole, **{key: first[key] for key in first if key not in ("settings", "finished")}, "finished": False}))
        errors = self.collect("cut", *more)[1]
        self.assertIn("going on after 30 rows", errors)
        for path in sorted((self.folder / "whole").iterdir()):
            self.assert_same_bytes(path, self.folder / "cut" / path.name)
        self.assertIn("made with other settings", self.collect("cut", "--shard-rows", "31", status=1)[1])

    def train(self, out, *more, status=0):
        return hsae("train", *self.reads, *TRAIN, "--out", self.folder / out, *more, status=status)

    def test_train(self):
        """As from what collect stored, and the same bytes after a stop within a buffer, and in a second epoch."""
        self.collect("rows", "--outlier", "0")
        told = json.loads(hsae("info", self.folder / "rows", "--json")[0])
        steps = ["--steps", str(told["tokens"] // 4)]
        self.train("made", *steps)
        skip = len(TRAIN) - 6
        hsae("train", "--data", self.folder / "rows", "--out", self.folder / "files", *TRAIN[:skip], *steps)
        self.assert_same_bytes(self.folder / "made" / "model.safetensors", self.folder / "files" / "model.safetensors")
        for name, more in (("small", []), ("stopped", ["--stop-after", "11"]), ("stopped", ["--resume", "auto"])):
            self.train(name, *steps, "--buffer", "40", *more)
        self.assert_same_bytes(self.folder / "small" / "model.safetensors", self.folder / "stopped" / "model.safetensors")
        (self.text / "b.jsonl").write_text(json.dumps({"text": TEXT}))
        self.assertIn("the data differ", self.train("stopped", "--buffer", "40", "--resume", "auto", status=1)[1])

    def test_killed(self):
        """-9 in mid-buffer."""
        more = ["--steps", "400", "--buffer", "40", "--checkpoint-every", "20", "--resume", "auto"]
        self.train("whole", *more)
        command = [PROGRAM, "train", *map(str, self.reads), *TRAIN, "--out", str(self.folder / "killed"), *more]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **DRIVERS})
        until(lambda: any((self.folder / "killed").glob("checkpoint-*")), process)
        process.kill()
        self.assertEqual(process.wait(timeout=PATIENCE), -signal.SIGKILL)
        self.train("killed", *more)
        self.assert_same_bytes(self.folder / "whole" / "model.safetensors", self.folder / "killed" / "model.safetensors")

    def test_quantised(self):
        write_gguf(self.model, quantised=True)
        self.assertIn("is quantised (", self.collect("as-is", "--dtype", "f32")[1])
        errors = self.collect("floats", "--dtype", "f32", "--f32", environment={"TMPDIR": str(self.folder)})[1]
        self.assertNotIn("is quantised", errors)
        self.assertEqual(list(self.folder.glob("hsae-*")), [])
        exact, rough = self.rows("floats"), self.rows("as-is")
        error = math.sqrt(sum((a - b) ** 2 for a, b in zip(exact, rough)) / sum(a * a for a in exact))
        self.assertTrue(1e-4 < error < 0.05, error)

    def refused(self, *more, status=1, words):
        errors = self.collect("refused", *more, status=status)[1]
        for word in words:
            self.assertIn(word, errors)

    def test_layers(self):
        """The last one, too, which libllama computes for some tokens only; others by their names."""
        self.reads[3] = str(LAYERS - 1)
        self.collect("last", "--dtype", "f32")
        self.assertEqual(len(self.rows("last")), WIDTH * sum(len(line["tokens"]) for line in self.lines("last")))
        self.reads[3] = "9"
        self.refused(status=2, words=["l_out-9: ", "has layers 0 to 2"])
        self.reads[2:4] = ["--activation", "attn_result-1"]
        self.refused(status=2, words=["there is no tensor attn_result-1; those of that layer: ", "l_out-1", "ffn_out-1", "--activation NAME"])
        self.reads[3] = "ffn_out-1"
        self.collect("inner", "--dtype", "f32")
        self.reads[3] = "kq-1"
        self.refused(status=2, words=["kq-1 is f32 [", "not one float vector for each"])

    def test_mistakes(self):
        self.refused("--bos", "nonsense", status=2, words=["--bos nonsense: the model has no such token"])
        self.refused("--context", "999", status=2, words=["--context 999", "trained with at most 256"])
        self.refused("--activation", "x", status=2, words=["exclude each other"])
        (self.text / "b.jsonl").write_text('{"txt": 1}\n')
        self.refused(words=["b.jsonl:1: expected a JSON object with a string \"text\""])
        (self.text / "b.jsonl").write_bytes(b"")
        (self.text / "a.txt").write_bytes(b"\xff\xfe")
        self.refused(words=["a.txt: not UTF-8"])
        (self.text / "a.txt").write_text(" \n")
        self.refused(words=["there is no text"])
        self.model.write_bytes(self.model.read_bytes()[:-5000])
        self.refused(words=["cannot load it: ", "not within the file bounds"])
        self.model.write_bytes(b"no model")
        self.refused(words=["tiny.gguf: libllama finds no GGUF file"])
        self.reads[-1] = self.folder / "nowhere"
        self.refused(words=["nowhere: No such file"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        told = subprocess.run([PROGRAM, "collect", "--gguf", "x", "--layer", "0", "--text", ".", "--out", "x"], stderr=subprocess.PIPE, text=True)
        if "built without" in told.stderr:
            print("skipped: this hsae was built without libllama (tests/libllama.sh builds it)")
            sys.exit(SKIPPED)
    main(__doc__)
