"""The benchmark of known truths tells a world with a knee from one without, through the code of the findings."""

from __future__ import annotations

import numpy as np
import pytest

from bench.answers import World, evidence, study, wobble_for
from bench.known_truth import SHARES, best_possible, bounds, run
from smc_dagster.findings.noise import noise_of
from smc_dagster.findings.worlds import knee, smooth

pytestmark = pytest.mark.unit

DESIGN = study(["replace"], SHARES, 5, 200)


def test_answers_scatter_as_asked_and_follow_the_world():
    wobble = wobble_for(DESIGN, 0.02)
    change = smooth("quadratic", 0.2, SHARES)
    seen = evidence(DESIGN, World("known", {"replace": change}), 3, wobble)
    recall = seen.metric("rare_recall", "rare")
    values = np.stack([recall[arm.key][1] for arm in DESIGN.arms], axis=1)
    assert noise_of(values).spread == pytest.approx(0.02, rel=0.25)
    assert values.mean(axis=0) - values[:, 0].mean() == pytest.approx(change, abs=0.04)


def test_a_knee_is_found_and_a_line_is_not():
    bent = run(World("knee", {"replace": knee(0.3, -1.0, SHARES)}), DESIGN, 2, 0.01, 0.3)
    assert bent.found.all()
    straight = run(World("line", {"replace": smooth("linear", 0.3, SHARES)}), DESIGN, 2, 0.01)
    assert not straight.found.any()


def test_the_best_test_finds_large_knees_and_guesses_at_none():
    assert best_possible(0 * SHARES) == pytest.approx(0.05)
    powers = [best_possible(knee(0.4, slope, SHARES)) for slope in (-0.2, -0.35, -0.7, -1.4)]
    assert powers == sorted(powers)
    assert powers[-1] > 0.99


def test_bounds_of_a_rate_against_published_values():
    # Clopper-Pearson 95 % of 0 in 10 and of 5 in 10
    assert bounds(np.zeros(10, bool)) == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert bounds(np.arange(10) < 5) == pytest.approx((0.1871, 0.8129), abs=1e-4)
