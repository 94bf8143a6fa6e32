"""The calibration error against second implementations, and its conventions at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from smc_dagster.evaluation.calibration import ece, ece_by_group, equal_mass_bins, equal_width_bins, null_band
from smc_dagster.evaluation.reliability import reliability

pytestmark = pytest.mark.unit


def _sample(n: int, seed: int = 0, rounded: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    confidence = rng.beta(4, 2, n)
    if rounded:
        confidence = np.round(confidence * rounded) / rounded
    return confidence.astype(np.float32), rng.random(n) < confidence**1.5


def _mass_by_loop(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Right-closed bins at the quantiles c_(ceil(k n / bins)) of the confidences, in words of edges."""
    n, ascending = len(confidence), sorted(confidence.tolist())
    edges = [ascending[-(-k * n // bins) - 1] for k in range(1, bins + 1)]
    total, low = 0.0, -1.0
    for high in edges:
        inside = [i for i in range(n) if low < confidence[i] <= high]
        total += abs(sum(float(correct[i]) - float(confidence[i]) for i in inside))
        low = high
    return total / n


def _width_by_loop(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    total = 0.0
    for k in range(bins):
        low, high = np.float32(k / bins), np.float32((k + 1) / bins)
        inside = (confidence > low) & (confidence <= high) | ((confidence == 0) & (k == 0))
        total += abs((correct[inside].astype(float) - confidence[inside].astype(float)).sum())
    return total / len(confidence)


@pytest.mark.parametrize("n", [1, 2, 7, 14, 15, 16, 200, 903])
@pytest.mark.parametrize("rounded", [None, 10, 3])
def test_against_loops(n: int, rounded: int | None) -> None:
    confidence, correct = _sample(n, seed=n, rounded=rounded)
    assert ece(confidence, correct) == pytest.approx(_mass_by_loop(confidence, correct, 15), abs=1e-9)
    assert ece(confidence, correct, scheme="width") == pytest.approx(_width_by_loop(confidence, correct, 15), abs=1e-9)


def test_equal_width_against_scikit_learn() -> None:
    confidence, correct = _sample(2000)
    accuracy, mean = calibration_curve(correct, confidence, n_bins=15, strategy="uniform")
    # scikit-learn closes bins on the left, which no confidence of this sample touches
    n = np.bincount(np.floor(confidence.astype(float) * 15).astype(int), minlength=15)
    expected = (np.abs(accuracy - mean) * n[n > 0]).sum() / n.sum()
    assert ece(confidence, correct, scheme="width") == pytest.approx(expected, abs=1e-6)


def test_equal_mass_against_scikit_learn_where_the_bins_are_even() -> None:
    confidence, correct = _sample(1500)
    accuracy, mean = calibration_curve(correct, confidence, n_bins=15, strategy="quantile")
    assert ece(confidence, correct) == pytest.approx(np.abs(accuracy - mean).mean(), abs=1e-6)
    assert np.bincount(equal_mass_bins(confidence, 15)).tolist() == [100] * 15


def test_ties_share_the_lowest_bin_any_of_them_would_reach() -> None:
    confidence = np.array([0.9, 0.5, 0.5, 0.5, 0.2, 0.9], dtype=np.float32)
    assert equal_mass_bins(confidence, 3).tolist() == [2, 0, 0, 0, 0, 2]
    assert equal_mass_bins(np.full(50, 0.7, dtype=np.float32), 15).tolist() == [0] * 50


def test_confidence_of_exactly_one_and_zero() -> None:
    ones = np.ones(4, dtype=np.float32)
    assert equal_width_bins(np.array([0.0, 1.0, 0.99], dtype=np.float32), 15).tolist() == [0, 14, 14]
    for scheme in ("mass", "width"):
        assert ece(ones, np.array([1, 1, 1, 0]), scheme=scheme) == 0.25
        assert ece(ones, np.ones(4), scheme=scheme) == 0.0
        assert ece(np.zeros(4, dtype=np.float32), np.ones(4), scheme=scheme) == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges_are_right_closed_in_either_precision(dtype: type) -> None:
    on_edge = (np.arange(1, 11) / 10).astype(dtype)
    assert equal_width_bins(on_edge, 10).tolist() == list(range(10))
    assert equal_width_bins(np.nextafter(on_edge[:-1], dtype(2)), 10).tolist() == list(range(1, 10))


def test_few_rows_and_none() -> None:
    assert equal_mass_bins(np.array([0.3, 0.8, 0.5], dtype=np.float32), 15).tolist() == [0, 10, 5]
    assert ece(np.array([0.75], dtype=np.float32), np.array([True])) == 0.25
    nothing = np.zeros(0, dtype=np.float32)
    assert np.isnan(ece(nothing, nothing))
    assert np.isnan(null_band(nothing, bins=15, draws=20, seed=0)).all()
    assert equal_mass_bins(nothing, 15).tolist() == []


def test_groups_do_not_touch_each_other() -> None:
    confidence, correct = _sample(700, rounded=20)
    group = np.random.default_rng(1).integers(0, 4, 700)
    group[group == 2] = 3
    found, variance = ece_by_group(confidence, correct, equal_mass_bins(confidence, 15, group), 15, group, 5)
    for one in (0, 1, 3):
        assert found[one] == pytest.approx(ece(confidence[group == one], correct[group == one]), abs=1e-12)
    assert np.isnan(found[[2, 4]]).all()
    assert np.isnan(variance[[2, 4]]).all()
    assert (variance[[0, 1, 3]] > 0).all()


def test_null_band_is_what_a_calibrated_model_shows() -> None:
    confidence, _ = _sample(900)
    low, high = null_band(confidence, bins=15, draws=400, seed=1)
    rng = np.random.default_rng(9)
    drawn = [ece(confidence, rng.random(900) < confidence) for _ in range(300)]
    assert low < np.mean(drawn) < high
    assert 0.9 < np.mean([low <= one <= high for one in drawn]) <= 1.0
    assert (low, high) == null_band(rng.permutation(confidence), bins=15, draws=400, seed=1)
    assert (low, high) != null_band(confidence, bins=15, draws=400, seed=2)
    assert (low, high) != null_band(confidence, bins=15, draws=400, seed=1, key="another slice")
    inner = null_band(confidence, bins=15, draws=400, seed=1, level=0.5)
    assert low < inner[0] < inner[1] < high
    # surer than it is right: outside the band
    assert ece(confidence, rng.random(900) < confidence - 0.1) > high


def test_null_band_of_one_row_and_of_certainty() -> None:
    low, high = null_band(np.array([0.75], dtype=np.float32), bins=15, draws=200, seed=0)
    assert (low, high) == (0.25, 0.75)
    assert null_band(np.ones(9, dtype=np.float32), bins=15, draws=50, seed=0) == (0.0, 0.0)


@pytest.mark.parametrize("scheme", ["mass", "width"])
def test_reliability_bins_add_up_to_the_error(scheme: str) -> None:
    confidence, correct = _sample(333, rounded=40)
    found = reliability(confidence, correct, 15, scheme)
    assert found.n.sum() == 333
    assert (np.diff(found.confidence) > 0).all()
    assert (found.low <= found.confidence + 1e-12).all()
    assert (found.confidence <= found.high + 1e-12).all()
    assert (found.low[1:] > found.high[:-1]).all()
    total = (found.n * np.abs(found.accuracy - found.confidence)).sum() / 333
    assert total == pytest.approx(ece(confidence, correct, 15, scheme), abs=1e-12)
    assert (found.n @ found.accuracy) / 333 == pytest.approx(correct.mean())
    assert len(reliability(confidence[:0], correct[:0], 15, scheme).n) == 0
