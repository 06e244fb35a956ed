# SPDX-License-Identifier: MIT
"""What the pages for readers say: their commands work, their C compiles, the files and kernels that they name exist.

    test_readme.py HSAE [TEST]...
"""
import json
import pathlib
import re
import shlex
import shutil
import struct
import subprocess

from program import Case, PROGRAM, hsae, main

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = ["README.md", "CONTRIBUTING", "CHANGES", "src/README.md", "tests/README.md", "tools/explore/README.md", "tools/demo/README.md"]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
README = TEXTS["README.md"]
SEQUENCES = 12


def section(title):
    found = re.search(r"^## %s\n(.*?)(?=^## |\Z)" % re.escape(title), README, flags=re.M | re.S)
    if not found:
        raise AssertionError("README.md has no section %s" % title)
    return found[1]


def commands(text):
    """The lines of a page that are commands: indented by four, joined where they end in a backslash, without comments."""
    block = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    ")).replace("\\\n", " ")
    return [words for words in (shlex.split(line, comments=True) for line in block.splitlines() if not re.search(r"[|=]  |['(]", line)) if words]


def first_sequences(folder):
    """The demo's first sequences, as a data set of its own."""
    demo = ROOT / "tools/demo"
    lines = (demo / "tokens.jsonl").read_text(encoding="utf-8").splitlines()[:SEQUENCES]
    rows = sum(len(json.loads(line)["tokens"]) for line in lines)
    whole = (demo / "activations-00000.safetensors").read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    width = json.loads(whole[8:start])["activations"]["shape"][1]
    header = json.dumps({"activations": {"dtype": "F16", "shape": [rows, width], "data_offsets": [0, rows * width * 2]}}).encode()
    folder.mkdir()
    (folder / "activations.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + whole[start:start + rows * width * 2])
    (folder / "tokens.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


class Pages(Case):
    def test_own_activations(self):
        """The commands after the first, which needs a language model, on some sequences of the demo; fewer steps."""
        collect, *others = commands(section("Your own activations"))
        self.assertEqual(collect[:2], ["python3", "tools/collect_activations.py"])
        self.assertEqual(collect[-2:], ["--out", "activations"])
        self.assertEqual([words[:2] for words in others], [["hsae", name] for name in ("train", "eval", "explore")])
        first_sequences(self.folder / "activations")
        for words in others:
            more = ["--steps", "3"] if words[1] == "train" else []
            hsae(*words[1:], *more, "--device", "ref", cwd=self.folder, environment={"HSAE_SELF_TEST": "off"})
        self.assertGreater((self.folder / "forest.html").stat().st_size, 10000)

    def test_options(self):
        """Every option of a command on any page is one that the command has."""
        known, seen = {}, 0
        for name, text in TEXTS.items():
            for words in commands(text):
                if not re.search(r"(^|/)hsae$", words[0]) or len(words) < 2:
                    continue
                command = words[1]
                if command not in known:
                    texts = [subprocess.run([PROGRAM, command, *more], capture_output=True, text=True).stdout
                             for more in (["--help"], ["--help", "all"])]
                    known[command] = set(re.findall(r"--[a-z][a-z0-9-]*", "".join(texts)))
                for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", " ".join(words[2:])):
                    seen += 1
                    self.assertIn(option, known[command], "%s: %s" % (name, " ".join(words)))
        self.assertGreater(seen, 20)

    def test_api(self):
        compiler = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
        if not compiler:
            self.skipTest("no compiler")
        lines = re.search(r"```c\n(.*?)```", README, flags=re.S)[1]
        self.assertEqual(lines.count("\n"), 10)
        source = self.folder / "ten_lines.c"
        source.write_text("#include <hsae/hsae.h>\nint main(void)\n{\nconst char *paths[] = {\"a\"};\nhsae_context *context;\nhsae_device *device;\n"
                          "hsae_config config;\nhsae_dataset *data;\nhsae_trainer *trainer;\nhsae_model *model;\nhsae_session *session;\n"
                          + lines + "return 0;\n}\n", encoding="utf-8")
        subprocess.run([compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", ROOT / "include", source], check=True)

    def test_files(self):
        """Paths in code marks and links. A * stands for anything; words in capitals, and the kernel `clip`, are examples."""
        seen = 0
        for name, text in TEXTS.items():
            here = (ROOT / name).parent
            paths = [path for path in re.findall(r"`([\w*./-]+)`", text) if re.match(r"(src|tests|tools|include|cl_kernels|shaders)/", path)]
            for path in [*paths, *re.findall(r"\]\(([\w./-]+)\)", text)]:
                seen += 1
                if not re.search(r"[A-Z]{4}|/clip\b|/clip_", path.replace("README", "")):
                    self.assertTrue(list(ROOT.glob(path.rstrip("/"))) or (here / path).exists(), "%s names %s" % (name, path))
        self.assertGreater(seen, 40)

    def test_kernels(self):
        """The table of the data's way names kernels that there are, and leaves out none but those of the benchmark."""
        there = {path.stem for path in (ROOT / "shaders").glob("*.comp")}
        named = set()
        for line in re.findall(r"^\| (`.*?) \|", section("How it is built"), flags=re.M):
            for word in re.findall(r"`([\w*]+)`", line):
                found = {kernel for kernel in there if re.fullmatch(word.replace("*", r"\w+"), kernel)}
                self.assertTrue(found, "README.md: there is no kernel %s" % word)
                named |= found
        self.assertEqual({kernel for kernel in there - named if not kernel.startswith("peak_")}, set())

    def test_length(self):
        self.assertLess(README.count("\n"), 180)
        self.assertLess(len(README.split()), 1700)


if __name__ == "__main__":
    main(__doc__)
