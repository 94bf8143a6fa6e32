"""What must hold of `real_documents`.

What belongs here: the checks of the real corpus: identity, text, splits, provenance, and the tail. What does not:
refusing single rows as they come in (corpora's quarantine does).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.quality import groups
from smc_dagster.quality.checks import HAS_ROWS, HEX_ID, UNIQUE, Check, Context, Frames, Suite, between, one_of
from smc_dagster.study import Provenance
from smc_dagster.tables import ANCHOR_EVAL_SLICES, SPLITS, TRAINING_SPLITS

REQUIRED = ("doc_id", "domain", "label", "provenance", "source", "day", "cluster_id", "split", "is_tail")
# validation may be 0 % of a study; these three may not
NEEDED_SPLITS = ("train", "test", "anchor_eval")


def _frames(table: pa.Table, context: Context) -> Frames:
    grade = groups.grades(table.column("provenance"))
    rows = table.append_column("whole", pa.array(groups.present(table, REQUIRED)))
    rows = rows.append_column("characters", groups.trimmed_length(table.column("text")))
    # a grade that is off the scale is another check's business
    rows = rows.append_column("real_grade", pa.array(grade < context.synthetic_from.grade))
    rows = rows.append_column("anchors_held", pa.array(~_trained_anchors(table, context)))
    clusters = table.group_by("cluster_id").aggregate([("split", "count_distinct"), ("doc_id", "count")])
    clusters = clusters.rename_columns(["cluster_id", "splits", "documents"])
    labels = _labels(table)
    return {
        "documents": rows,
        "clusters": clusters.filter(pc.is_valid(clusters.column("cluster_id"))),
        "domains": _train_counts(table, "domain"),
        "labels": labels,
        "splits": groups.counted(table.column("split"), "split", NEEDED_SPLITS),
        "corpus": _corpus(table, labels),
        "table": groups.size(table),
    }


def _trained_anchors(table: pa.Table, context: Context) -> groups.Bools:
    """Whether a document that may be trained on is a frozen evaluation anchor, or the parent of one."""
    if context.anchors is None:
        return np.zeros(table.num_rows, dtype=bool)
    held = context.anchors.filter(pc.is_in(context.anchors.column("slice"), value_set=pa.array(ANCHOR_EVAL_SLICES)))
    frozen = pa.chunked_array([*held.column("doc_id").chunks, *held.column("parent_doc_id").chunks], pa.string())
    mine = groups.within(table.column("split"), TRAINING_SPLITS)
    return np.asarray(mine & groups.within(table.column("doc_id"), frozen), dtype=bool)


def _train_counts(table: pa.Table, by: str) -> pa.Table:
    train = pa.array(groups.within(table.column("split"), ["train"]).astype(np.int64))
    counted = table.select([by]).append_column("train", train)
    return (
        counted.group_by(by)
        .aggregate([("train", "sum"), (by, "count")])
        .rename_columns([by, "train_documents", "documents"])
    )


def _labels(table: pa.Table) -> pa.Table:
    tail = pa.array(groups.bools(table.column("is_tail")).astype(np.int64))
    flagged = table.select(["label", "domain"]).append_column("tail", tail)
    grouped = (
        flagged.filter(pc.is_valid(flagged.column("label")))
        .group_by("label")
        .aggregate([("domain", "count_distinct"), ("tail", "min"), ("tail", "max")])
    )
    counts = _train_counts(table, "label")
    train = groups.numbers(
        groups.looked_up(grouped.column("label"), counts.column("label"), counts.column("train_documents"))
    )
    documents = groups.looked_up(grouped.column("label"), counts.column("label"), counts.column("documents"))
    least, most = groups.numbers(grouped.column("tail_min")), groups.numbers(grouped.column("tail_max"))
    smallest_head = train[most == 0].min(initial=np.inf)
    return pa.table(
        {
            "label": grouped.column("label"),
            "documents": documents,
            "train_documents": pa.array(train.astype(np.int64)),
            "domains": grouped.column("domain_count_distinct"),
            "tail_settled": pa.array(least == most),
            "rare_enough": pa.array((least == 0) | (train <= smallest_head)),
            "tail": pa.array(least == 1),
        }
    )


def _corpus(table: pa.Table, labels: pa.Table) -> pa.Table:
    train = groups.within(table.column("split"), ["train"])
    tail = groups.bools(table.column("is_tail"))
    share = float((train & tail).sum() / train.sum()) if train.any() else 0.0
    return pa.table(
        {
            "documents": [table.num_rows],
            "tail_share": [share],
            "tail_labels": [int(groups.bools(labels.column("tail")).sum())],
        }
    )


def _share_limit(context: Context) -> dict[str, float]:
    return {"max_value": context.tail_share + 1e-9}


REAL_SUITE = Suite(
    table="real_documents",
    frames=_frames,
    shown={
        "documents": ("doc_id", "domain", "label", "split", "provenance", "text"),
        "clusters": ("cluster_id", "documents"),
        "domains": ("domain", "documents"),
        "labels": ("label", "documents", "train_documents"),
        "splits": ("split",),
        "corpus": ("documents",),
        "table": (),
    },
    checks=(
        HAS_ROWS,
        Check(
            "fields_present", "critical", f"No field of {', '.join(REQUIRED)} is null or empty.", "documents", "whole"
        ),
        Check("doc_id_unique", "critical", "No two documents share a doc_id.", "documents", "doc_id", **UNIQUE),
        Check("doc_id_well_formed", "critical", "doc_id is 32 lower-case hex digits.", "documents", "doc_id", **HEX_ID),
        Check(
            "text_not_blank", "critical", "Text holds more than white space.", "documents", "characters", **between(1)
        ),
        Check(
            "text_within_limit",
            "warning",
            "Text is at most corpus.max_characters long.",
            "documents",
            "characters",
            "ExpectColumnValuesToBeBetween",
            lambda context: {"max_value": context.max_characters},
        ),
        Check(
            "split_known",
            "critical",
            f"Split is one of {', '.join(SPLITS)}.",
            "documents",
            "split",
            **one_of(lambda context: list(SPLITS)),
        ),
        Check(
            "provenance_known",
            "critical",
            "Provenance is on the graded scale.",
            "documents",
            "provenance",
            **one_of(lambda context: [one.value for one in Provenance]),
        ),
        Check(
            "provenance_real",
            "critical",
            "Provenance is below the grade from which the study counts a document as synthetic.",
            "documents",
            "real_grade",
        ),
        Check(
            "split_filled",
            "critical",
            "train, test and anchor_eval hold documents.",
            "splits",
            "rows",
            **between(1),
        ),
        Check(
            "domain_has_training",
            "critical",
            "Every domain has training documents.",
            "domains",
            "train_documents",
            **between(1),
        ),
        Check(
            "label_has_training",
            "warning",
            "Every label has training documents.",
            "labels",
            "train_documents",
            **between(1),
        ),
        Check(
            "label_in_one_domain",
            "critical",
            "A label belongs to exactly one domain.",
            "labels",
            "domains",
            **between(high=1),
        ),
        Check(
            "label_has_documents",
            "warning",
            "Every label has at least corpus.min_label_documents documents.",
            "labels",
            "documents",
            "ExpectColumnValuesToBeBetween",
            lambda context: {"min_value": context.min_label_documents},
        ),
        Check(
            "anchors_held_out",
            "critical",
            "No frozen evaluation anchor, and no parent of an edited one, may be trained on.",
            "documents",
            "anchors_held",
        ),
        Check(
            "cluster_in_one_split",
            "critical",
            "Near-duplicates lie in one split: nothing of a test text is trained on.",
            "clusters",
            "splits",
            **between(high=1),
        ),
        Check(
            "tail_by_label", "critical", "is_tail is the same for all documents of a label.", "labels", "tail_settled"
        ),
        Check(
            "tail_is_rarest",
            "critical",
            "No tail label has more training documents than a label outside the tail.",
            "labels",
            "rare_enough",
        ),
        Check(
            "tail_share_within_limit",
            "critical",
            "Tail labels together hold at most tail.share of the training documents.",
            "corpus",
            "tail_share",
            "ExpectColumnValuesToBeBetween",
            _share_limit,
        ),
        Check(
            "tail_large_enough",
            "warning",
            "There are enough tail labels for rare recall, a mean over them, to mean something.",
            "corpus",
            "tail_labels",
            "ExpectColumnValuesToBeBetween",
            lambda context: {"min_value": context.min_tail_labels},
        ),
    ),
)
