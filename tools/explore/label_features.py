#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Asks a language model for labels of features, or for scores of parent and child.

    label_features.py forest.html --out labels.jsonl [--features l0/3,l1/7 | --level 0] [--most 100]
    label_features.py --pairs pairs.jsonl --out scores.jsonl

forest.html is a page of `hsae explore`, pairs.jsonl what `hsae explore --pairs` writes; the results are for `hsae explore --labels` and `--scores`.
Any server with OpenAI's /chat/completions will do: --endpoint http://localhost:8080/v1 (the default) is llama.cpp's own. $OPENAI_API_KEY is sent
if it is set. The prompts are in prompts.txt beside this file, or in the file that --prompts names.

A label is made from every other of the strongest contexts. Its score is that of a test on the rest: among texts in which the feature is active and as
many in which it is not, the model says where it finds the label; the score is the mean of both shares that are right, so 0.5 is chance. A pair's score
is what the model says, from 0 to 1. What is in the file of results already is not asked again.
"""
import argparse
import base64
import json
import os
import pathlib
import random
import re
import sys
import urllib.error
import urllib.request
import zlib

STRONG = 0.3  # of a context's peak, from which on a token is marked
TESTED = 5  # texts of each kind in a test


class Page:
    def __init__(self, path):
        self.text = pathlib.Path(path).read_text(encoding="ascii")
        self.places = {match.group(1): match.span(2) for match in re.finditer(r'<script type="application/octet-stream" id="([^"]*)">([^<]*)</script>', self.text)}
        if "index" not in self.places:
            sys.exit(f"{path}: no page of hsae explore")
        self.loaded = {}
        self.index, self.strings = self.block("index"), self.block("tokens")["strings"]
        self.levels = self.index["levels"]

    def block(self, name):
        if name not in self.loaded:
            begin, end = self.places.get(name, (0, 0))
            self.loaded[name] = json.loads(zlib.decompress(base64.b64decode(self.text[begin:end]), -15)) if end else None
        return self.loaded[name]

    def window(self, start, length):
        size, out = self.index["text_chunk"], {}
        for chunk in range(start // size, (start + length - 1) // size + 1):
            for first, _, ids in (self.block(f"text-{chunk}") or {"runs": []})["runs"]:
                for at in range(max(first, start), min(first + len(ids), start + length)):
                    out[at] = self.strings[ids[at - first]]
        return [out.get(at, "") for at in range(start, start + length)]

    def contexts(self, level, feature):
        """[(tokens, activations)], the strongest first, then the sampled ones."""
        chunk = self.index["chunk"]
        out = []
        for start, length, _, _, flat, *_ in self.block(f"features-{level}-{feature // chunk}")["features"][feature % chunk]["contexts"]:
            values = [0.0] * length
            for offset, value in zip(flat[0::2], flat[1::2]):
                values[offset] = value
            out.append((self.window(start, length), values))
        return out


def marked(tokens, values, mark=True):
    least = STRONG * max(values, default=0) if mark else 0
    out = "".join(f"<<{token}>>" if mark and value >= least > 0 else token for token, value in zip(tokens, values))
    return " ".join(out.replace(">><<", "").split())


def listed(contexts, mark=True):
    return "\n".join(f"{k}. {marked(*context, mark)}" for k, context in enumerate(contexts, 1))


class Model:
    def __init__(self, options):
        self.url, self.name, self.seconds = options.endpoint.rstrip("/") + "/chat/completions", options.model, options.timeout
        parts = re.split(r"^# (\w+)\n", pathlib.Path(options.prompts).read_text(encoding="utf-8"), flags=re.M)
        self.prompts = dict(zip(parts[1::2], parts[2::2]))
        missing = {"label", "detect", "pair"} - set(self.prompts)
        if missing:
            sys.exit(f"{options.prompts}: no section '# {sorted(missing)[0]}'")

    def ask(self, prompt, **values):
        # One pass over the template: what is filled in is not looked at again.
        text = re.sub(r"\{(\w+)\}", lambda match: str(values.get(match.group(1), match.group(0))), self.prompts[prompt])
        body = {"model": self.name, "messages": [{"role": "user", "content": text.strip()}], "temperature": 0, "max_tokens": 200}
        headers = {"Content-Type": "application/json"}
        if os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = "Bearer " + os.environ["OPENAI_API_KEY"]
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.seconds) as answer:
                return json.load(answer)["choices"][0]["message"]["content"] or ""
        except urllib.error.HTTPError as error:
            sys.exit(f"{self.url}: {error.code} {error.reason}: {error.read(300).decode('utf-8', 'replace')}")
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            sys.exit(f"{self.url}: {error or type(error).__name__}: is a server with /chat/completions there?")


def label_of(reply):
    """The first line with something in it, without quotes; at most what hsae takes."""
    line = next((line.strip() for line in reply.splitlines() if line.strip()), "")
    line = re.sub(r"^(label|answer)\s*:\s*", "", line, flags=re.I).strip(" .\"'*`\u201c\u201d")
    return line.encode()[:200].decode("utf-8", "ignore").replace("\0", "")


def detection(model, page, level, feature, label, contexts, chance):
    """Balanced accuracy on texts that the label was not made of; None where there are too few."""
    others = [i for i, density in enumerate(page.levels[level]["density"]) if density and i != feature]
    chance.shuffle(others)
    wrong = []
    for other in others:
        found = page.contexts(level, other)
        if found and len(wrong) < min(TESTED, len(contexts)):
            wrong.append(chance.choice(found))
    texts = [(context, True) for context in contexts[:len(wrong)]] + [(context, False) for context in wrong]
    if len(wrong) < 2:
        return None
    chance.shuffle(texts)
    reply = model.ask("detect", label=label, count=len(texts), texts=listed([context for context, _ in texts], mark=False))
    said = {int(number) for number in re.findall(r"\d+", reply)}
    right = [sum((k in said) == is_right for k, (_, is_right) in enumerate(texts, 1) if is_right == kind) / len(wrong) for kind in (True, False)]
    return round(sum(right) / 2, 4)


def wanted(page, options):
    for level, row in enumerate(page.levels):
        for feature, density in enumerate(row["density"]):
            named = f"l{level}/{feature}"
            if density and (named in options.features if options.features else options.level in (None, level)):
                yield level, feature


def make_labels(page, model, options, done, out):
    labels = {line["feature"]: line.get("label") for line in done if "feature" in line}
    asked = 0
    for level, feature in wanted(page, options):
        name = f"l{level}/{feature}"
        contexts = page.contexts(level, feature)
        if name in labels or not contexts or asked == options.most:
            continue
        above = page.levels[level]["parent"][feature] if level else -1
        parent = labels.get(f"l{level - 1}/{above}")
        label = label_of(model.ask("label", contexts=listed(contexts[0:20:2]), parent=f"Its parent, a more general feature, is about: {parent}\n" if parent else ""))
        if not label:
            print(f"{name}: no label in the answer", file=sys.stderr)
            continue
        line = {"feature": name, "label": label}
        score = detection(model, page, level, feature, label, contexts[1::2], random.Random(f"{options.seed} {name}"))
        if score is not None:
            line["score"] = score
        labels[name] = label
        asked += 1
        out.write(json.dumps(line) + "\n")
        out.flush()
        print(f"{name}  {label}  {score if score is not None else ''}", flush=True)


def make_scores(model, options, done, out):
    known = {(line["parent"], line["child"]) for line in done if "parent" in line}
    with open(options.pairs, encoding="utf-8") as file:
        for text in file:
            pair = json.loads(text)
            names = {side: f"l{pair[side]['level']}/{pair[side]['feature']}" for side in ("parent", "child")}
            if (names["parent"], names["child"]) in known:
                continue
            reply = model.ask("pair", **{side: listed([(context["tokens"], context["activations"]) for context in pair[side]["contexts"][:8]]) for side in names})
            number = re.search(r"\d+(\.\d+)?", reply)
            if not number or not 0 <= float(number.group()) <= 10:
                print(f"{names['parent']} {names['child']}: no number from 0 to 10 in the answer", file=sys.stderr)
                continue
            out.write(json.dumps(names | {"score": float(number.group()) / 10, "random": pair["random"]}) + "\n")
            out.flush()
            print(f"{names['parent']}  {names['child']}  {float(number.group()) / 10}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="?")
    parser.add_argument("--pairs")
    parser.add_argument("--out", required=True)
    parser.add_argument("--endpoint", default="http://localhost:8080/v1")
    parser.add_argument("--model", default="default")
    parser.add_argument("--prompts", default=pathlib.Path(__file__).with_name("prompts.txt"))
    parser.add_argument("--features", type=lambda text: set(text.split(",")))
    parser.add_argument("--level", type=int)
    parser.add_argument("--most", type=int, default=-1, help="labels at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=600)
    options = parser.parse_args()
    if bool(options.page) == bool(options.pairs):
        parser.error("a page or --pairs is needed")
    model = Model(options)
    path = pathlib.Path(options.out)
    done = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()] if path.exists() else []
    with open(path, "a", encoding="utf-8") as out:
        if options.pairs:
            make_scores(model, options, done, out)
        else:
            make_labels(Page(options.page), model, options, done, out)


if __name__ == "__main__":
    main()
