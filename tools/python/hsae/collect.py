# SPDX-License-Identifier: MIT
"""Collects activations of a language model on text, in the form `hsae train --data` reads; `activations` gives them to a training as they are made.

Each document is cut into sequences of --context tokens, the first of which is the start token; the model runs in float32 up to the hook, and the
output of that module is stored, one row a token. Rows of start tokens (attention sinks) and rows whose norm exceeds --outlier times the median
norm of the first sequences are dropped and counted.

DIR gets activations-NNNNN.safetensors (tensor `activations`, [rows, width]), tokens.jsonl (one line a sequence, the tokens that were kept, in the
order of the rows, with a fingerprint of them) and collection.json (settings and statistics). A shard appears when it is whole. Run the same command again after an
interruption: it goes on after the last whole shard and ends with the same bytes, on the same machine, as a run that was not interrupted.

Text: a file is one document; a line of a .jsonl file is one document, its "text"; a folder means its .txt and .jsonl files, in name order, those
of its subfolders included. UTF-8.
"""
import argparse
import difflib
import hashlib
import importlib
import itertools
import json
import os
import pathlib
import random
import sys
import tempfile
import zlib
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, Tuple

EXAMPLES = """examples:
  collect_activations.py --model HuggingFaceTB/SmolLM2-135M --list-hooks
  collect_activations.py --model HuggingFaceTB/SmolLM2-135M --hook model.layers.14 --text books/ --tokens 100000 --out activations
  collect_activations.py --model model.gguf --hook model.layers.14 --text a.txt b.jsonl --bos '<|endoftext|>' --out activations
  hsae train --data activations --out runs/first

packages (a virtual environment is best): pip install -r tools/requirements-collect.txt"""

DTYPES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32"}
SAMPLE_SEQUENCES = 64  # for the median norm
STATE = "collection.json"
TOKENS = "tokens.jsonl"


class Failure(ValueError):
    """What, where, what to do."""


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("%s: must be at least 1" % text)
    return value


def not_negative(text):
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("%s: must be 0 or more" % text)
    return value


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, metavar="PATH|NAME|FILE.gguf", help="a folder, a name of the Hugging Face hub, or a GGUF file")
    parser.add_argument("--tokenizer", metavar="PATH|NAME", help="default: the model's own")
    parser.add_argument("--hook", metavar="NAME", help="the module whose output is stored, e.g. model.layers.14")
    parser.add_argument("--list-hooks", action="store_true", help="print the names of the model's modules and stop")
    parser.add_argument("--text", nargs="+", type=pathlib.Path, metavar="FILE", help="text files, .jsonl files, folders of them")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="created if missing")
    parser.add_argument("--tokens", type=positive, metavar="N", help="stop after N rows (default: all of the text)")
    parser.add_argument("--context", type=positive, default=128, metavar="N", help="tokens of a sequence, start token included (default 128)")
    parser.add_argument("--batch", type=positive, default=16, metavar="N", help="sequences run at once (default 16)")
    parser.add_argument("--bos", default="auto", metavar="auto|none|TOKEN", help="start token of each sequence; auto: what the tokenizer puts "
                        "first by itself, else its bos_token if it has one")
    parser.add_argument("--keep-bos", action="store_true", help="store the rows of start tokens, too")
    parser.add_argument("--outlier", type=not_negative, default=10.0, metavar="X", help="drop rows of more than X times the median norm; 0: none "
                        "(default 10)")
    parser.add_argument("--unembedding", type=pathlib.Path, metavar="DIR", help="write there, too, unembedding.safetensors and vocab.json, for hsae "
                        "explore; not in --out")
    parser.add_argument("--dtype", choices=DTYPES, default="f16", help="of the stored rows (default f16)")
    parser.add_argument("--shard-rows", type=positive, default=32768, metavar="N", help="a shard ends with the batch that reaches this (default 32768)")
    parser.add_argument("--seed", type=int, metavar="N", help="shuffle the sequences, which tokenizes all of the text first (default: text order)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="of PyTorch, e.g. cuda (default cpu)")
    options = parser.parse_args(arguments)
    if not options.list_hooks:
        for name in ("hook", "text", "out"):
            if getattr(options, name) is None:
                parser.error("--%s is missing" % name)
    return options


# Text ---------------------------------------------------------------------------------------------------------------------------------------

def text_files(paths):
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix in (".txt", ".jsonl") and file.is_file())
            if not found:
                raise Failure("%s: no .txt and no .jsonl file in this folder" % path)
            yield from found
        elif path.exists():
            yield path
        else:
            raise Failure("%s: no such file or folder (--text)" % path)


