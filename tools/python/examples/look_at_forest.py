# SPDX-License-Identifier: MIT
"""Looks at a model: its tree, the features of some rows, and the page of its forest.

    look_at_forest.py MODEL.safetensors [DATA] [OUT.html]      default: the demo's activations, forest.html

DATA has a tokens.jsonl beside it. In a notebook, `page` as the last line of a cell shows it.
"""
# The tree
import sys
from pathlib import Path

import hsae

DEMO = Path(__file__).resolve().parents[2] / "demo"
given = dict(enumerate(sys.argv))
data, out = given.get(2, str(DEMO)), given.get(3, "forest.html")
model = hsae.Model.load(sys.argv[1])
children = model.tree.children(0)
largest = max(range(len(children)), key=lambda feature: len(children[feature]))
print(f"feature {largest} of level 0 has the children {list(map(int, children[largest]))} on level 1")

# Weights are views: the children's decoder rows against their parent's
parent, level = model.levels[0].decoder[largest], model.levels[1]
print("cosines:", *(f"{level.decoder[child] @ parent:.2f}" for child in children[largest]))

# The features of two rows, one sparse matrix a level
for number, features in enumerate(model.encode([[0.5] * model.dim, [-0.5] * model.dim])):
    first, second = (features.indices[features.indptr[row]:features.indptr[row + 1]] for row in (0, 1))
    print(f"level {number}: {len(first)} of {features.shape[1]} features are active in the first row, {len(second)} in the second")

# The forest
page = hsae.explore(model, data)
page.save(out)
print(f"{out}: {page!r}")
