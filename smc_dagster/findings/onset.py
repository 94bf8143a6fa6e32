"""Whether decline sets in at a share, or comes on smoothly, or not at all.

What belongs here: the status of one curve, in words. What does not: the comparison of shapes (comparison.py), the
simulations that tell which lead is enough (judging.py), comparison with the published figures (headline.py).

A knee is `identified` only where

- a knee has the lowest BIC of all shapes and beats every smooth one on held-out replicates;
- its lead in BIC is one that the best smooth shape, with this curve's own noise, would reach in at most 1 - level of
  simulations. The search over knots flatters a knee, by how much depends on the shares, the noise and the shape: a
  fixed lead is too much for one curve and too little for another;
- its interval is narrower than the range searched;
- the loss at the largest share is itself proven (the caller knows; see `without_proof`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator, Philox

from smc_dagster.findings.comparison import decline_found
from smc_dagster.findings.curves import Floats, in_words
from smc_dagster.findings.judging import judge
from smc_dagster.findings.noise import noise_of

MIN_SHARES = 5
MIN_REPLICATES = 3
# a realised share must exceed the one before by so much to count as a further point on the axis
MIN_SPACING = 0.005
SIMULATIONS = 400


@dataclass(frozen=True)
class Onset:
    """What the rival shapes say about one curve.

    Attributes:
        status: `identified`, `smooth_decline`, `no_decline` or `insufficient_data`.
        best_model: the model of the lowest BIC; empty where there were too few data.
        knot, low, high: shares; None unless identified.
        note: why, in words.
        scores: by model: BIC less the lowest BIC, and the held-out root mean squared error.
        p_value: share of simulated smooth curves of the same noise with as large a lead of a knee; NaN unless a knee
            leads.
    """

    status: str
    best_model: str
    knot: float | None
    low: float | None
    high: float | None
    note: str
    scores: dict[str, tuple[float, float]]
    p_value: float = float("nan")


def usable(values: Floats, shares: Floats) -> tuple[list[int], list[int]]:
    """Replicates that count, and columns that are further points on the axis of shares, ascending.

    Caps and short pools make arms whose realised share hardly grows: they would look like a plateau.

    Args:
        values: [replicates, shares]; NaN where an arm or replicate is missing.
        shares: [shares] in any order.
    """
    kept: list[int] = []
    for i in np.argsort(shares, kind="stable").tolist():
        if not kept or shares[i] - shares[kept[-1]] > MIN_SPACING:
            kept.append(i)
    whole = ~np.isnan(values[:, kept]).any(axis=1)
    return np.flatnonzero(whole).tolist(), kept


def suffices(replicates: int, shares: int) -> bool:
    """Whether so many complete replicates and distinct shares can tell anything of shape."""
    return shares >= MIN_SHARES and replicates >= MIN_REPLICATES


def find_onset(values: Floats, shares: Floats, level: float, seed: int, by_document: Floats | None = None) -> Onset:
    """Compare the rivals on one curve and say which status follows.

    Args:
        values: [replicates, shares]; NaN where an arm or replicate is missing.
        shares: [shares] the realised shares.
        level: coverage of the knot's interval, and 1 - the share of smooth declines that may be called a knee.
        seed: of the simulations.
        by_document: [replicates, draws, shares] the values with the documents drawn anew; without it the noise of
            documents is not reckoned with.
    """
    rows, kept = usable(values, shares)
    dropped = len(shares) - len(kept)
    shares, complete = shares[kept], values[np.ix_(rows, kept)]
    notes = (
        [f"{dropped} arm(s) left out: their realised share does not exceed that of the arm before"] if dropped else []
    )
    if not suffices(*complete.shape):
        few = f"{len(shares)} distinct shares and {len(complete)} complete replicates; "
        notes.insert(0, few + f"{MIN_SHARES} and {MIN_REPLICATES} are needed")
        return Onset("insufficient_data", "", None, None, None, "; ".join(notes), {})
    noise = noise_of(complete, None if by_document is None else by_document[rows][:, :, kept])
    judged = judge(complete[None], shares, noise, level, Generator(Philox(key=[seed, 0x6F6E7365])), SIMULATIONS)
    comparison = judged.comparison
    names = [model.name for model in comparison.models]
    scores = {
        name: (
            float(comparison.bic[0, i] - comparison.bic[0].min()),
            float(np.sqrt(comparison.held_out[0, i] / complete.size)),
        )
        for i, name in enumerate(names)
    }
    best = names[int(np.argmin(comparison.bic[0]))]

    def told(status: str, why: str) -> Onset:
        return Onset(status, best, None, None, None, "; ".join([why, *notes]), scores, float(judged.p_value[0]))

    if not decline_found(comparison)[0]:
        return told("no_decline", "no declining shape beats the constant on BIC and on held-out replicates")
    knee, smooth = (in_words(names[int(comparison.best(*kinds)[0])]) for kinds in (("knee",), ("smooth", "constant")))
    ahead = float(judged.lead[0])
    if ahead <= 0:
        behind = f"the best, a {knee}, is {-ahead:.1f} BIC behind"
        return told("smooth_decline", f"the {smooth} fits as well as any knee ({behind})")
    why = (
        f"the {knee} leads the {smooth} by {ahead:.1f} BIC; smooth curves with this noise do so in "
        f"{judged.p_value[0] * 100:.1f} % of {SIMULATIONS} simulations"
    )
    if judged.p_value[0] > 1 - level:
        return told("smooth_decline", why)
    if not judged.foretold[0]:
        return told("smooth_decline", why + "; it does not lead on held-out replicates")
    if not judged.found[0]:
        return told("smooth_decline", why + "; but its knot could lie anywhere in the range searched")
    knot, low, high = (float(one[0]) for one in (judged.knot, judged.low, judged.high))
    return replace(told("identified", why + "; it leads on held-out replicates too"), knot=knot, low=low, high=high)


def without_proof(found: Onset) -> Onset:
    """The same comparison where the loss at the largest share is not proven: no decline, hence no onset."""
    if found.status not in ("identified", "smooth_decline"):
        return found
    why = "no loss at the largest share is proven against the noise of replicates and documents; the shapes alone say: "
    return replace(found, status="no_decline", knot=None, low=None, high=None, note=why + found.note)
