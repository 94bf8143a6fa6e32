"""The onset of rare recall, series by series, on the measured arms.

What belongs here: laying an arm's recall out as replicates x shares, and which series can have an onset at all. What
does not: the comparison of shapes (onset.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.onset import Onset, find_onset, without_proof
from smc_dagster.study import Study


def find_onsets(study: Study, evidence: Evidence, losing: set[str]) -> dict[str, Onset]:
    """The onset of rare recall on slice `rare`, by series, against the realised share.

    Args:
        losing: series whose loss at the largest share is proven; only they can have an onset.
    """
    realised = evidence.realised_shares()
    found = {}
    for series in study.series:
        onset = recall_onset(study, evidence, series.name, realised, losing)
        if onset is not None:
            found[series.name] = onset
    return found


def recall_onset(
    study: Study, evidence: Evidence, series: str, shares: Mapping[str, float], losing: set[str]
) -> Onset | None:
    """The onset of one series against the shares given by arm key; None where no arm has a recall."""
    recall = evidence.metric("rare_recall", "rare")
    arms = [arm for arm in evidence.of_series(series) if arm.key in recall]
    if not arms:
        return None
    replicates = np.unique(np.concatenate([recall[arm.key][0] for arm in arms]))
    values = np.full((len(replicates), len(arms)), np.nan)
    for column, arm in enumerate(arms):
        numbers, points = recall[arm.key]
        values[np.searchsorted(replicates, numbers), column] = points
    onset = find_onset(values, np.array([shares[arm.key] for arm in arms]), study.findings.level, study.seed)
    return onset if series in losing else without_proof(onset)


def losing_series(study: Study, evidence: Evidence, effects: Effects) -> set[str]:
    """Series whose loss of rare recall at their largest share is proven against replicates and documents."""
    found = set()
    for series in study.series:
        arm = evidence.largest(series.name)
        if arm is not None:
            base = evidence.of_series(series.name)[0]
            effect = effects.change(arm.key, base.key, "rare_recall", relative=True)
            if effect is not None and effect.high < 0:
                found.add(series.name)
    return found
