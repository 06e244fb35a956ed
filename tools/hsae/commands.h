/* SPDX-License-Identifier: MIT */
/* The commands of `hsae` and their options: the tables from which come the parser, --help, the manual and the completions of shells. */
#ifndef HSAE_TOOLS_COMMANDS_H
#define HSAE_TOOLS_COMMANDS_H

/* What an option takes; `place` below has that type. */
enum cli_kind {
    CLI_FLAG,       /* bool */
    CLI_TEXT,       /* const char * */
    CLI_COUNT,      /* uint64_t */
    CLI_SHARE,      /* double above 0 and below 1 */
    CLI_ABOVE,      /* double above 0 */
    CLI_AT_LEAST_0, /* double */
    CLI_OUTPUT,     /* const char *: a file to write; "-", standard output, where no value is given */
    CLI_PATHS,      /* struct cli_paths: all words up to the next option; repeated options add */
};

/* Every command. For each, SUMMARY_NAME is one line about it, SYNOPSIS_NAME follows its name in the usage, and OPTIONS_NAME(O) lists its
 * options:
 *
 *   O(name, kind, place, argument, help)
 *
 * `place`, a variable of the command's function, takes the value. `argument` is the value's name in --help, NULL for a flag; words with |
 * between them are the values that there are, but those in capitals. */
/* clang-format off */
#define COMMANDS(X) X(devices) X(collect) X(train) X(report) X(eval) X(encode) X(decode) X(export) X(import) X(tree) X(explore) X(info) X(bench) X(tune)

/* Options of every command. */
#define COMMON_OPTIONS(C)                                                                                                                 \
    C("q", "quiet", "warnings and errors only; what eval, info, devices, bench and tune measure or list is shown all the same")                                                                                           \
    C("v", "verbose", "say more")                                                                                                         \
    C("h", "help", "options and examples")

/* Options of several commands. */
#define INPUT_OPTIONS(O, input)                                                                                                           \
    O("tensor", CLI_TEXT, (input).tensor, "NAME", "safetensors: tensor, Arrow: column to read; default: the only one that fits")          \
    O("dim", CLI_COUNT, (input).dim, "D", "raw files: numbers of a vector")                                                               \
    O("dtype", CLI_TEXT, (input).dtype, "f32|f16|bf16", "raw files: type of the numbers; default: f32")
#define ROW_OPTIONS(O, rows)                                                                                                              \
    O("max-norm", CLI_AT_LEAST_0, (rows).max_norm, "X",                                                                                   \
      "leave out rows whose norm is above X times the median of the first 65,536; 0: none; default: as in training")                      \
    O("skip-bad-rows", CLI_FLAG, (rows).skip_bad, NULL, "leave out rows with a value that is not finite")
#define LM_OPTIONS(O, lm)                                                                                                                 \
    O("gguf", CLI_TEXT, (lm).gguf, "FILE", "a language model, whose activations are made by libllama")                                    \
    O("layer", CLI_COUNT, (lm).layer, "N", "--gguf: the layer whose output is taken, counted from 0")                                     \
    O("activation", CLI_TEXT, (lm).activation, "NAME", "--gguf: in place of --layer, a tensor of libllama's graph: ffn_out-14")           \
    O("text", CLI_PATHS, (lm).text, "PATH...", "--gguf: what it reads: .txt and .jsonl files, folders of them")                           \
    O("context", CLI_COUNT, (lm).context, "N", "--gguf: tokens of a sequence, start token included (128)")                                \
    O("sequences", CLI_COUNT, (lm).sequences, "N", "--gguf: sequences that run at once (16)")                                             \
    O("bos", CLI_TEXT, (lm).bos, "auto|none|TOKEN", "--gguf: start token of each sequence; its row is left out; auto: the model's")       \
    O("f32", CLI_FLAG, (lm).f32, NULL, "--gguf: compute with the weights as float32, of a quantised model, too")                          \
    O("gpu", CLI_FLAG, (lm).gpu, NULL, "--gguf: run it on libllama's GPU (Vulkan, CUDA ...), not on the CPU")                             \
    O("threads", CLI_COUNT, (lm).threads, "N", "--gguf: threads of libllama; default: one for each processor")
