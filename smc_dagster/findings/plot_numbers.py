"""The numbers behind each plot: what is drawn is what can be downloaded.

What belongs here: one table a plot. What does not: drawing them (plots.py), or figures of the findings' own tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.evaluation.reliability import reliability
from smc_dagster.findings.collect import Evidence
from smc_dagster.tables import ALL_DOMAINS

CURVE = pa.schema(
    [
        ("series", pa.string()),
        ("share", pa.float64()),
        ("replicates", pa.int64()),
        ("mean", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)
RELIABILITY = pa.schema(
    [
        ("series", pa.string()),
        ("share", pa.float64()),
        ("bin", pa.int64()),
        ("predictions", pa.int64()),
        ("confidence", pa.float64()),
        ("accuracy", pa.float64()),
    ]
)


ARM_RELIABILITY = pa.schema(
    [
        ("slice", pa.string()),
        ("predictions", pa.int64()),
        ("confidence", pa.float64()),
        ("accuracy", pa.float64()),
    ]
)


def arm_reliability(predictions: pa.Table, slices: Sequence[str], bins: int) -> pa.Table:
    """ARM_RELIABILITY of an arm (PREDICTIONS), replicates pooled: a row a bin, by slice in the order given."""
    found: list[dict[str, Any]] = []
    for name in slices:
        part = predictions.filter(pc.field("slice") == name)
        correct = pc.equal(part["predicted"], part["label"]).to_numpy()
        one = reliability(part["confidence"].to_numpy(), correct, bins)
        found += [
            {"slice": name, "predictions": int(n), "confidence": float(confidence), "accuracy": float(accuracy)}
            for n, confidence, accuracy in zip(one.n, one.confidence, one.accuracy, strict=True)
        ]
    return pa.Table.from_pylist(found, schema=ARM_RELIABILITY)


def share_curve(metrics: pa.Table, series: list[str], metric: str, slice_name: str, level: float) -> pa.Table:
    """CURVE: the mean over replicates of a metric over all domains and its t interval, by series and share asked.

    The interval is null where there is one replicate. Series come in the order given, shares ascending.
    """
    from scipy.special import stdtrit

    rows = metrics.filter(
        (pc.field("metric") == metric)
        & (pc.field("slice") == slice_name)
        & (pc.field("domain") == ALL_DOMAINS)
        & pc.field("value").is_valid()
    ).sort_by([("share", "ascending"), ("value", "ascending")])
    found = []
    for name in series:
        own = rows.filter(pc.field("series") == name)
        shares, values = own["share"].to_numpy(), own["value"].to_numpy()
        for share in np.unique(shares):
            part = values[shares == share]
            half = (
                stdtrit(len(part) - 1, (1 + level) / 2) * part.std(ddof=1) / np.sqrt(len(part))
                if len(part) > 1
                else None
            )
            found.append(
                {
                    "series": name,
                    "share": float(share),
                    "replicates": len(part),
                    "mean": float(part.mean()),
                    "low": None if half is None else float(part.mean() - half),
                    "high": None if half is None else float(part.mean() + half),
                }
            )
    return pa.Table.from_pylist(found, schema=CURVE)


def contrasts(effects: pa.Table, kind: str) -> pa.Table:
    """MITIGATION_EFFECTS of one kind of contrast, at all shares that could be compared."""
    return effects.filter((pc.field("contrast") == kind) & pc.field("estimate").is_valid())


def reliability_bins(evidence: Evidence, series: list[str], bins: int) -> pa.Table:
    """RELIABILITY on slice `test`, replicates pooled: each series at 0 % and at its largest share."""
    found: list[dict[str, Any]] = []
    for name in series:
        top = evidence.largest(name)
        for arm in [] if top is None else [evidence.of_series(name)[0], top]:
            outcome = evidence.outcomes.get((arm.key, "test"))
            if outcome is not None:
                one = reliability(outcome.confidence.ravel(), outcome.correct.ravel(), bins)
                for i, (n, confidence, accuracy) in enumerate(zip(one.n, one.confidence, one.accuracy, strict=True)):
                    found.append(
                        {
                            "series": name,
                            "share": arm.share,
                            "bin": i + 1,
                            "predictions": int(n),
                            "confidence": float(confidence),
                            "accuracy": float(accuracy),
                        }
                    )
    return pa.Table.from_pylist(found, schema=RELIABILITY)
