"""The reality anchors: real documents to train on whatever is mixed, and those on which a model must not get worse.

What belongs here: which documents of `train` make the slice `anchor_train`, and which of `anchor_eval` make `rare` and
`atypical`. What does not: the split itself (splits.py), edits (adversarial.py), freezing what was chosen
(smc_dagster/frozen.py), metrics on the slices (evaluation/).

The reference is the training split alone, so the slices are fixed before anything is mixed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora import neighbours
from smc_dagster.corpora.adversarial import adversarial_documents
from smc_dagster.corpora.draws import uniform
from smc_dagster.corpora.neighbours import DECIMALS, Distances, Vectors, index_of, nearest
from smc_dagster.errors import CorpusError
from smc_dagster.study import Anchors
from smc_dagster.tables import ANCHOR_TRAIN, EMBEDDING_WIDTH, REALITY_ANCHORS

Bools = npt.NDArray[np.bool_]

# above so many training documents, threshold and training anchors come from a sample of them
EXACT_LIMIT = neighbours.EXACT_LIMIT
REFERENCE_SAMPLE = 50_000
_COLUMNS = ["doc_id", "domain", "label", "text", "provenance", "split", "is_tail"]


def choose_anchors(real: pa.Table, embeddings: pa.Table, anchors: Anchors, seed: int) -> pa.Table:
    """The anchors of a version: `anchor_train`, and of `anchor_eval` the slices `rare`, `atypical`, `adversarial`.

    `anchor_train`: of each domain `anchors.train_share` of its training documents, rounded half up and at least one.
    First the most atypical document of each tail label, as far as that goes, then the most atypical ones; atypical is
    what has a large mean cosine distance to its `anchors.neighbours` nearest other training documents.
    `rare`: its label is in the tail. `atypical`: its mean cosine distance to its `anchors.neighbours` nearest training
    documents is above the `anchors.atypical_quantile` of what training documents have to the other training documents
    (leave-one-out; the quantile by linear interpolation). A document may be in both.
    `adversarial`: see adversarial.py.
    Exact up to EXACT_LIMIT training documents; above, a uniform sample of REFERENCE_SAMPLE stands for them, with one
    document of each tail label beside it for `anchor_train`.

    Args:
        real: schema REAL_DOCUMENTS, any order.
        embeddings: schema REAL_EMBEDDINGS, L2-normalised, for every document of `train` and `anchor_eval`.
        seed: the study's.

    Returns:
        schema REALITY_ANCHORS, ordered by slice (`anchor_train`, `atypical`, `rare`, `adversarial`), then doc_id;
        `distance` is 0-2.

    Raises:
        CorpusError: an embedding is missing, or there are too few training documents for the neighbours asked.
    """
    documents = real.select(_COLUMNS).sort_by("doc_id").combine_chunks()
    train = documents.filter(pc.equal(documents["split"], "train"))
    held = documents.filter(pc.equal(documents["split"], "anchor_eval"))
    if train.num_rows <= anchors.neighbours:
        raise CorpusError(
            f"anchors.neighbours is {anchors.neighbours}, and there are {train.num_rows} training documents",
            "lower anchors.neighbours, or add documents",
        )
    known = _vectors(train["doc_id"], embeddings)
    search = index_of(known)
    sampled, candidates = _candidates(train)
    # the nearest training document of a training document is itself, or a copy at the same distance of 0
    own = nearest(search, known[candidates], anchors.neighbours + 1)[0][:, 1:].mean(axis=1).round(DECIMALS)
    threshold = float(np.quantile(own[sampled], anchors.atypical_quantile))
    distance = nearest(search, _vectors(held["doc_id"], embeddings), anchors.neighbours)[0].mean(axis=1)
    distance = distance.round(DECIMALS)

    chosen = _to_train_on(train, candidates, own, anchors.train_share)
    slices = [
        _rows(anchors.version, ANCHOR_TRAIN, train.take(pa.array(candidates[chosen])), own[chosen]),
        *(
            _rows(anchors.version, name, held.filter(pa.array(mask)), distance[mask])
            for name, mask in (
                ("atypical", distance > threshold),
                ("rare", held["is_tail"].to_numpy()),
            )
        ),
        adversarial_documents(held, anchors.version, anchors.adversarial, seed),
    ]
    return pa.concat_tables(slices)


def _candidates(train: pa.Table) -> tuple[Bools, npt.NDArray[np.int64]]:
    """Places, ascending, of the training documents that are looked at; of each whether it is of the uniform sample."""
    rows = train.num_rows
    if rows <= EXACT_LIMIT:
        return np.ones(rows, np.bool_), np.arange(rows)
    draw = uniform(train["doc_id"], "atypical")
    by_draw = np.argsort(draw, kind="stable")
    within = np.zeros(rows, np.bool_)
    within[by_draw[:REFERENCE_SAMPLE]] = True
    tail = by_draw[train["is_tail"].to_numpy()[by_draw]]
    labels = train["label"].dictionary_encode().combine_chunks().indices.to_numpy()
    wanted = within.copy()
    wanted[tail[np.unique(labels[tail], return_index=True)[1]]] = True
    places = np.flatnonzero(wanted)
    return within[places], places


def _to_train_on(
    train: pa.Table, candidates: npt.NDArray[np.int64], distance: Distances, share: float
) -> npt.NDArray[np.int64]:
    """Which of the candidates are training anchors, in ascending order."""
    domains = train["domain"].dictionary_encode().combine_chunks().indices.to_numpy()
    labels = train["label"].dictionary_encode().combine_chunks().indices.to_numpy()[candidates]
    asked = np.maximum(np.floor(share * np.bincount(domains) + 0.5).astype(np.int64), 1)
    domain, is_tail = domains[candidates], train["is_tail"].to_numpy()[candidates]
    # the documents are in order of doc_id: a stable sort breaks ties by it
    farthest = np.argsort(-distance, kind="stable")
    tail = farthest[is_tail[farthest]]
    first = np.zeros(len(candidates), np.bool_)
    first[tail[np.unique(labels[tail], return_index=True)[1]]] = True
    order = np.lexsort((np.argsort(farthest), ~first, domain))
    starts = np.searchsorted(domain[order], np.arange(len(asked)))
    rank = np.arange(len(order)) - starts[domain[order]]
    return np.sort(order[rank < asked[domain[order]]])


def _rows(version: str, name: str, documents: pa.Table, distance: Distances) -> pa.Table:
    rows = documents.num_rows
    known = {one: documents[one] for one in documents.column_names}
    made = {
        "version": pa.repeat(version, rows),
        "slice": pa.repeat(name, rows),
        "parent_doc_id": pa.nulls(rows, pa.string()),
        "edit": pa.nulls(rows, pa.string()),
        "distance": pa.array(distance, pa.float32()),
    }
    columns = known | made
    return pa.table([columns[one] for one in REALITY_ANCHORS.schema.names], schema=REALITY_ANCHORS.schema)


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
