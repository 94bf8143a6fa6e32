"""The real corpus: all days joined, duplicates removed, sampled, clustered, split, the tail fixed.

What belongs here: the order of these steps. What does not: the steps that have a module (near_duplicates.py,
pins.py, splits.py), synthetic text, and anything that looks at embeddings (anchors.py).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.contract import home_domains
from smc_dagster.corpora.draws import uniform
from smc_dagster.corpora.own_splits import honour
from smc_dagster.corpora.splits import assign_splits, tail_labels
from smc_dagster.errors import CorpusError
from smc_dagster.study import Provenance, Study
from smc_dagster.tables import REAL_DOCUMENTS

MIN_LABELS = 2


def build_real_documents(raw: pa.Table, study: Study, anchors: pa.Table | None = None) -> pa.Table:
    """Make `real_documents` from the raw documents of all days; the order of rows and days does not matter.

    0. What counts as synthetic (`synthetic_from` and later grades) is no real document, whichever file it came in.
    1. A `doc_id` that came more than once stays once, as it came on its earliest day; a document whose label most
       documents have in another domain is left out.
    2. If there are more than `corpus.max_documents`, those with the smallest hash of (seed, doc_id) stay: a uniform
       sample, without a cap on any label, so that the long tail stays as long as it is.
    3. The labels of `corpus.exclude_labels`, and those with fewer than `corpus.min_label_documents` documents, are left
       out.
    4. Near-duplicate clusters (`screening.jaccard`), and the split by cluster, or the source's own (own_splits.py);
       clusters with a frozen anchor keep the side they are on (pins.py).
    5. Labels without a training document are left out.
    6. The tail, from the sizes of labels in `train`.

    Args:
        raw: schema RAW_DOCUMENTS.
        study: the study.
        anchors: frozen anchors that were chosen from another corpus than this one (schema REALITY_ANCHORS), or None.

    Returns:
        schema REAL_DOCUMENTS, ordered by doc_id.

    Raises:
        CorpusError: too little left to study.
    """
    corpus = study.corpus
    documents = _earliest(_below(raw, study.synthetic_from))
    documents = _at_home(documents)
    excluded = pa.array(corpus.exclude_labels, pa.string())
    documents = documents.filter(pc.invert(pc.is_in(documents["label"], value_set=excluded)))
    if corpus.max_documents is not None and documents.num_rows > corpus.max_documents:
        order = np.argsort(uniform(documents["doc_id"], study.seed, "sample"), kind="stable")
        documents = documents.take(pa.array(np.sort(order[: corpus.max_documents])))
    sizes = documents["label"].value_counts()
    common = sizes.field("values").filter(pc.greater_equal(sizes.field("counts"), corpus.min_label_documents))
    documents = documents.filter(pc.is_in(documents["label"], value_set=common))
    _require_enough(raw, documents, len(common), corpus.min_label_documents)

    documents = documents.append_column("cluster_id", _clusters(documents, study))
    pinned = _pinned(documents, anchors, study)
    split = assign_splits(documents["cluster_id"], study.split, study.seed, pinned)
    documents = documents.append_column("split", split)
    documents = honour(documents)
    train = documents["label"].filter(pc.equal(documents["split"], "train"))
    trained = pc.unique(train)
    documents = documents.filter(pc.is_in(documents["label"], value_set=trained))
    _require_enough(raw, documents, len(trained), corpus.min_label_documents)

    tail = pa.array(tail_labels(train, study.tail.share), pa.string())
    documents = documents.append_column("is_tail", pc.is_in(documents["label"], value_set=tail))
    return documents.select(REAL_DOCUMENTS.schema.names).cast(REAL_DOCUMENTS.schema)


def _clusters(documents: pa.Table, study: Study) -> pa.Array:
    from smc_dagster.corpora.near_duplicates import clusters

    return clusters(documents["doc_id"], documents["text"], study.screening.jaccard)


def _pinned(documents: pa.Table, anchors: pa.Table | None, study: Study) -> dict[str, str]:
    from smc_dagster.corpora.pins import pinned_clusters

    return {} if anchors is None else pinned_clusters(documents, anchors, study.screening.jaccard)


def _below(raw: pa.Table, synthetic_from: Provenance) -> pa.Table:
    real = [one.value for one in Provenance if one.grade < synthetic_from.grade]
    return raw.filter(pc.is_in(raw["provenance"], value_set=pa.array(real)))


def _earliest(raw: pa.Table) -> pa.Table:
    """One row a doc_id, ordered by it: of its rows the first by day, then source, file, line and text."""
    keys = ("doc_id", "day", "source", "file", "line", "text")
    ordered = raw.take(pc.sort_indices(raw, sort_keys=[(key, "ascending") for key in keys])).combine_chunks()
    ids = ordered["doc_id"]
    if ordered.num_rows < 2:
        return ordered
    is_first = np.ones(ordered.num_rows, np.bool_)
    is_first[1:] = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)).to_numpy()
    return ordered.filter(pa.array(is_first))


def _at_home(documents: pa.Table) -> pa.Table:
    """The documents whose label is in its own domain, by the rule that holds within a day (`home_domains`).

    Two days can disagree where each is sound by itself; one slip of a new day must not stop all the others.
    """
    homes = home_domains(documents["label"], documents["domain"])
    home = homes["home"].take(pc.index_in(documents["label"], homes["label"]))
    return documents.filter(pc.equal(documents["domain"], home))


def _require_enough(raw: pa.Table, documents: pa.Table, labels: int, least: int) -> None:
    if labels < MIN_LABELS:
        raise CorpusError(
            f"of {raw.num_rows:,} raw documents {documents.num_rows:,} with {labels} label(s) are left to study; "
            f"at least {MIN_LABELS} labels with {least} documents each are needed, some of them for training",
            "add documents, or lower corpus.min_label_documents in the study file",
        )
