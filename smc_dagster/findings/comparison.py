"""All rival shapes fitted to many curves at once, and how far a knee leads them.

What belongs here: BIC, held-out error and the statistics read off them. What does not: the shapes (curves.py), which
lead is enough (onset.py), where the knot may lie (knots.py).

Each replicate's own mean over shares is subtracted first: replicates share rows, weights and batch order across
arms, so their level is common to all shares and would only add noise. The mean and not the value at 0 % is
subtracted, because the noise of one point would then sit in all others and look like structure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smc_dagster.findings.curves import Floats, Model, rivals


@dataclass(frozen=True)
class Comparison:
    """Fits of every rival to n data sets; arrays are [n, models] unless said otherwise."""

    models: list[Model]
    bic: Floats
    held_out: Floats
    errors: list[Floats]  # by model: [n, candidates], total squared error
    knots: Floats
    fitted: Floats  # [n, models, shares]

    def best(self, *kinds: str) -> np.ndarray:
        """Index of the model of the lowest BIC among some kinds, [n]."""
        allowed = np.array([model.kind in kinds for model in self.models])
        return np.asarray(np.argmin(np.where(allowed, self.bic, np.inf), axis=1))


def compare(values: Floats, shares: Floats, *, held_out: bool = True) -> Comparison:
    """Fit all rivals to each data set, whole and with each replicate left out.

    BIC = N ln(RSS/N) + (replicates + parameters) ln N, N = replicates x shares (Schwarz 1978). As every replicate
    has every share, least squares over all points is least squares on the mean curve plus the scatter about it.

    Args:
        values: [n, replicates, shares], complete.
        shares: [shares], ascending.
        held_out: whether to fit with each replicate left out too; without it the held-out errors are NaN.
    """
    n, replicates, points = values.shape
    centred = values - values.mean(axis=2, keepdims=True)
    mean = centred.mean(axis=1)
    scatter = np.sum((centred - mean[:, None]) ** 2, axis=(1, 2))
    others = (centred.sum(axis=1, keepdims=True) - centred) / (replicates - 1)
    models = rivals(shares)
    size = replicates * points
    bic, held, knots, fits, errors = [], [], [], [], []
    for model in models:
        fitted, knot, squared = model.fit(mean)
        total = scatter + replicates * np.sum((mean - fitted) ** 2, axis=1)
        # the floor keeps noiseless data from comparing rounding errors
        floor = 1e-12 + 1e-9 * np.sum(centred**2, axis=(1, 2))
        bic.append(size * np.log(np.maximum(total, floor) / size) + (replicates + model.parameters) * np.log(size))
        if held_out:
            predicted = model.fit(others.reshape(-1, points))[0].reshape(n, replicates, points)
            held.append(np.sum((centred - predicted) ** 2, axis=(1, 2)))
        else:
            held.append(np.full(n, np.nan))
        knots.append(knot)
        fits.append(fitted)
        errors.append(scatter[:, None] + replicates * squared)
    return Comparison(models, np.stack(bic, 1), np.stack(held, 1), errors, np.stack(knots, 1), np.stack(fits, 1))


def lead(comparison: Comparison) -> Floats:
    """BIC by which the best knee leads the best of all others, [n]; negative where it is behind."""
    knee = np.array([model.kind == "knee" for model in comparison.models])
    return np.asarray(comparison.bic[:, ~knee].min(axis=1) - comparison.bic[:, knee].min(axis=1))


def foretells(comparison: Comparison) -> np.ndarray:
    """Where the best knee beats all others on replicates held out, [n]."""
    knee = comparison.best("knee")
    smooth = np.array([model.kind != "knee" for model in comparison.models])
    own = comparison.held_out[np.arange(len(knee)), knee]
    return np.asarray(own < comparison.held_out[:, smooth].min(axis=1))


def decline_found(comparison: Comparison) -> np.ndarray:
    """Where some declining model beats the constant on BIC and on held-out replicates, [n]."""
    constant = next(i for i, model in enumerate(comparison.models) if model.kind == "constant")
    better = (comparison.bic < comparison.bic[:, [constant]]) & (
        comparison.held_out < comparison.held_out[:, [constant]] * (1 - 1e-9)
    )
    return np.asarray(better.any(axis=1))
