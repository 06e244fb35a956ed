#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The closing line of a test run, from meson's log: `N passed, N failed, N skipped`. Exits with the given status, or 1 where nothing ran."""
import json
import sys

results = [json.loads(line)["result"] for line in open(sys.argv[1], encoding="utf-8")]
passed, skipped = results.count("OK"), results.count("SKIP")
failed = len(results) - passed - skipped
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(int(sys.argv[2]) or (1 if failed or not passed else 0))
