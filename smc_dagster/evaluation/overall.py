"""An arm's measures over all domains and replicates, for a person to read.

What belongs here: which measures are shown, and their means with intervals. What does not: the measures (metrics.py),
comparisons between arms (findings).
"""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.evaluation.intervals import over_replicates
from smc_dagster.tables import ALL_DOMAINS

SHOWN = ("rare_recall", "accuracy", "macro_recall", "confidence", "gap", "tail_head_gap", "ece", "nll", "brier")


def over_all_domains(rows: pa.Table, level: float) -> list[dict[str, object]]:
    """Means over replicates of all domains, by slice and metric, with their intervals; None where undefined.

    Args:
        rows: ARM_METRICS of one arm, of all its replicates or some.
        level: coverage of the intervals, as of those in the rows.
    """
    overall = rows.filter(pc.and_(pc.equal(rows["domain"], ALL_DOMAINS), pc.is_in(rows["metric"], pa.array(SHOWN))))
    found: list[dict[str, object]] = []
    for key in sorted(set(zip(overall["slice"].to_pylist(), overall["metric"].to_pylist(), strict=True))):
        own = overall.filter(pc.and_(pc.equal(overall["slice"], key[0]), pc.equal(overall["metric"], key[1])))
        value, lower, upper = (
            own[side].to_numpy(zero_copy_only=False).astype(float) for side in ("value", "low", "high")
        )
        mean, low, high = (None if math.isnan(one) else one for one in over_replicates(value, lower, upper, level))
        found.append(
            {"slice": key[0], "metric": key[1], "mean": mean, "low": low, "high": high, "n": pc.max(own["n"]).as_py()}
        )
    return found
