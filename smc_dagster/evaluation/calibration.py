"""Expected calibration error: its bins, its value by group, and what perfect calibration would show.

What belongs here: binning rules and ECE. What does not: which rows form a group (metrics.py), diagrams
(reliability.py).

Top-label ECE = sum over bins of (n_bin / n) |accuracy - mean confidence| (Naeini, Cooper & Hauskrecht 2015; Guo et al.
2017). Conventions, the same in every use:
- equal mass (primary): with documents in ascending order of confidence, a document whose confidence first appears at
  0-based rank f of n falls in bin floor(f * bins / n). Equal confidences share a bin, the lowest any of them would
  reach: the bins are right-closed at the quantiles of the confidences. With n < bins each distinct value has its own.
- equal width: bin k holds k/bins < confidence <= (k + 1)/bins; 0 goes to the first bin, exactly 1.0 to the last. Edges
  are rounded to the precision of the confidences, so that a float32 .2 lies on the edge at .2.
- no documents: NaN.
"""

from __future__ import annotations

import numpy as np

from smc_dagster.evaluation.intervals import variance_of_mean
from smc_dagster.evaluation.seeding import generator

# uniform draws held at once: 16 MB of float32
CHUNK_ELEMENTS = 4_000_000


def equal_mass_bins(confidence: np.ndarray, bins: int, group: np.ndarray | None = None) -> np.ndarray:
    """Bin of each row, 0 to bins - 1, within its group.

    Args:
        confidence: [n] top-1 probabilities.
        bins: number of bins.
        group: [n] code of the group that each row is binned in; one group without it.
    """
    n = len(confidence)
    if group is None:
        group = np.zeros(n, dtype=np.int64)
    order = np.lexsort((confidence, group))
    sorted_group, sorted_confidence = group[order], confidence[order]
    sizes = np.bincount(group)
    starts = np.concatenate([[0], np.cumsum(sizes)])[sorted_group]
    fresh = np.ones(n, dtype=bool)
    fresh[1:] = (sorted_confidence[1:] != sorted_confidence[:-1]) | (sorted_group[1:] != sorted_group[:-1])
    first = np.maximum.accumulate(np.where(fresh, np.arange(n), 0))
    out = np.empty(n, dtype=np.int64)
    # whole numbers throughout: a rank exactly on an edge must not depend on rounding
    out[order] = (first - starts) * bins // sizes[sorted_group]
    return out


def equal_width_bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Bin of each row, 0 to bins - 1; right-closed, 0 in the first."""
    uppers = (np.arange(1, bins + 1) / bins).astype(confidence.dtype)
    return np.minimum(np.searchsorted(uppers, confidence, side="left"), bins - 1)


def bins_of(confidence: np.ndarray, bins: int, scheme: str) -> np.ndarray:
    """Bin of each row of one group; `scheme` is `mass` or `width`."""
    return equal_mass_bins(confidence, bins) if scheme == "mass" else equal_width_bins(confidence, bins)


def ece_by_group(
    confidence: np.ndarray, correct: np.ndarray, bin_of: np.ndarray, bins: int, group: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Expected calibration error of each group, 0-1, and its squared standard error, [groups] each.

    With the sign of its bin on each row's difference, the error is a mean over rows; the second figure is that mean's
    (delta method, bins and signs held fixed). The error is NaN for an empty group, its variance below two rows.
    """
    difference = correct.astype(np.float64) - confidence
    cell = group * bins + bin_of
    cells = np.bincount(cell, weights=difference, minlength=groups * bins)
    sizes = np.bincount(group, minlength=groups)
    total = np.abs(cells).reshape(groups, bins).sum(axis=1)
    error = np.asarray(np.divide(total, sizes, out=np.full(groups, np.nan), where=sizes > 0))
    return error, variance_of_mean(np.sign(cells)[cell] * difference, error, group, sizes)


def ece(confidence: np.ndarray, correct: np.ndarray, bins: int = 15, scheme: str = "mass") -> float:
    """Expected calibration error of one group; `scheme` is `mass` or `width`."""
    if not len(confidence):
        return float("nan")
    bin_of = bins_of(confidence, bins, scheme)
    return float(ece_by_group(confidence, correct, bin_of, bins, np.zeros(len(confidence), dtype=np.int64), 1)[0][0])


def null_band(
    confidence: np.ndarray,
    *,
    bins: int,
    draws: int,
    seed: int,
    key: object = "",
    level: float = 0.95,
    scheme: str = "mass",
) -> tuple[float, float]:
    """Where the ECE would lie if the model were perfectly calibrated at these confidences.

    Outcomes are drawn as Bernoulli(confidence) (Vaicenavicius et al. 2019, consistency resampling). Rows of equal
    confidence are exchangeable, so the band does not depend on the order of rows.

    Args:
        confidence: [n] top-1 probabilities.
        bins, draws, seed: of the ECE, and of the resampling.
        key: names the stream beside the seed.
        level: share of draws inside the band; .95 gives the 2.5 and 97.5 percentiles.
        scheme: `mass` or `width`.

    Returns:
        low, high; NaN where there are no rows.
    """
    n = len(confidence)
    if not n:
        return float("nan"), float("nan")
    ascending = np.sort(confidence)
    bin_of = bins_of(ascending, bins, scheme)
    starts = np.flatnonzero(np.diff(bin_of, prepend=-1))
    expected = np.add.reduceat(ascending.astype(np.float64), starts)
    probability = ascending.astype(np.float32)
    rng = generator("ece null band", seed, key)
    parts = []
    chunk = max(1, CHUNK_ELEMENTS // n)
    for first in range(0, draws, chunk):
        hits = rng.random((min(chunk, draws - first), n), dtype=np.float32) < probability
        found = np.add.reduceat(hits, starts, axis=1, dtype=np.int32)
        parts.append(np.abs(found - expected).sum(axis=1) / n)
    low, high = np.quantile(np.concatenate(parts), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