def jsonl_documents(path, file):
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError):
            text = None
        if not isinstance(text, str):
            raise Failure('%s:%d: expected a JSON object with a string "text"' % (path, number))
        yield text


def documents(paths):
    """(name of the file, text) of each document that is not blank."""
    for path in text_files(paths):
        try:
            with path.open(encoding="utf-8") as file:
                for text in jsonl_documents(path, file) if path.suffix == ".jsonl" else [file.read()]:
                    if text.strip():
                        yield path.name, text
        except UnicodeDecodeError as error:
            raise Failure("%s: not UTF-8 (%s); convert it, e.g. with iconv" % (path, error.reason)) from error
        except OSError as error:
            raise Failure("%s: %s" % (path, error.strerror)) from error


def pieces(ids, prefix, context):
    """A document's sequences: each of at most `context` tokens, `prefix` first. The last may be short."""
    step = context - len(prefix)
    for start in range(0, len(ids), step):
        yield prefix + ids[start:start + step]


def sequences(paths, tokenize, prefix, context, seed):
    """(name of the file, token ids) of each sequence."""
    found = ((source, piece) for source, text in documents(paths) for piece in pieces(tokenize(text), prefix, context))
    if seed is None:
        return found
    shuffled = list(found)
    random.Random(seed).shuffle(shuffled)
    return iter(shuffled)


def batches(items, size):
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


# Model --------------------------------------------------------------------------------------------------------------------------------------

def need(*names):
    """The modules of these names, or a word on how to install them."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        missing = error.name or names[0]
        raise Failure("the Python package %s is missing: pip install torch transformers safetensors gguf accelerate tqdm" % missing) from error


def source_of(name):
    """What transformers' from_pretrained wants to know of a folder, a hub name or a GGUF file."""
    path = pathlib.Path(name)
    if path.is_file():
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise Failure("%s: not a GGUF file; --model takes a folder, a hub name or a GGUF file" % name)
        need("gguf")
        return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    if not path.is_dir() and (path.is_absolute() or name.count("/") > 1 or name.endswith(".gguf")):
        raise Failure("%s: no such file or folder (--model)" % name)
    return {"pretrained_model_name_or_path": name}


