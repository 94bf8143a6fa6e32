"""Whether decline sets in at a share, or comes on smoothly, or not at all.

What belongs here: the comparison of the rival shapes (curves.py), the status that follows, and the interval of the
knot. What does not: comparison with the published figures (headline.py).

Each replicate's own mean over shares is subtracted first: replicates share rows, weights and batch order across
arms, so their level is common to all shares and would only add noise. The mean and not the value at 0 % is
subtracted, because the noise of one point would then sit in all others and look like structure. A knee is
`identified` only where a knee model beats every smooth rival and the constant both by BIC and on held-out
replicates, its interval is narrower than the range searched, and the loss at the largest share is itself proven (the
caller knows; see `without_proof`). The design's own rate of false knees is simulated and told beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator, Philox

from smc_dagster.findings.curves import Floats, Model, in_words, rivals

MIN_SHARES = 5
MIN_REPLICATES = 3
# a realised share must exceed the one before by so much to count as a further point on the axis
MIN_SPACING = 0.005
SIMULATIONS = 400
# the search over knots flatters a knee; a lead under 2 is "not worth more than a bare mention" (Kass & Raftery
# 1995)
BIC_LEAD = 2.0


@dataclass(frozen=True)
class Onset:
    """What the rival shapes say about one curve.

    Attributes:
        status: `identified`, `smooth_decline`, `no_decline` or `insufficient_data`.
        best_model: the model of the lowest BIC; empty where there were too few data.
        knot, low, high: shares; None unless identified.
        note: why, in words.
        scores: by model: BIC less the lowest BIC, and the held-out root mean squared error.
        false_knees: share of simulated smooth curves of the same noise that this procedure calls a knee; NaN unless
            tested.
    """

    status: str
    best_model: str
    knot: float | None
    low: float | None
    high: float | None
    note: str
    scores: dict[str, tuple[float, float]]
    false_knees: float = float("nan")


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


def compare(values: Floats, shares: Floats) -> Comparison:
    """Fit all rivals to each data set, whole and with each replicate left out.

    BIC = N ln(RSS/N) + (replicates + parameters) ln N, N = replicates x shares (Schwarz 1978). As every replicate
    has every share, least squares over all points is least squares on the mean curve plus the scatter about it.

    Args:
        values: [n, replicates, shares], complete.
        shares: [shares], ascending.
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
        predicted = model.fit(others.reshape(-1, points))[0].reshape(n, replicates, points)
        held.append(np.sum((centred - predicted) ** 2, axis=(1, 2)))
        knots.append(knot)
        fits.append(fitted)
        errors.append(scatter[:, None] + replicates * squared)
    return Comparison(models, np.stack(bic, 1), np.stack(held, 1), errors, np.stack(knots, 1), np.stack(fits, 1))


def knee_found(comparison: Comparison) -> np.ndarray:
    """Where the best knee beats all others on BIC and on held-out replicates, [n]."""
    rows = np.arange(len(comparison.bic))
    knee = comparison.best("knee")
    smooth = np.array([model.kind != "knee" for model in comparison.models])
    by_bic = comparison.bic[rows, knee] + BIC_LEAD < comparison.bic[:, smooth].min(axis=1)
    by_held = comparison.held_out[rows, knee] < comparison.held_out[:, smooth].min(axis=1)
    return np.asarray(by_bic & by_held)


def decline_found(comparison: Comparison) -> np.ndarray:
    """Where some declining model beats the constant on BIC and on held-out replicates, [n]."""
    constant = next(i for i, model in enumerate(comparison.models) if model.kind == "constant")
    better = (comparison.bic < comparison.bic[:, [constant]]) & (
        comparison.held_out < comparison.held_out[:, [constant]] * (1 - 1e-9)
    )
    return np.asarray(better.any(axis=1))


def knot_interval(comparison: Comparison, model: int, shares: Floats, replicates: int, level: float) -> Floats:
    """Profile-F interval of a knot: all knots with RSS(k) <= RSS_min (1 + F_level(1, df) / df).

    df = N - replicates - parameters. A step's knot lies anywhere between two shares.

    Returns:
        [low, high], shares.
    """
    from scipy.stats import f

    one = comparison.models[model]
    errors = comparison.errors[model][0]
    freedom = replicates * (len(shares) - 1) - one.parameters
    within = errors <= errors.min() * (1 + f.ppf(level, 1, freedom) / freedom) + 1e-15
    knots = one.at[within]
    if one.name != "step":
        return np.array([knots.min(), knots.max()])
    gaps = np.searchsorted(shares, knots)
    return np.array([shares[gaps.min() - 1], shares[gaps.max()]])


