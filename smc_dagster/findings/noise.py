"""The noise of a curve of recall against share, and curves drawn with it.

What belongs here: parting the noise of replicates from that of the documents that all replicates answer, and drawing
curves whose truth is known with both. What does not: the shapes of the truth (worlds.py), the comparison (onset.py).

A bend that the documents happen to have stands in every replicate: to a comparison that knows only the scatter of
replicates it looks like a fact. So the two are drawn apart: replicates as independent normals, documents as the
bootstrap's own deviations of the mean curve, which keeps how they move together over shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smc_dagster.findings.curves import Floats


@dataclass(frozen=True)
class Noise:
    """The noise of one curve.

    Attributes:
        spread: standard deviation of one replicate at one share, once its own level is taken off.
        shared: [draws, shares] deviations that all replicates have in common; none where documents are not known.
    """

    spread: float
    shared: Floats

    def curves(self, truth: Floats, replicates: int, rng: np.random.Generator) -> Floats:
        """One data set [replicates, shares] around each true curve.

        Args:
            truth: [n, shares].

        Returns:
            [n, replicates, shares].
        """
        n, points = truth.shape
        drawn = truth[:, None] + rng.normal(0, self.spread, (n, replicates, points))
        if len(self.shared):
            drawn = drawn + self.shared[rng.integers(0, len(self.shared), n)][:, None]
        return drawn

    def at(self, kept: list[int]) -> Noise:
        """The noise at some of the shares."""
        return Noise(self.spread, self.shared[:, kept])


def noise_of(values: Floats, by_document: Floats | None = None) -> Noise:
    """The noise of a measured curve.

    The scatter of replicates about their mean curve holds the noise of training and of single answers. Of the spread
    over documents drawn, what replicates do not share is the noise of single answers again and is taken off, by the
    mean covariance of two replicates.

    Args:
        values: [replicates, shares], complete, at least two replicates.
        by_document: [replicates, draws, shares] the same with documents drawn anew.
    """
    replicates, points = values.shape
    centred = values - values.mean(axis=1, keepdims=True)
    scatter = np.sum((centred - centred.mean(axis=0)) ** 2)
    spread = float(np.sqrt(scatter / ((replicates - 1) * (points - 1))))
    if by_document is None:
        return Noise(spread, np.zeros((0, points)))
    moved = by_document - by_document.mean(axis=1, keepdims=True)
    moved = moved - moved.mean(axis=2, keepdims=True)
    mean = moved.mean(axis=0)
    total = float(np.mean(mean**2))
    own = float(np.mean(moved**2))
    # mean square of the mean = shared + (own - shared) / replicates
    shared = max(0.0, (replicates * total - own) / (replicates - 1))
    return Noise(spread, mean * np.sqrt(shared / total) if total > 0 else mean)
