# SPDX-License-Identifier: MIT
"""The explorer's page in a notebook."""
from __future__ import annotations

import base64
import json
import logging
import subprocess
import tempfile
import threading
import weakref
import webbrowser
from pathlib import Path
from typing import Any, Iterable, List, Optional, Sequence, Union

import numpy as np

from . import _live
from ._library import Error, program
from ._model import Model
from ._rows import Path as AnyPath
from ._rows import Rows, is_path


class Page:
    """The forest of a model as a page for a browser, made by `explore`. A notebook shows it as the value of a cell.

    `address` is where this process serves it, with a field for text; None without explore(live=). Only this machine's own browser gets there.
    """

    def __init__(self, text: str, height: int, server: Optional[_live.Server] = None) -> None:
        self.html, self.height, self.address = text, height, server.address if server else None
        if server:
            # A thread of its own, as the last reference may go in one of the server's.
            self._end = weakref.finalize(self, lambda: threading.Thread(target=server.close, daemon=True).start())
            self._end.atexit = False

    def close(self) -> None:
        """Ends the server, if there is one. It also ends with the process, and when nothing refers to the page any more."""
        if self.address:
            self._end()
            self.address = None

    def serve(self) -> None:
        """Opens the page in the browser and waits for Ctrl-C, for scripts. Needs explore(live=)."""
        if not self.address:
            raise Error("serve: this page was made without live=; save() writes it to a file")
        print(f"{self.address} (Ctrl-C ends it)", flush=True)
        webbrowser.open(self.address)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            self.close()

    def save(self, path: AnyPath) -> None:
        """Writes the page, which needs no network and no server, and has no field for text."""
        Path(path).write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        # In `srcdoc` the page's links would be those of the notebook; in a data URL they are its own.
        address = self.address or "data:text/html;base64," + base64.b64encode(self.html.encode()).decode()
        return f'<iframe src="{address}" title="hsae explore" style="width: 100%; height: {self.height}px; border: 1px solid #ccc"></iframe>'

    def __repr__(self) -> str:
        return f"<hsae.Page of {len(self.html) / 1e6:.1f} MB; a notebook shows it, save(path) writes it{', ' + self.address if self.address else ''}>"


def explore(model: Union[Model, AnyPath], data: Any, tokens: Any = None, *, labels: Any = (), title: Optional[str] = None,
            contexts: Optional[int] = None, tensor: Optional[str] = None, device: Optional[str] = None, height: int = 800,
            live: Optional[_live.TextToRows] = None) -> Page:
    """What each feature responds to: the page of `hsae explore`, shown by a notebook as the value of a cell.

    model: a Model, or the path of one.
    data: paths of activations, or an array or a tensor [rows, width], as Trainer takes them.
    tokens: the text of each row: paths of tokens.jsonl files, or lists of texts, a list for each sequence; None: tokens.jsonl beside the data.
    labels: paths of files that name features.
    contexts: the strongest contexts to keep of a feature; None: 20.
    height: of the cell, in pixels.
    live: a function from a text to its tokens (texts) and their rows [tokens, width], such as what `activations` returns: the page gets a field in
        which a reader types text, and shows the features that are active on it. A server on the loopback address of the machine on which Python
        runs does that, so the browser must run there, too; Page.address has its address. The function is called in threads of the server, by
        one at a time.

    The program `hsae` does the work, in a process of its own; what is not in a file is written to a temporary folder for it.
    """
    runs = model
    with tempfile.TemporaryDirectory(prefix="hsae-explore-") as name:
        folder, page = Path(name), Path(name) / "page.html"
        command: List[Any] = [program(), "explore", "--quiet", "--out", page]
        if isinstance(model, Model):
            title, device = title or "HSAE", device or model.device
            model.save(folder / "model.safetensors")
            model = folder / "model.safetensors"
        command += ["--model", model, "--data", *_data(data, folder)]
        if tokens is not None:
            command += ["--tokens", *_tokens(tokens, folder)]
        elif not is_path(data):
            raise ValueError("explore: an array needs the text of its rows: tokens=")
        for option, value in ("title", title), ("contexts", contexts), ("tensor", tensor), ("device", device):
            if value is not None:
                command += ["--" + option, str(value)]
        if labels:
            command += ["--labels", *_paths(labels)]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, text=True, encoding="utf-8", errors="replace")
        if done.returncode:
            raise Error(done.stderr.strip() or f"{command[0]} ended with status {done.returncode}")
        for line in done.stderr.splitlines():
            logging.getLogger("hsae").warning("%s", line)
        text = page.read_text(encoding="utf-8")
    if live is None:
        return Page(text, height)
    return Page(text, height, _live.Server(text, runs if isinstance(runs, Model) else Model.load(runs, device), live))


def _paths(paths: Any) -> Sequence[Any]:
    return paths if isinstance(paths, (list, tuple)) else [paths]


def _data(data: Any, folder: Path) -> Sequence[Any]:
    if is_path(data):
        return _paths(data)
    rows = Rows(data)
    np.save(folder / "rows.npy", rows.floats() if rows.bfloat16 else rows.array)
    return [folder / "rows.npy"]


def _tokens(tokens: Any, folder: Path) -> Sequence[Any]:
    if is_path(tokens):
        return _paths(tokens)
    with open(folder / "tokens.jsonl", "w", encoding="utf-8") as file:
        for sequence in _sequences(tokens):
            file.write(json.dumps({"tokens": sequence}) + "\n")
    return [folder / "tokens.jsonl"]


def _sequences(tokens: Iterable[Any]) -> Iterable[Sequence[str]]:
    for number, sequence in enumerate(tokens):
        sequence = list(sequence) if not isinstance(sequence, str) else None
        if sequence is None or not all(isinstance(token, str) for token in sequence):
            raise TypeError(f"tokens: sequence {number} is not a list of texts")
        yield sequence
