"""Near-duplicate clusters whose split a frozen version of the anchors decides.

What belongs here: which clusters of a later corpus hold a frozen document or a near-duplicate of one. What does not:
the split of the others (splits.py), freezing (smc_dagster/frozen.py).

A day that brings new documents can join clusters, move the draw of a cluster, or push documents out of the sample.
Frozen evaluation text must stay held out through all of that, and training anchors must stay trainable.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.near_duplicates import similar
from smc_dagster.tables import ANCHOR_TRAIN


def pinned_clusters(documents: pa.Table, anchors: pa.Table, jaccard: float) -> dict[str, str]:
    """Split (`train` or `anchor_eval`) by cluster_id; a cluster that holds both kinds of anchor is held out.

    A cluster is pinned that holds a frozen document, the parent of a frozen edit, or a document whose true Jaccard with
    a frozen text that is not in the corpus is at least `jaccard` (0-1, above 0).

    Args:
        documents: doc_id, text, cluster_id.
        anchors: schema REALITY_ANCHORS, of one version.
    """
    to_train = pc.equal(anchors["slice"], ANCHOR_TRAIN)
    pinned: dict[str, str] = {}
    # held out last, so that it wins
    for split, rows in (("train", anchors.filter(to_train)), ("anchor_eval", anchors.filter(pc.invert(to_train)))):
        pinned |= dict.fromkeys(_clusters_of(documents, rows, jaccard), split)
    return pinned


def _clusters_of(documents: pa.Table, rows: pa.Table, jaccard: float) -> list[str]:
    names = pc.unique(pa.chunked_array([*rows["doc_id"].chunks, *rows["parent_doc_id"].chunks], pa.string()))
    here = pc.is_in(documents["doc_id"], value_set=names, skip_nulls=True)
    gone = rows.filter(pc.invert(pc.is_in(rows["doc_id"], value_set=documents["doc_id"].combine_chunks())))
    texts = pc.unique(gone["text"])
    if len(texts):
        numbers = pa.array([str(one) for one in range(len(texts))], pa.string())
        near = similar(numbers, texts, documents["doc_id"], documents["text"], jaccard)["b"]
        here = pc.or_(here, pc.is_in(documents["doc_id"], value_set=pc.unique(near)))
    return [str(one) for one in pc.unique(documents["cluster_id"].filter(here)).to_pylist()]
