"""The onset is called only where a knee is there to be seen."""

from __future__ import annotations

import numpy as np
import pytest

from smc_dagster.findings.onset import compare, find_onset, knee_found, without_proof

pytestmark = pytest.mark.unit

SHARES = np.arange(0, 0.61, 0.1)
FINE = np.arange(0, 0.61, 0.05)


def curves(truth, noise: float, replicates: int = 5, sets: int = 1, seed: int = 0, shares=SHARES) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level = rng.normal(0.3, 0.02, (sets, replicates, 1))
    return level + truth(shares) + rng.normal(0, noise, (sets, replicates, len(shares)))


def test_a_strong_knee_is_identified_and_its_interval_covers_it():
    found = find_onset(curves(lambda x: -0.4 * np.maximum(x - 0.35, 0), 0.004, shares=FINE)[0], FINE, 0.95, 1)
    assert found.status == "identified"
    assert found.best_model == "broken_stick"
    assert found.low <= 0.35 <= found.high
    assert found.high - found.low < 0.1


def test_a_step_is_identified_between_its_two_shares():
    found = find_onset(curves(lambda x: -0.06 * (x > 0.35), 0.004)[0], SHARES, 0.95, 1)
    assert (found.status, found.best_model) == ("identified", "step")
    assert found.low == pytest.approx(0.3)
    assert found.high == pytest.approx(0.4)


@pytest.mark.parametrize("truth", [lambda x: -0.1 * x, lambda x: -0.2 * x**2, lambda x: 0.06 * np.log(1 - x)])
def test_a_smooth_decline_is_not_a_knee(truth):
    found = find_onset(curves(truth, 0.004, seed=3)[0], SHARES, 0.95, 1)
    assert found.status == "smooth_decline"
    assert found.knot is found.low is found.high is None


@pytest.mark.parametrize("truth", [lambda x: 0 * x, lambda x: 0.1 * x])
def test_level_and_rising_curves_do_not_decline(truth):
    found = find_onset(curves(truth, 0.004, seed=4)[0], SHARES, 0.95, 1)
    assert (found.status, found.best_model) == ("no_decline", "constant")


@pytest.mark.parametrize(
    "truth",
    [
        lambda x: 0 * x,
        lambda x: -0.1 * x,
        lambda x: -0.17 * x**2,
        lambda x: 0.06 * np.log(1 - x),
        lambda x: -0.3 * x**3,
    ],
)
def test_few_knees_are_called_where_there_is_none(truth):
    found = knee_found(compare(curves(truth, 0.01, sets=400, seed=5), SHARES))
    assert found.mean() < 0.1


def test_most_strong_knees_are_called():
    found = knee_found(compare(curves(lambda x: -0.4 * np.maximum(x - 0.35, 0), 0.005, sets=200, shares=FINE), FINE))
    assert found.mean() > 0.9


def test_the_interval_covers_the_knot_at_about_its_level():
    data = curves(lambda x: -0.4 * np.maximum(x - 0.34, 0), 0.008, sets=40, seed=6, shares=FINE)
    found = [find_onset(one, FINE, 0.95, 1) for one in data]
    covered = [one.low <= 0.34 <= one.high for one in found if one.status == "identified"]
    assert len(covered) > 25
    assert np.mean(covered) > 0.85


@pytest.mark.parametrize(("shares", "replicates"), [(SHARES[:4], 5), (SHARES, 2)])
def test_too_few_data_say_so(shares, replicates):
    found = find_onset(curves(lambda x: -0.5 * x, 0.001, replicates, shares=shares)[0], shares, 0.95, 1)
    assert found.status == "insufficient_data"
    assert "needed" in found.note


def test_a_knee_without_a_proven_loss_is_no_decline():
    found = find_onset(curves(lambda x: -0.06 * (x > 0.35), 0.004)[0], SHARES, 0.95, 1)
    told = without_proof(found)
    assert (told.status, told.knot, told.low, told.high) == ("no_decline", None, None, None)
    assert found.note in told.note
    few = find_onset(curves(lambda x: 0 * x, 0.004)[0][:2], SHARES, 0.95, 1)
    assert without_proof(few) == few


def test_incomplete_replicates_do_not_count():
    values = curves(lambda x: -0.5 * x, 0.001)[0]
    values[:3, 2] = np.nan
    assert find_onset(values, SHARES, 0.95, 1).status == "insufficient_data"


def test_arms_that_a_cap_held_back_are_not_a_plateau():
    reached = np.minimum(SHARES, 0.401)
    values = curves(lambda x: -0.3 * np.minimum(x, 0.4), 0.003)[0]
    found = find_onset(values, reached, 0.95, 1)
    assert found.status == "smooth_decline"
    assert "left out" in found.note


def test_order_of_replicates_and_shares_is_nothing():
    values = curves(lambda x: -0.4 * np.maximum(x - 0.35, 0), 0.006, shares=FINE)[0]
    one = find_onset(values, FINE, 0.95, 1)
    turned = find_onset(values[::-1, ::-1], FINE[::-1], 0.95, 1)
    assert (one.status, one.knot, one.low, one.high) == (turned.status, turned.knot, turned.low, turned.high)
