"""The same arms under another threshold of what counts as synthetic, side by side.

What belongs here: the share of an arm's rows that counts from a grade on, and the onset and safe share against that
share. What does not: mixing, which goes by the study's own threshold (`synthetic_from`), and the effects of an arm
against its 0 % arm, which are the same whatever its rows are called.

A text is not simply synthetic or real: an edited document is nearer to a person's hand than a generated one. Mixtures
displace real rows by rows of a pool at or above `synthetic_from`. A higher threshold lets fewer of these rows count, so
the arms move to the left on the axis of shares, and a series none of whose rows count says nothing about synthetic text
in that sense.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.mixtures import Mixtures
from smc_dagster.findings.onset import Onset
from smc_dagster.findings.onsets import recall_onset
from smc_dagster.study import Arm, Provenance, Study
from smc_dagster.tables import ALL_DOMAINS, PROVENANCE_THRESHOLDS

NOT_COUNTED = "not_counted"
# a share under so little counts as none: a stray row must not make an axis
LEAST_SHARE = 0.005


def thresholds(study: Study) -> list[Provenance]:
    """The grades that findings are drawn from on, ascending; the first is the one that mixtures go by."""
    return [study.synthetic_from, *study.findings.synthetic_from]


def counted_shares(mixtures: Mixtures, arms: list[Arm], grades: list[Provenance]) -> dict[str, list[float]]:
    """Share of an arm's rows, over all replicates, whose provenance is at or above each grade; by arm key.

    Raises:
        LakeError: a mixture is missing or damaged.
    """
    scale = {one.value: one.grade for one in Provenance}
    found = {}
    for arm in arms:
        counts = mixtures.grades(arm)
        total = max(1, sum(counts.values()))
        found[arm.key] = [
            sum(n for value, n in counts.items() if scale[value] >= grade.grade) / total for grade in grades
        ]
    return found


def build_thresholds(
    study: Study,
    mixtures: Mixtures,
    evidence: Evidence,
    effects: Effects,
    onsets: dict[str, Onset],
    losing: set[str],
    safe_shares: pa.Table,
) -> pa.Table:
    """PROVENANCE_THRESHOLDS: a row for each series with synthetic rows and threshold; empty where the study names one.

    Args:
        onsets: by series, against the realised share: those of the mixtures' own threshold.
        losing: series whose loss at the largest share is proven.
        safe_shares: SAFE_SHARES; the row of all domains is carried over to the share that counts.
    """
    grades = thresholds(study)
    if len(grades) < 2:
        return PROVENANCE_THRESHOLDS.schema.empty_table()
    safe = {row["series"]: row for row in safe_shares.to_pylist() if row["domain"] == ALL_DOMAINS}
    rows: list[dict[str, Any]] = []
    for series in study.series:
        arms = evidence.of_series(series.name)
        if series.is_control or series.name not in onsets:
            continue
        counted = counted_shares(mixtures, arms, grades)
        for place, grade in enumerate(grades):
            shares = {arm.key: counted[arm.key][place] for arm in arms}
            onset = onsets[series.name] if place == 0 else _onset(study, evidence, effects, series.name, shares, losing)
            proven = safe.get(series.name, {})
            at_safe = proven.get("arm")
            rows.append(
                {
                    "synthetic_from": grade.value,
                    "series": series.name,
                    "share": arms[-1].share,
                    "counted_base": shares[arms[0].key],
                    "counted": shares[arms[-1].key],
                    "status": onset.status,
                    "best_model": onset.best_model or None,
                    "knot": onset.knot,
                    "low": onset.low,
                    "high": onset.high,
                    "safe_share": proven.get("share"),
                    "safe_counted": None if at_safe is None or onset.status == NOT_COUNTED else shares[at_safe],
                    "note": onset.note,
                }
            )
    return pa.Table.from_pylist(rows, schema=PROVENANCE_THRESHOLDS.schema)


def _onset(
    study: Study, evidence: Evidence, effects: Effects, series: str, shares: dict[str, float], losing: set[str]
) -> Onset:
    spread = np.ptp(list(shares.values()))
    if spread < LEAST_SHARE:
        note = "none of the rows that this series brings in count as synthetic from this grade on"
        return Onset(NOT_COUNTED, "", None, None, None, note, {})
    found = recall_onset(study, evidence, effects, series, shares, losing)
    return found if found is not None else Onset("insufficient_data", "", None, None, None, "no recall measured", {})
