"""Draws, intervals and adjusted p-values of paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from smc_dagster.findings import draws as module
from smc_dagster.findings.draws import combine, document_weights, replicate_weights
from smc_dagster.findings.effects import holm, summarise
from smc_dagster.findings.power import smallest_effect

pytestmark = pytest.mark.unit


def all_weights(strata: np.ndarray, draws: int = 300, seed: int = 1) -> np.ndarray:
    return np.concatenate(list(document_weights(strata, draws, seed, "test")), axis=1)


def test_holm_against_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_smallest_effect_is_2_8_standard_errors():
    assert smallest_effect(0.01, 0.95) == pytest.approx(0.02802, abs=1e-5)
    assert smallest_effect(0.01, 0.95, sides=1) == pytest.approx(0.02486, abs=1e-5)


def test_weights_keep_each_stratum_s_size():
    strata = np.array([4, 4, 4, 7, 7, 9, 2])
    weights = all_weights(strata)
    assert np.allclose(weights[:3].sum(axis=0), 3)
    assert np.allclose(weights[3:5].sum(axis=0), 2)
    assert np.allclose(weights[5:].sum(axis=0), 2)  # strata of one are pooled


def test_weights_do_not_depend_on_the_chunk(monkeypatch):
    strata = np.repeat([0, 1], 20)
    whole = all_weights(strata)
    monkeypatch.setattr(module, "CHUNK_CELLS", 40 * 7)
    assert np.array_equal(whole, all_weights(strata))


def test_documents_alone_in_their_stratum_vary():
    assert all_weights(np.array([0, 0, 0, 1, 2, 3]))[3:].std() > 0


def test_document_variance_is_unbiased_in_small_strata():
    rng = np.random.default_rng(0)
    found, strata = [], np.repeat(np.arange(40), 3)
    for seed in range(60):
        values = rng.normal(size=120) / 120
        found.append((values @ all_weights(strata, 200, seed)).var())
    assert np.mean(found) == pytest.approx(1 / 120, rel=0.1)


def test_one_replicate_has_no_spread():
    assert np.array_equal(replicate_weights(1, 5, 0), np.ones((1, 5)))
    assert replicate_weights(5, 200, 0).sum(axis=0) == pytest.approx(1)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("level", [0.05, 0.01, 0.002])
def test_p_values_of_few_replicates_hold_far_out(count: int, level: float):
    """What survives Holm over many tests lies far out in the tails, where so few replicates have little to show."""
    tries = 4000
    values = np.random.default_rng(count).normal(size=(tries, count))
    below = (values @ replicate_weights(count, 4000, 3) <= 0).mean(axis=1)
    rejected = (2 * np.minimum(below, 1 - below) < level).mean()
    assert rejected == pytest.approx(level, abs=4 * np.sqrt(level / tries) + 0.2 * level)


@pytest.mark.parametrize(("document", "replicate", "single"), [(0.5, 0.0, 0.3), (0.1, 0.05, 0.1), (0.2, 0.05, 1.0)])
def test_intervals_cover_what_they_say(document, replicate, single):
    rng = np.random.default_rng(7)
    n, count, tries, draws = 80, 5, 120, 200
    hits = 0
    for seed in range(tries):
        data = document * rng.normal(size=n) + replicate * rng.normal(size=(count, 1))
        data = data + single * rng.normal(size=(count, n))
        each, values = data @ all_weights(np.zeros(n, int), draws, seed) / n, data.mean(axis=1)
        by_replicate = values @ replicate_weights(count, draws, seed)
        effect = summarise(
            data.mean(), combine(data.mean(), each.mean(axis=0), by_replicate, each, values), 0.95, n, count
        )
        hits += effect.low <= 0 <= effect.high
    assert 0.87 <= hits / tries <= 1.0


def test_the_bound_is_one_sided_and_the_interval_two_sided():
    found = summarise(0.0, np.linspace(-1.0, 1.0, 2001), 0.9, 10, 5)
    assert (found.low, found.bound, found.high) == pytest.approx((-0.9, -0.8, 0.9))


def test_p_values_are_never_zero_and_two_sided():
    draws = np.linspace(-0.03, -0.01, 999)
    assert summarise(-0.02, draws, 0.95, 10, 5).p_value == pytest.approx(2 / 1000)
    assert summarise(0.02, -draws, 0.95, 10, 5).p_value == pytest.approx(2 / 1000)
    assert summarise(0.0, np.zeros(99), 0.95, 10, 5).p_value == 1.0
