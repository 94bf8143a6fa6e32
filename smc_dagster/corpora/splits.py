"""Which documents train and which are held out, and which labels are the tail.

What belongs here: the split by near-duplicate cluster and the tail rule. What does not: finding clusters
(near_duplicates.py), the slices of `anchor_eval` (anchors.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.draws import uniform
from smc_dagster.study import Split


def assign_splits(
    clusters: pa.Array | pa.ChunkedArray, split: Split, seed: int, pinned: Mapping[str, str] | None = None
) -> pa.Array:
    """The split of each row, from its cluster alone: members of a cluster are never apart.

    A cluster's draw from [0, 1) falls into `test`, `validation`, `anchor_eval` in that order, each as wide as its
    share, else into `train`. Shares hold for clusters, for documents on average. A new cluster moves no other.

    Args:
        pinned: split by cluster, of clusters whose split is fixed whatever their draw.
    """
    encoded = clusters.combine_chunks() if isinstance(clusters, pa.ChunkedArray) else clusters
    encoded = encoded.dictionary_encode()
    draw = uniform(encoded.dictionary, seed, "split")
    edges = np.cumsum([split.test, split.validation, split.anchor_eval])
    place = np.searchsorted(edges, draw, side="right")
    names = pa.array(["test", "validation", "anchor_eval", "train"]).take(pa.array(place))
    if pinned:
        fixed = pa.array([pinned.get(one) for one in encoded.dictionary.to_pylist()], pa.string())
        names = pc.coalesce(fixed, names)
    return names.take(encoded.indices)


def tail_labels(train_labels: pa.Array | pa.ChunkedArray, share: float) -> list[str]:
    """The tail: the labels with the fewest training documents that together hold at most `share` of them.

    Args:
        train_labels: label of every training document.
        share: 0-1.

    Returns:
        labels in ascending order of size, ties by name.
    """
    sizes = sorted((one["counts"], one["values"]) for one in train_labels.value_counts().to_pylist())
    held = np.cumsum([size for size, _ in sizes])
    # a share such as 0.15 is no binary fraction: let 15 of 100 pass
    within = int(np.searchsorted(held, share * len(train_labels) + 1e-9, side="right"))
    return [label for _, label in sizes[:within]]
