"""What must hold of `predictions`, of one arm or of many.

What belongs here: that predictions are probabilities, are about held-out documents, and cover the same documents in
every replicate. What does not: how good they are (evaluation/).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.quality import groups
from smc_dagster.quality.checks import HAS_ROWS, REPLICATES_COMPLETE, Check, Context, Frames, Suite, between
from smc_dagster.tables import ANCHOR_EVAL_SLICES

REQUIRED = (
    "arm", "replicate", "doc_id", "slice", "domain", "label", "is_tail", "predicted", "confidence", "p_label", "sum_p2",
    "entropy",
)  # fmt: skip
SLICES = ("test", *ANCHOR_EVAL_SLICES)
GRAIN = ("arm", "replicate", "slice", "doc_id")
SHOWN = ("arm", "replicate", "slice", "doc_id", "label", "predicted", "confidence", "p_label", "sum_p2", "entropy")
# float32 sums over some hundred labels
TOLERANCE = 1e-4


def _frames(table: pa.Table, context: Context) -> Frames:
    real = context.real_documents()
    labels = pc.unique(real.column("label"))
    held_out = _held_out(real, context.reality_anchors())
    known = pa.concat_arrays([labels, pc.unique(held_out.column("label"))])
    label, predicted = table.column("label"), table.column("predicted")
    top, own, squares, entropy = (_numbers(table, one) for one in ("confidence", "p_label", "sum_p2", "entropy"))
    hit = groups.bools(pc.equal(label, predicted))
    rows = table.select(list(SHOWN))
    # comparisons with a missing number are false: `fields_present` speaks of those
    for name, broken in {
        "whole": ~groups.present(table, REQUIRED),
        "alone": ~groups.alone(table, GRAIN),
        "slice_known": ~groups.within(table.column("slice"), SLICES) & _there(table.column("slice")),
        "label_known": ~groups.within(label, known) & _there(label),
        "predicted_known": ~groups.within(predicted, labels) & _there(predicted),
        "held_out": groups.within(table.column("slice"), SLICES)
        & ~groups.within(_key(table), held_out.column("key"))
        & _there(_key(table)),
        "truth": _contradicts(table, held_out),
        "probabilities": _outside(top) | _outside(own) | _outside(squares),
        "top_is_top": own > top + TOLERANCE,
        "hit_is_top": hit & (top - own > TOLERANCE),
        # max p squared <= sum p^2 <= max p * sum p
        "squares_fit": ~_outside(squares) & ((squares < top**2 - TOLERANCE) | (squares > top + TOLERANCE)),
        "entropy_fits": (entropy < -TOLERANCE) | (entropy > np.log(max(len(labels), 1)) + TOLERANCE),
    }.items():
        rows = rows.append_column(name, pa.array(~broken))
    replicates = table.group_by(["arm", "replicate"]).aggregate([("predicted", "count_distinct")])
    return {
        "rows": rows,
        "cells": _cells(table),
        "replicates": replicates.append_column("labels_predicted", replicates.column("predicted_count_distinct")),
        "arms": groups.replicates(table),
        "table": groups.size(table),
    }


def _numbers(table: pa.Table, column: str) -> npt.NDArray[np.float64]:
    return groups.numbers(table.column(column))


def _there(column: pa.ChunkedArray) -> groups.Bools:
    return groups.bools(pc.is_valid(column))


def _outside(probability: npt.NDArray[np.float64]) -> groups.Bools:
    return np.asarray((probability < -TOLERANCE) | (probability > 1 + TOLERANCE))


def _held_out(real: pa.Table, anchors: pa.Table) -> pa.Table:
    """What may be predicted: `test` as the corpus has it, anchors as they were frozen; `key` is slice and id."""
    columns = ["slice", "doc_id", "label", "domain", "is_tail"]
    test = real.filter(pc.equal(real.column("split"), "test"))
    test = test.append_column("slice", pa.repeat("test", test.num_rows)).select(columns)
    frozen = anchors.filter(pa.array(groups.within(anchors.column("slice"), ANCHOR_EVAL_SLICES))).select(columns)
    rows = pa.concat_tables([test, frozen], promote_options="permissive")
    return rows.append_column("key", _key(rows))


def _key(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(table.column("slice"), table.column("doc_id"), "/")


def _contradicts(table: pa.Table, real: pa.Table) -> groups.Bools:
    """Whether label, domain or is_tail is another than is known of the document in its slice."""
    found = np.zeros(table.num_rows, dtype=bool)
    place = pc.index_in(_key(table), value_set=real.column("key").combine_chunks(), skip_nulls=True)
    for name in ("label", "domain", "is_tail"):
        due = real.column(name).take(place)
        found |= groups.bools(pc.not_equal(table.column(name), due))
    return found


def _cells(table: pa.Table) -> pa.Table:
    """One row an arm, replicate and slice: how many of the slice's documents it lacks."""
    grain = ["arm", "replicate", "slice"]
    # crossed, so that a slice which a replicate lacks altogether is a cell too
    due = groups.crossed(groups.distinct(table, grain[:2]), groups.distinct(table, grain[2:]))
    found = table.group_by(grain).aggregate([("doc_id", "count_distinct")])
    cells = due.join(found, grain, join_type="left outer").sort_by([(one, "ascending") for one in grain])
    whole = table.group_by("slice").aggregate([("doc_id", "count_distinct")])
    all_of_it = groups.looked_up(cells.column("slice"), whole.column("slice"), whole.column("doc_id_count_distinct"))
    has = pc.fill_null(cells.column("doc_id_count_distinct"), 0)
    return cells.append_column("missing", pc.subtract(all_of_it, has))


