"""What must hold of `mixture_documents`, of one arm or of many.

What belongs here: the rows of mixtures: identity, slots, weights, and that nothing held out is among them. What does
not: budgets and caps (composition_suite.py). Mixtures are the largest tables, so every check is one boolean a row, made
in one vectorised pass.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.quality import groups
from smc_dagster.quality.checks import HAS_ROWS, REPLICATES_COMPLETE, Check, Context, Frames, Suite, between
from smc_dagster.tables import ANCHOR_TRAIN

REQUIRED = ("arm", "replicate", "doc_id", "domain", "label", "provenance", "slot", "weight")
SHOWN = ("arm", "replicate", "domain", "slot", "doc_id", "label", "provenance")


def _frames(table: pa.Table, context: Context) -> Frames:
    real = context.real_documents()
    real_id, doc_id = real.column("doc_id"), table.column("doc_id")
    held_out = real_id.filter(pa.array(~groups.within(real.column("split"), ["train"])))
    grade = groups.grades(table.column("provenance"))
    protected = _protected(context, held_out)
    slot, weight = groups.numbers(table.column("slot")), groups.numbers(table.column("weight"))
    rows = table.select(list(SHOWN))
    for name, column in {
        "whole": groups.present(table, REQUIRED),
        "id_alone": _copies_fit(table, context),
        "slot_alone": groups.alone(table, ("arm", "replicate", "domain", "slot")),
        # nulls are left to `fields_present`
        "slot_fits": ~(slot < 0),
        "weight_fits": ~((weight <= 0) | np.isinf(weight)),
        "graded": (grade >= 0) | groups.bools(pc.is_null(table.column("provenance"))),
        "not_held_out": ~groups.within(doc_id, held_out),
        "known_real": (grade < 0)
        | (grade >= context.synthetic_from.grade)
        | groups.within(doc_id, real_id)
        | (groups.within(table.column("arm"), sorted(context.anchored)) & groups.within(doc_id, protected)),
        "label_known": groups.within(table.column("label"), real.column("label"))
        | groups.bools(pc.is_null(table.column("label"))),
    }.items():
        rows = rows.append_column(name, pa.array(column))
    return {
        "rows": rows,
        "arms": groups.replicates(table),
        "cells": _cells(table, context, protected),
        "table": groups.size(table),
    }


def _protected(context: Context, held_out: pa.ChunkedArray) -> pa.Array:
    """Ids of the training anchors that anchored mixtures hold: not held out by now, of a label still trained on."""
    if not context.anchored:
        return pa.array([], pa.string())
    anchors, real = context.reality_anchors(), context.real_documents()
    trained = real.column("label").filter(pc.equal(real.column("split"), "train"))
    due = groups.within(anchors.column("slice"), [ANCHOR_TRAIN]) & groups.within(anchors.column("label"), trained)
    due &= ~groups.within(anchors.column("doc_id"), held_out)
    due &= groups.grades(anchors.column("provenance")) < context.synthetic_from.grade
    return pc.unique(anchors.column("doc_id").filter(pa.array(due)))


def _copies_fit(table: pa.Table, context: Context) -> groups.Bools:
    """Whether a row's document has no more copies than it may: one, or where rows repeat one more than the fewest."""
    _, document, copies = np.unique(
        groups.keys(table, ("arm", "replicate", "domain", "doc_id")), return_inverse=True, return_counts=True
    )
    _, cell = np.unique(groups.keys(table, ("arm", "replicate", "domain")), return_inverse=True)
    fewest = np.full(int(cell.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(fewest, cell, copies[document])
    repeating = groups.within(table.column("arm"), sorted(context.repeating))
    return np.asarray(copies[document] <= np.where(repeating, fewest[cell] + 1, 1), dtype=bool)


def _cells(table: pa.Table, context: Context, protected: pa.Array) -> pa.Table:
    """One row an arm and replicate: how many of the anchors that it must hold it lacks."""
    held = pa.array(groups.within(table.column("doc_id"), protected))
    found = table.select(["arm", "replicate"]).append_column(
        "held", pc.if_else(held, table.column("doc_id"), pa.scalar(None, pa.string()))
    )
    cells = found.group_by(["arm", "replicate"]).aggregate(
        [("held", "count_distinct", pc.CountOptions(mode="only_valid"))]
    )
    due = np.where(groups.within(cells.column("arm"), sorted(context.anchored)), len(protected), 0)
    lacking = due - np.minimum(groups.numbers(cells.column("held_count_distinct")), due)
    return cells.append_column("anchors_missing", pa.array(lacking))


MIXTURE_SUITE = Suite(
    table="mixture_documents",
    frames=_frames,
    shown={"rows": SHOWN, "arms": ("arm",), "cells": ("arm", "replicate"), "table": ()},
    checks=(
        HAS_ROWS,
        Check("fields_present", "critical", f"No field of {', '.join(REQUIRED)} is null or empty.", "rows", "whole"),
        Check(
            "doc_id_unique",
            "critical",
            "A document is once in a replicate of an arm; in `repeat`, no oftener than others and once more.",
            "rows",
            "id_alone",
        ),
        Check("slot_unique", "critical", "A slot of a domain holds one row.", "rows", "slot_alone"),
        Check("slot_not_negative", "critical", "Slots count from 0.", "rows", "slot_fits"),
        Check("weight_positive", "critical", "Weights are finite and above 0.", "rows", "weight_fits"),
        Check("provenance_known", "critical", "Provenance is on the graded scale.", "rows", "graded"),
        Check("label_known", "critical", "The label is one of the real corpus.", "rows", "label_known"),
        Check(
            "no_held_out_documents",
            "critical",
            "No document of another split than train is mixed in.",
            "rows",
            "not_held_out",
        ),
        Check(
            "anchors_complete",
            "critical",
            "A mixture that protects the training anchors holds them all.",
            "cells",
            "anchors_missing",
            **between(high=0),
        ),
        Check(
            "real_rows_known", "critical", "A row below the synthetic grades is a real document.", "rows", "known_real"
        ),
        REPLICATES_COMPLETE,
    ),
)
