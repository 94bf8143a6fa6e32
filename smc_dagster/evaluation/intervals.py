"""Intervals of one replicate's metrics over documents, in closed form and for all groups at once.

What belongs here: from sums by group to limits, and from the limits of several replicates to those of their mean. What
does not: the metrics (metrics.py), paired differences between arms, which are resampled (findings/effects.py).

They answer how far a value would move with other documents of the same kind; the model is held fixed. All arrays are
[groups]; limits are NaN where undefined: a group without rows, and one row's interval of a mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Limits = tuple[Floats, Floats]


def wilson(proportion: Floats, n: Floats, level: float) -> Limits:
    """Score interval of a proportion (Wilson 1927); it is never empty, even where all or none are found.

    Args:
        proportion: 0-1.
        n: rows it rests on. For a weighted mean the effective number, (sum w)^2 / sum w^2 (Kish 1965), which forgoes
            what strata save: the interval is a little wide, and holds at one row a label.
        level: coverage, 0-1.
    """
    from scipy.special import ndtri

    z2 = float(ndtri((1 + level) / 2)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (proportion + z2 / (2 * n)) / (1 + z2 / n)
        half = np.sqrt(z2 * (proportion * (1 - proportion) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    # rounding must not put a limit past the value
    return np.fmin(centre - half, proportion), np.fmax(centre + half, proportion)


def variance_of_mean(value: Floats, mean: Floats, group: NDArray[np.int64], n: NDArray[np.int64]) -> Floats:
    """Squared standard error of each group's mean; NaN below two rows.

    Args:
        value: [rows].
        mean: of each group.
        group: [rows] code of each row's group.
        n: rows of each group.
    """
    squares = np.bincount(group, weights=(value - mean[group]) ** 2, minlength=len(n))
    freedom = (n - 1.0) * n
    return np.asarray(np.divide(squares, freedom, out=np.full(len(n), np.nan), where=n > 1))


def student(value: Floats, variance: Floats, freedom: Floats, level: float, least: float, most: float) -> Limits:
    """value -/+ t standard errors, cut at the range that the metric can take.

    Args:
        value, variance: the estimate and its squared standard error.
        freedom: degrees of freedom of the variance.
        least, most: that range.
    """
    from scipy.special import stdtrit

    half = stdtrit(np.where(freedom > 0, freedom, np.nan), (1 + level) / 2) * np.sqrt(variance)
    return np.maximum(value - half, least), np.minimum(value + half, most)


def over_replicates(value: Floats, low: Floats, high: Floats, level: float) -> tuple[float, float, float]:
    """Mean over replicates, with limits over documents and replicates.

    To each side, the mean square of what a replicate's limit is away from its value (documents; all replicates answer
    the same ones, so that more replicates do not lessen it) is added to the square of the t half-width over replicates:
    variances recovered from limits (Zou & Donner 2008). The noise of single answers is in both: a little wide.

    Args:
        value, low, high: [replicates]; those whose value is NaN do not count.
        level: coverage of the limits given and of those returned.

    Returns:
        mean, low, high; NaN where there is nothing to say it from.
    """
    from scipy.special import stdtrit

    kept = ~np.isnan(value)
    count = int(kept.sum())
    if not count:
        return float("nan"), float("nan"), float("nan")
    value, low, high = value[kept], low[kept], high[kept]
    mean = float(value.mean())
    spread = float(stdtrit(count - 1, (1 + level) / 2) ** 2 * value.var(ddof=1) / count) if count > 1 else 0.0
    below, above = (float(np.sqrt(np.mean((side - value) ** 2) + spread)) for side in (low, high))
    return mean, mean - below, mean + above
