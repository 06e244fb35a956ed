#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The training step in dense PyTorch, written from the method and not from the library: an oracle and a yardstick. Needs torch, numpy.

dense_torch.py --check CASE...   golden cases (tests/golden/train/NAME): figures of every step, and the state at the end
dense_torch.py --bench CHECKPOINT DATA   seconds per step from that state on, in the order of the data, as JSON

One implementation for both, made as fast and as lean as dense PyTorch gets on a CPU: the five products of a step (p, the reconstruction, its
gradients by a, D and E) are dense and take nine tenths of it; everything between them happens in buffers that are made once, in blocks that stay in
the cache; Adam is PyTorch's fused one. Only the constraint, which has few pairs of relatives, uses sparse matrices.
"""
import argparse
import json
import math
import resource
import statistics
import struct
import sys
import time
from pathlib import Path

import numpy as np
import torch

PARAMETERS = ("encoder.weight", "encoder.bias", "log_threshold", "decoder.weight", "decoder.bias")


def philox(key, counters):
    """First output word of Philox4x32-10 for counters [n, 4]."""
    low, mask = np.uint64(0xFFFFFFFF), 0xFFFFFFFF
    c0, c1, c2, c3 = (counters[:, k].astype(np.uint64) for k in range(4))
    k0, k1 = key & mask, key >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), p1 & low, (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c0


def within(features, begin, end):
    """Those of ascending features in begin..end-1."""
    return features[slice(*np.searchsorted(features, (begin, end)))]


class Relatives:
    """The structural constraint as a quadratic form. Written out, rho |f_i - sum of its children's f|^2 over all features i with children is
    rho times the sum, over pairs (j, k) of relatives, of sign_jk a_j a_k (D_j . D_k): + for a parent or a child with itself and for siblings, - for
    parent and child. The pairs are those of one sparse, symmetric matrix over the features of all levels."""

    def __init__(self, parent, bounds):
        n, kids = len(parent), np.flatnonzero(parent >= 0)
        kids = kids[np.argsort(parent[kids], kind="stable")]
        self.parents, first, counts = np.unique(parent[kids], return_index=True, return_counts=True)
        families = np.repeat(counts, counts)  # how many siblings, itself among them, a child has
        ends = np.cumsum(families)
        siblings = kids[np.arange(ends[-1]) - np.repeat(ends - families - np.repeat(first, counts), families)]
        # above: terms of the family a feature is a child in; below: of the one it is the parent of
        above = np.ones(len(siblings)), np.repeat(kids, families) * n + siblings, -np.ones(len(kids)), kids * n + parent[kids]
        below = np.ones(len(self.parents)), self.parents * n + self.parents, -np.ones(len(kids)), parent[kids] * n + kids
        where, entry = np.unique(np.concatenate(above[1::2] + below[1::2]), return_inverse=True)
        above, below = np.concatenate(above[::2]), np.concatenate(below[::2])
        self.above = torch.from_numpy(np.bincount(entry[: len(above)], above, len(where)).astype(np.float32))
        self.below = torch.from_numpy(np.bincount(entry[len(above) :], below, len(where)).astype(np.float32))
        self.sign = self.above + self.below
        self.rows = torch.from_numpy(np.searchsorted(where, np.arange(n + 1) * n).astype(np.int32))
        self.columns = torch.from_numpy((where % n).astype(np.int32))
        self.spans = [slice(int(self.rows[b]), int(self.rows[e])) for b, e in bounds]  # entries of each level

    def matrix(self, values, begin, end):
        """Rows of the sparse matrix."""
        rows = self.rows[begin : end + 1]
        entries = slice(int(rows[0]), int(rows[-1]))
        return torch.sparse_csr_tensor(rows - rows[0], self.columns[entries], values[entries], size=(end - begin, len(self.rows) - 1))

    def products(self, m):
        """m_j . m_k of the pairs."""
        return torch.sparse.sampled_addmm(self.matrix(torch.ones(len(self.columns)), 0, len(m)), m, m.T, beta=0).values()

    def sums(self, dots, together):
        """Of the families of each level as parents: the quadratic form."""
        terms = dots * together
        below, above = ([float(signs[span] @ terms[span]) for span in self.spans] for signs in (self.below, self.above))
        return [b + a for b, a in zip(below, above[1:] + [0.0])]

    def derivative(self, factors, m, begin, end, out):
        """Half of the form's by rows of m, where the other matrix's products are the factors."""
        torch.addmm(out, self.matrix(factors, begin, end), m, beta=0, out=out)


class Trainer:
    """Features of all levels are numbered through, and their tensors stored end to end; what is [n, batch] has a row per feature. Dense work
    goes through blocks of rows that fit the cache, from the product to the optimiser, so that no gradient but the decoder's is ever whole."""

    floats = 1 << 20  # of a block

    def __init__(self, config, w, v, parents, last_fired, lambdas, averages, step):
        self.c, self.w, self.v, self.lambdas, self.averages, self.t = config, w, v, lambdas, averages, step  # w, v by the names of PARAMETERS
        ends = np.cumsum(config["levels"]).tolist()
        self.bounds = list(zip([0] + ends[:-1], ends))
        self.level = np.repeat(np.arange(len(ends)), config["levels"])
        self.parents, self.last_fired = parents, last_fired  # by level, in its own numbers, or None; of all features
        self.history = []  # who was active, of the last 64 steps
        self.a = None  # the buffers, as soon as the batch is known
        self.plant()

    def plant(self):
        self.parent = np.full(len(self.level), -1)
        for (begin, end), (above, _), parent in zip(self.bounds[1:], self.bounds, self.parents[1:]):
            if parent is not None:
                self.parent[begin:end] = np.where(parent < 0, -1, parent + above)
        self.relatives = Relatives(self.parent, self.bounds) if (self.parent >= 0).any() else None

    def allocate(self, batch):
        n, d = self.w["encoder.weight"].shape
        block = min(n, max(1, Trainer.floats // max(batch, d)))
        self.a, self.near = torch.empty(n, batch), torch.empty(n, batch, dtype=torch.bool)
        self.dd, self.r = torch.empty(n, d), torch.empty(len(self.bounds), batch, d)
        self.small = {name: torch.empty_like(self.w[name]) for name in ("encoder.bias", "log_threshold", "decoder.bias")}
        self.count, self.block = torch.empty(n), block
        self.q, self.wide, self.long = torch.empty(block, batch), torch.empty(block, batch), torch.empty(block, d)

    def rate(self, t):
        warm = math.floor(self.c["warmup"] * self.c["steps"] + 0.5)
        return self.c["lr"] * (t / warm if t <= warm else 0.5 * (1 + math.cos(math.pi * (t - warm) / (self.c["steps"] - warm))))

    # ---- forward ----

    def swaps(self, t):
        """Features that their children stand in for, and those children."""
        if self.relatives is None:
            return np.zeros(0, int), np.zeros(0, int)
        parents = self.relatives.parents
        counters = np.empty((len(parents), 4), np.uint64)
        counters[:, 0] = parents - np.array(self.bounds)[self.level[parents], 0]
        counters[:, 1:] = np.stack([self.level[parents], np.full(len(parents), t & 0xFFFFFFFF), np.full(len(parents), t >> 32)], 1)
        out = parents[(philox(self.c["seed"], counters) >> np.uint64(8)) * 2.0**-24 < self.c["perturb"]]
        return out, np.flatnonzero(np.isin(self.parent, out))

    def activate(self, x, theta):
        """Activations, who is near the threshold, and the number of samples on which a feature is active."""
        for begin in range(0, len(self.a), self.block):
            rows = slice(begin, begin + self.block)
            a = torch.addmm(self.w["encoder.bias"][rows, None], self.w["encoder.weight"][rows], x.T, out=self.a[rows])
            gate = self.wide[: len(a)]
            torch.lt(torch.sub(a, theta[rows], out=gate).abs_(), self.c["bandwidth"] / 2, out=self.near[rows])
            torch.sum(torch.gt(a, theta[rows], out=gate), 1, out=self.count[rows])
            a.mul_(gate)

    def reconstruct(self, x, out, into):
        """Residuals of the perturbed reconstructions."""
        d, unperturbed = self.w["decoder.weight"], self.a[out]
        self.a[out] = 0
        for l, (begin, end) in enumerate(self.bounds):
            torch.sub(self.w["decoder.bias"][l], x, out=self.r[l]).addmm_(self.a[begin:end].T, d[begin:end])
        self.a[out] = unperturbed
        for l, bounds in enumerate(self.bounds[1:]):
            kids = within(into, *bounds)
            if len(kids):
                self.r[l].addmm_(self.a[kids].T, d[kids])

    # ---- backward and update ----

    def ghosts(self, l, x, rows):
        """Gradients that the dead features of a level get, by the names of PARAMETERS."""
        d, e, r = self.w["decoder.weight"][rows], self.w["encoder.weight"][rows], self.r[l]
        pre = torch.addmm(self.w["encoder.bias"][rows, None], e, x.T)
        g = pre.clamp(max=10).exp()
        y = g.T @ d
        alpha = torch.nan_to_num(r.norm(dim=1) / (2 * y.norm(dim=1)), posinf=0)[:, None]
        v = alpha * y + r
        loss = float((v * v).sum())
        v *= 2 * alpha * (float((r * r).sum()) / loss if loss else 0) / len(x)
        dp = (d @ v.T) * g * (pre < 10)
        return {"decoder.weight": g @ v, "encoder.weight": dp @ x, "encoder.bias": dp.sum(1)}

    def answer(self, sums, left, residuals, l, rows, out, into):
        """sums += 2 / batch left @ the residuals that these features answer for, where residuals are those of every level."""
        share, left = 2 / self.r.shape[1], left[rows]
        out, kids = within(out, rows.start, rows.stop) - rows.start, within(into, rows.start, rows.stop) - rows.start
        kept = sums[out]
        sums.addmm_(left, residuals[l], alpha=share)
        sums[out] = kept
        if len(kids):
            sums.index_add_(0, torch.from_numpy(kids), left[kids] @ residuals[l - 1], alpha=share)

    def adam(self, *names, rows=slice(None), gradients):
        w, v = ([tensors[name][rows] for name in names] for tensors in (self.w, self.v))
        torch._fused_adam_(w, gradients, gradients, v, [], [torch.tensor(float(self.t + 1))] * len(w), amsgrad=False, lr=self.rate(self.t + 1),
                           beta1=0.0, beta2=self.c["beta2"], weight_decay=0.0, eps=self.c["adam_eps"], maximize=False)

    def update(self, l, rows, x, theta, swaps, factors, ghosts):
        """Everything that is left to do for some features of a level: their gradients, and the optimiser's step of E and D."""
        c, d, dd, a = self.c, self.w["decoder.weight"][rows], self.dd[rows], self.a[rows]
        q, wide, long = self.q[: len(a)], self.wide[: len(a)], self.long[: len(a)]
        if factors is None:
            q.zero_()
            dd.zero_()
        else:
            self.relatives.derivative(factors, self.a, rows.start, rows.stop, q)
        self.answer(q, self.w["decoder.weight"], self.r.mT, l, rows, *swaps)
        self.answer(dd, self.a, self.r, l, rows, *swaps)
        near, theta = self.near[rows], theta[rows, 0]
        torch.sum(torch.mul(q, near, out=wide), 1, out=self.small["log_threshold"][rows])
        self.small["log_threshold"][rows].mul_(theta).add_(near.sum(1), alpha=self.lambdas[l] / len(x)).mul_(theta).mul_(-1 / c["bandwidth"])
        score = torch.ops.aten.threshold_backward.grad_input(q, a, 0, grad_input=wide)  # q where active: thresholds are positive
        torch.sum(score, 1, out=self.small["encoder.bias"][rows])
        torch.mm(score, x, out=long)
        if ghosts is not None:
            dead, gradients = ghosts
            these = (dead >= rows.start) & (dead < rows.stop)
            for name, g in (("decoder.weight", dd), ("encoder.weight", long), ("encoder.bias", self.small["encoder.bias"][rows])):
                g[dead[these] - rows.start] += gradients[name][these]
        self.adam("encoder.weight", rows=rows, gradients=[long])
        if c["project_gradient"]:
            dd.addcmul_(d, torch.linalg.vecdot(dd, d)[:, None], value=-1)
        self.adam("decoder.weight", rows=rows, gradients=[dd])
        d.div_(torch.linalg.vector_norm(d, dim=1, keepdim=True))

    def step(self, x):
        c, t, levels = self.c, self.t + 1, range(len(self.bounds))
        if self.a is None:
            self.allocate(len(x))
        if t == 1 and not any(self.lambdas):
            self.lambdas = [c["lambda_init"] * float((x * x).sum(1).mean()) / target for target in c["target_l0"]]
        dead = t - 1 - self.last_fired >= c["dead_steps"]
        deaths = [begin + np.flatnonzero(dead[begin:end]) for begin, end in self.bounds]
        theta = self.w["log_threshold"].exp()[:, None]
        swaps = self.swaps(t)
        self.activate(x, theta)
        self.reconstruct(x, *swaps)
        constraint, factors = [0.0] * len(levels), None
        if self.relatives is not None and c["rho"]:
            d, signs = self.w["decoder.weight"], self.relatives.sign * (2 * c["rho"] / len(x))
            dots, together = self.relatives.products(d), self.relatives.products(self.a)
            constraint = [c["rho"] / len(x) * s for s in self.relatives.sums(dots, together)]
            self.relatives.derivative(together.mul_(signs), d, 0, len(d), self.dd)
            factors = dots.mul_(signs)
        l0 = [float(self.count[begin:end].sum()) / len(x) for begin, end in self.bounds]
        figures = {"step": t, "lr": self.rate(t), "reconstruction": [float(r @ r) / len(x) for r in self.r.flatten(1)], "l0": l0,
                   "constraint": constraint, "lambda": list(self.lambdas), "dead": [len(rows) for rows in deaths],
                   "swapped": [len(within(swaps[0], *bounds)) for bounds in self.bounds]}
        ghosts = [(rows, self.ghosts(l, x, rows)) if c["ghost"] and len(rows) else None for l, rows in enumerate(deaths)]
        for l, (begin, end) in enumerate(self.bounds):
            for first in range(begin, end, self.block):
                self.update(l, slice(first, min(end, first + self.block)), x, theta, swaps, factors, ghosts[l])
        torch.sum(self.r, 1, out=self.small["decoder.bias"]).mul_(2 / len(x))
        self.adam(*self.small, gradients=list(self.small.values()))
        self.last_fired[self.count.numpy() > 0] = t
        if c["similarity"] == "coactivation":
            self.history = self.history[-63:] + [(self.a > 0).float()]
        for l in levels:
            self.control(l, l0[l])
        self.t = t
        if self.relinks():
            self.relink()
        return figures

    def control(self, l, l0):
        c, average = self.c, self.averages[l]
        if average < 0:
            average = l0
        change = (1 - c["sparsity_momentum"]) * (l0 - average)
        wanted = -c["sparsity_eta"] * (average - c["target_l0"][l])
        self.lambdas[l] *= 1 - c["sparsity_kappa"] if change < wanted else 1 + c["sparsity_kappa"]
        self.averages[l] = average + change

    # ---- hierarchy ----

    def relinks(self):
        c = self.c
        if c["tree"] == "posthoc":
            return self.t == c["steps"]
        return self.t == c["hierarchy_period"] if c["tree"] == "fixed" else self.t % c["hierarchy_period"] == 0

    def similarities(self, l):
        """Of level l + 1 (rows) with level l, in blocks of rows."""
        above, (begin, end) = slice(*self.bounds[l]), self.bounds[l + 1]
        w = self.w.get(self.c["similarity"] + ".weight")
        parents = None if w is None else torch.nn.functional.normalize(w[above], dim=1).T
        for first in range(begin, end, self.block):
            rows = slice(first, min(end, first + self.block))
            if w is None:
                yield sum(active[rows] @ active[above].T for active in self.history).numpy()
            else:
                yield (torch.nn.functional.normalize(w[rows], dim=1) @ parents).numpy()

    def relink(self):
        for l in range(len(self.bounds) - 1):
            n = self.c["levels"][l + 1]
            excluded = 0 if self.c["tree"] == "full" else math.floor(self.c["exclude"] * n)
            if self.c["tree"] == "binary":
                self.parents[l + 1] = binary(np.concatenate(list(self.similarities(l))), n - excluded)
            else:
                best = [(s.argmax(1), s.max(1)) for s in self.similarities(l)]
                parent, similarity = (np.concatenate(blocks) for blocks in zip(*best))
                parent[np.argsort(similarity, kind="stable")[:excluded]] = -1
                self.parents[l + 1] = parent
        self.plant()


def binary(s, wanted):
    parent, places = np.full(len(s), -1, np.int32), np.full(s.shape[1], 2)
    j, i = np.indices(s.shape)
    for k in np.lexsort((i.ravel(), j.ravel(), -s.ravel())):
        child, above = divmod(int(k), s.shape[1])
        if wanted and parent[child] < 0 and places[above]:
            parent[child] = above
            places[above] -= 1
            wanted -= 1
    return parent


# ---- golden cases ----


class Safetensors:
    """The tensors of a file, each read when it is asked for."""

    def __init__(self, path):
        with open(path, "rb") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            self.path, self.base, self.header = path, 8 + size, json.loads(file.read(size))
        self.metadata = self.header.pop("__metadata__", {})

    def get(self, name):
        return self[name] if name in self.header else None

    def __getitem__(self, name):
        entry = self.header[name]
        kind = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "I64": np.int64}[entry["dtype"]]
        return np.fromfile(self.path, kind, math.prod(entry["shape"]), offset=self.base + entry["data_offsets"][0]).reshape(entry["shape"])


def todays(file, prefix, name, beta2):
    """A second moment with the decay since its row's last update, which a dense step makes in every step."""
    v = file[f"optimizer.{prefix}.{name}.v"]
    if name != "decoder.bias":
        v *= (beta2 ** (file["train.step"][0] - file[f"optimizer.{prefix}.row_step"])).astype(np.float32).reshape((-1,) + (1,) * (v.ndim - 1))
    return v


def load(checkpoint, data):
    file = Safetensors(checkpoint)
    c = json.loads(file.metadata["config"])
    prefixes = [f"levels.{l}" for l in range(len(c["levels"]))]
    for key in ("target_l0", "init_l0"):
        c[key] = c[key] if isinstance(c[key], list) else [c[key]] * len(prefixes)
    c["hierarchy_period"] = c["hierarchy_period"] or min(5000, max(1, c["steps"] // 20))

    def whole(name, read):
        """A tensor of all levels, into which those of the levels are read one by one."""
        per_level = name == "decoder.bias"
        shape = file.header[f"levels.0.{name}"]["shape"]
        joined = np.empty([len(prefixes), *shape] if per_level else [sum(c["levels"]), *shape[1:]], np.float32)
        ends = np.cumsum(c["levels"])
        for l, prefix in enumerate(prefixes):
            joined[l if per_level else slice(ends[l] - c["levels"][l], ends[l])] = read(prefix, name)
        return torch.from_numpy(joined)

    w = {name: whole(name, lambda prefix, name: file[f"{prefix}.{name}"]) for name in PARAMETERS}
    v = {name: whole(name, lambda prefix, name: todays(file, prefix, name, c["beta2"])) for name in PARAMETERS}
    x = Safetensors(data)["activations"].astype(np.float32, copy=False)
    x -= file["input.mean"]
    x *= file["input.scale"]
    return Trainer(c, w, v, [file.get(f"{prefix}.parent") for prefix in prefixes],
                   np.concatenate([file[f"{prefix}.last_fired"] for prefix in prefixes]), file["sparsity.lambda"].tolist(),
                   file["sparsity.l0_average"].tolist(), int(file["train.step"][0])), x


def compare(trainer, folder, case):
    """Texts that say what differs at the end."""
    after = Safetensors(folder / "after.safetensors")
    pairs = {"sparsity.lambda": (np.array(trainer.lambdas), after["sparsity.lambda"]),
             "sparsity.l0_average": (np.array(trainer.averages), after["sparsity.l0_average"])}
    for l, bounds in enumerate(trainer.bounds):
        prefix, rows = f"levels.{l}", slice(*bounds)
        for name in PARAMETERS:
            w, v = (tensors[name][l if name == "decoder.bias" else rows].numpy() for tensors in (trainer.w, trainer.v))
            pairs[f"{prefix}.{name}"] = w, after[f"{prefix}.{name}"]
            pairs[f"optimizer.{prefix}.{name}.v"] = v, todays(after, prefix, name, trainer.c["beta2"])
        for name, value in (("parent", trainer.parents[l]), ("last_fired", trainer.last_fired[rows])):
            if value is not None and (value != after[f"{prefix}.{name}"]).any():
                yield f"{prefix}.{name} differs"
    for name, (found, expected) in pairs.items():
        tolerance = case["tolerances"][name]
        worst = (np.abs(found - expected) / (tolerance["atol"] + tolerance["rtol"] * np.abs(expected) + 1e-30)).max()
        if not worst <= 1:
            yield f"{name}: {worst:.3g} times its tolerance"


def is_known(checkpoint):
    """Whether the run has only rules that are computed here, those of the paper."""
    c = json.loads(Safetensors(checkpoint).metadata["config"])
    newer = [c.get("sparsity_control", "penalty") != "penalty", c.get("decay_steps", 0) > 0, c.get("norm_limit", 0) > 0,
             c["similarity"] in ("inclusion", "part")]
    return not any(newer)


def check(folder):
    case = json.loads((folder / "case.json").read_text())
    trainer, x = load(folder / "init.safetensors", folder / "data.safetensors")
    batch, wrong = trainer.c["batch"], []
    for expected in case["per_step"]:
        rows = [s % len(x) for s in range(trainer.t * batch, (trainer.t + 1) * batch)]
        for name, found in trainer.step(torch.from_numpy(x[rows])).items():
            pairs = zip(found, expected[name]) if isinstance(found, list) else [(found, expected[name])]
            if any(not abs(a - b) <= 1e-4 * max(1, abs(b)) for a, b in pairs):
                wrong.append(f"step {trainer.t}: {name} is {found}, not {expected[name]}")
    wrong += compare(trainer, folder, case)
    print("FAIL" if wrong else "ok  ", folder.name, *wrong[:6], sep="\n      " if wrong else " ")
    return not wrong


# ---- timing ----


def bench(args):
    if not is_known(args.bench[0]):
        sys.exit(f"{args.bench[0]}: not the paper's rules; train with --sparsity-control penalty --decay-steps 0 --max-norm 0 --similarity encoder")
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trainer, x = load(*args.bench)
    batch, steps = trainer.c["batch"], []
    for _ in range(args.warm + args.steps):
        rows = torch.from_numpy(x[np.arange(trainer.t * batch, (trainer.t + 1) * batch) % len(x)])
        start = time.perf_counter()
        figures = trainer.step(rows)
        steps.append({"seconds": time.perf_counter() - start, **figures})
    steps = steps[args.warm :]
    seconds = [step["seconds"] for step in steps]
    print(json.dumps({"seconds_per_step": statistics.mean(seconds), "median": statistics.median(seconds), "fastest": min(seconds),
                      "threads": args.threads, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                      "imported_bytes": imported * 1024, "torch": torch.__version__, "steps": steps}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", nargs="+", type=Path, metavar="CASE")
    parser.add_argument("--bench", nargs=2, type=Path, metavar=("CHECKPOINT", "DATA"))
    parser.add_argument("--block", type=int, default=Trainer.floats, help="floats in a block of rows (%(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm", type=int, default=25, help="steps before the timed ones")
    parser.add_argument("--steps", type=int, default=75, help="timed steps")
    args = parser.parse_args()
    Trainer.floats = args.block
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    torch.set_flush_denormal(True)
    results = [check(folder) for folder in args.check or [] if is_known(folder / "init.safetensors")]
    if results:
        print(f"{results.count(True)} passed, {results.count(False)} failed")
    if args.bench:
        bench(args)
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
