"""The rival shapes of a decline, fitted by grid least squares to many curves at once.

What belongs here: the models of a measure against the synthetic share, their constraints and their fit. What does
not: which of them is believed (onset.py).

Every model is a small set of candidate bases (one a knot, or one a face of its cone), all linear in at most two
coefficients, all bound to decline. A curve is centred on its own mean first, so that no model spends a parameter on
the level. Infeasible candidates are left out; a model with none left falls back to the constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
KNOT_STEP = 0.005
POWERS = (0.25, 0.5, 0.75, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)
Kind = Literal["constant", "smooth", "knee"]
_WORDS = {"loss_of_real": "loss of real rows", "broken_stick": "broken stick", "slowing": "slowing bend"}


def in_words(name: str) -> str:
    """A model's name for people."""
    return _WORDS.get(name, name)


@dataclass(frozen=True)
class Model:
    """One rival shape over given shares.

    Attributes:
        name, kind: e.g. `broken_stick`, `knee`.
        parameters: what BIC charges beyond the replicates' own levels; a knot counts as one.
        bases: [candidates, shares, 2], each centred over shares; a model of one coefficient leaves the second zero.
        at: [candidates] the knot, NaN where the model has none.
        feasible: coefficients [..., 2] to a mask [...].
    """

    name: str
    kind: Kind
    parameters: int
    bases: Floats
    at: Floats
    feasible: Callable[[Floats], NDArray[np.bool_]]

    @cached_property
    def inverse(self) -> Floats:
        """[candidates, 2, shares] pseudo-inverse of each basis."""
        return np.asarray(np.linalg.pinv(self.bases))

    def fit(self, curves: Floats) -> tuple[Floats, Floats, Floats]:
        """Least squares on centred curves.

        Args:
            curves: [n, shares], each with mean 0.

        Returns:
            fitted [n, shares], best knot [n], and the squared error by candidate [n, candidates] (inf: infeasible).
        """
        candidates, points = self.bases.shape[:2]
        shape = (len(curves), candidates, 2)
        coefficients = (curves @ self.inverse.reshape(-1, points).T).reshape(shape)
        along = (curves @ self.bases.transpose(0, 2, 1).reshape(-1, points).T).reshape(shape)
        total = np.sum(curves**2, axis=1, keepdims=True)
        explained = np.sum(coefficients * along, axis=2)
        errors = np.where(self.feasible(coefficients), np.maximum(total - explained, 0.0), np.inf)
        best = np.argmin(errors, axis=1)
        rows = np.arange(len(curves))
        fitted = np.einsum("np,nsp->ns", coefficients[rows, best], self.bases[best])
        found = np.isfinite(errors[rows, best])
        return np.where(found[:, None], fitted, 0.0), np.where(found, self.at[best], np.nan), errors


def rivals(shares: Floats) -> list[Model]:
    """The models compared, simplest first.

    Smooth: a line; a monotone quadratic (speeding up or levelling off); a power of the share, its exponent free; the
    logarithm of the real rows left, the shape that the loss of real rows alone gives (left out where a share is 1);
    and a bend that slows the decline down: what sets in at once and ends early has no onset, yet looks like a step
    where nothing else bends so sharply.
    Knees: a broken stick whose second slope is negative and steeper than the first, and a step down; at least two
    shares lie on each side of a knee.

    Args:
        shares: ascending, at least four.
    """
    return list(_rivals(tuple(float(s) for s in shares)))


@lru_cache(maxsize=16)
def _rivals(shares: tuple[float, ...]) -> tuple[Model, ...]:
    x = np.array(shares)
    top = x[-1]
    none = np.array([np.nan])
    models = [
        _model("constant", "constant", 0, [(0 * x, 0 * x)], none, _falling),
        _model("line", "smooth", 1, [(x, 0 * x)], none, _falling),
        # the two edges of the cone of quadratics that never rise on [0, top], and the cone itself
        _model(
            "quadratic",
            "smooth",
            2,
            [(x**2, 2 * top * x - x**2), (x**2, 0 * x), (2 * top * x - x**2, 0 * x)],
            np.full(3, np.nan),
            _falling,
        ),
        _model("power", "smooth", 2, [(x**p, 0 * x) for p in POWERS], np.full(len(POWERS), np.nan), _falling),
    ]
    if top < 1:
        models.append(_model("loss_of_real", "smooth", 1, [(-np.log1p(-x), 0 * x)], none, _falling))
    knots = np.arange(np.ceil(x[1] / KNOT_STEP - 1e-9), np.floor(x[-2] / KNOT_STEP + 1e-9) + 1) * KNOT_STEP
    stick = [(np.minimum(x, k), np.maximum(x - k, 0)) for k in knots]
    middles = (x[1:-2] + x[2:-1]) / 2
    steps = [((x > k).astype(float), 0 * x) for k in middles]
    models.append(_model("slowing", "smooth", 3, stick, np.full(len(knots), np.nan), _slowing))
    models.append(_model("broken_stick", "knee", 3, stick, knots, _breaking))
    models.append(_model("step", "knee", 2, steps, middles, _falling))
    return tuple(models)


def _model(
    name: str,
    kind: Kind,
    parameters: int,
    columns: list[tuple[Floats, Floats]],
    at: Floats,
    feasible: Callable[[Floats], NDArray[np.bool_]],
) -> Model:
    bases = np.stack([np.stack(pair, axis=1) for pair in columns])
    return Model(name, kind, parameters, bases - bases.mean(axis=1, keepdims=True), at, feasible)


def _falling(coefficients: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.all(coefficients <= 1e-12, axis=-1))


def _slowing(coefficients: Floats) -> NDArray[np.bool_]:
    before, after = coefficients[..., 0], coefficients[..., 1]
    return np.asarray((before <= after) & (after <= 1e-12))


def _breaking(coefficients: Floats) -> NDArray[np.bool_]:
    before, after = coefficients[..., 0], coefficients[..., 1]
    return np.asarray((after < 0) & (after < before))
