"""What must hold of `synthetic_documents`, of one pool or of several.

What belongs here: that a pool is labelled text made from the training split alone. What does not: how diverse it is
(screening measures that; here is only an alarm for a pool that mostly repeats itself).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.quality import groups
from smc_dagster.quality.checks import HAS_ROWS, HEX_ID, Check, Context, Frames, Suite, between, one_of
from smc_dagster.study import Provenance

REQUIRED = ("doc_id", "domain", "label", "provenance", "source", "generator", "pool")


def _frames(table: pa.Table, context: Context) -> Frames:
    real = context.real_documents()
    train = real.filter(pa.array(groups.within(real.column("split"), ["train"])))
    label, domain, parent = table.column("label"), table.column("domain"), table.column("parent_doc_id")
    known = groups.within(label, train.column("label"))
    owner = train.group_by("label").aggregate([("domain", "min")])
    due = groups.looked_up(label, owner.column("label"), owner.column("domain_min"))
    grade = groups.grades(table.column("provenance"))
    rows = table
    for name, column in {
        "whole": groups.present(table, REQUIRED),
        "not_real": ~groups.within(table.column("doc_id"), real.column("doc_id")),
        "synthetic_grade": (grade < 0) | (grade >= context.synthetic_from.grade),
        "label_trained": known | groups.bools(pc.is_null(label)),
        # a label that is not known has no domain to agree with
        "domain_agrees": groups.bools(pc.equal(domain, due)) | ~known | groups.bools(pc.is_null(domain)),
        "parent_trained": groups.within(parent, train.column("doc_id")) | groups.bools(pc.is_null(parent)),
    }.items():
        rows = rows.append_column(name, pa.array(column))
    rows = rows.append_column("characters", groups.trimmed_length(table.column("text")))
    rows = rows.append_column("id_alone", pa.array(groups.alone(table, ("pool", "doc_id"))))
    return {"documents": rows, "labels": _labels(table, train), "pools": _pools(table), "table": groups.size(table)}


def _labels(table: pa.Table, train: pa.Table) -> pa.Table:
    """One row a pool and real training label: how many documents the pool has of it."""
    due = groups.crossed(groups.distinct(table, ["pool"]), groups.distinct(train, ["label"]))
    made = table.group_by(["pool", "label"]).aggregate([("doc_id", "count")])
    found = due.join(made, ["pool", "label"], join_type="left outer")
    found = found.sort_by([("pool", "ascending"), ("label", "ascending")])
    return found.append_column("documents", pc.fill_null(found.column("doc_id_count"), 0))


def _pools(table: pa.Table) -> pa.Table:
    """One row a pool: the share of its documents whose text and label another of its documents has too."""
    squeezed = pc.replace_substring_regex(pc.utf8_lower(table.column("text")), r"\s+", " ")
    text = table.select(["pool", "label"]).append_column("text", pc.utf8_trim_whitespace(squeezed))
    repeated = ~groups.alone(text, ("pool", "label", "text"))
    flagged = table.select(["pool"]).append_column("repeated", pa.array(repeated.astype(np.float64)))
    counted = flagged.group_by("pool").aggregate([("repeated", "mean"), ([], "count_all")])
    return counted.select(["pool", "repeated_mean", "count_all"]).rename_columns(
        ["pool", "repeated_share", "documents"]
    )


SYNTHETIC_SUITE = Suite(
    table="synthetic_documents",
    frames=_frames,
    shown={
        "documents": ("doc_id", "domain", "label", "provenance", "generator", "parent_doc_id", "text"),
        "labels": ("pool", "label"),
        "pools": ("pool", "documents"),
        "table": (),
    },
    checks=(
        HAS_ROWS,
        Check(
            "fields_present", "critical", f"No field of {', '.join(REQUIRED)} is null or empty.", "documents", "whole"
        ),
        Check("doc_id_unique", "critical", "No two documents of a pool share a doc_id.", "documents", "id_alone"),
        Check("doc_id_well_formed", "critical", "doc_id is 32 lower-case hex digits.", "documents", "doc_id", **HEX_ID),
        Check("doc_id_not_real", "critical", "No document has the doc_id of a real one.", "documents", "not_real"),
        Check(
            "text_not_blank", "critical", "Text holds more than white space.", "documents", "characters", **between(1)
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
            "provenance_synthetic",
            "critical",
            "Provenance is at or above the grade from which the study counts a document as synthetic.",
            "documents",
            "synthetic_grade",
        ),
        Check("label_known", "critical", "The label has real training documents.", "documents", "label_trained"),
        Check(
            "domain_agrees",
            "critical",
            "The domain is the one that the label has in the real corpus.",
            "documents",
            "domain_agrees",
        ),
        Check(
            "parent_in_training",
            "critical",
            "A document made from another was made from a real training document.",
            "documents",
            "parent_trained",
        ),
        Check(
            "labels_covered",
            "warning",
            "The pool has documents of every real training label.",
            "labels",
            "documents",
            **between(1),
        ),
        Check(
            "few_exact_duplicates",
            "warning",
            "Most documents of a label differ from each other by more than case and white space.",
            "pools",
            "repeated_share",
            "ExpectColumnValuesToBeBetween",
            lambda context: {"max_value": context.max_duplicate_share},
        ),
    ),
)