def find_onset(values: Floats, shares: Floats, level: float, seed: int) -> Onset:
    """Compare the rivals on one curve and say which status follows.

    Args:
        values: [replicates, shares]; NaN where an arm or replicate is missing.
        shares: [shares] the realised shares.
        level: coverage of the knot's interval.
        seed: of the simulation of false knees.
    """
    order = np.argsort(shares, kind="stable")
    shares, values = shares[order], values[:, order]
    # caps and short pools make arms whose realised share hardly grows: they would look like a plateau
    kept = [0] if len(shares) else []
    for i in range(1, len(shares)):
        if shares[i] - shares[kept[-1]] > MIN_SPACING:
            kept.append(i)
    dropped = len(shares) - len(kept)
    shares, values = shares[kept], values[:, kept]
    complete = values[~np.isnan(values).any(axis=1)]
    notes = (
        [f"{dropped} arm(s) left out: their realised share does not exceed that of the arm before"] if dropped else []
    )
    if len(shares) < MIN_SHARES or len(complete) < MIN_REPLICATES:
        notes.insert(
            0,
            f"{len(shares)} distinct shares and {len(complete)} complete replicates; "
            f"{MIN_SHARES} and {MIN_REPLICATES} are needed",
        )
        return Onset("insufficient_data", "", None, None, None, "; ".join(notes), {})
    comparison = compare(complete[None], shares)
    names = [model.name for model in comparison.models]
    scores = {
        name: (
            float(comparison.bic[0, i] - comparison.bic[0].min()),
            float(np.sqrt(comparison.held_out[0, i] / complete.size)),
        )
        for i, name in enumerate(names)
    }
    best = names[int(np.argmin(comparison.bic[0]))]
    if not decline_found(comparison)[0]:
        notes.insert(0, "no declining shape beats the constant on BIC and on held-out replicates")
        return Onset("no_decline", best, None, None, None, "; ".join(notes), scores)
    false_knees = _false_knees(comparison, complete, shares, seed)
    notes.append(
        f"a smooth curve with this noise is called a knee in {false_knees * 100:.0f} % of {SIMULATIONS} simulations"
    )
    knee = int(comparison.best("knee")[0])
    smooth = names[int(comparison.best("smooth", "constant")[0])]
    if not knee_found(comparison)[0]:
        lead = comparison.bic[0, knee] - min(comparison.bic[0, names.index(smooth)], comparison.bic[0, 0])
        if lead < 0:
            short = f"less than {BIC_LEAD:g}" if lead > -BIC_LEAD else "but not on held-out replicates"
            why = f"the {in_words(names[knee])} leads the {in_words(smooth)} by {-lead:.1f} BIC, {short}"
        else:
            behind = f"the best, a {in_words(names[knee])}, is {lead:.1f} BIC behind"
            why = f"the {in_words(smooth)} fits as well as any knee ({behind})"
        return Onset("smooth_decline", best, None, None, None, "; ".join([why, *notes]), scores, false_knees)
    low, high = knot_interval(comparison, knee, shares, len(complete), level)
    searched = comparison.models[knee].at
    if names[knee] != "step" and low <= searched[0] + 1e-9 and high >= searched[-1] - 1e-9:
        notes.insert(0, f"a {in_words(names[knee])} fits best, but its knot could lie anywhere in the range searched")
        return Onset("smooth_decline", best, None, None, None, "; ".join(notes), scores, false_knees)
    gain = comparison.bic[0, names.index(smooth)] - comparison.bic[0, knee]
    why = (
        f"a {in_words(names[knee])} beats every smooth rival (the next, the {in_words(smooth)}, by {gain:.1f} BIC), "
        "also on held-out replicates"
    )
    knot = float(comparison.knots[0, knee])
    return Onset("identified", best, knot, float(low), float(high), "; ".join([why, *notes]), scores, false_knees)


def without_proof(found: Onset) -> Onset:
    """The same comparison where the loss at the largest share is not proven: no decline, hence no onset.

    The comparison of shapes sees the noise of replicates but not that of the documents, which all replicates share. A
    bend that the documents happen to have must not pass for a decline.
    """
    if found.status not in ("identified", "smooth_decline"):
        return found
    why = "no loss at the largest share is proven against the noise of replicates and documents; the shapes alone say: "
    return replace(found, status="no_decline", knot=None, low=None, high=None, note=why + found.note)


def _false_knees(comparison: Comparison, values: Floats, shares: Floats, seed: int) -> float:
    """Share of data sets drawn from the best smooth fit, with the residuals' noise, in which a knee is found."""
    smooth = int(comparison.best("smooth")[0])
    replicates, points = values.shape
    freedom = replicates * (points - 1) - comparison.models[smooth].parameters
    spread = np.sqrt(max(comparison.errors[smooth][0].min(), 0.0) / freedom)
    if not np.isfinite(spread):
        return float("nan")
    noise = Generator(Philox(key=[seed, 0x6F6E7365])).normal(0, spread, (SIMULATIONS, replicates, points))
    return float(knee_found(compare(comparison.fitted[0, smooth] + noise, shares)).mean())
