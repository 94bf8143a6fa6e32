"""What each arm was mixed of, as the report shows it.

What belongs here: MIXTURE_COMPOSITION summed over domains. What does not: how mixtures are made (mixing), or shares by
domain.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.sentences import share

COMPOSED = ("rows_real", "rows_synthetic", "shortfall")
WHYS = ("cap", "pool", "anchors")
COMPOSITION = pa.schema(
    [
        ("arm", pa.string()),
        ("share", pa.float64()),
        ("reached", pa.float64()),
        ("rows_real", pa.float64()),
        ("rows_synthetic", pa.float64()),
        ("shortfall", pa.float64()),
        *((f"domains_held_by_{why}", pa.int64()) for why in WHYS),
    ]
)


def by_arm(evidence: Evidence) -> pa.Table:
    """COMPOSITION, a row an arm: rows over all domains, mean over replicates; shares are 0-1."""
    rows = []
    reached = evidence.realised_shares()
    for arm in evidence.arms:
        own = evidence.composition.filter(pc.field("arm") == arm.key)
        if own.num_rows == 0:
            continue
        replicates = len(pc.unique(own["replicate"]))
        sums = {name: pc.sum(own[name]).as_py() or 0 for name in ("budget", *COMPOSED)}
        short = own.filter(pc.field("shortfall") > 0)
        rows.append(
            {
                "arm": arm.key,
                "share": arm.share,
                "reached": reached[arm.key] if sums["budget"] else None,
                **{name: sums[name] / replicates for name in COMPOSED},
                **{f"domains_held_by_{why}": len(_distinct(short, why)) for why in WHYS},
            }
        )
    return pa.Table.from_pylist(rows, schema=COMPOSITION)


def printed(numbers: pa.Table) -> list[dict[str, Any]]:
    """COMPOSITION, ready to print."""
    rows = []
    for row in numbers.to_pylist():
        held = {why: row[f"domains_held_by_{why}"] for why in WHYS}
        whys = [f"{count} by {why}" for why, count in held.items() if count]
        rows.append(
            {
                "arm": row["arm"],
                "asked": share(row["share"]),
                "reached": share(row["reached"]),
                **{name: f"{row[name]:,.0f}" for name in COMPOSED},
                "why": "domains held back: " + ", ".join(whys) if whys else "–",
            }
        )
    return rows


def _distinct(table: pa.Table, why: str) -> set[str]:
    return {str(name) for name in table.filter(pc.field("why") == why)["domain"].to_pylist()}