def load(kind, name, **more):
    try:
        return kind.from_pretrained(**source_of(name), **more)
    except (OSError, ValueError, KeyError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise Failure("%s: transformers cannot load it: %s" % (name, lines[0])) from error


def find_module(model, name):
    modules = dict(model.named_modules())
    if name in modules and name:
        return modules[name]
    close = difflib.get_close_matches(name, modules, n=5, cutoff=0.5)
    raise Failure("%s: the model has no such module; %s--list-hooks or model.named_modules() has all" % (name, "close: %s; " % ", ".join(close) if close else ""))


class Reached(Exception):
    """Ends the forward pass at the hook: the layers after it are of no use here."""


def recorder(torch, model, module, name):
    """A function from token ids [sequences, tokens] to the module's output [sequences, tokens, width], and one that ends it."""
    kept = []

    def hook(_module, _inputs, output):
        tensor = output[0] if isinstance(output, (tuple, list)) else output
        kept.append(tensor)
        raise Reached

    handle = module.register_forward_hook(hook)

    def record(ids):
        kept.clear()
        try:
            with torch.no_grad():
                model(input_ids=ids)
        except Reached:
            pass
        if not kept:
            raise Failure("%s: the model does not run this module; choose another hook" % name)
        tensor = kept.pop()
        if not isinstance(tensor, torch.Tensor) or tensor.dim() != 3 or tensor.shape[:2] != ids.shape:
            raise Failure("%s: its output is not one vector a token (%s); choose another hook" % (name, tuple(getattr(tensor, "shape", ()))))
        return tensor.float().cpu()

    return record, handle.remove


def start_tokens(tokenizer, choice):
    if choice == "none":
        return []
    if choice == "auto":
        plain = tokenizer("a", add_special_tokens=False).input_ids
        whole = tokenizer("a").input_ids
        first = whole[:whole.index(plain[0])] if plain and plain[0] in whole else []
        return first or ([tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else [])
    found = tokenizer.get_vocab().get(choice)
    if found is None:
        raise Failure("%s: the tokenizer has no such token (--bos)" % choice)
    return [found]


def token_text(tokenizer):
    """A function from a token id to its text; U+FFFD where it is only part of a character."""
    known = {}

    def text(token):
        if token not in known:
            plain = tokenizer.decode([token], clean_up_tokenization_spaces=False)
            # SentencePiece tokenizers drop the space in front of what they decode.
            space = str(tokenizer.convert_ids_to_tokens(token)).startswith("\u2581") and not plain.startswith(" ")
            known[token] = " " + plain if space else plain
        return known[token]

    return text


# Rows ---------------------------------------------------------------------------------------------------------------------------------------

class Kept(NamedTuple):
    """What is kept of a sequence."""

    rows: Any  # [kept, width], of the wanted type
    norms: Any  # [kept], float32
    ids: List[int]
    outliers: int  # that were left out, and start tokens
    starts: int


class Reader:
    """Runs sequences through a model up to a hook, and leaves out start tokens and outliers."""

    def __init__(self, torch, model, tokenizer, hook, prefix, dtype, outlier, keep_bos, device):
        if dtype not in DTYPES:
            raise Failure("%s: no such type of rows; there are %s" % (dtype, ", ".join(DTYPES)))
        self.torch, self.prefix, self.device, self.outlier, self.keep_bos = torch, prefix, device, outlier, keep_bos
        self.dtype, self.dtype_name = getattr(torch, DTYPES[dtype]), dtype
        self.text = token_text(tokenizer)
        self.record, self.close = recorder(torch, model, find_module(model, hook), hook)

    def outputs(self, batch):
        """[tokens, width] of each sequence. Short ones are padded at the end, which a causal model does not see."""
        longest = max(len(ids) for _, ids in batch)
        padded = self.torch.tensor([ids + ids[-1:] * (longest - len(ids)) for _, ids in batch], device=self.device)
        return [rows[:len(ids)] for rows, (_, ids) in zip(self.record(padded), batch)]

    def median_norm(self, sample):
        norms = [rows[len(self.prefix):].norm(dim=1) for batch in sample for rows in self.outputs(batch)]
        return self.torch.cat(norms).median().item()

    def check_finite(self, rows, number, source, ids, what):
        bad = (~self.torch.isfinite(rows).all(dim=1)).nonzero()
        if len(bad):
            position = bad[0].item()
            raise Failure("sequence %d (%s), token %d (%s): the activation is not finite%s" % (
                number, source, position, json.dumps(self.text(ids[position])), what))

    def keep(self, rows, number, source, ids, median, room):
        """At most `room` rows of a sequence, if room is given."""
        self.check_finite(rows, number, source, ids, "")
        norms, start = rows.norm(dim=1), len(self.prefix)
        outlier = norms > (self.outlier * median if self.outlier else float("inf"))
        outlier[:start] = False
        keep = ~outlier
        keep[:start] = self.keep_bos
        kept = keep.nonzero()[:, 0]
        kept = kept if room is None else kept[:room]
        end = kept[-1].item() + 1 if len(kept) == room else len(ids)
        stored, kept_ids = rows[kept].to(self.dtype), [ids[k] for k in kept.tolist()]
        self.check_finite(stored, number, source, kept_ids, " as %s: choose another dtype" % self.dtype_name)
        return Kept(stored, norms[kept], kept_ids, outlier[:end].sum().item(), 0 if self.keep_bos else start)

    def read(self, batch, number, median, room=None):
        """What is kept of each sequence of a batch whose first one is `number`, until `room` rows are."""
        for offset, ((source, ids), rows) in enumerate(zip(batch, self.outputs(batch))):
            kept = self.keep(rows, number + offset, source, ids, median, room)
            yield source, kept
            if room is not None:
                room -= len(kept.ids)
                if not room:
                    return


class Activations:
    """An iterable of torch tensors [rows, width], as `activations` describes it. Each pass runs the model anew. Called with a text, the tokens and
    rows of that."""

    def __init__(self, model, tokenizer, texts, hook, context, batch, prefix, keep_bos, outlier, dtype, device, tokens):
        self.model, self.tokenizer, self.texts, self.hook, self.context, self.batch = model, tokenizer, texts, hook, context, batch
        self.prefix, self.keep_bos, self.outlier, self.dtype, self.device, self.tokens = prefix, keep_bos, outlier, dtype, device, tokens
        find_module(model, hook)

    def _sequences(self, texts):
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise Failure("text %d is not a string but %s" % (number, type(text).__name__))
            if text.strip():
                ids = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
                yield from (("text %d" % number, piece) for piece in pieces(ids, self.prefix, self.context))

    def _reader(self):
        return Reader(need("torch")[0], self.model, self.tokenizer, self.hook, self.prefix, self.dtype, self.outlier, self.keep_bos, self.device)

    def __call__(self, text: str) -> Tuple[List[str], Any]:
        """The tokens of a text and their rows, as hsae.explore(live=) wants them. No outlier is left out. Not while an iteration goes on."""
        reader = self._reader()
        try:
            found = [kept for batch in batches(self._sequences([text]), self.batch) for _, kept in reader.read(batch, 0, float("inf"))]
            if not found:
                raise Failure("there is no text")
            return [reader.text(token) for kept in found for token in kept.ids], reader.torch.cat([kept.rows for kept in found])
        finally:
            reader.close()

    def __iter__(self) -> Iterator[Any]:
        reader = self._reader()
        stream, number = batches(self._sequences(self.texts), self.batch), 0
        if self.tokens is not None:
            self.tokens.clear()
        try:
            sample = list(itertools.islice(stream, -(-SAMPLE_SEQUENCES // self.batch)))
            if not sample:
                raise Failure("there is no text, or it was used up")
            median = reader.median_norm(sample) if self.outlier else None
            for batch in itertools.chain(sample, stream):
                found = [kept for _, kept in reader.read(batch, number, median)]
                number += len(batch)
                if self.tokens is not None:
                    self.tokens.extend([reader.text(token) for token in kept.ids] for kept in found if kept.ids)
                yield reader.torch.cat([kept.rows for kept in found])
        finally:
            reader.close()


def activations(model: Any, tokenizer: Any, texts: Iterable[str], hook: str, *, context: int = 128, batch: int = 16, bos: str = "auto",
                keep_bos: bool = False, outlier: float = 10.0, dtype: str = "f16", device: Any = None,
                tokens: Optional[List[List[str]]] = None) -> Activations:
    """The activations of a language model on texts, as they are made: an iterable of torch tensors [rows, width], a row for each token, which
    hsae.Trainer(data=...) trains on. Rows are those that tools/collect_activations.py stores. Called with a text, it gives that text's tokens and
    rows: hsae.explore(live=...).

    model: of transformers, on any device, in any type. The forward pass ends at the hook.
    tokenizer: the model's, of transformers.
    texts: documents. Each is cut into sequences. Where it is a list, a second pass is possible.
    hook: the name of the module whose output is taken, such as "model.layers.14".
    context: tokens of a sequence, the start token included.
    batch: sequences run at once.
    bos: the start token of each sequence: "auto" (what the tokenizer puts first, or its bos_token), "none", or a token.
    keep_bos: also give the rows of start tokens, whose norms are far above those of others.
    outlier: leave out rows whose norm is above this many times the median norm of the first sequences; 0: none.
    dtype: of the rows: "f16", "bf16" or "f32".
    device: of torch, for the token ids; None: that of the model's parameters.
    tokens: a list that gets the texts of each sequence's rows, as `hsae.explore` takes them. A new pass empties it first.

    Raises ValueError: there is no such module or token; an activation is not finite, in float32 or in `dtype`.
    """
    prefix = start_tokens(tokenizer, bos)
    if context <= len(prefix):
        raise Failure("context %d: no room for text behind the start token" % context)
    if device is None:
        device = next(model.parameters()).device
    return Activations(model, tokenizer, texts, hook, context, batch, prefix, keep_bos, outlier, dtype, device, tokens)


# Unembedding --------------------------------------------------------------------------------------------------------------------------------

def final_gain(torch, model, width):
    """What the model's final norm multiplies each value by, whatever kind of norm it is."""
    norms = [module for module in model.base_model.children() if [tuple(weight.shape) for weight in module.parameters(recurse=False)][:1] == [(width,)]]
    if not norms:
        return torch.ones(width)
    signs = torch.ones(width, device=model.device)  # of mean 0 and mean square 1, so that the norm does no more than multiply
    signs[1::2] = -1
    return ((norms[-1](signs) - norms[-1](-signs)) / 2 * signs).cpu()


def save_unembedding(torch, model, tokenizer, folder):
    head = model.get_output_embeddings()
    if head is None:
        raise Failure("--unembedding: the model has no output embeddings")
    weight = head.weight.detach().float().cpu()
    with torch.no_grad():
        rows = weight * final_gain(torch, model, weight.shape[1])
    folder.mkdir(parents=True, exist_ok=True)
    text, known = token_text(tokenizer), len(tokenizer)
    content = importlib.import_module("safetensors.torch").save({"unembedding": rows.half().contiguous()})
    replace_file(folder / "unembedding.safetensors", content)
    replace_file(folder / "vocab.json", json.dumps([text(token) if token < known else "" for token in range(len(rows))]).encode())


# Output -------------------------------------------------------------------------------------------------------------------------------------

def replace_file(path, content):
    """All of it or nothing, and on the disk when this returns."""
    handle, temporary = tempfile.mkstemp(prefix=".collect-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp lets nobody else read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def fingerprint(rows):
    """CRC-32 of a sequence's rows as float32, little endian: `hsae explore` compares it with the data that it is given."""
    return zlib.crc32(rows.float().contiguous().numpy().astype("<f4", copy=False).tobytes())


class Collection:
    """DIR: what is stored so far. `state` is collection.json, as of the last whole shard on the disk."""

    def __init__(self, folder, settings):
        self.folder, self.rows, self.lines = folder, [], []
        self.ids = hashlib.sha256()
        for left in folder.glob(".collect-*.tmp"):  # by a process that was killed
            left.unlink()
        path = folder / STATE
        if path.exists():
            try:
                self.state = json.loads(path.read_text(encoding="utf-8"))
                before = self.state["settings"]
            except (ValueError, KeyError, TypeError) as error:
                raise Failure("%s: not what this program writes; choose another --out" % path) from error
            differing = [name for name in settings if settings[name] != before.get(name)]
            if differing:
                raise Failure("%s: made with other settings (%s); give those, or choose another --out" % (
                    path, ", ".join("%s %s, now %s" % (name, before.get(name), settings[name]) for name in differing)))
            return
        if folder.exists() and any(folder.glob("activations-*.safetensors")):
            raise Failure("%s: holds activations but no %s; choose another --out" % (folder, STATE))
        self.state = {"version": 1, "finished": False, "settings": settings, "median_norm": None, "rows": 0, "sequences": 0,
                      "dropped_bos": 0, "dropped_outliers": 0, "mean_norm": None, "norm_sum": 0.0, "shards": 0, "batches": 0,
                      "tokens_bytes": 0, "token_ids_sha256": self.ids.hexdigest()}

    def start(self, median):
        self.state["median_norm"] = median
        self.folder.mkdir(parents=True, exist_ok=True)
        self.save()

    def save(self):
        replace_file(self.folder / STATE, (json.dumps(self.state, indent=1) + "\n").encode())

    def skip(self, stream):
        """Past the batches that are stored; the text must be the same."""
        for batch in itertools.islice(stream, self.state["batches"]):
            self.hash(batch)
        if self.ids.hexdigest() != self.state["token_ids_sha256"]:
            raise Failure("%s: made from other text or with another tokenizer; give that, or choose another --out" % (self.folder / STATE))
        path, size = self.folder / TOKENS, self.state["tokens_bytes"]
        if (path.stat().st_size if path.exists() else 0) < size:
            raise Failure("%s: shorter than %s says; choose another --out" % (path, STATE))
        if path.exists():
            os.truncate(path, size)

    def hash(self, batch):
        for _, ids in batch:
            self.ids.update(repr(ids).encode())

    def add(self, rows, norms, line):
        self.rows.append(rows)
        self.lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        self.state["rows"] += len(rows)
        self.state["sequences"] += 1
        self.state["norm_sum"] += norms.double().sum().item()

    def flush(self, torch, finished):
        """A shard of what was added, if anything was; then the tokens; last the state, which makes them count."""
        if self.rows:
            content = importlib.import_module("safetensors.torch").save({"activations": torch.cat(self.rows)})
            replace_file(self.folder / ("activations-%05d.safetensors" % self.state["shards"]), content)
            with (self.folder / TOKENS).open("ab") as file:
                file.write("".join(self.lines).encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
                self.state["tokens_bytes"] = file.tell()
            self.state["shards"] += 1
        self.rows, self.lines = [], []
        self.state["mean_norm"] = self.state["norm_sum"] / self.state["rows"] if self.state["rows"] else None
        self.state["token_ids_sha256"] = self.ids.hexdigest()
        self.state["finished"] = finished
        self.save()

    def report(self):
        state = self.state
        return "%d rows of %d sequences in %d shards; dropped: %d start tokens, %d outliers; mean norm %.4g" % (
            state["rows"], state["sequences"], state["shards"], state["dropped_bos"], state["dropped_outliers"], state["mean_norm"] or 0)


# Collecting ---------------------------------------------------------------------------------------------------------------------------------

class Collector:
    def __init__(self, torch, options, reader):
        self.torch, self.options, self.reader = torch, options, reader

    def store(self, collection, batch, number):
        """The rows of a batch whose first sequence is `number`; True once there are enough."""
        state = collection.state
        room = self.options.tokens - state["rows"] if self.options.tokens else None
        for source, kept in self.reader.read(batch, number, state["median_norm"], room):
            state["dropped_outliers"] += kept.outliers
            state["dropped_bos"] += kept.starts
            if kept.ids:
                line = {"tokens": [self.reader.text(token) for token in kept.ids], "source": source, "rows_crc32": fingerprint(kept.rows)}
                collection.add(kept.rows, kept.norms, line)
        return self.options.tokens == state["rows"]

    def run(self, collection, stream):
        """Goes on with the batches of `stream` that are not stored yet."""
        tqdm = need("tqdm")[0].tqdm
        state, size = collection.state, self.options.batch
        if state["median_norm"] is None:
            sample = list(itertools.islice(stream, -(-SAMPLE_SEQUENCES // size)))
            if not sample:
                raise Failure("%s: no text in there" % ", ".join(map(str, self.options.text)))
            collection.start(self.reader.median_norm(sample))
            stream = itertools.chain(sample, stream)
        collection.skip(stream)
        flushed, full = state["rows"], False
        with tqdm(total=self.options.tokens, initial=flushed, unit=" tokens", disable=None) as bar:
            for batch in stream:
                full = self.store(collection, batch, state["batches"] * size)
                collection.hash(batch)
                state["batches"] += 1
                bar.update(state["rows"] - bar.n)
                if full:
                    break
                if state["rows"] - flushed >= self.options.shard_rows:
                    collection.flush(self.torch, False)
                    flushed = state["rows"]
        collection.flush(self.torch, True)
        if self.options.tokens and not full:
            print("the text was used up before --tokens %d" % self.options.tokens, file=sys.stderr)


def settings_of(options, prefix):
    names = ("model", "tokenizer", "hook", "context", "batch", "dtype", "shard_rows", "outlier", "keep_bos", "seed", "tokens")
    return {**{name: getattr(options, name) for name in names}, "bos": prefix}


def collect(options):
    if not options.list_hooks:
        for _ in text_files(options.text):  # before the model, which takes longer
            pass
    torch, transformers = need("torch", "transformers")
    need("safetensors")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = load(transformers.AutoModelForCausalLM, options.model, torch_dtype=torch.float32).eval()
    model.config.use_cache = False
    if options.list_hooks:
        for name, module in model.named_modules():
            if name:
                print("%-40s %s" % (name, type(module).__name__))
        return
    model.to(options.device)
    tokenizer = load(transformers.AutoTokenizer, options.tokenizer or options.model)
    if options.unembedding:
        save_unembedding(torch, model, tokenizer, options.unembedding)
    prefix = start_tokens(tokenizer, options.bos)
    if options.context <= len(prefix):
        raise Failure("--context %d: no room for text behind the start token" % options.context)
    collector = Collector(torch, options, Reader(torch, model, tokenizer, options.hook, prefix, options.dtype, options.outlier, options.keep_bos,
                                                 options.device))
    collection = Collection(options.out, settings_of(options, prefix))
    if collection.state["finished"]:
        print("%s: complete already: %s" % (options.out, collection.report()))
        return
    if collection.state["shards"]:
        print("%s: going on after %d rows" % (options.out, collection.state["rows"]), file=sys.stderr)

    def tokenize(text):
        return tokenizer(text, add_special_tokens=False, verbose=False).input_ids

    collector.run(collection, batches(sequences(options.text, tokenize, prefix, options.context, options.seed), options.batch))
    print("%s: %s" % (options.out, collection.report()))


def main():
    try:
        collect(parse_arguments(sys.argv[1:]))
    except Failure as failure:
        sys.exit("collect_activations: %s" % failure)
    except OSError as error:
        sys.exit("collect_activations: %s: %s" % (error.filename, error.strerror))
    except KeyboardInterrupt:
        print("collect_activations: interrupted; the same command goes on after the last whole shard", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
