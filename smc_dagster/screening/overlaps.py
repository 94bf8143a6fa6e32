"""How much pools share with each other and with the real training text.

What belongs here: the table `pool_overlaps`. What does not: contamination by evaluation text (contamination.py), and
duplication within a pool (scores.py).

All pools and the training text are clustered together once, and a document has a near-duplicate in another set where
its cluster holds a document of that set. So a chain of near-duplicates counts too, and a template that fills two pools
costs no more than its number of documents, where all pairs would cost the product.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.near_duplicates import clusters
from smc_dagster.study import Screening
from smc_dagster.tables import POOL_OVERLAPS, TRAINING_SPLITS

TRAINING = "*training*"


def pool_overlaps(pools: Mapping[str, pa.Table], real: pa.Table, screening: Screening) -> pa.Table:
    """Share of each pool's documents with a near-duplicate in each other pool and in real training text.

    Args:
        pools: doc_id, text, by name; names hold no `*`.
        real: `real_documents`; the training split alone is looked at.

    Returns:
        `pool_overlaps`, by pool, then by what it is compared with, training text first. `share` is null for an empty
        pool. The example is the pool's document of smallest id that has a match, with the smallest id of its matches.
    """
    mine = pc.is_in(real.column("split"), value_set=pa.array(TRAINING_SPLITS))
    sets = {TRAINING: real.filter(mine).select(["doc_id", "text"])}
    sets |= {name: pools[name].select(["doc_id", "text"]) for name in sorted(pools)}
    sizes = [table.num_rows for table in sets.values()]
    together = pa.concat_tables([table.cast(_TEXTS) for table in sets.values()]).combine_chunks()
    # ids of two sets may be equal: the number of the row is what a cluster is named by
    number = np.char.zfill(np.arange(together.num_rows).astype(str), 12)
    named = clusters(pa.array(number, pa.string()), together["text"], screening.jaccard)
    cluster = pc.dictionary_encode(named).indices.to_numpy(zero_copy_only=False).astype(np.int64)
    ids = together["doc_id"].combine_chunks()
    rank = pc.rank(ids, tiebreaker="dense").to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows = {name: slice(starts[place], starts[place + 1]) for place, name in enumerate(sets)}
    kinds = int(cluster.max(initial=-1)) + 1
    out = []
    for pool in sorted(pools):
        for other in sets:
            if other != pool:
                out.append(
                    {"pool": pool, "against": other, **_overlap(rows[pool], rows[other], cluster, rank, ids, kinds)}
                )
    return pa.Table.from_pylist(out, schema=POOL_OVERLAPS.schema)


_TEXTS = pa.schema([("doc_id", pa.string()), ("text", pa.string())])


def _overlap(
    ours: slice, theirs: slice, cluster: np.ndarray, rank: np.ndarray, ids: pa.Array, kinds: int
) -> dict[str, object]:
    there = np.zeros(kinds, bool)
    there[cluster[theirs]] = True
    hit = np.flatnonzero(there[cluster[ours]]) + ours.start
    n = ours.stop - ours.start
    found: dict[str, object] = {"documents": n, "matched": len(hit), "share": len(hit) / n if n else None}
    if len(hit):
        first = hit[np.argmin(rank[hit])]
        matches = np.flatnonzero(cluster[theirs] == cluster[first]) + theirs.start
        match = matches[np.argmin(rank[matches])]
        found |= {"example_doc_id": ids[int(first)].as_py(), "matched_doc_id": ids[int(match)].as_py()}
    return found
