"""Which lead of a knee is enough, and how wide its interval must be: both by simulation with a curve's own noise.

What belongs here: the decision on many curves at once, so that the same code judges a measured curve and the
simulated ones that tell how it errs. What does not: words (onset.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smc_dagster.findings import knots
from smc_dagster.findings.comparison import Comparison, compare, foretells, lead
from smc_dagster.findings.curves import Floats
from smc_dagster.findings.noise import Noise

# fewer simulated knees than this tell no quantile of those found: then all count
MIN_FOUND = 20


@dataclass(frozen=True)
class Judged:
    """The decision on n curves; arrays are [n].

    Attributes:
        comparison: the fits.
        lead: BIC by which the best knee leads all other shapes.
        foretold: whether it leads on held-out replicates.
        p_value: share of curves drawn around the best smooth shape with as large a lead; NaN where no knee leads.
        found: whether it is a knee.
        knot, low, high: NaN where it is none.
    """

    comparison: Comparison
    lead: Floats
    foretold: np.ndarray
    p_value: Floats
    found: np.ndarray
    knot: Floats
    low: Floats
    high: Floats


def judge(
    values: Floats, shares: Floats, noise: Noise, level: float, rng: np.random.Generator, simulations: int
) -> Judged:
    """Decide on curves of one noise.

    Args:
        values: [n, replicates, shares], complete.
        shares: [shares], ascending.
        level: 1 - the share of smooth curves that may be called a knee; coverage of the interval.
        simulations: for each curve in which a knee leads.
    """
    n, replicates = values.shape[:2]
    comparison = compare(values, shares)
    ahead, foretold = lead(comparison), foretells(comparison)
    p_value, critical, knot, low, high = np.full((5, n), np.nan)
    leading = np.flatnonzero(ahead > 0)
    if len(leading):
        smooth = comparison.fitted[leading, comparison.best("smooth")[leading]]
        leads = lead(_drawn(smooth, shares, noise, replicates, rng, simulations)).reshape(-1, simulations)
        p_value[leading] = (1 + np.sum(leads >= ahead[leading, None], axis=1)) / (1 + simulations)
        critical[leading] = np.quantile(leads, level, axis=1)
    found = np.nan_to_num(p_value, nan=1.0) <= 1 - level
    found &= foretold
    for i in np.flatnonzero(found).tolist():
        best = int(comparison.best("knee")[i])
        knot[i] = comparison.knots[i, best]
        drawn = _drawn(comparison.fitted[i : i + 1, best], shares, noise, replicates, rng, simulations)
        worse, called = knots.at_knot(drawn, shares, replicates, float(knot[i])), lead(drawn) > max(critical[i], 0.0)
        # "higher", as a knot that no simulated knee speaks for is infinitely worse: then it may lie anywhere
        counted = worse[called] if called.sum() >= MIN_FOUND else worse
        allowed = np.quantile(counted, level, method="higher")
        low[i], high[i] = knots.interval(comparison, i, shares, replicates, float(allowed))
        found[i] = low[i] > shares[1] + 1e-9 or high[i] < shares[-2] - 1e-9
    return Judged(
        comparison, ahead, foretold, p_value, found, *(np.where(found, one, np.nan) for one in (knot, low, high))
    )


def critical_leads(
    truth: Floats,
    shares: Floats,
    noise: Noise,
    replicates: int,
    level: float,
    rng: np.random.Generator,
    simulations: int,
) -> Floats:
    """The lead that curves of each smooth truth reach in 1 - level of simulations, [n]; at least 0.

    Args:
        truth: [n, shares].
    """
    leads = lead(_drawn(truth, shares, noise, replicates, rng, simulations)).reshape(-1, simulations)
    return np.asarray(np.maximum(np.quantile(leads, level, axis=1), 0.0))


def _drawn(
    truth: Floats, shares: Floats, noise: Noise, replicates: int, rng: np.random.Generator, simulations: int
) -> Comparison:
    return compare(noise.curves(np.repeat(truth, simulations, axis=0), replicates, rng), shares, held_out=False)
