"""From bootstrap draws to an interval and a p-value.

What belongs here: reading draws. What does not: making them (findings/draws.py).
"""

from __future__ import annotations

import numpy as np


def interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the draws that are defined; NaN where none is."""
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(draws: np.ndarray) -> float:
    """Two-sided p of no change, by inverting the percentile interval: 2 min(P(d <= 0), P(d >= 0)), at least 2/(B + 1).

    One draw is added to either side (Davison & Hinkley 1997, section 4.2), so it is never 0. NaN without draws.
    """
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return float("nan")
    below, above = int((defined <= 0).sum()), int((defined >= 0).sum())
    return float(min(1.0, 2 * (1 + min(below, above)) / (len(defined) + 1)))
