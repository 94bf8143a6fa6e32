"""The rules of the verdicts."""

from __future__ import annotations

import pytest

from smc_dagster.findings.claims import CONFIDENCE, RARE_RECALL
from smc_dagster.findings.effects import Effect
from smc_dagster.findings.headline import draws_suffice, effect_verdict, needed, onset_verdict
from smc_dagster.findings.onset import Onset

pytestmark = pytest.mark.unit


def effect(low: float, high: float) -> Effect:
    return Effect((low + high) / 2, low, high, low, 0.001, 0.01, 0.03, 500, 5)


def onset(status: str, low: float | None = None, high: float | None = None) -> Onset:
    return Onset(status, "", low, low, high, "", {})


@pytest.mark.parametrize(
    ("claim", "low", "high", "p_holm", "verdict"),
    [
        (RARE_RECALL, -0.30, -0.10, 0.01, "supported"),  # holds the claimed figure, excludes 0
        (RARE_RECALL, -0.40, -0.25, 0.01, "supported"),  # exceeds it
        (RARE_RECALL, -0.30, -0.10, 0.20, "undecided"),  # does not survive the adjustment
        (RARE_RECALL, -0.30, 0.02, 0.20, "undecided"),
        (RARE_RECALL, -0.15, -0.05, 0.01, "contradicted"),  # a lesser loss
        (RARE_RECALL, -0.05, 0.03, 1.00, "contradicted"),  # none
        (RARE_RECALL, 0.05, 0.10, 0.01, "contradicted"),  # a gain
        (CONFIDENCE, 0.10, 0.20, 0.01, "supported"),
        (CONFIDENCE, 0.01, 0.05, 0.01, "contradicted"),
        (CONFIDENCE, -0.20, -0.10, 0.01, "contradicted"),
        (CONFIDENCE, float("nan"), float("nan"), 1.0, "undecided"),
    ],
)
def test_verdict_of_an_effect(claim, low, high, p_holm, verdict):
    assert effect_verdict(claim, effect(low, high), p_holm, 0.95) == verdict


@pytest.mark.parametrize(
    ("found", "earlier", "top", "largest", "verdict"),
    [
        (onset("identified", 0.35, 0.39), None, None, 0.6, "supported"),
        (onset("identified", 0.20, 0.30), None, None, 0.6, "contradicted"),
        (onset("smooth_decline"), effect(-0.1, -0.02), None, 0.6, "contradicted"),  # set in before the range
        (onset("smooth_decline"), effect(-0.1, 0.02), None, 0.6, "undecided"),
        (onset("smooth_decline"), None, None, 0.6, "undecided"),
        (onset("no_decline"), None, effect(-0.05, 0.05), 0.6, "contradicted"),
        (onset("no_decline"), None, effect(-0.30, 0.05), 0.6, "undecided"),  # could not have seen the claimed loss
        (onset("no_decline"), None, effect(-0.05, 0.05), 0.4, "undecided"),  # never went past the range
        (onset("insufficient_data"), effect(-0.1, -0.02), effect(-0.3, -0.2), 0.6, "undecided"),
    ],
)
def test_verdict_of_the_onset(found, earlier, top, largest, verdict):
    assert onset_verdict(found, earlier, top, largest) == verdict


def test_an_open_verdict_says_what_would_do():
    blunt = Effect(-0.1, -0.4, 0.2, -0.4, 0.5, 0.15, 0.42, 300, 5)
    told = needed("undecided", blunt, 0.21)
    assert told == {"n_needed": 1200, "replicates_needed": 20}
    nothing = {"n_needed": None, "replicates_needed": None}
    assert needed("contradicted", blunt, 0.21) == nothing
    assert needed("undecided", blunt, 0.5) == nothing  # an effect of that size would have been seen
    assert needed("undecided", None, 0.21) == nothing


def test_too_few_draws_are_noticed():
    assert draws_suffice(12, 2000, 0.95)
    assert not draws_suffice(12, 400, 0.95)