#define DEVICE_OPTION(O, id) O("device", CLI_TEXT, id, "ID", "what computes (hsae devices); default: $HSAE_DEVICE or the best")
#define JSON_OPTION(O, json) O("json", CLI_FLAG, json, NULL, "one JSON object on standard output")

#define SUMMARY_devices  "Lists every device of every backend, and what keeps others from being used."
#define SYNOPSIS_devices "[--test] [--json]"
#define OPTIONS_devices(O)                                                                                                                \
    O("test", CLI_FLAG, test, NULL,                                                                                                       \
      "train a few steps on every device, use a model on it, and compare all that comes out with the reference")                          \
    JSON_OPTION(O, json)

#define SUMMARY_collect  "Stores activations of a language model in a GGUF file, with their tokens."
#define SYNOPSIS_collect "--gguf FILE --layer N --text PATH... --out DIR [OPTION]..."
#define OPTIONS_collect(O)                                                                                                                \
    LM_OPTIONS(O, collection.lm)                                                                                                          \
    O("out", CLI_TEXT, collection.out, "DIR", "folder of the activations; made if it is not there")                                       \
    O("tokens", CLI_COUNT, collection.tokens, "N", "stop after N rows; default: all of the text")                                         \
    O("outlier", CLI_AT_LEAST_0, collection.outlier, "X",                                                                                 \
      "leave out rows of more than X times the median norm of the first 64 sequences; 0: none (10)")                                      \
    O("dtype", CLI_TEXT, collection.dtype, "f32|f16|bf16", "type of the stored numbers (f16)")                                            \
    O("shard-rows", CLI_COUNT, collection.shard_rows, "N", "a file ends with the sequences that reach so many rows (32,768)")             \
    JSON_OPTION(O, collection.json)

#define SUMMARY_train  "Trains a hierarchical sparse autoencoder."
#define SYNOPSIS_train "--data PATH... | --gguf FILE --layer N --text PATH... --out DIR [--KEY VALUE]... [OPTION]..."
#define OPTIONS_train(O)                                                                                                                  \
    O("data", CLI_PATHS, all.data_paths, "PATH...", "activations: files or folders; -: raw numbers on standard input")                    \
    INPUT_OPTIONS(O, all.input)                                                                                                           \
    O("out", CLI_TEXT, all.out, "DIR", "folder of the run; made if it is not there")                                                      \
    LM_OPTIONS(O, all.lm)                                                                                                                 \
    O("cache", CLI_TEXT, all.stream.cache, "DIR", "--data -, --gguf: keep the rows in this folder, for later epochs and runs")                     \
    O("buffer", CLI_COUNT, all.stream.buffer, "N", "--data -, --gguf: rows that are shuffled with each other (131,072)")                          \
    O("force", CLI_FLAG, all.force, NULL, "replace the run that --out holds")                                                             \
    O("config", CLI_TEXT, all.config_path, "FILE", "JSON object of configuration keys; options win")                                      \
    O("device", CLI_TEXT, all.device_id, "ID[,ID]...", "what computes (hsae devices); several train one model, see --shards; default: $HSAE_DEVICE or the best") \
    O("resume", CLI_TEXT, all.resume, "FILE|DIR|auto", "go on from a checkpoint; DIR: the newest in a folder, auto: in --out")                                  \
    O("other-data", CLI_FLAG, all.other_data, NULL, "with --resume: although the data are not those of the run")                          \
    O("epochs", CLI_ABOVE, all.epochs, "X", "in place of --steps: so many times all vectors")                                             \
    O("stop-after", CLI_COUNT, all.stop_after, "N", "end after step N, with a checkpoint")                                                \
    O("log-every", CLI_COUNT, all.log_every, "N", "steps between lines of metrics.jsonl; default: steps / 100")                           \
    O("checkpoint-every", CLI_COUNT, all.checkpoint_every, "N", "steps between checkpoints; default: steps / 10")                         \
    O("keep", CLI_COUNT, all.keep, "N", "checkpoints to keep (2)")                                                                        \
    O("eval-data", CLI_PATHS, all.eval_paths, "PATH...", "evaluate on these activations at the end")                                      \
    O("holdout", CLI_SHARE, all.holdout, "SHARE", "keep the last share of the vectors out and evaluate on it")                            \
    O("eval-every", CLI_COUNT, all.eval_every, "N", "evaluate on them every N steps, too; default: at the end only")                      \
    O("dry-run", CLI_FLAG, all.dry_run, NULL, "print what the run would take of memory, and end")                                         \
    O("deterministic-check", CLI_FLAG, all.check, NULL, "run twice, into DIR/first and DIR/second, and compare")                          \
    JSON_OPTION(O, all.json)

