"""What a reliability diagram shows.

What belongs here: bins of confidence with their accuracy. What does not: drawing (findings), the single figure of
miscalibration (calibration.py, whose binning rules hold here too).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smc_dagster.evaluation.calibration import bins_of


@dataclass(frozen=True)
class Reliability:
    """Bins that hold documents, in ascending order of confidence; all arrays are [bins that are not empty].

    Attributes:
        low, high: least and greatest confidence in the bin.
        confidence: mean confidence.
        accuracy: share correct.
        n: rows.
    """

    low: np.ndarray
    high: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    n: np.ndarray


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = 15, scheme: str = "mass") -> Reliability:
    """Bin outcomes by confidence; `scheme` is `mass` or `width`. No rows give empty arrays."""
    order = np.argsort(confidence, kind="stable")
    ascending = confidence[order].astype(np.float64)
    if not len(ascending):
        nothing = np.zeros(0)
        return Reliability(nothing, nothing, nothing, nothing, np.zeros(0, dtype=np.int64))
    # binned before widening: float32 edges belong to float32 confidences
    sorted_as_given = confidence[order]
    bin_of = bins_of(sorted_as_given, bins, scheme)
    starts = np.flatnonzero(np.diff(bin_of, prepend=-1))
    n = np.diff(np.append(starts, len(ascending)))
    return Reliability(
        low=ascending[starts],
        high=ascending[starts + n - 1],
        confidence=np.add.reduceat(ascending, starts) / n,
        accuracy=np.add.reduceat(correct[order].astype(np.float64), starts) / n,
        n=n,
    )
