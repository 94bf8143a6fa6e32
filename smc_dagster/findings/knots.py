"""Where the knot of a knee may lie.

What belongs here: the profile over knots and its interval. What does not: whether there is a knee (onset.py).

The profile of a knot is by how much BIC is worse when a knee is held there than at its best: over both kinds of knee,
as which of them fits is not known either. The textbook's F quantile takes the noise for independent and the knee for
given. Neither holds: documents are shared by replicates, and only curves that look like a knee get an interval at
all. So the quantile is simulated, from the fitted knee with the curve's own noise, among curves that would have been
called a knee.
"""

from __future__ import annotations

import numpy as np

from smc_dagster.findings.comparison import Comparison
from smc_dagster.findings.curves import Floats


def profiles(comparison: Comparison, shares: Floats, replicates: int) -> tuple[Floats, Floats, Floats]:
    """Every place that a knot was tried at.

    Returns:
        low, high [candidates]: what a candidate speaks for; a broken stick its knot alone, a step all between two
        shares; and [n, candidates], BIC above that of the best knee.
    """
    size = replicates * len(shares)
    lows, highs, scores = [], [], []
    for model, errors in zip(comparison.models, comparison.errors, strict=True):
        if model.kind == "knee":
            step = model.name == "step"
            place = np.searchsorted(shares, model.at)
            lows.append(shares[place - 1] if step else model.at)
            highs.append(shares[place] if step else model.at)
            # the floor keeps noiseless data from comparing rounding errors
            floored = np.maximum(errors, 1e-12)
            scores.append(size * np.log(floored / size) + (replicates + model.parameters) * np.log(size))
    found = np.concatenate(scores, axis=1)
    least = found.min(axis=1, keepdims=True)
    # a curve that no knee fits has none nearer than another
    worse = found - np.where(np.isfinite(least), least, 0.0)
    return np.concatenate(lows), np.concatenate(highs), worse


def at_knot(comparison: Comparison, shares: Floats, replicates: int, knot: float) -> Floats:
    """BIC above the best knee's of the best candidate that speaks for a knot, [n]; inf where none does."""
    low, high, worse = profiles(comparison, shares, replicates)
    width = np.diff(np.unique(low[low == high])).min() if (low == high).sum() > 1 else 0.0
    speaks = (low - width / 2 - 1e-9 <= knot) & (knot <= high + width / 2 + 1e-9)
    return np.asarray(np.min(np.where(speaks, worse, np.inf), axis=1))


def interval(comparison: Comparison, row: int, shares: Floats, replicates: int, allowed: float) -> tuple[float, float]:
    """Ends of all that candidates speak for whose BIC is worse than the best by at most `allowed`, in one curve."""
    low, high, worse = profiles(comparison, shares, replicates)
    within = worse[row] <= allowed + 1e-9
    return float(low[within].min()), float(high[within].max())