#define SUMMARY_report  "Writes the page of a run: curves, evaluation, configuration, how to repeat it."
#define SYNOPSIS_report "DIR... [--out FILE] [--json]"
#define OPTIONS_report(O)                                                                                                                 \
    O("out", CLI_TEXT, out, "FILE", "page to write; default of one run: report.html in its folder")                                       \
    JSON_OPTION(O, json)

#define SUMMARY_eval  "Evaluates a model: L0, variance explained, dead features, figures of the hierarchy."
#define SYNOPSIS_eval "--model FILE --data PATH... [--device ID] [--per-feature FILE.csv] [--json]"
#define OPTIONS_eval(O)                                                                                                                   \
    O("model", CLI_TEXT, model_path, "FILE", "model.safetensors, a checkpoint, or the folder of a run")                                                         \
    O("data", CLI_PATHS, data, "PATH...", "activations: files or folders")                                                                \
    INPUT_OPTIONS(O, input)                                                                                                               \
    ROW_OPTIONS(O, rows)                                                                                                                  \
    DEVICE_OPTION(O, device_id)                                                                                                           \
    O("per-feature", CLI_TEXT, per_feature, "FILE", "also a table of all features, as CSV")                                               \
    JSON_OPTION(O, json)

#define SUMMARY_encode  "Encodes activations to the active features of every level."
#define SYNOPSIS_encode "--model FILE --data PATH... --out FILE [--device ID] [--json]"
#define OPTIONS_encode(O)                                                                                                                 \
    O("model", CLI_TEXT, model_path, "FILE", "model.safetensors, a checkpoint, or the folder of a run")                                                         \
    O("data", CLI_PATHS, data, "PATH...", "activations: files or folders")                                                                \
    O("out", CLI_TEXT, encoder.out, "FILE", "safetensors file to write")                                                                  \
    INPUT_OPTIONS(O, input)                                                                                                               \
    ROW_OPTIONS(O, encoder.rows)                                                                                                          \
    DEVICE_OPTION(O, device_id)                                                                                                           \
    JSON_OPTION(O, json)

#define SUMMARY_decode  "Decodes features to reconstructions of the activations."
#define SYNOPSIS_decode "--model FILE --features FILE --out FILE [--device ID] [--json]"
#define OPTIONS_decode(O)                                                                                                                 \
    O("model", CLI_TEXT, model_path, "FILE", "model.safetensors, a checkpoint, or the folder of a run")                                                         \
    O("features", CLI_TEXT, decoder.features, "FILE", "what hsae encode wrote")                                                           \
    O("out", CLI_TEXT, decoder.out, "FILE", "safetensors file to write")                                                                  \
    DEVICE_OPTION(O, device_id)                                                                                                           \
    JSON_OPTION(O, json)

#define SUMMARY_export  "Writes a model in the format of SAELens or Gemma Scope, or with half-precision weights."
#define SYNOPSIS_export "--model FILE --out OUT [--format saelens|gemma-scope|hsae] [--meta KEY=VALUE...] [--dtype NAME] [--json]"
#define OPTIONS_export(O)                                                                                                                 \
    O("model", CLI_TEXT, request.model, "FILE", "model.safetensors, a checkpoint, or the folder of a run")                                                      \
    O("out", CLI_TEXT, request.out, "PATH", "what to write: a folder, or with --format hsae a file; also as a word of its own")            \
    O("format", CLI_TEXT, request.format, "saelens|gemma-scope|hsae", "saelens (default), gemma-scope or hsae")                           \
    O("meta", CLI_PATHS, request.meta, "KEY=VALUE...", "saelens: what cfg.json is to tell: model_name, hook_name, context_size ...")      \
    O("dtype", CLI_TEXT, request.dtype, "f32|f16|bf16", "hsae: encoder and decoder rows as f32 (default), f16 or bf16")                   \
    JSON_OPTION(O, request.json)

