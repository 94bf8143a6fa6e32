"""The section `gates` of a study file.

What belongs here: its keys and their ranges. What does not: the study that holds it (model.py), holding an arm to it
(release/audit.py), and comparing days (quality/day_drift.py).
"""

from __future__ import annotations

from pydantic import Field

from smc_dagster.study.sources import Model


class DayDrift(Model):
    """Scores from which on a new day counts as drifted, by column; what they mean: quality/drift.py."""

    label: float = Field(default=0.1, gt=0, lt=1, description="Jensen-Shannon distance of the label mix")
    domain: float = Field(default=0.1, gt=0, lt=1, description="Jensen-Shannon distance of the domain mix")
    words: float = Field(default=0.1, gt=0, description="Wasserstein distance, in standard deviations")
    characters: float = Field(default=0.1, gt=0, description="Wasserstein distance, in standard deviations")
    embedding: float = Field(default=0.55, gt=0.5, le=1, description="ROC AUC of a classifier that tells the day")


class Gates(Model):
    """What an arm must hold to be released, beside caps and `findings.margin`; and what a new day must hold."""

    gap: float = Field(
        default=0.1, gt=0, le=1, description="most that mean confidence may exceed accuracy on a slice of rare labels"
    )
    ece: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="most ECE on a slice of rare labels; more is let pass where a calibrated model would show it too",
    )
    contamination: float = Field(
        default=0.0, ge=0, le=1, description="most contaminated rows, as a share of the arm's synthetic rows"
    )
    drift: DayDrift = DayDrift()
