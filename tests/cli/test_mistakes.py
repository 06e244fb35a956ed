#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mistakes on the command line: each ends with a status and one sentence that says what is wrong, where, and what to do.
test_mistakes.py HSAE [TEST]..."""
import json
import os
import shlex

from program import DRIVERS, Case, hsae, main

TRAIN = "train --data data.safetensors --out new --levels 8,16 --batch 8 --target-l0 2 "
EVAL = "eval --model run/model.safetensors --data data.safetensors "
EXPLORE = "explore --model run --data data.safetensors --out page.html "
STEPS = "--steps 5 "
# The command line; its exit status; what standard error says, in that order.
MISTAKES = [
    # Commands.
    ("", 2, ["a command is missing"]),
    ("trian", 2, ["unknown command 'trian'", "did you mean train?"]),
    ("expore", 2, ["unknown command 'expore'", "did you mean export or explore?"]),
    ("Train", 2, ["did you mean train?"]),
    ("xyzzy", 2, ["unknown command 'xyzzy'\n"]),
    ("help trian", 2, ["did you mean train?"]),
    ("version", 2, ["did you mean --version?"]),
    ("--verbose", 2, ["the command comes first"]),
    ("--verison", 2, ["unknown option '--verison'; did you mean --version?"]),
    ("--json devices", 2, ["the command comes first"]),
    ("-V", 2, ["the command comes first"]),
    # What is missing.
    ("train", 2, ["options are missing: --data PATH..., --out DIR"]),
    ("train --data data.safetensors", 2, ["--out DIR is missing: folder of the run"]),
    ("train --out new", 2, ["--data PATH... is missing: activations"]),
    (TRAIN, 2, ["--steps N is missing, or --epochs X", "at --batch 8", "80 vectors has 10 steps"]),
    ("eval", 2, ["options are missing: --model FILE, --data PATH..."]),
    ("eval --model run", 2, ["--data PATH... is missing"]),
    ("eval --data data.safetensors", 2, ["--model FILE is missing: model.safetensors, a checkpoint, or the folder of a run"]),
    ("encode --model run --data data.safetensors", 2, ["--out FILE is missing"]),
    ("decode --model run", 2, ["options are missing: --features FILE, --out FILE"]),
    ("export", 2, ["--model FILE is missing"]),
    ("export --model run", 2, ["--out PATH is missing"]),
    ("export run new", 2, ["--model FILE is missing"]),
    ("export --model run --meta a=b new", 2, ["--out PATH is missing", "--meta takes all words"]),
    ("import", 2, ["an SAE is missing: hsae import PATH... --out FILE"]),
    ("import sae", 2, ["--out FILE is missing"]),
    ("tree --model run", 2, ["--out FILE is missing"]),
    ("explore", 2, ["options are missing: --model FILE, --data PATH..., --out FILE"]),
    (EXPLORE, 2, ["--tokens FILE... is missing, and there is no tokens.jsonl", "collect_activations.py writes", '{"tokens": [']),
    ("explore --model run --data data.safetensors --figure 0/3", 2, ["--out FILE is missing"]),
    ("info", 2, ["a file or folder is needed"]),
    ("report", 2, ["the folder of a run is missing"]),
    ("report run run", 2, ["--out FILE is missing"]),
    # Values that are missing.
    (TRAIN + "--steps", 2, ["--steps needs a value: --steps N"]),
    (TRAIN + "--steps --seed 3", 2, ["--steps needs a value: --steps N"]),
    (TRAIN + "--tree --steps 5", 2, ["--tree needs a value: --tree NAME"]),
    ("train --data --out new", 2, ["--data needs a value: --data PATH..."]),
    ("train --out --data data.safetensors", 2, ["--out needs a value: --out DIR"]),
    (TRAIN + STEPS + "--resume", 2, ["--resume needs a value: --resume FILE|DIR|auto"]),
    (EVAL + "--per-feature", 2, ["--per-feature needs a value: --per-feature FILE"]),
    # Numbers.
    (TRAIN + "--steps 1e4", 2, ["--steps takes a whole number, not '1e4'; write 10000\n"]),
    (TRAIN + "--steps 10k", 2, ["not '10k'; write 10000\n"]),
    (TRAIN + "--steps 2M", 2, ["write 2000000\n"]),
    (TRAIN + "--steps 10,000", 2, ["write 10000\n"]),
    (TRAIN + "--steps 10_000", 2, ["write 10000\n"]),
    (TRAIN + "--steps -5", 2, ["--steps takes a whole number, not '-5'\n"]),
    (TRAIN + "--steps 5.5", 2, ["--steps takes a whole number, not '5.5'\n"]),
    (TRAIN + "--steps many", 2, ["--steps takes a whole number, not 'many'\n"]),
    (TRAIN + "--steps=", 2, ["--steps takes a whole number, not ''"]),
    (TRAIN + "--steps 99999999999999999999", 2, ["steps is \"99999999999999999999\"; allowed: an integer from 0"]),
    (TRAIN + "--epochs 0", 2, ["--epochs takes a number above 0, not '0'\n"]),
    (TRAIN + "--epochs 3 --steps 5", 2, ["--epochs takes the place of --steps"]),
    (TRAIN + STEPS + "--stop-after 1e3", 2, ["--stop-after takes a whole number, not '1e3'; write 1000\n"]),
    (TRAIN + STEPS + "--lr 0,001", 2, ["--lr takes a number, not '0,001'; write 0.001\n"]),
    (TRAIN + STEPS + "--lr fast", 2, ["--lr takes a number, not 'fast'\n"]),
    (TRAIN + STEPS + "--rho=-1", 2, ["rho is \"-1\"; allowed: 0, or a number from"]),
    (TRAIN + STEPS + "--lr nan", 2, ["lr is \"nan\"; allowed"]),
    (TRAIN + STEPS + "--holdout 5", 2, ["--holdout takes a number above 0 and below 1, not '5'; write 0.05\n"]),
    (TRAIN + STEPS + "--holdout 5%", 2, ["not '5%'; write 0.05\n"]),
    (TRAIN + STEPS + "--holdout 0", 2, ["--holdout takes a number above 0 and below 1, not '0'\n"]),
    (TRAIN + STEPS + "--keep 0", 2, ["--keep takes 1 or more"]),
    (TRAIN + STEPS + "--seed abc", 2, ["--seed takes a whole number"]),
    (TRAIN + STEPS + "--batch 0", 2, ["batch is \"0\"; allowed: an integer from 1"]),
    (TRAIN + STEPS + "--batch 81", 1, ["80 activation vectors are fewer than a batch of 81; lower batch or give more data"]),
    (TRAIN + STEPS + "--target-l0 50", 2, ["target_l0 of level 0 is 50", "at most the level's 8 features; set target_l0 lower"]),
    (TRAIN + STEPS + "--exclude 1", 2, ["exclude is \"1\"; allowed: a number from 0 to below 1"]),
    ("bench --minutes 0", 2, ["--minutes takes a number above 0, not '0'"]),
    ("bench --budget soon", 2, ["--budget takes a number above 0, not 'soon'"]),
    ("info data.safetensors --dim twelve", 2, ["--dim takes a whole number, not 'twelve'"]),
    # Lists.
    (TRAIN + STEPS + "--levels 128, 256", 2, ["--levels is a list with commas and without spaces: --levels 128,256\n"]),
    (TRAIN + STEPS + "--levels 128 256 512", 2, ["--levels 128,256,512\n"]),
    (TRAIN + STEPS + "--levels 128 ,256", 2, ["--levels 128,256\n"]),
    (TRAIN + STEPS + "--target-l0 20 40", 2, ["--target-l0 is a list with commas and without spaces: --target-l0 20,40\n"]),
    (TRAIN + STEPS + "--levels [8,16]", 2, ["--levels takes numbers with commas between them, as 128,256, not '[8,16]'"]),
    (TRAIN + STEPS + "--levels 8;16", 2, ["as 128,256, not '8;16'"]),
    (TRAIN + STEPS + "--levels 256,128", 2, ["levels is \"256,128\"", "strictly increasing"]),
    (TRAIN + STEPS + "--levels 8,16,", 2, ["levels is \"8,16,\""]),
    (TRAIN + STEPS + "--levels 0", 2, ["levels is \"0\"; allowed"]),
    (TRAIN + STEPS + "--target-l0 2,2,2", 2, ["target_l0"]),
    ("bench --levels 128, 256", 2, ["--levels is a list with commas and without spaces: --levels 128,256\n"]),
    # Choices.
    (TRAIN + STEPS + "--tree frost", 2, ["tree is \"frost\"; allowed: \"forest\", \"fixed\""]),
    (TRAIN + STEPS + "--ghost maybe", 2, ["ghost is \"maybe\"; allowed: true or false"]),
    ("tree --model run --out t --similarity cosine", 2, ["similarity is \"cosine\"; allowed: \"encoder\""]),
    ("export --model run --out new --format sealens", 2, ["--format sealens: it can be saelens, gemma-scope or hsae"]),
    ("export --model run --out new --dtype f8 --format hsae", 2, ["--dtype f8: it can be f32, f16 or bf16"]),
    ("bench --preset papr", 2, ["there is no preset \"papr\"; there are paper, laptop and tiny"]),
    ("bench --format xml", 2, ["--format xml: it can be text, md, csv or json"]),
    ("bench --format md --json", 2, ["--format md and --json both go to standard output"]),
    ("info data.safetensors --dtype f16", 2, ["--dtype is of raw files, which need --dim"]),
    # Options that are not there.
    (TRAIN + STEPS + "--batch-size 8", 2, ["unknown option --batch-size; did you mean --batch?"]),
    (TRAIN + STEPS + "--learning-rate 1", 2, ["unknown option --learning-rate; did you mean --lr?"]),
    (TRAIN + STEPS + "--l0 8", 2, ["unknown option --l0; did you mean --target-l0?"]),
    (TRAIN + STEPS + "--k 8", 2, ["did you mean --target-l0?"]),
    (TRAIN + STEPS + "--step 8", 2, ["did you mean --steps?"]),
    (TRAIN + STEPS + "--verbos", 2, ["did you mean --verbose?"]),
    (TRAIN + STEPS + "--xyzzy 3", 2, ["unknown option --xyzzy\n"]),
    (TRAIN + STEPS + "-o here", 2, ["unknown option -o; did you mean --out?"]),
    (TRAIN + STEPS + "-data here", 2, ["unknown option -data; did you mean --data?"]),
    (TRAIN + STEPS + "-vv", 2, ["unknown option -vv; letters stand alone: -v"]),
    ("eval --model run --dataset data.safetensors", 2, ["did you mean --data?"]),
    ("decode --model run --data f --out d", 2, ["unknown option --data; there are --model, --features, --out, --device, --json"]),
    ("devices --device ref", 2, ["unknown option --device; there are --test, --json"]),
    # Values that options do not take.
    (TRAIN + STEPS + "--verbose=1", 2, ["--verbose takes no value"]),
    (TRAIN + STEPS + "--quiet=yes", 2, ["--quiet takes no value"]),
    (TRAIN + STEPS + "--force=yes", 2, ["--force takes no value"]),
    (TRAIN + STEPS + "--json=out.json", 2, ["--json takes no value"]),
    (EVAL + "--json out.json", 2, ["--json takes no value, and 'out.json' belongs to no option", "> FILE"]),
    ("devices --test all", 2, ["--test takes no value, and 'all' belongs to no option"]),
    # Words that belong to no option.
    ("train data.safetensors --out new " + STEPS, 2, ["'data.safetensors' belongs to no option", "--data PATH..., --out DIR"]),
    ("eval run", 2, ["'run' belongs to no option", "--model FILE, --data PATH..."]),
    (EVAL + "-- more", 2, ["'more' belongs to no option"]),
    ("bench tiny", 2, ["'tiny' belongs to no option; did you mean --preset tiny?"]),
    ("devices opencl:0", 2, ["'opencl:0' belongs to no option; hsae devices takes options only"]),
    ("export --model run one two", 2, ["'one' and 'two' both name what is written"]),
    ("export --model run one --out two", 2, ["'one' and --out two both name what is written"]),
    # Options that do not go together.
    (TRAIN + STEPS + "--eval-data data.safetensors --holdout 0.5", 2, ["--eval-data and --holdout exclude each other"]),
    (TRAIN + STEPS + "--other-data", 2, ["--other-data goes with --resume"]),
    (TRAIN + "--resume auto --dry-run", 2, ["--dry-run plans a new run"]),
    ("bench --device ref --all-devices", 2, ["--device and --all-devices exclude each other"]),
    (EXPLORE + "--depth 2", 2, ["--width, --depth, --children and --examples are of a --figure"]),
    (EXPLORE + "--figure 0/1 --pairs 3", 2, ["--figure, --pairs and --neuronpedia exclude each other"]),
    ("tree --model run --out t --similarity inclusion", 2, ["--data is needed"]),
    # Figures.
    (EXPLORE + "--tokens tokens.jsonl --figure 0/999", 2, ["--figure 0/999: level 0 has features 0 to 7\n"]),
    (EXPLORE + "--tokens tokens.jsonl --figure 9/1", 2, ["--figure 9/1: there is no level 9", "has levels 0 to 1\n"]),
    (EXPLORE + "--figure 17", 2, ["--figure takes LEVEL/FEATURE such as 0/17, not '17'"]),
    (EXPLORE + "--figure 0/1 --width 5.5", 2, ["--width takes", "5.5in", "not '5.5'"]),
    # Files.
    ("eval --model run/metrics.jsonl --data data.safetensors", 1, ["run/metrics.jsonl: not a safetensors file, but JSON text", "give the model"]),
    ("eval --model run/config.json --data data.safetensors", 1, ["but JSON text"]),
    ("eval --model . --data data.safetensors", 1, [".: a folder, but not that of a run with a model"]),
    ("eval --model gone --data data.safetensors", 1, ["gone: cannot be read: No such file"]),
    ("eval --model data.safetensors --data data.safetensors", 1, ["data.safetensors: not a model or checkpoint"]),
    ("eval --model run --data run", 1, ["run: no activations in this folder"]),
    ("eval --model run --data run/model.safetensors", 1, ["a model or checkpoint of hsae, not activations"]),
    ("decode --model run --features data.safetensors --out d", 1, ["data.safetensors: there is no tensor \"levels.0.indptr\"; features come from `hsae encode`"]),
    ("import gone --out m", 1, ["gone: no SAE there: expected a folder"]),
    ("report gone", 1, ["gone is not the folder of a run: it has no config.json"]),
    ("report data.safetensors", 1, ["data.safetensors is not the folder of a run"]),
    ("encode --model run --data data.safetensors --out gone/f", 1, ["cannot write gone/f: No such file"]),
    (EXPLORE + "--tokens tokens.jsonl --labels gone", 1, ["cannot read gone: No such file"]),
    (TRAIN + "--config run/metrics.jsonl", 2, ["run/metrics.jsonl: not valid JSON", "line 2"]),
    (TRAIN + STEPS + "--device cuda", 1, ["there is no device cuda; there is"]),
    ("tune --preset tiny --device ref", 1, ["there is nothing to tune on the reference device"]),
    # Runs that are gone on with.
    ("train --data data.safetensors --out run " + STEPS + "--target-l0 2 --batch 8 --levels 8,16", 1, ["run holds a run already: go on with it (--resume auto)"]),
    ("train --data data.safetensors --out run --resume auto --levels 8,32 --seed 3 --lr 0.01", 2,
     ["may change: levels is [8, 16] in the run, not [8, 32]; seed is 0 in the run, not 3\n"]),
    ("train --data data.safetensors --out new --resume run/model.safetensors", 1, ["give a checkpoint-*.safetensors"]),
    ("train --data data.safetensors --out new --resume .", 1, ["--resume .: no checkpoint in this folder"]),
]


class Mistakes(Case):
    def setUp(self):
        super().setUp()
        hsae("train", "--data", self.data, "--out", self.out, "--levels", "8,16", "--batch", "8", "--steps", "20", "--target-l0", "2", "--device", "ref",
             "--quiet")

    def run_here(self, line, **more):
        return hsae(*shlex.split(line), cwd=self.folder, environment={"HSAE_DEVICE": "ref", **DRIVERS}, **more)

    def test_mistakes(self):
        for line, status, words in MISTAKES:
            with self.subTest(line):
                output, errors = self.run_here(line, status=status)
                self.assertEqual(output, "")
                sentence = [text for text in errors.splitlines() if text.startswith("hsae: error: ")]
                self.assertEqual(len(sentence), 1, errors)
                at = 0
                for word in words:
                    self.assertIn(word, errors[at:])
                    at = errors.index(word, at) + len(word)
                self.assertFalse((self.folder / "new").exists())

    def test_what_is_no_mistake(self):
        """What other programs allow, too."""
        self.assertEqual(self.run_here("help train"), self.run_here("train --help"))
        self.assertEqual(self.run_here("help train all"), self.run_here("train --help all"))
        self.assertEqual(self.run_here("help"), self.run_here("--help"))
        self.run_here(TRAIN + "--epochs 1.5 --quiet")
        self.assertEqual(json.loads((self.folder / "new" / "config.json").read_text())["steps"], 15)
        self.run_here("train --data data.safetensors --out new --resume new --epochs 2 --quiet")
        self.assertEqual(self.steps(self.folder / "new")[-1], 20)
        self.run_here("train --data data.safetensors --out other --resume run --steps 25 --quiet")
        self.assertEqual(self.steps(self.folder / "other"), [21, 22, 23, 24, 25])
        self.run_here("export --model run --out one")
        self.run_here("export --model run two")
        self.assert_same_bytes(self.folder / "one/level-0/sae_weights.safetensors", self.folder / "two/level-0/sae_weights.safetensors")

    def test_folder_of_a_run_as_model(self):
        """Its model, before that is there its newest checkpoint."""
        wanted = self.run_here(EVAL + "--json")[0]
        output, errors = self.run_here("eval --model run --data data.safetensors --json")
        self.assertEqual(output, wanted)
        self.assertIn("model: run/model.safetensors", errors)
        self.run_here("tree --model run --out tree.safetensors")
        self.run_here("encode --model run --data data.safetensors --out features.safetensors")
        self.run_here("decode --model run --features features.safetensors --out back.safetensors")
        os.remove(self.out / "model.safetensors")
        self.assertIn("model: run/checkpoint-20.safetensors", self.run_here("eval --model run --data data.safetensors")[1])

    def test_quiet_and_json(self):
        """--quiet: no command that writes files prints; --json: one object, in all commands."""
        self.run_here("export --model run --out saes")
        (self.folder / "tokens.jsonl").write_text("".join(json.dumps({"tokens": ["a"] * 8}) + "\n" for _ in range(10)))
        for line in ("train --data data.safetensors --out other --levels 8,16 --batch 8 --target-l0 2 --epochs 1 --holdout 0.2 --force",
                     "report run",
                     "encode --model run --data data.safetensors --out features.safetensors",
                     "decode --model run --features features.safetensors --out back.safetensors",
                     "export --model run --format hsae --dtype f16 --out half.safetensors",
                     "import saes --out back.safetensors",
                     "tree --model run --out tree.safetensors --data data.safetensors",
                     EXPLORE):
            with self.subTest(line):
                output, errors = self.run_here(line + " --quiet")
                self.assertEqual((output, [text for text in errors.splitlines() if not text.startswith("hsae: warning: ")]), ("", []))
                self.assertIn("out", json.loads(self.run_here(line + " --json --quiet")[0]))
        self.assertEqual(json.loads(self.run_here("info run --json")[0])["kind"], "model")
        for line in ("info run/model.safetensors", "info run", EVAL, "devices", "bench --preset tiny --steps 1"):
            self.assertIsInstance(json.loads(self.run_here(line + " --json --quiet")[0]), dict)
        self.assertNotEqual(self.run_here(EVAL + "--quiet")[0], "")


if __name__ == "__main__":
    main(__doc__)
