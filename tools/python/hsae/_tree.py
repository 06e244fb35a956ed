# SPDX-License-Identifier: MIT
"""The tree over the features of a model."""
from __future__ import annotations

from typing import Any, List

import numpy as np


class Tree:
    """Who is whose parent. `parents[l]` is int32 [n]: for each feature of level l, a feature of level l - 1, or -1; at level 0, -1 everywhere."""

    def __init__(self, levels: List[Any]) -> None:
        self.parents = [np.full(level.features, -1, np.int32) if level.parent is None else level.parent for level in levels]
        for parent in self.parents:
            parent.flags.writeable = False

    def children(self, level: int) -> List[np.ndarray]:
        """A list with an array for each feature of a level: its children, features of the next level, ascending."""
        count = len(self.parents[level])
        if level + 1 == len(self.parents):
            return [np.zeros(0, np.int64)] * count
        parent = self.parents[level + 1]
        order = np.argsort(parent, kind="stable")
        return np.split(order, np.searchsorted(parent[order], np.arange(count + 1)))[1:-1]

    def networkx(self) -> Any:
        """A networkx.DiGraph of all features: nodes (level, feature), edges from parents to children. Needs networkx."""
        import networkx

        graph = networkx.DiGraph()
        for level, parents in enumerate(self.parents):
            graph.add_nodes_from((level, feature) for feature in range(len(parents)))
            graph.add_edges_from(((level - 1, int(parent)), (level, feature)) for feature, parent in enumerate(parents) if parent >= 0)
        return graph
