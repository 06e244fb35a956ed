#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a training step should take on a device, from what its kernels have to do and what the device can do.

    hsae bench --preset paper --device opencl:0 --json > paper.json
    tests/measure/model_step.py paper.json [--launches N]

A table for the device of the file, by its measured peaks, with the measured times beside the modelled ones; then the sums for devices of which only
the data sheets are known, DEVICES below. A kernel takes the time of its operations or of the bytes that it streams, whichever is longer, that of the
rows that it gathers, and a cost for each launch:

- operations: those that the benchmark counts (include/hsae/bench.h), at the peak of fused multiply-adds; the product of the encoder, where it is made of
  numbers of 16 or 8 bits, at the peak of those;
- streamed bytes: those that the benchmark counts, each once, at the rate of copying;
- gathered rows: of D for each active feature of a sample (decode), of x and of a residual for each listed one (update), of x for each candidate (screen,
  screen8). They come at the rate of gathering from a set of that size: the rows of a level's slice of D, which is 12 MB at most, or those of the batch.
"""
import argparse
import json
import math

MB = 1e6
SLICE = 12 << 20            # src/train/device_model.c
CANDIDATES = {16: 1.03, 8: 1.94}  # for each listed pair, tests/measure/candidates.py
PRODUCTS = ("encode", "screen", "screen8")

# Peaks by data sheet: multiply-adds of floats as operations a second, of products by numbers of 16 and 8 bits; bytes a second of memory and of
# the second-level cache, that cache's size; seconds a launch. The matrix units of `h200` are counted at half, as mma.sync reaches them.
DEVICES = {
    "H200": dict(fma=67e12, by={16: 495e12, 8: 134e12}, copy=4.1e12, cache=5.5e12, cache_bytes=50 * MB, launch=4e-6),
    "RTX 4060 laptop": dict(fma=12.3e12, by={16: 49e12, 8: 49e12}, copy=225e9, cache=1.0e12, cache_bytes=32 * MB, launch=6.7e-6),
    "Radeon 780M": dict(fma=4.2e12, by={16: 16.6e12, 8: 16.6e12}, copy=72e9, cache=400e9, cache_bytes=2 * MB, launch=15e-6),
}


class Device:
    """Rates of a device: fma, copy, gather(bytes of the set), product(bits), launch."""

    def __init__(self, fma, by, copy, gathers, launch):
        self.fma, self.by, self.copy, self.gathers, self.launch = fma, by, copy, gathers, launch

    def gather(self, size):
        """Bytes a second of rows from a set of `size` bytes: between two measured sizes by the line through their logarithms."""
        below = [point for point in self.gathers if point[0] <= size] or self.gathers[:1]
        above = [point for point in self.gathers if point[0] >= size] or self.gathers[-1:]
        (x, low), (y, high) = below[-1], above[0]
        share = (math.log(size) - math.log(x)) / (math.log(y) - math.log(x)) if y != x else 0
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))


def of_file(result):
    """A processor with AVX-512 VNNI makes 4 products of 8 bits, or 2 of 16, in the time of one of floats."""
    peaks = result["peaks"]
    fma = peaks["fma_flops_per_second"]
    return Device(fma, {16: 2 * fma, 8: 4 * fma}, peaks["copy_bytes_per_second"],
                  [(point["buffer_bytes"], point["bytes_per_second"]) for point in peaks["gathers"]], peaks["launch_seconds"])


def of_sheet(sheet):
    return Device(sheet["fma"], sheet["by"], sheet["copy"],
                  [(1, sheet["cache"]), (sheet["cache_bytes"], sheet["cache"]), (sheet["cache_bytes"] + 1, sheet["copy"])], sheet["launch"])


def gathered(result, name, bits):
    """(bytes that a kernel gathers, bytes of the set that it gathers from)"""
    work, levels = result["work"], result["levels"]
    row, batch = 4 * work["dim"], 4 * work["dim"] * work["batch"]
    listed, active = sum(level["listed"] for level in levels), sum(level["active"] for level in levels)
    if name == "decode":
        return row * active, min(SLICE, row * max(work["levels"]))
    if name == "update":
        return 2 * row * listed, 2 * batch
    return (row * listed * CANDIDATES[bits] if bits else 0), batch


def seconds(result, device, kernel, bits, launches):
    """Of all launches of a kernel. bits: of the numbers that the product is made of; 0: floats."""
    product = kernel["name"] in PRODUCTS
    rate = device.by[bits] if product and bits else device.fma
    rows, size = gathered(result, kernel["name"], bits if product else 0)
    return max(kernel["flops"] / rate, kernel["bytes"] / device.copy) + rows / device.gather(size) + launches * device.launch


def print_measured(result):
    device, total, bits = of_file(result), [0, 0], {"screen": 16, "screen8": 8}
    print("| kernel | modelled, ms | measured, ms | of the model |\n|---|---|---|---|")
    for kernel in result["kernels"]:
        modelled = seconds(result, device, kernel, bits.get(kernel["name"], 0), kernel["launches"])
        total = [total[0] + modelled, total[1] + kernel["seconds"]]
        if kernel["share"] > 0.004:
            print("| %s | %.2f | %.2f | %.0f %% |" % (kernel["name"], 1e3 * modelled, 1e3 * kernel["seconds"], 100 * modelled / kernel["seconds"]))
    print("| **all kernels** | %.2f | %.2f | %.0f %% |" % (1e3 * total[0], 1e3 * total[1], 100 * total[0] / total[1]))


def print_sheets(result, launches):
    print("\nBy data sheets, ms; the step with the product by each of three ways:\n")
    print("| device | product by floats | by 8 bits | by 16 bits, matrix units | decode | update | others | step by floats | by 8 bits | by 16 bits |")
    print("|---" * 10 + "|")
    for name, sheet in DEVICES.items():
        device, parts = of_sheet(sheet), {"decode": 0, "update": 0, "others": launches * sheet["launch"]}
        for kernel in result["kernels"]:
            if kernel["name"] in PRODUCTS:
                ways = [seconds(result, device, kernel, bits, 0) for bits in (0, 8, 16)]
            else:
                parts[kernel["name"] if kernel["name"] in parts else "others"] += seconds(result, device, kernel, 0, 0)
        rest = list(parts.values())
        print("| %s | %s |" % (name, " | ".join("%.2f" % (1e3 * part) for part in [*ways, *rest, *(way + sum(rest) for way in ways)])))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=argparse.FileType(), help="of hsae bench --json")
    parser.add_argument("--launches", type=int, default=20, help="of a step on a GPU (%(default)s)")
    args = parser.parse_args()
    result = json.load(args.result)
    print("%s: hsae %s, d %d, levels %s, batch %d, target L0 %s\n" % (
        result["device"]["name"], result["version"], result["work"]["dim"], ", ".join(map(str, result["work"]["levels"])), result["work"]["batch"],
        result["work"]["target_l0"]))
    print_measured(result)
    print_sheets(result, args.launches)


if __name__ == "__main__":
    main()
