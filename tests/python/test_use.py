#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Python package among others: loggers, the hub, SAELens, the explorer in a notebook, activations of a language model, the examples: test_use.py
HSAE ...    Packages that are not installed are played by stand-ins."""
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import types
import unittest
import urllib.parse
from pathlib import Path
from unittest import mock

from package import DIM, FOLDER, ROWS, hsae, installed, made_rows, main, np, trainer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/explore"))
import browser


def module(name, **content):
    made = types.ModuleType(name)
    made.__dict__.update(content)
    return made


class Recorder:
    """An object that notes its calls."""

    def __init__(self, *given, **named):
        self.calls = [("init", given, named)]

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *given, **named: self.calls.append((name, given, named))


class Loggers(unittest.TestCase):
    def test_progress(self):
        made = []

        class Bar(Recorder):
            def __init__(self, **named):
                super().__init__(**named)
                self.n = named["initial"]
                made.append(self)

            def update(self, count):
                self.n += count

        with mock.patch.dict(sys.modules, {"tqdm": module("tqdm"), "tqdm.auto": module("tqdm.auto", tqdm=Bar)}):
            begun = trainer(made_rows()).fit(until=3)
            begun.fit(callbacks=[hsae.callbacks.Progress(desc="x")], metrics_every=10)
        bar, = made
        self.assertEqual(bar.calls[0][2], {"total": 40, "initial": 3, "unit": " steps", "desc": "x"})
        self.assertEqual((bar.n, bar.calls[-1][0]), (40, "close"))

    def test_tensorboard(self):
        writers = []
        stand_in = module("tensorboardX", SummaryWriter=lambda folder: writers.append(Recorder(folder)) or writers[0])
        with mock.patch.dict(sys.modules, {"torch.utils.tensorboard": None, "tensorboardX": stand_in}):
            trained = trainer(made_rows()).fit(callbacks=[hsae.callbacks.TensorBoard("runs/x")], metrics_every=20)
        calls = writers[0].calls
        self.assertEqual([calls[0], calls[-1][0]], [("init", ("runs/x",), {}), "close"])
        self.assertIn(("add_scalar", ("level_1/l0", trained.metrics[-1]["levels"][1]["l0"], 40), {}), calls)

    def test_runs(self):
        for name, callback in ("wandb", hsae.callbacks.WandB), ("trackio", hsae.callbacks.Trackio):
            runs = []
            stand_in = module(name, init=lambda **named: runs.append(Recorder(**named)) or runs[-1])
            with mock.patch.dict(sys.modules, {name: stand_in}):
                trained = trainer(made_rows()).fit(callbacks=[callback(project="p")], metrics_every=20)
                own = Recorder()
                with self.assertRaises(ZeroDivisionError):
                    trainer(made_rows()).fit(callbacks=[callback(own), lambda figures: 1 / 0], metrics_every=20)
                with self.assertRaises(ZeroDivisionError):
                    trainer(made_rows()).fit(callbacks=[callback(), lambda figures: 1 / 0], metrics_every=20)
            self.assertEqual(runs[0].calls[0][2], {"config": trained.resolved, "project": "p"})
            expected = hsae.flat(trained.metrics[1])
            self.assertEqual(expected.pop("step"), 40)
            self.assertEqual(runs[0].calls[2], ("log", (expected,), {"step": 40}))
            self.assertEqual(runs[0].calls[3:], [("finish", (), {})])
            self.assertEqual([call[0] for call in own.calls], ["init", "log"])
            self.assertEqual([call[0] for call in runs[1].calls], ["init", "log", "finish"])

    def test_missing(self):
        with mock.patch.dict(sys.modules, {"wandb": None}), self.assertRaises(ImportError):
            hsae.callbacks.WandB()


class WithModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = made_rows()
        cls.model = trainer(cls.rows).fit().model

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(dir=FOLDER.name))

    def same_model(self, first, second):
        first.save(self.folder / "first")
        second.save(self.folder / "second")
        self.assertEqual((self.folder / "first").read_bytes(), (self.folder / "second").read_bytes())


class Exchange(WithModel):
    def test_hub(self):
        kept = {}

        class Hub:
            def __init__(self, token=None):
                kept["token"] = token

            def create_repo(self, name, private, exist_ok):
                kept["made"] = name, private, exist_ok

            def upload_file(self, path_or_fileobj, path_in_repo, repo_id, commit_message):
                kept[repo_id, path_in_repo] = Path(path_or_fileobj).read_bytes()

        def download(name, file, revision):
            kept["revision"] = revision
            (self.folder / "got").write_bytes(kept[name, file])
            return str(self.folder / "got")

        with mock.patch.dict(sys.modules, {"huggingface_hub": module("huggingface_hub", HfApi=Hub, hf_hub_download=download)}):
            address = self.model.push_to_hub("me/forest", private=True, token="t")
            self.assertEqual((address, kept["made"], kept["token"]), ("hf://me/forest", ("me/forest", True, True), "t"))
            self.same_model(hsae.Model.load(address), self.model)
            address = self.model.push_to_hub("me/forest", file="layer-14/model.safetensors")
            self.same_model(hsae.Model.load(address), self.model)
            hsae.Model.load("hf://me/forest@v1/layer-14/model.safetensors")
            self.assertEqual(kept["revision"], "v1")
            with self.assertRaisesRegex(ValueError, "hf://OWNER/NAME"):
                hsae.Model.load("hf://forest")

    def raw_arrays(self, model):
        """Of each level, by the formulas of export: encoder, bias, threshold, decoder, bias."""
        mean, scale = model.mean.astype(np.float64), model.scale
        return [(level.encoder, level.encoder_bias / scale - level.encoder @ mean, level.threshold / scale, level.decoder,
                 level.decoder_bias / scale + mean) for level in model.levels]

    def test_files(self):
        for form, metadata in ("saelens", {"model_name": "m", "context_size": 128}), ("gemma-scope", {}):
            self.model.export(self.folder / form, form, **metadata)
            again = hsae.Model.from_files(self.folder / form)
            for one, other in zip(self.raw_arrays(self.model), self.raw_arrays(again)):
                for a, b in zip(one, other):
                    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
            for one, other in zip(self.model.tree.parents, again.tree.parents):
                np.testing.assert_array_equal(one, other)
        metadata = json.loads((self.folder / "saelens/level-1/cfg.json").read_text())["metadata"]
        self.assertEqual((metadata["model_name"], metadata["context_size"]), ("m", 128))
        with self.assertRaisesRegex(ValueError, "saelens, gemma-scope"):
            self.model.export(self.folder / "x", "torch")
        with self.assertRaisesRegex(hsae.ArgumentError, "hsae_level"):
            self.model.export(self.folder / "x", hsae_level=3)
        with self.assertRaisesRegex(hsae.Error, "no SAE there"):
            hsae.Model.from_files(self.folder / "none")

    def test_saelens(self):
        """With the folders that SAELens would read and write."""
        class Sae:
            @classmethod
            def load_from_disk(cls, path, device):
                made = cls()
                made.folder = shutil.copytree(path, Path(tempfile.mkdtemp(dir=FOLDER.name)) / "sae")
                return made

            def save_model(self, path):
                shutil.copytree(self.folder, path)

        with mock.patch.dict(sys.modules, {"sae_lens": module("sae_lens", SAE=Sae)}):
            saes = self.model.to_saelens(model_name="m")
            again = hsae.Model.from_saelens(saes[::-1])
        self.assertEqual([level.features for level in again.levels], [level.features for level in self.model.levels])
        for one, other in zip(self.raw_arrays(self.model), self.raw_arrays(again)):
            for a, b in zip(one, other):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    @unittest.skipUnless(installed("sae_lens"), "sae_lens is not installed")
    def test_real_saelens(self):
        import torch

        saes = self.model.to_saelens(model_name="m", hook_name="h")
        again = hsae.Model.from_saelens(saes)
        rows = torch.from_numpy(self.rows)
        for number, (sae, ours, theirs) in enumerate(zip(saes, self.model.encode(self.rows), again.encode(self.rows))):
            expected = ours.toarray() / self.model.scale
            with torch.no_grad():
                found = sae.encode(rows)
                np.testing.assert_allclose(found.numpy(), expected, atol=2e-5 * expected.max())
                decoded = self.model.decode(number, ours)
                np.testing.assert_allclose(sae.decode(found).numpy(), decoded, atol=2e-5 * abs(decoded).max())
            np.testing.assert_allclose(theirs.toarray(), expected, atol=2e-5 * expected.max())


class Explorer(WithModel):
    tokens = [[f"t{row * row % 17}" for row in range(first, first + 50)] for first in range(0, ROWS, 50)]

    def test_page(self):
        page = hsae.explore(self.model, self.rows, self.tokens, title="mine & yours", height=500)
        self.assertIn("<title>", page.html)
        self.assertIn("height: 500px", page._repr_html_())
        self.assertNotIn("<script", page._repr_html_())
        self.model.save(self.folder / "model.safetensors")
        np.save(self.folder / "rows.npy", self.rows)
        (self.folder / "tokens.jsonl").write_text("".join(json.dumps({"tokens": sequence}) + "\n" for sequence in self.tokens))
        other = hsae.explore(self.folder / "model.safetensors", self.folder / "rows.npy", title="mine & yours", device="ref")
        self.assertIn("<title>", other.html)
        page.save(self.folder / "page.html")
        self.assertEqual((self.folder / "page.html").read_text(encoding="utf-8"), page.html)

    def test_errors(self):
        with self.assertRaisesRegex(hsae.Error, "tokens"):
            hsae.explore(self.model, self.rows, self.tokens[:2])
        with self.assertRaisesRegex(ValueError, "tokens="):
            hsae.explore(self.model, self.rows)
        with self.assertRaisesRegex(TypeError, "sequence 1"):
            hsae.explore(self.model, self.rows, [["a"], "b"])
        with mock.patch.object(hsae._library, "_installed", lambda: None), mock.patch.dict(os.environ, {"PATH": ""}):
            with self.assertRaisesRegex(hsae.Error, "the program hsae"):
                hsae.explore(self.model, self.rows, self.tokens)

    @unittest.skipUnless(browser.program(), "chromium is not installed")
    def test_cell(self):
        """In the cell of a notebook features can be chosen: links are those of the page, not of the notebook."""
        cell = self.folder / "notebook.html"
        cell.write_text("<!doctype html><body>" + hsae.explore(self.model, self.rows, self.tokens)._repr_html_())
        with browser.Browser() as shown:
            shown.call("Page.navigate", url=cell.as_uri())
            end, fragment = time.monotonic() + 120, ""
            while not fragment.startswith("#l0/") and time.monotonic() < end:
                for kind in "mousePressed", "mouseReleased":
                    shown.call("Input.dispatchMouseEvent", type=kind, x=150, y=200, button="left", clickCount=1)
                time.sleep(0.2)
                for child in shown.call("Page.getFrameTree")["frameTree"].get("childFrames", []):
                    fragment = child["frame"].get("urlFragment", "")
            self.assertRegex(fragment, "^#l0/")
            self.assertEqual(shown.complaints, [])


class Live(WithModel):
    """Text that is typed in the page, run by a stand-in for a language model."""

    tokens = Explorer.tokens

    def setUp(self):
        super().setUp()
        self.asked = []
        self.page = hsae.explore(self.model, self.rows, self.tokens, live=self.run_model)
        self.addCleanup(self.page.close)

    def run_model(self, text):
        """A token for each word, the n-th row of the data for each n-th token."""
        self.asked.append(text)
        words = text.split(" ")
        if words == ["fail"]:
            raise ArithmeticError("<no> model")
        return words, self.rows[:len(words)] if words != ["short"] else self.rows[:2]

    def ask(self, path="run", body=b'{"text": "one two"}', method="POST", **headers):
        """(status, content) of a request."""
        where = urllib.parse.urlsplit(self.page.address)
        connection = http.client.HTTPConnection(where.hostname, where.port)
        try:
            connection.request(method, path if path.startswith("/") else where.path + path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def test_server(self):
        status, content = self.ask()
        answer = json.loads(content)
        self.assertEqual((status, answer["tokens"]), (200, ["one", "two"]))
        for found, level in zip(answer["levels"], self.model.encode(self.rows[:2])):
            active = hsae._model._compressed(level, level.shape[1])
            for flat, first, end in zip(found, active.indptr[:-1], active.indptr[1:]):
                self.assertEqual(sorted(flat[::2]), list(active.indices[first:end]))
                np.testing.assert_allclose(flat[1::2], sorted(active.values[first:end], reverse=True), rtol=1e-3)
        status, page = self.ask("", None, "GET")
        self.assertEqual((status, page.count(b"connect-src 'self'")), (200, 1))
        self.assertNotIn("connect-src", self.page.html)
        self.assertIn(self.page.address, self.page._repr_html_())

    def test_refused(self):
        """Strangers, other pages, other forms; and what the model cannot do."""
        port = urllib.parse.urlsplit(self.page.address).port
        for expected, given in ((404, {"path": "/run"}), (404, {"path": "/" + "x" * 32 + "/run"}), (404, {"method": "GET", "path": "/", "body": None}),
                                (403, {"Host": "evil.example"}), (403, {"Origin": "http://evil.example"}), (403, {"Origin": "null"}), (403, {"Host": f"127.0.0.2:{port}"}),
                                (415, {"Content-Type": "text/plain"}), (413, {"body": b" " * 70000}), (400, {"body": b"[1"}), (400, {"body": b'{"text": 1}'}),
                                (400, {"body": json.dumps({"text": "x" * 4001}).encode()}), (400, {"body": b'{"text": " "}'}), (501, {"method": "PUT"})):
            status, content = self.ask(**given)
            self.assertEqual(status, expected, given)
            self.assertNotIn(self.page.address.encode(), content)
        self.assertEqual(self.asked, [])
        with self.assertLogs("hsae", "WARNING"):
            self.assertEqual(self.ask(body=b'{"text": "fail"}'), (500, b'{"error": "ArithmeticError: <no> model"}'))
            self.assertIn(b"1 tokens and 2 rows", self.ask(body=b'{"text": "short"}')[1])

    def test_end(self):
        address = self.page.address
        self.page.close()
        self.page.close()
        end = time.monotonic() + 120
        where = urllib.parse.urlsplit(address)
        with self.assertRaises(ConnectionError):
            while time.monotonic() < end:
                with contextlib.closing(http.client.HTTPConnection(where.hostname, where.port)) as connection:
                    connection.connect()
        with self.assertRaisesRegex(hsae.Error, "live="):
            self.page.serve()

    @unittest.skipUnless(browser.program(), "chromium is not installed")
    def test_browser(self):
        with browser.Browser() as shown:
            shown.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
            shown.call("Page.navigate", url=self.page.address + "#live")
            shown.until("document.body?.dataset.shown === 'live'")
            shown.js("document.getElementById('live-text').focus()")
            shown.type("one <b> three")
            shown.click("#live-run")
            shown.until("document.getElementById('live-status').textContent === '3 tokens'")
            self.assertEqual(self.asked, ["one <b> three"])
            self.assertEqual(shown.js("[...document.querySelectorAll('#live-answer .text .token')].map(token => token.textContent)"), ["one", "<b>", "three"])
            name = shown.js("document.querySelector('#live-answer .relative .name').textContent")
            shown.click("#live-answer .relative .feature")
            shown.until(f"document.body.dataset.shown === '{name}'")
            self.assertTrue(shown.js("document.querySelector('.typed .token.lit') !== null"))
            shown.click(".typed .token:nth-child(2)")
            shown.until("document.querySelector('#card.path h2')?.textContent === 'Path of <b>'")
            self.assertIn("Token 1 of your text", shown.js("document.getElementById('card').textContent"))
            self.assertTrue(shown.js("document.querySelectorAll('.path-level .step').length"))
            self.assertEqual(shown.complaints, [])
            # What the model says goes to the reader; the text stays.
            shown.click("#to-live")
            shown.js("document.getElementById('live-text').select()")
            shown.type("fail")
            with self.assertLogs("hsae", "WARNING"):
                shown.click("#live-run")
                shown.until("document.getElementById('live-status').textContent === 'ArithmeticError: <no> model'")
            self.assertEqual(shown.js("document.getElementById('live-text').value"), "fail")


class Words:
    """A tokenizer: a token for each letter; 0 starts a sequence."""

    bos_token_id = 0

    def __call__(self, text, add_special_tokens=True, verbose=True):
        return types.SimpleNamespace(input_ids=[0] * add_special_tokens + [ord(letter) - 96 for letter in text])

    def get_vocab(self):
        return {"<s>": 0}

    def decode(self, ids, clean_up_tokenization_spaces):
        return "".join(chr(96 + token) for token in ids)

    def convert_ids_to_tokens(self, token):
        return chr(96 + token)


TEXTS = ["abcdefghij" * 4, "  ", "zyx" * 7]


class Activations(unittest.TestCase):
    def test_arguments(self):
        model = types.SimpleNamespace(named_modules=lambda: [("", None), ("layers.0", None)], parameters=lambda: iter([types.SimpleNamespace(device="cpu")]))
        with self.assertRaisesRegex(ValueError, "layers.1: the model has no such module; close: layers.0"):
            hsae.activations(model, Words(), TEXTS, "layers.1")
        with self.assertRaisesRegex(ValueError, "context 1: no room"):
            hsae.activations(model, Words(), TEXTS, "layers.0", context=1)
        with self.assertRaisesRegex(ValueError, "no such token"):
            hsae.activations(model, Words(), TEXTS, "layers.0", bos="<none>")

    @unittest.skipUnless(installed("torch"), "torch is not installed")
    def test_rows(self):
        import torch

        class Layer(torch.nn.Module):
            def forward(self, x):
                return (x * 2 + x.cumsum(1), None)

        class Fail(torch.nn.Module):
            def forward(self, x):
                raise AssertionError("the forward pass went past the hook")

        class Lm(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = torch.nn.Embedding(27, DIM)
                self.layers = torch.nn.ModuleList([Layer(), Fail()])

            def forward(self, input_ids):
                x = self.embedding(input_ids)
                for layer in self.layers:
                    x = layer(x)[0]
                return x

        torch.manual_seed(1)
        model, tokens = Lm(), []
        with torch.no_grad():
            model.embedding.weight[26] *= 1000  # z: an outlier
        made = hsae.activations(model, Words(), TEXTS, "layers.0", context=8, batch=3, dtype="f32", tokens=tokens)
        expected, texts = [], []
        for text in TEXTS:
            for first in range(0, len(text.strip()), 7):
                piece = text[first:first + 7]
                x = model.embedding(torch.tensor([0] + [ord(letter) - 96 for letter in piece])).detach()
                rows = (x * 2 + x.cumsum(0))[1:]
                keep = rows.norm(dim=1) < 2000
                expected.append(rows[keep])
                texts.append([letter for letter, kept in zip(piece, keep) if kept])
        for _ in range(2):
            torch.testing.assert_close(torch.cat(list(made)), torch.cat(expected), rtol=0, atol=1e-5)
            self.assertEqual(tokens, [text for text in texts if text])
        self.assertEqual(len(model.layers[0]._forward_hooks), 0)
        self.assertLess(sum(map(len, tokens)), 40 + 21)
        whole = list(hsae.activations(model, Words(), TEXTS, "layers.0", context=8, outlier=0, keep_bos=True))
        self.assertEqual((sum(map(len, whole)), whole[0].dtype), (61 + 6 + 3, torch.float16))
        for text in TEXTS[0], TEXTS[2]:  # of its own, outliers too
            letters, rows = made(text)
            self.assertEqual((letters, rows.shape), (list(text), (len(text), DIM)))
        torch.testing.assert_close(made(TEXTS[0])[1], torch.cat(expected[:6]), rtol=0, atol=1e-5)
        with self.assertRaisesRegex(ValueError, "there is no text"):
            made(" ")
        with self.assertRaisesRegex(ValueError, "used up"):
            list(hsae.activations(model, Words(), iter([]), "layers.0"))
        with self.assertRaisesRegex(ValueError, "no such type"):
            list(hsae.activations(model, Words(), TEXTS, "layers.0", dtype="f8"))
        with self.assertRaisesRegex(ValueError, "text 0 is not a string but bytes"):
            list(hsae.activations(model, Words(), [b"a"], "layers.0"))
        trainer(made, steps=3, batch=10).fit()


class Examples(unittest.TestCase):
    def test_all(self):
        """They run, and say what they did."""
        folder = Path(tempfile.mkdtemp(dir=FOLDER.name))
        data, model, page = folder / "data", folder / "model.safetensors", folder / "forest.html"
        data.mkdir()
        np.save(data / "rows.npy", np.random.default_rng(1).standard_normal((600, 32)).astype(np.float16))
        (data / "tokens.jsonl").write_text("".join(json.dumps({"tokens": ["a", "b", "c"]}) + "\n" for _ in range(200)))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HSAE_DEVICE": "ref"}
        for name, arguments, words in (("train_on_files.py", [data, model, "5"], "variance explained"),
                                       ("look_at_forest.py", [model, data, page], "hsae.Page of"),
                                       ("train_while_model_runs.py", ["30"], "step 30: explained")):
            done = subprocess.run([sys.executable, ROOT / "tools/python/examples" / name, *map(str, arguments)], env=environment, capture_output=True,
                                  text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(words, done.stdout)
        self.assertTrue(page.exists())


if __name__ == "__main__":
    main()
