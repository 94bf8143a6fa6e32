"""The split that a source settles itself, such as a dataset's own test set, in place of the one that is drawn.

What belongs here: which of the two holds. What does not: drawing a split (splits.py).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# of near-duplicates that a source puts into several splits, the one furthest from training decides
_ORDER = ("train", "validation", "anchor_eval", "test")


def honour(documents: pa.Table) -> pa.Table:
    """Documents under the split that their source settles (`source_split`); those of other sources as they are.

    `test`, `validation` and `anchor_eval` of the source are ours. Its `train` is parted as drawn, but into nothing that
    would be `test` or `validation`, nor `anchor_eval` where the source settles one: what is drawn for these trains. A
    document that the source trains on and that is a near-duplicate of one it tests on is left out, so that the test set
    is the source's own and nothing of it is trained on.

    Args:
        documents: columns `cluster_id`, `split` as drawn, `source_split`, and any others.
    """
    own = pc.index_in(documents["source_split"], pa.array(_ORDER)).combine_chunks()
    if own.null_count == len(own):
        return documents
    rank = own.fill_null(-1).to_numpy().astype(np.int64)
    clusters = documents["cluster_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    top = np.full(clusters.max() + 1, -1)
    np.maximum.at(top, clusters, rank)
    decided = top[clusters]
    drawn = np.array(documents["split"].to_pylist(), object)
    has_anchors = bool((rank == _ORDER.index("anchor_eval")).any())
    barred = [name for name in _ORDER[1:] if name != "anchor_eval" or has_anchors]
    drawn[(decided == 0) & np.isin(drawn, barred)] = "train"
    for place, name in enumerate(_ORDER[1:], start=1):
        drawn[decided == place] = name
    at = documents.column_names.index("split")
    settled = documents.set_column(at, "split", pa.array(drawn, pa.string()))
    return settled.filter(pa.array((rank < 0) | (rank == decided)))
