"""How models do on the reality anchors, slice by slice, for the report.

What belongs here: accuracy and signed confidence gap of each series on the natural test split and on every anchor
slice, at its 0 % arm and at its largest share, with their intervals, and which version of the anchors it was. What
does not: changes and verdicts, which the claims have (effects.py).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.findings.collect import Evidence
from smc_dagster.study import Study
from smc_dagster.tables import ANCHOR_EVAL_SLICES

SLICES = ("test", *ANCHOR_EVAL_SLICES)
METRICS = ("accuracy", "gap")
# n: documents; share: the largest asked; the rest are means over replicates at the 0 % arm (`_base`) and there, with
# limits over documents and replicates, null where a slice is empty; gap: mean confidence minus accuracy
ROWS = pa.schema(
    [
        ("series", pa.string()),
        ("slice", pa.string()),
        ("n", pa.int64()),
        ("share", pa.float64()),
        *(
            (f"{metric}{at}{side}", pa.float64())
            for metric in METRICS
            for at in ("_base", "")
            for side in ("", "_low", "_high")
        ),
    ]
)


def versions(evidence: Evidence) -> list[str]:
    """Versions of the anchors that the metrics were measured on, sorted."""
    return sorted(str(one) for one in pc.unique(evidence.metrics["anchors"]).to_pylist() if one is not None)


def slice_table(study: Study, evidence: Evidence) -> pa.Table:
    """ROWS: a row a series and slice, in the study's order, of series with a 0 % arm and another."""
    rows: list[dict[str, Any]] = []
    for one in study.series:
        largest, arms = evidence.largest(one.name), evidence.of_series(one.name)
        if largest is None:
            continue
        for name in SLICES:
            row: dict[str, Any] = {"series": one.name, "slice": name, "share": largest.share}
            row["n"] = _rows(evidence, largest.key, name)
            for metric in METRICS:
                for at, key in (("_base", arms[0].key), ("", largest.key)):
                    sides = evidence.mean_of(metric, name, key, study.findings.level)
                    row |= {f"{metric}{at}{side}": one for side, one in zip(("", "_low", "_high"), sides, strict=True)}
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=ROWS)


def _rows(evidence: Evidence, key: str, slice_name: str) -> int:
    chosen = evidence.metrics.filter(
        (pc.field("arm") == key)
        & (pc.field("slice") == slice_name)
        & (pc.field("metric") == "accuracy")
        & (pc.field("domain") == "*")
    )
    return int(pc.max(chosen["n"]).as_py() or 0)
