# SPDX-License-Identifier: MIT
"""A server for the explorer's page, which runs a language model on text that is typed there.

It listens on this machine's loopback address alone, at a port that the system chooses. A secret in the address keeps other users and other pages out;
requests under another name of the host, from another page, or in another form than the page's are refused, too.
"""
from __future__ import annotations

import hmac
import json
import logging
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, Sequence, Tuple

from ._library import Error
from ._model import Model, _compressed
from ._rows import Rows

MAX_TEXT, MAX_BODY = 4000, 1 << 16
TextToRows = Callable[[str], Tuple[Sequence[str], Any]]


def active_features(model: Model, live: TextToRows, text: str) -> Dict[str, Any]:
    """What tools/explore/live.js reads."""
    tokens, rows = live(text)
    tokens = list(tokens)
    if len(tokens) != Rows(rows).count or not all(isinstance(token, str) for token in tokens):
        raise Error(f"live: it gave {len(tokens)} tokens and {Rows(rows).count} rows; expected a text for each row")
    levels: List[List[List[float]]] = []
    for level, features in zip(model.levels, model.encode(rows)):
        active, found = _compressed(features, level.features), []
        for first, end in zip(active.indptr[:-1], active.indptr[1:]):
            strongest = sorted(zip(active.values[first:end], active.indices[first:end]), key=lambda pair: -pair[0])
            found.append([number for value, feature in strongest for number in (int(feature), float(f"{value:.4g}"))])
        levels.append(found)
    return {"tokens": tokens, "levels": levels}


def live_page(html: str) -> bytes:
    """The page with leave to ask its own server, and the address to ask."""
    policy, mark = "default-src 'none';", '<meta name="referrer"'
    if html.count(policy) != 1 or html.count(mark) != 1:
        raise Error("live: the program hsae is of another version than this package; install both anew")
    return html.replace(policy, policy + " connect-src 'self';").replace(mark, '<meta name="hsae-live" content="run">\n' + mark).encode()


class Server(ThreadingHTTPServer):
    """Serves one page until `close`, or until it is collected."""

    daemon_threads = True

    def __init__(self, html: str, model: Model, live: TextToRows) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page, self.model, self.live, self.one = live_page(html), model, live, threading.Lock()
        self.names = [f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")]
        self.root = "/" + secrets.token_urlsafe(24) + "/"
        self.address = f"http://127.0.0.1:{self.server_port}{self.root}"
        self.thread = threading.Thread(target=self.serve_forever, name="hsae-live", daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 60
    server_version = sys_version = ""

    def do_GET(self) -> None:
        if self._allowed(self.server.root):
            self._answer(200, "text/html; charset=utf-8", self.server.page)

    def do_POST(self) -> None:
        if self._allowed(self.server.root + "run"):
            status, answer = self._run()
            self._answer(status, "application/json", json.dumps(answer).encode())

    def _allowed(self, path: str) -> bool:
        origin, host = self.headers.get("Origin"), self.headers.get("Host")
        if not hmac.compare_digest(self.path.encode("utf-8", "replace"), path.encode()):
            self._answer(404, "text/plain", b"no such page\n")
        elif host not in self.server.names or origin not in (None, f"http://{host}"):
            self._answer(403, "text/plain", b"this server answers its own page alone\n")
        else:
            return True
        return False

    def _run(self) -> Tuple[int, Dict[str, Any]]:
        size = self.headers.get("Content-Length", "")
        if self.headers.get("Content-Type") != "application/json" or not size.isdecimal():
            return 415, {"error": "expected JSON of a stated length"}
        if int(size) > MAX_BODY:
            return 413, {"error": f"at most {MAX_TEXT} characters"}
        try:
            text = json.loads(self.rfile.read(int(size)))["text"]
        except (ValueError, KeyError, TypeError):
            text = None
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            return 400, {"error": f'expected {{"text": ...}} of at most {MAX_TEXT} characters'}
        if not text.strip():
            return 400, {"error": "Type a text first."}
        try:
            with self.server.one:
                return 200, active_features(self.server.model, self.server.live, text)
        except Exception as error:
            logging.getLogger("hsae").warning("explore: the text could not be run", exc_info=True)
            return 500, {"error": f"{type(error).__name__}: {error}"}

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer"),
                            ("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        logging.getLogger("hsae").debug(format, *arguments)
