"""Two published results of recursive training, through the metrics and the resampling that studies go through.

What belongs here: toys whose truth is known in closed form. What does not: anything about text.

- Linear regression that is fitted again and again to its own output (Gerstgrasser et al. 2024, theorem 1, after Mobahi,
  Farajtabar & Bartlett 2020 and Dohmatob et al. 2024): with T rows, d weights and noise sigma, the first fit's error is
  E_1 = sigma^2 d / (T - d - 1). Where each generation's data replace the last one's, the n-th error is n E_1; where
  they accumulate it is E_1 (1 + 1/4 + ... + 1/n^2), below E_1 pi^2 / 6.
- A discrete distribution fitted by its frequencies (Kazdan et al. 2024): a category that was not drawn has probability
  zero for good. Under `replace` the rare ones go first and all but one go in the end; with the real rows kept none.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from smc_dagster.evaluation.metrics import Measured, measure, outcomes
from smc_dagster.evaluation.resampling import interval, p_value
from smc_dagster.findings.draws import replicate_weights
from smc_dagster.tables import PREDICTIONS

pytestmark = pytest.mark.unit
ROWS, WEIGHTS, SIGMA, GENERATIONS, REPLICATES, DRAWS = 48, 8, 0.5, 8, 1500, 400


@cache
def regression(accumulate: bool) -> np.ndarray:
    """[replicates, generations] squared error of the weights, which is the excess test error under isotropic inputs."""
    rng = np.random.default_rng(20)
    truth = rng.normal(size=(REPLICATES, WEIGHTS, 1))
    inputs = rng.normal(size=(REPLICATES, ROWS, WEIGHTS))
    gram, crossed = np.zeros((REPLICATES, WEIGHTS, WEIGHTS)), np.zeros((REPLICATES, WEIGHTS, 1))
    source, errors = truth, []
    for _ in range(GENERATIONS):
        answers = inputs @ source + SIGMA * rng.normal(size=(REPLICATES, ROWS, 1))
        own = inputs.transpose(0, 2, 1) @ inputs, inputs.transpose(0, 2, 1) @ answers
        gram, crossed = (gram + own[0], crossed + own[1]) if accumulate else own
        source = np.linalg.solve(gram, crossed)
        errors.append(((source - truth) ** 2).sum(axis=(1, 2)))
    return np.stack(errors, axis=1)


def ratios(errors: np.ndarray) -> np.ndarray:
    """[draws, generations] error over the first generation's, replicates drawn as a study draws them."""
    drawn = replicate_weights(REPLICATES, DRAWS, 7).T @ errors
    return drawn / drawn[:, :1]


def test_the_first_fit_has_the_error_of_theory() -> None:
    expected = SIGMA**2 * WEIGHTS / (ROWS - WEIGHTS - 1)
    for accumulate in (False, True):
        assert regression(accumulate)[:, 0].mean() == pytest.approx(expected, rel=0.04)


