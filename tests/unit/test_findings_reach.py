"""What the search for a knee could have seen, and domains that borrow from their series."""

from __future__ import annotations

import numpy as np
import pytest

from smc_dagster.findings.noise import Noise
from smc_dagster.findings.onsets import Curve
from smc_dagster.findings.pooling import between_variance, own_weights, pooled
from smc_dagster.findings.power import enough
from smc_dagster.findings.reach import nearest_smooth, reach
from smc_dagster.findings.worlds import SMOOTH, knee, smooth

pytestmark = pytest.mark.unit

SHARES = np.arange(0, 0.61, 0.1)


def measured(spread: float, seed: int = 3, base: float = 0.6) -> tuple[np.ndarray, Noise, float]:
    rng = np.random.default_rng(seed)
    values = base + smooth("linear", 0.1, SHARES) + rng.normal(0, spread, (5, len(SHARES)))
    return values, Noise(spread, np.zeros((0, len(SHARES)))), spread * np.sqrt(2 / 5)


def test_less_noise_sees_smaller_knees_and_errs_as_little():
    found = [reach(*pair[:1], SHARES, 0.95, 1, *pair[1:], 60) for pair in (measured(0.004), measured(0.016))]
    sharp, blunt = (one.smallest_knee for one in found)
    assert blunt < 2 * sharp < 0
    for one in found:
        assert one.false_knees <= 0.13
        assert one.coverage >= 0.85


def test_where_noise_drowns_all_no_knee_is_seen():
    found = reach(*measured(0.3)[:1], SHARES, 0.95, 1, *measured(0.3)[1:], 20)
    assert found.smallest_knee is None


def test_the_nearest_smooth_shape_is_the_smooth_truth_itself():
    truth = np.stack([smooth(shape, 0.1, SHARES) for shape in SMOOTH])
    near = nearest_smooth(truth, SHARES)
    assert near == pytest.approx(truth - truth.mean(axis=1, keepdims=True), abs=1e-9)
    bent = knee(0.3, -0.5, SHARES)[None]
    assert np.abs(nearest_smooth(bent, SHARES) - (bent - bent.mean())).max() > 0.003


def test_enough_grows_with_the_square():
    assert enough(100, 0.4, 0.2) == 400
    assert enough(100, 0.1, 0.2) == 100
    assert enough(100, 0.3, 0.0) is None
    assert enough(100, float("nan"), 0.2) is None


def test_variance_between_against_a_worked_example():
    # equal variances: tau^2 = sample variance of the estimates less the variance
    estimates = np.array([1.0, 2.0, 4.0, 5.0])
    assert between_variance(estimates, np.full(4, 0.5)) == pytest.approx(estimates.var(ddof=1) - 0.5)
    assert between_variance(estimates, np.full(4, 9.0)) == 0.0
    assert between_variance(np.array([1.0]), np.array([0.5])) == 0.0


def curve(slope: float, spread: float, seed: int) -> Curve:
    rng = np.random.default_rng(seed)
    values = 0.5 + slope * SHARES + rng.normal(0, spread, (5, len(SHARES)))
    common = rng.normal(0, spread, (1, 200, len(SHARES)))
    return Curve(SHARES, values, values[:, None] + common)


def test_domains_weigh_by_how_far_they_differ_and_how_well_they_are_known():
    apart = {"a": curve(-0.8, 0.01, 1), "b": curve(-0.1, 0.01, 2), "c": curve(-0.4, 0.01, 3), "d": curve(-0.4, 0.3, 4)}
    weights = own_weights(apart)
    assert min(weights[name] for name in "abc") > 0.9
    assert weights["d"] < 0.7
    alike = {name: curve(-0.4, 0.1, seed) for name, seed in zip("abcd", (10, 11, 12, 13), strict=True)}
    assert max(own_weights(alike).values()) < 0.5
    assert own_weights({"a": curve(-0.4, 0.01, 1)}) == {"a": 0.0}
    assert own_weights({"a": Curve(SHARES[:3], np.ones((5, 3)), np.ones((5, 9, 3)))}) == {}


def test_pooling_goes_from_the_series_to_the_domain():
    one, whole = curve(-0.8, 0.01, 1), curve(-0.4, 0.01, 2)
    for weight, same in ((0.0, whole), (1.0, one)):
        made = pooled(one, whole, weight)
        assert made.values == pytest.approx(same.values)
        assert made.by_document == pytest.approx(same.by_document)
