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
from smc_dagster.quality.checks import HAS_ROWS, REPLICATES_COMPLETE, Check, Context, Frames, Suite

REQUIRED = ("arm", "replicate", "doc_id", "domain", "label", "provenance", "slot", "weight")
SHOWN = ("arm", "replicate", "domain", "slot", "doc_id", "label", "provenance")


def _frames(table: pa.Table, context: Context) -> Frames:
    real = context.real_documents()
    real_id, doc_id = real.column("doc_id"), table.column("doc_id")
    held_out = real_id.filter(pa.array(~groups.within(real.column("split"), ["train"])))
    grade = groups.grades(table.column("provenance"))
    slot, weight = groups.numbers(table.column("slot")), groups.numbers(table.column("weight"))
    rows = table.select(list(SHOWN))
    for name, column in {
        "whole": groups.present(table, REQUIRED),
        "id_alone": groups.alone(table, ("arm", "replicate", "doc_id")),
        "slot_alone": groups.alone(table, ("arm", "replicate", "domain", "slot")),
        # nulls are left to `fields_present`
        "slot_fits": ~(slot < 0),
        "weight_fits": ~((weight <= 0) | np.isinf(weight)),
        "graded": (grade >= 0) | groups.bools(pc.is_null(table.column("provenance"))),
        "not_held_out": ~groups.within(doc_id, held_out),
        "known_real": (grade < 0) | (grade >= context.synthetic_from.grade) | groups.within(doc_id, real_id),
        "label_known": groups.within(table.column("label"), real.column("label"))
        | groups.bools(pc.is_null(table.column("label"))),
    }.items():
        rows = rows.append_column(name, pa.array(column))
    return {"rows": rows, "arms": groups.replicates(table), "table": groups.size(table)}


MIXTURE_SUITE = Suite(
    table="mixture_documents",
    frames=_frames,
    shown={"rows": SHOWN, "arms": ("arm",), "table": ()},
    checks=(
        HAS_ROWS,
        Check("fields_present", "critical", f"No field of {', '.join(REQUIRED)} is null or empty.", "rows", "whole"),
        Check("doc_id_unique", "critical", "A document is at most once in a replicate of an arm.", "rows", "id_alone"),
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
            "real_rows_known", "critical", "A row below the synthetic grades is a real document.", "rows", "known_real"
        ),
        REPLICATES_COMPLETE,
    ),
)
