"""Findings back from the lake.

What belongs here: reading what was drawn before. What does not: drawing (draw.py), or who writes and under which
fingerprint (the caller: it knows the lineage).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from smc_dagster.findings.collect import collect
from smc_dagster.findings.draw import Findings, find_onsets, reach
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Arm, Study
from smc_dagster.tables import COLLAPSE_ONSET, HEADLINE, MITIGATION_EFFECTS, SAFE_SHARES

PAGE = "report/index.html"
SUMMARY = "report/findings.json"


def load_findings(
    study: Study, lake: Lake, arms: Iterable[Arm] | None = None, lineage: Lineage | None = None
) -> Findings:
    """The findings as they stand in the lake, with the evidence read anew.

    Args:
        arms: the arms they were drawn from; by default all of the study's.
        lineage: leaves out arms whose results are stale.

    Raises:
        StaleInputError: a findings table is not in the lake.
        LakeError: see `collect`.
    """
    headline = lake.read(HEADLINE)
    evidence = collect(study, lake, arms, lineage)
    losing = {row["series"] for row in headline.to_pylist() if row["measure"] == "rare_recall" and row["high"] < 0}
    return Findings(
        headline=headline,
        onset=lake.read(COLLAPSE_ONSET),
        safe_shares=lake.read(SAFE_SHARES),
        mitigation_effects=lake.read(MITIGATION_EFFECTS),
        notes=[*evidence.notes, *reach(study, evidence, headline)],
        evidence=evidence,
        onsets=find_onsets(study, evidence, losing),
    )


def read_summary(lake: Lake) -> dict[str, Any] | None:
    """The summary as written beside the report; None where there is none that can be read."""
    try:
        shown = json.loads(lake.fs.cat_file(lake.place(*SUMMARY.split("/"))))
    except (OSError, ValueError):
        return None
    return shown if isinstance(shown, dict) else None
