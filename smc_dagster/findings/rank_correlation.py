"""Spearman's rank correlation over few pairs, with interval, p-value and what it could have seen.

What belongs here: the statistic. What does not: what is correlated (domain_sensitivity.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from smc_dagster.evaluation.seeding import generator
from smc_dagster.findings.power import POWER

Floats = NDArray[np.float64]
# fewer pairs say nothing: at 7, only a correlation beyond .9 would be seen with power .8
LEAST_PAIRS = 8
_PERMUTATIONS = 9999


@dataclass(frozen=True)
class RankCorrelation:
    """A rank correlation.

    Attributes:
        rho: -1 to 1.
        low, high: interval at the level asked.
        p_value: two-sided, by permutation, never 0.
        smallest: least true correlation, in size, that would be told from 0 with power .8.
    """

    rho: float
    low: float
    high: float
    p_value: float
    smallest: float


def rank_correlation(one: Floats, other: Floats, level: float, seed: int, purpose: str) -> RankCorrelation | None:
    """Spearman's rho of pairs [n], ties at mean ranks.

    The interval is Fisher's z with the variance (1 + rho^2 / 2) / (n - 3) of Bonett & Wright (2000), made for few
    pairs. The p-value permutes one side (9,999 draws; one is added to either count).

    Args:
        seed, purpose: of the stream of permutations.

    Returns:
        None for fewer than LEAST_PAIRS pairs, or where one side does not vary.
    """
    from scipy.stats import rankdata

    n = len(one)
    if n < LEAST_PAIRS or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    ours, theirs = (rankdata(side) - (n + 1) / 2 for side in (one, other))
    scale = float(np.sqrt((ours @ ours) * (theirs @ theirs)))
    rho = float(np.clip(ours @ theirs / scale, -1.0, 1.0))
    shuffled = generator(purpose, seed).permuted(np.tile(theirs, (_PERMUTATIONS, 1)), axis=1) @ ours / scale
    p_value = float((1 + np.count_nonzero(np.abs(shuffled) >= abs(rho) - 1e-9)) / (_PERMUTATIONS + 1))
    normal = NormalDist()
    upper = normal.inv_cdf((1 + level) / 2)
    middle = float(np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12)))
    half = upper * float(np.sqrt((1 + rho**2 / 2) / (n - 3)))
    low, high = np.tanh([middle - half, middle + half])
    seen = float(np.tanh((upper + normal.inv_cdf(POWER)) / np.sqrt(n - 3)))
    return RankCorrelation(rho, float(low), float(high), p_value, seen)
