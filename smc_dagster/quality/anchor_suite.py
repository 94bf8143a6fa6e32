"""What must hold of `reality_anchors`, of one version.

What belongs here: that every slice is there, that edits come from held-out documents and differ from them, and that no
frozen evaluation document is trained on. What does not: which documents are chosen (corpora/anchors.py), that a frozen
version is what it was (smc_dagster/frozen.py).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.edits import EDITS
from smc_dagster.quality import groups
from smc_dagster.quality.checks import HAS_ROWS, Check, Context, Frames, Suite, between
from smc_dagster.tables import ANCHOR_EVAL_SLICES, ANCHOR_TRAIN, TRAINING_SPLITS

SLICES = (ANCHOR_TRAIN, *ANCHOR_EVAL_SLICES)
REQUIRED = ("version", "slice", "doc_id", "domain", "label", "is_tail", "text", "provenance")
SHOWN = ("slice", "doc_id", "domain", "label", "edit", "parent_doc_id", "distance")


def _frames(table: pa.Table, context: Context) -> Frames:
    real = context.real_documents()
    split = pc.take(real.column("split"), pc.index_in(table.column("doc_id"), real.column("doc_id").combine_chunks()))
    parent = pc.index_in(table.column("parent_doc_id"), real.column("doc_id").combine_chunks(), skip_nulls=True)
    parent_split = pc.take(real.column("split"), parent)
    # a document that has left the corpus since is in no split
    trained = groups.within(split, TRAINING_SPLITS)
    is_edit = groups.within(table.column("slice"), ("adversarial",))
    to_train = groups.within(table.column("slice"), (ANCHOR_TRAIN,))
    distance = groups.numbers(table.column("distance"))
    rows = table.select(list(SHOWN))
    for name, broken in {
        "whole": ~groups.present(table, REQUIRED),
        "alone": ~groups.alone(table, ("slice", "doc_id")),
        "slice_known": ~groups.within(table.column("slice"), SLICES),
        "edit_told": is_edit != groups.within(table.column("edit"), tuple(sorted(EDITS))),
        "parent_told": is_edit != groups.bools(pc.is_valid(table.column("parent_doc_id"))),
        "edited_only": is_edit & groups.within(table.column("doc_id"), real.column("doc_id")),
        "parent_held_out": is_edit & groups.bools(pc.not_equal(parent_split, "anchor_eval")),
        "differs": is_edit & groups.bools(pc.equal(table.column("text"), pc.take(real.column("text"), parent))),
        "held_out": ~is_edit & ~to_train & trained,
        "trainable": to_train & ~trained & groups.bools(pc.is_valid(split)),
        "far": ~is_edit & ~((distance >= 0) & (distance <= 2)),
    }.items():
        rows = rows.append_column(name, pa.array(~np.asarray(broken, dtype=bool)))
    slices = groups.counted(table.column("slice"), "slice", SLICES)
    edits = groups.counted(table.column("edit"), "edit", sorted(EDITS))
    versions = pa.table({"versions": [pc.count_distinct(table.column("version")).as_py()]})
    return {"rows": rows, "slices": slices, "edits": edits, "versions": versions, "table": groups.size(table)}


ANCHOR_SUITE = Suite(
    table="reality_anchors",
    frames=_frames,
    shown={"rows": SHOWN, "slices": ("slice",), "edits": ("edit",), "versions": (), "table": ()},
    checks=(
        HAS_ROWS,
        Check("one_version", "critical", "All rows are of one version.", "versions", "versions", **between(1, 1)),
        Check("fields_present", "critical", f"No field of {', '.join(REQUIRED)} is null or empty.", "rows", "whole"),
        Check("row_unique", "critical", "A document is once in a slice.", "rows", "alone"),
        Check("slice_known", "critical", f"The slice is one of {', '.join(SLICES)}.", "rows", "slice_known"),
        Check("slices_filled", "warning", "Every slice holds documents.", "slices", "rows", **between(1)),
        Check("edits_filled", "warning", "Every kind of edit is there.", "edits", "rows", **between(1)),
        Check("edit_told", "critical", "Adversarial documents, and no others, name their edit.", "rows", "edit_told"),
        Check(
            "parent_told", "critical", "Adversarial documents, and no others, name their parent.", "rows", "parent_told"
        ),
        Check("edited_only", "critical", "No adversarial document is one of the corpus.", "rows", "edited_only"),
        Check(
            "parent_held_out",
            "critical",
            "The parent of an adversarial document is of the split anchor_eval, if it is in the corpus.",
            "rows",
            "parent_held_out",
        ),
        Check(
            "text_differs", "critical", "The text of an adversarial document is not its parent's.", "rows", "differs"
        ),
        Check("held_out", "critical", "No document of the evaluation slices is trained on.", "rows", "held_out"),
        # a later near-duplicate can tie one to a held-out document, which wins
        Check(
            "trainable",
            "warning",
            "Documents of anchor_train are of the split train, if they are in the corpus.",
            "rows",
            "trainable",
        ),
        Check("distance_in_range", "critical", "Distances of real documents are within 0-2.", "rows", "far"),
    ),
)