#define SUMMARY_import  "Makes a model of SAEs from SAELens, Gemma Scope or Llama Scope: each becomes a level."
#define SYNOPSIS_import "PATH... --out FILE [--json]"
#define OPTIONS_import(O)                                                                                                                 \
    O("out", CLI_TEXT, out, "FILE", "model to write")                                                                                     \
    JSON_OPTION(O, json)

#define SUMMARY_tree  "Builds a tree over a trained model, or over SAEs of other tools."
#define SYNOPSIS_tree "--model PATH... --out FILE [--similarity NAME] [--exclude SHARE] [--tree NAME] [--data PATH...]"
#define OPTIONS_tree(O)                                                                                                                   \
    O("model", CLI_PATHS, request.models, "PATH...", "model.safetensors, a checkpoint or the folder of a run; or SAEs as hsae import takes them")              \
    O("out", CLI_TEXT, request.out, "FILE", "model to write")                                                                             \
    O("similarity", CLI_TEXT, keys[0], "encoder|decoder|coactivation|inclusion|part",                                                          \
      "encoder (default), decoder, coactivation, inclusion or part: what makes a parent")                                                       \
    O("exclude", CLI_TEXT, keys[1], "SHARE", "share of features left without a parent (0.2)")                                             \
    O("tree", CLI_TEXT, keys[2], "forest|full|binary", "forest (default), full (all have a parent) or binary (two children at most)")     \
    O("data", CLI_PATHS, request.data, "PATH...", "activations: for co-activation, and to evaluate the tree")                             \
    INPUT_OPTIONS(O, request.input)                                                                                                       \
    ROW_OPTIONS(O, request.rows)                                                                                                          \
    DEVICE_OPTION(O, request.device)                                                                                                      \
    JSON_OPTION(O, request.json)

#define SUMMARY_explore  "Shows what each feature responds to: a page of the forest, figures, files for other tools."
#define SYNOPSIS_explore "--model FILE --data PATH... --out FILE.html [--tokens FILE...] [--figure L/I | --pairs N | --neuronpedia DIR]"
#define OPTIONS_explore(O)                                                                                                                \
    O("model", CLI_TEXT, request.model_path, "FILE", "model.safetensors, a checkpoint, or the folder of a run")                                                 \
    O("data", CLI_PATHS, request.data, "PATH...", "activations: files or folders")                                                        \
    O("tokens", CLI_PATHS, request.tokens, "FILE...", "their tokens; default: tokens.jsonl beside each PATH")                             \
    O("labels", CLI_PATHS, request.labels, "FILE...",                                                                                     \
      "names of features as JSON lines: {\"feature\": \"l1/104\", \"label\": \"religion\"}")                                              \
    O("scores", CLI_PATHS, request.labels, "FILE...",                                                                                     \
      "a judge's scores: {\"parent\": \"l0/17\", \"child\": \"l1/104\", \"score\": 0.75}")                                                \
    O("unembedding", CLI_PATHS, request.unembedding, "FILE", "the language model's, a row a token: which tokens a feature promotes")        \
    O("vocab", CLI_TEXT, request.vocab, "FILE", "its tokens, a JSON array of strings")                                                    \
    O("title", CLI_TEXT, request.title, "TEXT", "of the page; default: the model's path")                                                 \
    O("out", CLI_TEXT, request.out, "FILE", "what to write: the page, or what the next options say")                                      \
    O("figure", CLI_TEXT, request.figure, "L/I", "the tree under feature I of level L, as SVG")                                           \
    O("width", CLI_TEXT, request.width, "LENGTH", "of the figure: 5.5in, 14cm, 396pt; its text has 7.5 pt")                               \
    O("depth", CLI_COUNT, request.depth, "N", "levels in the figure (4)")                                                                 \
    O("children", CLI_COUNT, request.children, "N", "children of a feature in the figure (4, then 3, then 2)")                            \
    O("examples", CLI_COUNT, request.examples, "N", "contexts of a feature in the figure (3)")                                            \
    O("pairs", CLI_COUNT, request.pairs, "N", "N parent-child pairs and N random ones with their contexts, as JSON lines")                \
    O("neuronpedia", CLI_TEXT, request.neuronpedia, "DIR", "batches of features as SAEDashboard writes them, in place of --out")          \
    O("contexts", CLI_COUNT, request.contexts, "N", "strongest contexts of a feature (20)")                                               \
    O("context-length", CLI_COUNT, request.context_length, "N", "tokens of a context (32)")                                               \
    INPUT_OPTIONS(O, request.input)                                                                                                       \
    ROW_OPTIONS(O, request.rows)                                                                                                          \
    DEVICE_OPTION(O, request.device_id)                                                                                                   \
    JSON_OPTION(O, request.json)

