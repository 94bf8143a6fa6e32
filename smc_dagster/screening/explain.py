"""The worst documents of a pool, and why.

What belongs here: the order of documents by how bad they are, and what explains each. What does not: the scores
(scores.py), and how the rows are shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.screening.contamination import CONTAMINATED
from smc_dagster.tables import EVALUATION_SPLITS

Row = dict[str, Any]


def worst(docs: pa.Table, scores: pa.Table, evaluation: pa.Table, top: int) -> list[Row]:
    """The `top` worst documents of a pool, worst first.

    Contaminated ones come first, by value; then the share of an over-used skeleton, the size of the near-duplicate
    cluster and what merely resembles evaluation text count, each where those before it are equal; ties by doc_id.

    Args:
        docs: `synthetic_documents` of one pool. scores: its `synthetic_scores`. evaluation: what it was scored against,
            see `contamination.evaluation_text`.

    Returns:
        A row a document that has a reason at all: doc_id, pool, domain, label, text; its scores, as in
        `synthetic_scores`; contaminant_split (of a frozen anchor that the corpus does not hold out, its slice) and
        contaminant_text, the evaluation text that it carries; cluster_text, the document that names its cluster (null
        where that is itself, or it is alone); `reasons`, by kind (contamination, template, near_duplicates,
        exact_copies) a sentence, the texts left to the columns.

    Raises:
        StaleInputError: a scored document, a contaminant or the name of a cluster is not among the documents.
    """
    scores = scores.combine_chunks()
    value = pc.fill_null(scores.column("contamination"), 0.0)
    contaminated = pc.fill_null(
        pc.is_in(scores.column("contamination_kind"), value_set=pa.array(CONTAMINATED, pa.string())), False
    )
    over_used = pc.is_valid(scores.column("template_id"))
    cluster = pc.fill_null(scores.column("cluster_size"), 1)
    copies = pc.fill_null(scores.column("exact_copies"), 1)
    # a skeleton that people use as much is no fault, whatever its share
    share = pc.if_else(over_used, pc.fill_null(scores.column("template_share"), 0.0), 0.0)
    ranks = pa.table(
        {
            "contaminated": pc.if_else(contaminated, value, 0.0),
            "share": share,
            "cluster": cluster,
            "similar": value,
            "doc_id": scores.column("doc_id"),
            "row": pa.array(np.arange(scores.num_rows)),
        }
    )
    faulty = pc.or_(pc.or_(pc.greater(value, 0), over_used), pc.or_(pc.greater(cluster, 1), pc.greater(copies, 1)))
    order = [(name, "descending") for name in ("contaminated", "share", "cluster", "similar")]
    chosen = ranks.filter(faulty).sort_by([*order, ("doc_id", "ascending")]).slice(0, top).column("row")
    scores = scores.take(chosen)

    document = _rows(docs.select(["doc_id", "domain", "label", "text"]), scores, "doc_id", "synthetic_documents")
    contaminant = _rows(evaluation, scores, "contaminant_doc_id", "the evaluation text")
    named = _rows(docs.select(["doc_id", "text"]), scores, "cluster_id", "synthetic_documents")
    out = []
    for score, doc, theirs, first in zip(scores.to_pylist(), document, contaminant, named, strict=True):
        # copies of one text make no cluster
        apart = (score["cluster_size"] or 1) > 1 and score["cluster_id"] != score["doc_id"]
        row = {
            **doc,
            **score,
            "contaminant_split": theirs["split"],
            "contaminant_text": theirs["text"],
            "cluster_text": first["text"] if apart else None,
        }
        out.append(row | {"reasons": _reasons(row)})
    return out


def _reasons(row: Row) -> dict[str, str]:
    """What is wrong with a document, by kind."""
    found = {}
    if row["contamination_kind"] is not None:
        kind = "split" if row["contaminant_split"] in EVALUATION_SPLITS else "frozen slice"
        by = f"`{row['contaminant_doc_id']}` of the {kind} {row['contaminant_split']}"
        found["contamination"] = {
            "shared_run": f"shares a long run of words with {by}",
            "near_duplicate": f"near-duplicate of {by}, Jaccard {row['contamination'] or 0:.3g}",
            "similar": f"resembles {by}, Jaccard {row['contamination'] or 0:.3g}: not counted as contaminated",
        }[row["contamination_kind"]]
    if row["template_id"] is not None:
        found["template"] = f"{row['template_share'] or 0:.1%} of its domain's texts have this skeleton: over-used"
    if (row["cluster_size"] or 1) > 1:
        named = "that it names" if row["cluster_text"] is None else f"of `{row['cluster_id']}`"
        found["near_duplicates"] = f"one of {row['cluster_size']} near-duplicates in the cluster {named}"
    if (row["exact_copies"] or 1) > 1:
        found["exact_copies"] = f"one of {row['exact_copies']} documents with this text"
    return found


def _rows(table: pa.Table, scores: pa.Table, key: str, name: str) -> list[Row]:
    """The row of `table` that each score names; empty where it names none."""
    wanted = scores.column(key).combine_chunks()
    places = pc.index_in(wanted, value_set=table.column("doc_id").combine_chunks())
    lost = wanted.filter(pc.and_(pc.is_valid(wanted), pc.is_null(places)))
    if len(lost):
        raise StaleInputError(
            f"synthetic_scores.{key}: {len(lost)} documents are not in {name}, the first `{lost[0].as_py()}`",
            "materialise synthetic_scores again",
        )
    rows: list[Row] = table.take(places).to_pylist()
    return rows
