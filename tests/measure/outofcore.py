#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training from a data set of several times the memory, against one that fits.

tests/measure/outofcore.py HSAE [OPTION]... makes random numbers (float16) in a folder that is removed afterwards, and trains with them in a control group
whose memory, page cache included, is limited (as root, Linux; --memory 0: no limit). Runs with the large and with a small data set take turns. Printed:
speed, how long the trainer waited for data, what came from the disk, and the anonymous memory of the process (RssAnon) beyond the model. Exit
status 1: it waited for 5 % of the time or more, or needed 1 GB or more; 77: memory cannot be limited here. Before that, how many random rows a second
the disk delivers to so many threads.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

CGROUPS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))  # versions 1 and 2
MIN_WAIT, MIN_MEMORY = 0.05, 1e9  # the gates


def make_data(path, size, dim):
    """`size` bytes of finite halves: random bytes, the exponents among them brought to 2^-2 .. 2^1."""
    finite = bytes(byte & 0x83 | (13 + (byte >> 2 & 3)) << 2 for byte in range(256))
    rows = size // (2 * dim)
    header = json.dumps({"activations": {"dtype": "F16", "shape": [rows, dim], "data_offsets": [0, 2 * rows * dim]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        left = 2 * rows * dim
        while left:
            block = bytearray(os.urandom(min(left, 1 << 24)))
            block[1::2] = block[1::2].translate(finite)
            file.write(block)
            left -= len(block)
        file.flush()
        os.fsync(file.fileno())
    return rows


def forget(path):
    """Out of the page cache, so that it comes from the disk."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_speed(path, dim, threads, seconds=2):
    """Random rows a second."""
    forget(path)
    count, size, rows, until = [0] * threads, 2 * dim, os.path.getsize(path) // (2 * dim) - 1, time.monotonic() + seconds
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)

    def read(thread):
        chance = random.Random(1000 * threads + thread)
        while time.monotonic() < until:
            os.pread(file, size, chance.randrange(rows) * size + 128)
            count[thread] += 1

    workers = [threading.Thread(target=read, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    os.close(file)
    return sum(count) / seconds


def make_group(memory):
    """The folder of a control group with that limit; None where it cannot be made."""
    for root, limit in CGROUPS:
        folder = os.path.join(root, "hsae-outofcore-%d" % os.getpid())
        try:
            os.mkdir(folder)
        except OSError:
            continue
        try:
            with open(os.path.join(folder, limit), "w") as file:
                file.write("%d" % memory)
            return folder
        except OSError:
            os.rmdir(folder)
    return None


def figures(pid):
    """Bytes of anonymous memory, and read from the disk so far."""
    found = {}
    for name in ("status", "io"):
        with open("/proc/%d/%s" % (pid, name)) as file:
            found.update(line.split(":", 1) for line in file if ":" in line)
    return 1024 * int(found["RssAnon"].split()[0]), int(found["read_bytes"])


def train(options, data, out, group):
    """One run: its metrics, the most RssAnon, bytes read from the disk."""
    shutil.rmtree(out, ignore_errors=True)
    command = [options.program, "train", "--data", data, "--out", out, "--levels", options.levels, "--batch", str(options.batch), "--target-l0",
               str(options.target_l0), "--steps", str(options.steps), "--log-every", str(max(1, options.steps // 20)), "--checkpoint-every",
               str(options.steps), "--device", options.device]

    def enter():
        with open(os.path.join(group, "cgroup.procs"), "w") as file:
            file.write("%d" % os.getpid())

    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=enter if group else None)
    most = read = 0
    while run.poll() is None:
        try:
            memory, read = figures(run.pid)
            most = max(most, memory)
        except (OSError, KeyError):  # it is just ending
            pass
        time.sleep(0.02)
    if run.returncode:
        sys.exit("%s ended with %d: %s" % (" ".join(command), run.returncode, run.stderr.read()))
    with open(os.path.join(out, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    return lines, most, read


def report(name, options, run, model):
    lines, memory, read = run
    times = [after["seconds"] - before["seconds"] for before, after in zip(lines, lines[1:])]
    steps = lines[-1]["step"] - lines[0]["step"]
    waits = [line["data_wait"] for line in lines[1:]]
    wait = sum(part * seconds for part, seconds in zip(waits, times)) / sum(times)
    result = {"speed": steps * options.batch / sum(times), "median": statistics.median(line["tokens_per_second"] for line in lines[1:]), "wait": wait,
              "memory": memory - model}
    print("%-6s %6.0f tokens/s (median interval %6.0f), waited for data %5.2f %% (most %5.2f %%), RssAnon %.3f GB, beyond the model %.3f GB; "
          "%.2f GB from the disk" % (name, result["speed"], result["median"], 100 * wait, 100 * max(waits), 1e-9 * memory,
                                     1e-9 * result["memory"], 1e-9 * read), flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--device", default="opencl:0")
    parser.add_argument("--size", type=float, default=12, help="GB of the large data set (default 12)")
    parser.add_argument("--small", type=float, default=0.4, help="GB of the small one (default 0.4)")
    parser.add_argument("--memory", type=float, default=1.5, help="GB that the program may have, page cache included; 0: any (default 1.5)")
    parser.add_argument("--dim", type=int, default=2304)
    parser.add_argument("--levels", default="512,1024,2048,4096")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--target-l0", type=float, default=32)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", default=None, help="where the data goes (default: $TMPDIR or /tmp)")
    options = parser.parse_args()
    group = make_group(int(1e9 * options.memory)) if options.memory else None
    if options.memory and not group:
        print("memory cannot be limited here: this needs root and control groups (or --memory 0)")
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix="hsae-outofcore-", dir=options.folder)
    try:
        started = time.monotonic()
        large, small, out = (os.path.join(folder, name) for name in ("large.safetensors", "small.safetensors", "run"))
        rows = make_data(large, int(1e9 * options.size), options.dim), make_data(small, int(1e9 * options.small), options.dim)
        print("%d and %d rows of %d halves (%.1f and %.1f GB) made in %.0f s; memory limited to %s" %
              (*rows, options.dim, options.size, options.small, time.monotonic() - started,
               "%.1f GB" % options.memory if group else "what there is"))
        print("random rows from the disk: " + ", ".join("%.0f/s with %d thread%s" % (disk_speed(large, options.dim, threads), threads, "s" * (threads > 1))
                                                        for threads in (1, 2, 4, 8, 16, 32)), flush=True)
        results = {"small": [], "large": []}
        for _ in range(options.rounds):
            for name, path in (("small", small), ("large", large)):
                if name == "large":
                    forget(large)
                run = train(options, path, out, group)
                model = os.path.getsize(os.path.join(out, "model.safetensors"))
                results[name].append(report(name, options, run, model))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if group:
            os.rmdir(group)
    speed = {name: max(result["speed"] for result in found) for name, found in results.items()}
    wait, memory = (max(result[what] for result in results["large"]) for what in ("wait", "memory"))
    print("large against small: %.1f %% of the speed (best of each), waited for data %.2f %% at most, %.3f GB beyond the model at most" %
          (100 * speed["large"] / speed["small"], 100 * wait, 1e-9 * memory))
    sys.exit(0 if wait < MIN_WAIT and memory < MIN_MEMORY else 1)


main()