#define SUMMARY_info  "Says what a model, a checkpoint, a file of features or a data set holds."
#define SYNOPSIS_info "PATH... [--check] [--tensor NAME] [--dim D [--dtype TYPE]] [--json]"
#define OPTIONS_info(O)                                                                                                                   \
    INPUT_OPTIONS(O, input)                                                                                                               \
    O("check", CLI_FLAG, check, NULL, "read all activations: norms, rows that are not finite, duplicates, constant columns")              \
    JSON_OPTION(O, json)

#define SUMMARY_bench  "Measures how fast a device trains, kernel by kernel."
#define SYNOPSIS_bench "[--device ID | --all-devices] [--preset NAME] [OPTION]..."
#define OPTIONS_bench(O)                                                                                                                  \
    DEVICE_OPTION(O, bench.device_id)                                                                                                     \
    O("all-devices", CLI_FLAG, bench.all, NULL, "compare all devices that can do the work in reasonable time")                            \
    O("preset", CLI_TEXT, bench.preset, "paper|laptop|tiny", "paper, laptop (default) or tiny")                                           \
    O("dim", CLI_COUNT, bench.dim, "D", "width of the activations")                                                                       \
    O("levels", CLI_TEXT, bench.levels, "LIST", "features of each level")                                                                 \
    O("batch", CLI_TEXT, bench.batch, "B", "samples in a step")                                                                           \
    O("target-l0", CLI_TEXT, bench.target_l0, "L0", "active features per sample; one number or one a level")                              \
    O("hierarchy-period", CLI_TEXT, bench.period, "N", "steps between updates of the tree")                                               \
    O("seed", CLI_TEXT, bench.seed, "N", "of data and parameters")                                                                        \
    O("steps", CLI_COUNT, bench.steps, "N", "steps in each timed block")                                                                  \
    O("budget", CLI_ABOVE, bench.budget, "SECONDS", "measure fewer times if it would take longer; what prepares it is not cut")            \
    O("minutes", CLI_ABOVE, bench.minutes, "M", "then train for M minutes and show how the speed holds")                                  \
    O("format", CLI_TEXT, bench.format, "text|md|csv|json", "text (default), one line a device as md or csv, or json, as --json")         \
    O("json", CLI_OUTPUT, bench.json, "FILE", "one JSON object on standard output in place of the table; FILE: there, beside the table")

#define SUMMARY_tune  "Finds the fastest kernel parameters for a device."
#define SYNOPSIS_tune "[--device ID] [--preset NAME] [OPTION]..."
#define OPTIONS_tune(O)                                                                                                                   \
    O("device", CLI_TEXT, tune.device_id, "ID", "what is tuned (hsae devices); default: $HSAE_DEVICE or the best")                        \
    O("preset", CLI_TEXT, tune.preset, "paper|laptop|tiny", "the work to be fast at: paper, laptop (default) or tiny")                    \
    O("kernel", CLI_TEXT, tune.params.kernel, "NAME", "only this kernel (hsae bench lists them)")                                         \
    O("minutes", CLI_ABOVE, tune.minutes, "M", "time for the search; default: 4")                                                         \
    O("steps", CLI_COUNT, steps, "N", "steps in each timed block")                                                                        \
    O("out", CLI_TEXT, tune.out, "FILE", "write there; default: $HSAE_TUNING, else tuning.json beside the compiled kernels")              \
    O("dry-run", CLI_FLAG, tune.dry_run, NULL, "write nothing")                                                                           \
    O("json", CLI_FLAG, tune.json, NULL, "one JSON object in place of the table")

/* What `hsae train --help` shows, options and keys; `--help all` shows all. */
#define BRIEF_train "data", "out", "levels", "target_l0", "steps", "epochs"
/* clang-format on */

#endif
