#!/usr/bin/env python3
"""The training step in plain dense PyTorch, written from the method and not from the library: an oracle and a yardstick. Needs torch, numpy.

dense_torch.py --check CASE...   golden cases (tests/golden/train/NAME): figures of every step, and the state at the end
dense_torch.py --bench CHECKPOINT DATA   seconds per step from that state on, in the order of the data, as JSON
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


class Level:
    def __init__(self, tensors, moments, parent, last_fired):
        self.w, self.v = tensors, moments  # by the names of PARAMETERS
        self.parent, self.last_fired = parent, last_fired  # numpy; parent None: there is no level above
        self.n = len(last_fired)
        self.history = []  # who was active, of the last 64 steps


class Family:
    """Children of one pair of levels that have a parent."""

    def __init__(self, parent, parents):
        kids = np.flatnonzero(parent >= 0)
        self.kids, self.of = torch.from_numpy(kids), torch.from_numpy(parent[kids].astype(np.int64))
        self.siblings = (self.of[:, None] == self.of[None, :]).float()
        self.has_children = torch.zeros(parents)
        self.has_children[self.of] = 1


class Trainer:
    def __init__(self, config, levels, lambdas, averages, step):
        self.c, self.levels, self.lambdas, self.averages, self.t = config, levels, lambdas, averages, step
        self.families = [None] * len(levels)  # [l]: levels l and l + 1
        self.plant()

    def plant(self):
        for l in range(len(self.levels) - 1):
            parent = self.levels[l + 1].parent
            self.families[l] = Family(parent, self.levels[l].n) if (parent >= 0).any() else None

    def rate(self, t):
        warm = math.floor(self.c["warmup"] * self.c["steps"] + 0.5)
        return self.c["lr"] * (t / warm if t <= warm else 0.5 * (1 + math.cos(math.pi * (t - warm) / (self.c["steps"] - warm))))

    def swaps(self, l, t):
        """Features of level l that their children stand in for."""
        if self.families[l] is None:
            return np.zeros(self.levels[l].n, bool)
        counters = np.array([(i, l, t & 0xFFFFFFFF, t >> 32) for i in range(self.levels[l].n)], np.uint64)
        drawn = (philox(self.c["seed"], counters) >> np.uint64(8)) * 2.0**-24 < self.c["perturb"]
        return drawn & self.families[l].has_children.numpy().astype(bool)

    def forward(self, x, t):
        """Pre-activations, activity, activations; swapped features and those that replace a swapped parent; residuals."""
        swapped = [self.swaps(l, t) for l in range(len(self.levels))]
        out, p, m, a, r = [np.flatnonzero(s) for s in swapped], [], [], [], []
        into = [np.flatnonzero((level.parent >= 0) & swapped[l - 1][level.parent]) if l else [] for l, level in enumerate(self.levels)]
        for level in self.levels:
            p.append(torch.addmm(level.w["encoder.bias"], x, level.w["encoder.weight"].T))
            m.append(p[-1] > level.w["log_threshold"].exp())
            a.append(p[-1] * m[-1])
        for l, level in enumerate(self.levels):
            kept = a[l].clone() if len(out[l]) else a[l]
            kept[:, out[l]] = 0
            r.append(torch.addmm(level.w["decoder.bias"] - x, kept, level.w["decoder.weight"]))
            if l + 1 < len(self.levels) and len(into[l + 1]):
                r[l] += a[l + 1][:, into[l + 1]] @ self.levels[l + 1].w["decoder.weight"][into[l + 1]]
        return p, m, a, out, into, r

    def constraint(self, l, a, q, dd):
        """Of levels l and l + 1: adds to q and the decoders' gradients, returns the sum of |u|^2 over the batch."""
        f, rho = self.families[l], self.c["rho"]
        d, e = self.levels[l].w["decoder.weight"], self.levels[l + 1].w["decoder.weight"][f.kids]
        act, above = a[l + 1][:, f.kids], a[l][:, f.of]
        dots = (d[f.of] * e).sum(1)
        own = (a[l] * f.has_children).index_add_(1, f.of, act * dots, alpha=-1)  # D_i . u_i
        side = above * dots - act @ ((e @ e.T) * f.siblings)  # D_j . u_parent
        q[l] += 2 * rho * own
        q[l + 1].index_add_(1, f.kids, side, alpha=-2 * rho)
        products = (act * above).sum(0)[:, None]
        squares = (a[l] * a[l]).sum(0) * f.has_children
        dd[l] += 2 * rho * (d * squares[:, None]).index_add_(0, f.of, products * e, alpha=-1)
        dd[l + 1].index_add_(0, f.kids, ((act.T @ act) * f.siblings) @ e - products * d[f.of], alpha=2 * rho)
        return float((a[l] * own).sum() - (act * side).sum())

    def ghosts(self, level, x, p, r, dead, gradient):
        rows = np.flatnonzero(dead)
        d, pre = level.w["decoder.weight"][rows], p[:, rows]
        g = pre.clamp(max=10).exp()
        y = g @ d
        alpha = torch.nan_to_num(r.norm(dim=1) / (2 * y.norm(dim=1)), posinf=0)[:, None]
        v = alpha * y + r
        loss = float((v * v).sum())
        v *= 2 * alpha * (float((r * r).sum()) / loss if loss else 0)
        dp = (v @ d.T) * g * (pre < 10)
        gradient["decoder.weight"][rows] += g.T @ v
        gradient["encoder.weight"][rows] += dp.T @ x
        gradient["encoder.bias"][rows] += dp.sum(0)

    def gradients(self, x, t, dead):
        """Batch sums of the gradients of every level, who was active, and the figures of the step."""
        c, count = self.c, len(self.levels)
        p, m, a, out, into, r = self.forward(x, t)
        if t == 1 and not any(self.lambdas):
            self.lambdas = [c["lambda_init"] * float((x * x).sum(1).mean()) / target for target in c["target_l0"]]
        q, dd, constraint = [], [], [0.0] * count
        for l, level in enumerate(self.levels):
            d = level.w["decoder.weight"]
            q.append((2 * r[l]) @ d.T)
            dd.append(a[l].T @ (2 * r[l]))
            q[l][:, out[l]] = 0
            dd[l][out[l]] = 0
            if len(into[l]):
                q[l][:, into[l]] += 2 * r[l - 1] @ d[into[l]].T
                dd[l][into[l]] += 2 * a[l][:, into[l]].T @ r[l - 1]
        for l in range(count - 1):
            if self.families[l] is not None and c["rho"]:
                constraint[l] = c["rho"] * self.constraint(l, a, q, dd) / len(x)
        gradients = []
        for l, level in enumerate(self.levels):
            theta = level.w["log_threshold"].exp()
            near = (p[l] - theta).abs() < c["bandwidth"] / 2
            step = ((theta * q[l] + self.lambdas[l]) * near).sum(0) * (-theta / c["bandwidth"])
            score = q[l] * m[l]
            gradients.append({"encoder.weight": score.T @ x, "encoder.bias": score.sum(0), "log_threshold": step, "decoder.weight": dd[l],
                              "decoder.bias": 2 * r[l].sum(0)})
            if c["ghost"] and dead[l].any():
                self.ghosts(level, x, p[l], r[l], dead[l], gradients[l])
        figures = {"step": t, "lr": self.rate(t), "reconstruction": [float((e * e).sum(1).mean()) for e in r],
                   "l0": [float(active.sum()) / len(x) for active in m], "constraint": constraint, "lambda": list(self.lambdas),
                   "dead": [int(d.sum()) for d in dead], "swapped": [len(rows) for rows in out]}
        return gradients, m, figures

    def step(self, x):
        c, t = self.c, self.t + 1
        dead = [t - 1 - level.last_fired >= c["dead_steps"] for level in self.levels]
        gradients, active, figures = self.gradients(x, t, dead)
        correction = 1 / (1 - c["beta2"] ** t)
        for level, gradient in zip(self.levels, gradients):
            for name in PARAMETERS:
                g, w, v = gradient[name].div_(len(x)), level.w[name], level.v[name]
                if name == "decoder.weight" and c["project_gradient"]:
                    g -= (g * w).sum(1, keepdim=True) * w
                v.mul_(c["beta2"]).addcmul_(g, g, value=1 - c["beta2"])
                w.addcdiv_(g, (v * correction).sqrt_().add_(c["adam_eps"]), value=-self.rate(t))
            d = level.w["decoder.weight"]
            d /= d.norm(dim=1, keepdim=True)
        for l, level in enumerate(self.levels):
            level.last_fired[active[l].any(0).numpy()] = t
            if c["similarity"] == "coactivation":
                level.history = level.history[-63:] + [active[l].float()]
            self.control(l, figures["l0"][l])
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

    def relinks(self):
        c = self.c
        if c["tree"] == "posthoc":
            return self.t == c["steps"]
        return self.t == c["hierarchy_period"] if c["tree"] == "fixed" else self.t % c["hierarchy_period"] == 0

    def similarity(self, l):
        """Of level l + 1 (rows) with level l."""
        parents, children = self.levels[l], self.levels[l + 1]
        if self.c["similarity"] == "coactivation":
            return sum(b.T @ a for a, b in zip(parents.history, children.history)).numpy()
        name = self.c["similarity"] + ".weight"
        return (torch.nn.functional.normalize(children.w[name], dim=1) @ torch.nn.functional.normalize(parents.w[name], dim=1).T).numpy()

    def relink(self):
        for l in range(len(self.levels) - 1):
            s, children = self.similarity(l), self.levels[l + 1]
            excluded = 0 if self.c["tree"] == "full" else math.floor(self.c["exclude"] * children.n)
            if self.c["tree"] == "binary":
                children.parent = binary(s, children.n - excluded)
            else:
                children.parent = s.argmax(1).astype(np.int32)
                children.parent[np.argsort(s.max(1), kind="stable")[:excluded]] = -1
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


