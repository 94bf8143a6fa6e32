"""The reality anchors: frozen real documents on which a model must not get worse.

What belongs here: which documents of `anchor_eval` make the slices `rare` and `atypical`. What does not: the split
itself (splits.py), metrics on the slices (evaluation/).

The reference is the training split alone, so the slices are fixed before anything is mixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.draws import uniform
from smc_dagster.errors import CorpusError
from smc_dagster.study import Anchors
from smc_dagster.tables import EMBEDDING_WIDTH, REALITY_ANCHORS

Vectors = npt.NDArray[np.float32]
Distances = npt.NDArray[np.float64]

# above so many training documents, the threshold comes from a sample of them and the search from an inverted index
EXACT_LIMIT = 100_000
REFERENCE_SAMPLE = 20_000
_LISTS = 512
_PROBES = 16
# cosine distances are equal to this many decimals whatever the number of threads that added them up
_DECIMALS = 5


def choose_anchors(real: pa.Table, embeddings: pa.Table, anchors: Anchors) -> pa.Table:
    """Slices of `anchor_eval`; a document may be in both.

    `rare`: its label is in the tail. `atypical`: its mean cosine distance to its `anchors.neighbours` nearest training
    documents is above the `anchors.atypical_quantile` of what training documents have to the other training documents
    (leave-one-out; the quantile by linear interpolation). Exact up to EXACT_LIMIT training documents.

    Args:
        real: schema REAL_DOCUMENTS, any order.
        embeddings: schema REAL_EMBEDDINGS, L2-normalised, for every document of `train` and `anchor_eval`.

    Returns:
        schema REALITY_ANCHORS, ordered by slice, then doc_id; `distance` is 0-2.

    Raises:
        CorpusError: an embedding is missing, or there are too few training documents for the neighbours asked.
    """
    documents = real.select(["doc_id", "split", "is_tail"]).sort_by("doc_id")
    train = documents.filter(pc.equal(documents["split"], "train"))["doc_id"]
    held = documents.filter(pc.equal(documents["split"], "anchor_eval"))
    if len(train) <= anchors.neighbours:
        raise CorpusError(
            f"anchors.neighbours is {anchors.neighbours}, and there are {len(train)} training documents",
            "lower anchors.neighbours, or add documents",
        )
    known = _vectors(train, embeddings)
    search = _index(known)
    reference = np.arange(len(train))
    if len(train) > EXACT_LIMIT:
        reference = np.sort(np.argsort(uniform(train, "atypical"), kind="stable")[:REFERENCE_SAMPLE])
    # the nearest training document of a training document is itself, or a copy at the same distance of 0
    own = _nearest(search, known[reference], anchors.neighbours + 1)[:, 1:].mean(axis=1)
    threshold = float(np.quantile(own.round(_DECIMALS), anchors.atypical_quantile))
    distance = _nearest(search, _vectors(held["doc_id"], embeddings), anchors.neighbours).mean(axis=1)
    distance = distance.round(_DECIMALS)

    chosen = {"atypical": distance > threshold, "rare": held["is_tail"].to_numpy()}
    tables = []
    for name, mask in chosen.items():
        ids = held["doc_id"].filter(pa.array(mask))
        columns = [pa.repeat(anchors.version, len(ids)), ids, pa.repeat(name, len(ids)), pa.array(distance[mask])]
        tables.append(pa.table(columns, names=REALITY_ANCHORS.schema.names).cast(REALITY_ANCHORS.schema))
    return pa.concat_tables(tables)


def _vectors(ids: pa.ChunkedArray, embeddings: pa.Table) -> Vectors:
    """Embeddings of the ids, in their order, [n, EMBEDDING_WIDTH]."""
    places = pc.index_in(ids, embeddings["doc_id"])
    if places.null_count:
        first = ids.filter(pc.is_null(places))[0].as_py()
        raise CorpusError(
            f"{places.null_count:,} of {len(ids):,} documents have no embedding, e.g. {first}",
            "materialise real_embeddings first",
        )
    column = embeddings["embedding"].combine_chunks()
    matrix = column.flatten().to_numpy().reshape(-1, EMBEDDING_WIDTH)
    return np.ascontiguousarray(matrix[places.to_numpy()], np.float32)


def _index(known: Vectors) -> Any:
    import faiss

    index = faiss.IndexFlatIP(EMBEDDING_WIDTH)
    if len(known) > EXACT_LIMIT:
        index = faiss.IndexIVFFlat(index, EMBEDDING_WIDTH, _LISTS, faiss.METRIC_INNER_PRODUCT)
        index.train(known)
        index.nprobe = _PROBES
    index.add(known)
    return index


def _nearest(index: Any, queries: Vectors, count: int) -> Distances:
    """Cosine distances to the `count` nearest vectors of the index, ascending, [n, count]."""
    if not len(queries):
        return np.empty((0, count))
    similarity, _ = index.search(queries, count)
    return np.asarray(1.0 - similarity.astype(np.float64))
