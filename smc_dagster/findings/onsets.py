"""The onset of rare recall, series by series, on the measured arms.

What belongs here: laying an arm's recall out as replicates x shares, and which series can have an onset at all. What
does not: the comparison of shapes (onset.py), domains (onset_table.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.curves import Floats
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.onset import Onset, find_onset, without_proof
from smc_dagster.study import Study
from smc_dagster.tables import ALL_DOMAINS

# draws of the documents that the noise of a curve is read off
DOCUMENT_DRAWS = 400


@dataclass(frozen=True)
class Curve:
    """Rare recall against share; NaN where an arm or replicate is missing.

    Attributes:
        shares: [shares] realised, in the order of the shares asked.
        values: [replicates, shares].
        by_document: [replicates, draws, shares] the same with the documents drawn anew; the same draws for every curve.
    """

    shares: Floats
    values: Floats
    by_document: Floats


def find_onsets(study: Study, evidence: Evidence, effects: Effects, losing: set[str]) -> dict[str, Onset]:
    """The onset of rare recall on slice `rare`, by series, against the realised share.

    Args:
        losing: series whose loss at the largest share is proven; only they can have an onset.
    """
    realised = evidence.realised_shares()
    found = {}
    for series in study.series:
        onset = recall_onset(study, evidence, effects, series.name, realised, losing)
        if onset is not None:
            found[series.name] = onset
    return found


def recall_onset(
    study: Study, evidence: Evidence, effects: Effects, series: str, shares: Mapping[str, float], losing: set[str]
) -> Onset | None:
    """The onset of one series against the shares given by arm key; None where no arm has a recall."""
    curve = recall_curve(evidence, effects, series, shares)
    if curve is None:
        return None
    onset = find_onset(curve.values, curve.shares, study.findings.level, study.seed, curve.by_document)
    return onset if series in losing else without_proof(onset)


def recall_curve(
    evidence: Evidence, effects: Effects, series: str, shares: Mapping[str, float], domain: str = ALL_DOMAINS
) -> Curve | None:
    """Rare recall of a series in one domain or all; None where no arm has one."""
    recall = evidence.metric("rare_recall", "rare", domain)
    arms = [arm for arm in evidence.of_series(series) if arm.key in recall and (arm.key, "rare") in evidence.outcomes]
    if not arms:
        return None
    replicates = np.unique(np.concatenate([recall[arm.key][0] for arm in arms]))
    drawn = {arm.key: effects.recall_drawn(arm.key, domain)[:, :DOCUMENT_DRAWS] for arm in arms}
    values = np.full((len(replicates), len(arms)), np.nan)
    by_document = np.full((len(replicates), drawn[arms[0].key].shape[1], len(arms)), np.nan)
    for column, arm in enumerate(arms):
        numbers, points = recall[arm.key]
        values[np.searchsorted(replicates, numbers), column] = points
        answered = evidence.outcomes[arm.key, "rare"].replicates
        known = np.isin(answered, replicates)
        by_document[np.searchsorted(replicates, answered[known]), :, column] = drawn[arm.key][known]
    return Curve(np.array([shares[arm.key] for arm in arms]), values, by_document)


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