def read(path):
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    metadata, base = header.pop("__metadata__", {}), 8 + struct.unpack("<Q", raw[:8])[0]
    kinds = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "I64": np.int64}
    return {name: np.frombuffer(raw[base + e["data_offsets"][0] : base + e["data_offsets"][1]], kinds[e["dtype"]]).reshape(e["shape"]).copy()
            for name, e in header.items()}, metadata


def todays(tensors, prefix, name, beta2):
    """A second moment with the decay since its row's last update."""
    v = tensors[f"optimizer.{prefix}.{name}.v"]
    if name == "decoder.bias":
        return v
    decay = beta2 ** (tensors["train.step"][0] - tensors[f"optimizer.{prefix}.row_step"]).astype(np.float64)
    return (v * decay.reshape((-1,) + (1,) * (v.ndim - 1))).astype(np.float32)


def load(checkpoint, data):
    tensors, metadata = read(checkpoint)
    c, levels = json.loads(metadata["config"]), []
    for key in ("target_l0", "init_l0"):
        c[key] = c[key] if isinstance(c[key], list) else [c[key]] * len(c["levels"])
    c["hierarchy_period"] = c["hierarchy_period"] or min(5000, max(1, c["steps"] // 20))
    for l in range(len(c["levels"])):
        prefix = f"levels.{l}"
        levels.append(Level({name: torch.from_numpy(tensors[f"{prefix}.{name}"]) for name in PARAMETERS},
                            {name: torch.from_numpy(todays(tensors, prefix, name, c["beta2"])) for name in PARAMETERS},
                            tensors.get(f"{prefix}.parent"), tensors[f"{prefix}.last_fired"]))
    x = tensors["input.scale"] * (read(data)[0]["activations"].astype(np.float32) - tensors["input.mean"])
    return Trainer(c, levels, tensors["sparsity.lambda"].tolist(), tensors["sparsity.l0_average"].tolist(), int(tensors["train.step"][0])), x


def compare(trainer, folder, case):
    """Texts that say what differs at the end."""
    after, metadata = read(folder / "after.safetensors")
    found = {"sparsity.lambda": np.array(trainer.lambdas), "sparsity.l0_average": np.array(trainer.averages)}
    for l, level in enumerate(trainer.levels):
        prefix = f"levels.{l}"
        for name in PARAMETERS:
            found[f"{prefix}.{name}"] = level.w[name].numpy()
            found[f"optimizer.{prefix}.{name}.v"] = level.v[name].numpy()
            after[f"optimizer.{prefix}.{name}.v"] = todays(after, prefix, name, json.loads(metadata["config"])["beta2"])
        for name, value in (("parent", level.parent), ("last_fired", level.last_fired)):
            if value is not None and (value != after[f"{prefix}.{name}"]).any():
                yield f"{prefix}.{name} differs"
    for name, value in found.items():
        tolerance = case["tolerances"][name]
        worst = (np.abs(value - after[name]) / (tolerance["atol"] + tolerance["rtol"] * np.abs(after[name]) + 1e-30)).max()
        if not worst <= 1:
            yield f"{name}: {worst:.3g} times its tolerance"


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
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trainer, x = load(*args.bench)
    batch, seconds = trainer.c["batch"], []
    for _ in range(args.warm + args.steps):
        rows = torch.from_numpy(x[np.arange(trainer.t * batch, (trainer.t + 1) * batch) % len(x)])
        start = time.perf_counter()
        figures = trainer.step(rows)
        seconds.append(time.perf_counter() - start)
    seconds = seconds[args.warm :]
    print(json.dumps({"seconds_per_step": statistics.mean(seconds), "median": statistics.median(seconds), "fastest": min(seconds),
                      "first_step": trainer.t - args.steps + 1, "last_step": trainer.t, "threads": args.threads,
                      "l0": [round(l0, 2) for l0 in figures["l0"]], "constraint": figures["constraint"],
                      "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "imported_bytes": imported * 1024,
                      "torch": torch.__version__}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", nargs="+", type=Path, metavar="CASE")
    parser.add_argument("--bench", nargs=2, type=Path, metavar=("CHECKPOINT", "DATA"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm", type=int, default=25, help="steps before the timed ones")
    parser.add_argument("--steps", type=int, default=75, help="timed steps")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    results = [check(folder) for folder in args.check or []]
    if results:
        print(f"{results.count(True)} passed, {results.count(False)} failed")
    if args.bench:
        bench(args)
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
