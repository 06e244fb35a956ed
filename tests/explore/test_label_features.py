#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/explore/label_features.py against a server that answers from what it is asked: test_label_features.py HSAE [TEST]..."""
import http.server
import json
import pathlib
import re
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import program as shared
from program import hsae

TOOL = pathlib.Path(__file__).resolve().parent.parent.parent / "tools/explore/label_features.py"


class Stub(http.server.BaseHTTPRequestHandler):
    """Labels a feature by its first marked text, finds a label where the text holds it, scores pairs 7."""
    asked, broken = [], False

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        Stub.asked.append(prompt)
        if Stub.broken:
            self.send_error(503, "busy")
            return
        if "Answer with a label" in prompt:
            reply = '\n"' + re.search(r"^1\. .*?<<(.*?)>>", prompt, re.M).group(1).split()[0] + '".\nmore'
        elif "Answer with their numbers" in prompt:
            label = re.search(r"is said to be about: (.*)", prompt).group(1)
            reply = ", ".join(number for number, text in re.findall(r"^(\d+)\. (.*)$", prompt, re.M) if label in text) or "0"
        else:
            reply = "7"
        data = json.dumps({"choices": [{"message": {"content": reply}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Labels(shared.Case):
    def setUp(self):
        super().setUp()
        self.train()
        (self.folder / "tokens.jsonl").write_text(json.dumps({"tokens": [f" word{k % 23}" for k in range(shared.ROWS)]}) + "\n")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        Stub.asked, Stub.broken = [], False
        self.labels, self.scores, self.page = self.folder / "labels.jsonl", self.folder / "scores.jsonl", self.folder / "page.html"
        self.explore("--context-length", "6", "--out", self.page)

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        super().tearDown()

    def explore(self, *arguments):
        hsae("explore", "--model", self.out / "model.safetensors", "--data", self.data, "--tokens", self.folder / "tokens.jsonl", "--device", "ref", *arguments)

    def tool(self, *arguments, status=0):
        found = subprocess.run([sys.executable, TOOL, *map(str, arguments), "--endpoint", f"http://127.0.0.1:{self.server.server_port}/v1/"], capture_output=True, text=True)
        self.assertEqual(found.returncode, status, found.stderr)
        return found.stdout + found.stderr

    def test_labels(self):
        self.tool(self.page, "--out", self.labels, "--most", "6")
        lines = [json.loads(line) for line in self.labels.read_text().splitlines()]
        self.assertEqual(len(lines), 6)
        for line in lines:
            self.assertRegex(line["label"], r"^word\d+")
            self.assertTrue(0 <= line["score"] <= 1)
        self.assertTrue(any(line["score"] > 0.5 for line in lines))
        before = len(Stub.asked)
        self.tool(self.page, "--out", self.labels, "--features", "l1/0,l1/1")
        again = [json.loads(line) for line in self.labels.read_text().splitlines()]
        self.assertEqual(again[:6], lines)
        self.assertLessEqual(len(again), 8)
        new = [prompt for prompt in Stub.asked[before:] if "Answer with a label" in prompt]
        self.assertEqual(len(new), len(again) - 6)
        parents = [line["label"] for line in lines]
        self.assertTrue(all(not (found := re.search(r"is about: (.*)", prompt)) or found.group(1) in parents for prompt in new))
        self.explore("--labels", self.labels, "--out", self.folder / "again.html")

    def test_scores(self):
        pairs = self.folder / "pairs.jsonl"
        self.explore("--pairs", "3", "--out", pairs)
        self.tool("--pairs", pairs, "--out", self.scores)
        lines = [json.loads(line) for line in self.scores.read_text().splitlines()]
        self.assertEqual([line["score"] for line in lines], [0.7] * 6)
        self.assertEqual([line["random"] for line in lines], [False, True] * 3)
        self.explore("--scores", self.scores, "--out", self.folder / "again.html")
        asked = len(Stub.asked)
        self.tool("--pairs", pairs, "--out", self.scores)
        self.assertEqual(len(Stub.asked), asked)

    def test_server_that_fails(self):
        Stub.broken = True
        self.assertIn("503", self.tool(self.page, "--out", self.labels, status=1))
        self.server.shutdown()
        self.server.server_close()
        self.assertIn("/chat/completions", self.tool(self.page, "--out", self.labels, status=1))
        self.assertIn("no page of hsae explore", self.tool(TOOL, "--out", self.labels, status=1))


if __name__ == "__main__":
    shared.main(__doc__)