def test_replaced_data_make_the_error_grow_linearly() -> None:
    drawn = ratios(regression(accumulate=False))
    for generation in range(2, GENERATIONS + 1):
        low, high = interval(drawn[:, generation - 1], 0.99)
        assert low <= generation <= high
        assert high - low < 0.3 * generation
    # no bend: what the second half adds is what the first half added
    middle, half = drawn[:, GENERATIONS // 2 - 1], GENERATIONS // 2
    bend = (drawn[:, -1] - middle) / half - (middle - 1) / (half - 1)
    assert p_value(bend) > 0.05
    assert p_value(drawn[:, -1] - math.pi**2 / 6) < 0.01


def test_accumulated_data_keep_the_error_bounded() -> None:
    drawn = ratios(regression(accumulate=True))
    for generation in range(2, GENERATIONS + 1):
        expected = sum(1 / k**2 for k in range(1, generation + 1))
        low, high = interval(drawn[:, generation - 1], 0.99)
        assert low <= expected <= high < math.pi**2 / 6
        assert high - low < 0.15


CATEGORIES, SAMPLE, STEPS, WORLDS = 24, 60, 12, 150
# Zipf's, so that a dozen categories are expected less than twice in a sample
CHANCES = 1 / np.arange(1, CATEGORIES + 1) / (1 / np.arange(1, CATEGORIES + 1)).sum()
RARE = CHANCES * SAMPLE < 2


@cache
def fitted(accumulate: bool) -> np.ndarray:
    """[steps + 1, worlds, categories] frequencies: of the real rows, then of each generation's training rows."""
    rng = np.random.default_rng(30)
    counts = rng.multinomial(SAMPLE, CHANCES, size=WORLDS)
    held, found = counts, [counts / SAMPLE]
    for _ in range(STEPS):
        counts = rng.multinomial(SAMPLE, found[-1])
        held = held + counts if accumulate else counts
        found.append(held / held.sum(axis=1, keepdims=True))
    return np.stack(found)


def scored(chances: np.ndarray) -> dict[str, Measured]:
    """Metrics by world where each real document of a category is found if the fit can still bring the category forth.

    A document a category and world; what the fit knows of it is the category's frequency.
    """
    worlds, categories = chances.shape
    world, category = np.divmod(np.arange(worlds * categories), categories)
    names = np.array([f"c{k:02d}" for k in range(categories)])
    p = chances.ravel()
    table = pa.table(
        {
            "arm": ["toy@100"] * p.size,
            "replicate": pa.array(world.astype(np.int32)),
            "doc_id": names[category],
            "slice": ["test"] * p.size,
            "domain": ["toy"] * p.size,
            "label": names[category],
            "is_tail": RARE[category],
            "predicted": np.where(p > 0, names[category], "lost"),
            "confidence": np.repeat(chances.max(axis=1), categories).astype(np.float32),
            "p_label": p.astype(np.float32),
            "sum_p2": np.repeat((chances**2).sum(axis=1), categories).astype(np.float32),
            "entropy": np.zeros(p.size, np.float32),
        },
        schema=PREDICTIONS.schema,
    )
    rows = outcomes(table)
    return measure(rows, rows.replicate, worlds, 15, 0.95)


def survival() -> np.ndarray:
    """[steps + 1, categories] chance that a category is still drawn: the chain of its own count, binomial each time."""
    counts = np.arange(SAMPLE + 1)
    step = binom.pmf(counts[None, :], SAMPLE, counts[:, None] / SAMPLE)
    state = binom.pmf(counts[None, :], SAMPLE, CHANCES[:, None])
    found = [1 - state[:, 0]]
    for _ in range(STEPS):
        state = state @ step
        found.append(1 - state[:, 0])
    return np.stack(found)


@pytest.mark.parametrize("generation", [0, 1, 4, STEPS])
def test_rare_recall_falls_as_zero_counts_are_for_good(generation: int) -> None:
    found = scored(fitted(accumulate=False)[generation])
    drawn = replicate_weights(WORLDS, DRAWS, 7).T
    for metric, counted in (("rare_recall", RARE), ("macro_recall", np.ones(CATEGORIES, bool))):
        expected = survival()[generation, counted].mean()
        low, high = interval(drawn @ found[metric].value, 0.99)
        assert low <= expected <= high
        assert high - low < 0.08
        assert found[metric].n.tolist() == [counted.sum()] * WORLDS
    # the chance that two draws agree rises as 1 - (1 - sum p^2) (1 - 1/T)^(g + 1)
    agree = 1 - (1 - (CHANCES**2).sum()) * (1 - 1 / SAMPLE) ** (generation + 1)
    brier = 1 - 2 / CATEGORIES + agree
    low, high = interval(drawn @ found["brier"].value, 0.99)
    assert low <= brier <= high


def test_what_is_lost_stays_lost_and_the_rare_go_first() -> None:
    counts = fitted(accumulate=False)
    there = counts > 0
    assert not (there[1:] & ~there[:-1]).any()
    lost = [1 - scored(one)["rare_recall"].value.mean() for one in counts]
    assert (np.diff(lost) > 0).all()
    assert lost[-1] > 0.8
    common = 1 - there[:, :, ~RARE].mean(axis=(1, 2))
    assert (np.array(lost) > 1.5 * common).all()


def test_real_rows_that_are_kept_keep_every_category() -> None:
    counts = fitted(accumulate=True)
    first, last = (scored(one)["rare_recall"].value for one in (counts[0], counts[-1]))
    assert (last == first).all()
    replaced = scored(fitted(accumulate=False)[-1])["rare_recall"].value
    assert p_value(replicate_weights(WORLDS, DRAWS, 7).T @ (last - replaced)) < 0.01
