"""Interval and p-value of bootstrap draws, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from smc_dagster.evaluation.resampling import interval, p_value

DRAWS = np.random.default_rng(3).normal(1.0, 1.0, 999)


def test_interval_holds_its_level() -> None:
    low, high = interval(DRAWS, 0.9)
    assert np.mean((low <= DRAWS) & (high >= DRAWS)) == pytest.approx(0.9, abs=0.003)
    assert interval(np.append(DRAWS, np.nan), 0.9) == (low, high)


def test_p_value_counts_draws_beyond_nothing() -> None:
    assert p_value(DRAWS) == pytest.approx(2 * (1 + (DRAWS <= 0).sum()) / 1000)
    assert p_value(-DRAWS) == p_value(DRAWS)
    assert p_value(np.abs(DRAWS)) == 2 / 1000
    assert p_value(np.zeros(50)) == 1.0


def test_without_draws_there_is_no_figure() -> None:
    empty = np.full(5, np.nan)
    assert np.isnan(interval(empty)).all()
    assert np.isnan(p_value(empty))
