"""What each document of a pool is like: duplication, template and contamination.

What belongs here: the table `synthetic_scores`. What does not: what is said of a pool as a whole (profile.py), and
what a filter makes of the scores (mixing).
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.near_duplicates import clusters
from smc_dagster.corpora.text import normalise
from smc_dagster.screening.contamination import contamination
from smc_dagster.screening.templates import skeletons, usage, widespread_words
from smc_dagster.study import Screening
from smc_dagster.tables import SYNTHETIC_SCORES


def score_pool(pool_docs: pa.Table, real: pa.Table, evaluation: pa.Table, screening: Screening) -> pa.Table:
    """Score every document of a pool.

    Args:
        pool_docs: `synthetic_documents` of one pool.
        real: `real_documents`; the training split is what skeletons are judged against.
        evaluation: what documents can be contaminated by, see `contamination.evaluation_text`.

    Returns:
        `synthetic_scores`, one row a document, ordered by doc_id. A document's scores depend neither on the order of
        the rows nor on how often another document's text is repeated.
    """
    if not pool_docs.num_rows:
        return SYNTHETIC_SCORES.schema.empty_table()
    docs = pool_docs.select(["doc_id", "pool", "domain", "text"]).sort_by("doc_id").combine_chunks()
    texts = docs.column("text")
    train = real.filter(pc.equal(real.column("split"), "train"))
    kept = widespread_words(train.column("text"))
    shapes = skeletons(texts, kept)
    exact = normalised(texts)
    # a copy says nothing new: shares and sizes go by the different texts of a domain, copies are counted by themselves
    first, of = _distinct(docs.column("domain"), exact)
    once = pa.array(first)
    real_shapes = skeletons(train.column("text"), kept)
    used = usage(docs.column("domain").take(once), shapes.take(once), train.column("domain"), real_shapes)
    over_used = pa.array(used.over_used[of])
    cluster = clusters(docs.column("doc_id"), texts, screening.jaccard)
    found = contamination(texts, evaluation, screening)
    return pa.table(
        {
            "doc_id": docs.column("doc_id"),
            "pool": docs.column("pool"),
            "cluster_id": cluster,
            "cluster_size": _different(cluster, exact),
            "exact_copies": _times(exact),
            "template_id": pc.if_else(over_used, _names(shapes), None),
            "template": pc.if_else(over_used, shapes, None),
            "template_size": pa.array(used.size[of], pa.int32()),
            "template_share": pa.array(used.share[of], pa.float32()),
            "contamination": found.value,
            "contaminant_doc_id": found.contaminant,
            "contamination_kind": found.kind,
            "contaminating_run": found.run,
        },
        schema=SYNTHETIC_SCORES.schema,
    )


def normalised(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Each text as it counts for identity."""
    return pa.array([normalise(text) for text in texts.to_pylist()], pa.string())


def _times(values: pa.Array) -> pa.Array:
    """How often each row's value occurs."""
    code = pc.dictionary_encode(values).indices.to_numpy(zero_copy_only=False)
    return pa.array(np.bincount(code)[code], pa.int32())


def _distinct(domains: pa.ChunkedArray, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each different (domain, text), and for every row the place of its own among those."""
    domain, text = (_code(one) for one in (domains, texts))
    _, first, of = np.unique(domain * (int(text.max()) + 1) + text, return_index=True, return_inverse=True)
    return first, of


def _different(groups: pa.Array, texts: pa.Array) -> pa.Array:
    """How many different texts each row's group has."""
    group, text = _code(groups), _code(texts)
    pairs = np.unique(group * (int(text.max()) + 1) + text)
    return pa.array(np.bincount(pairs // (int(text.max()) + 1))[group], pa.int32())


def _code(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return np.asarray(pc.dictionary_encode(whole).indices, np.int64)


def _names(shapes: pa.Array) -> pa.Array:
    """A short name for each skeleton, the same in every pool."""
    encoded = pc.dictionary_encode(shapes)
    names = [hashlib.sha256(shape.encode()).hexdigest()[:16] for shape in encoded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(encoded.indices)