PREDICTION_SUITE = Suite(
    table="predictions",
    frames=_frames,
    shown={
        "rows": SHOWN,
        "cells": ("arm", "replicate", "slice"),
        "replicates": ("arm", "replicate"),
        "arms": ("arm",),
        "table": (),
    },
    checks=(
        HAS_ROWS,
        Check(
            "fields_present", "critical", f"No field of {', '.join(REQUIRED)} is null, NaN or empty.", "rows", "whole"
        ),
        Check("row_unique", "critical", "A document is once in a slice of a replicate of an arm.", "rows", "alone"),
        Check("slice_known", "critical", f"The slice is one of {', '.join(SLICES)}.", "rows", "slice_known"),
        Check(
            "label_known",
            "critical",
            "The label is one of the real corpus or of a frozen anchor.",
            "rows",
            "label_known",
        ),
        Check(
            "predicted_known", "critical", "The predicted label is one of the real corpus.", "rows", "predicted_known"
        ),
        Check(
            "held_out_only",
            "critical",
            "Documents are of the split test or of the anchors, in the slice they belong to: none was trained on.",
            "rows",
            "held_out",
        ),
        Check(
            "label_is_truth",
            "critical",
            "Label, domain and is_tail are those that the real corpus has, or the anchors when they were frozen.",
            "rows",
            "truth",
        ),
        Check(
            "probabilities_in_range", "critical", "confidence, p_label and sum_p2 lie in 0-1.", "rows", "probabilities"
        ),
        Check(
            "p_label_at_most_confidence",
            "critical",
            "No label is likelier than the predicted one.",
            "rows",
            "top_is_top",
        ),
        Check(
            "hit_has_confidence",
            "critical",
            "Where the prediction is right, p_label is the confidence.",
            "rows",
            "hit_is_top",
        ),
        Check(
            "squares_consistent",
            "critical",
            "sum_p2 lies between confidence squared and confidence.",
            "rows",
            "squares_fit",
        ),
        Check(
            "entropy_in_range",
            "critical",
            "Entropy lies between 0 and the logarithm of the number of labels.",
            "rows",
            "entropy_fits",
        ),
        Check(
            "same_documents",
            "critical",
            "Every replicate of every arm has the same documents in a slice.",
            "cells",
            "missing",
            **between(high=0),
        ),
        REPLICATES_COMPLETE,
        Check(
            "predictions_vary",
            "warning",
            "Every replicate predicts more than one label.",
            "replicates",
            "labels_predicted",
            **between(2),
        ),
    ),
)
