"""Curves of single domains, drawn towards that of their series by as much as their own noise warrants.

What belongs here: partial pooling. What does not: the onset of a pooled curve (onset_table.py).

A domain has few rare cases, and its own curve is mostly noise. The slopes of decline of the domains are taken as
drawn around a common one with a variance between domains that is estimated by moments (DerSimonian & Laird 1986);
a domain's own curve then weighs tau^2 / (tau^2 + v) against the series' curve, v the variance of its slope by
replicates and documents (the empirical Bayes estimate). The noise of the pooled curve is pooled by the same weights.
"""

from __future__ import annotations

import numpy as np

from smc_dagster.findings.curves import Floats
from smc_dagster.findings.noise import noise_of
from smc_dagster.findings.onset import suffices, usable
from smc_dagster.findings.onsets import Curve


def own_weights(curves: dict[str, Curve]) -> dict[str, float]:
    """Weight of each domain's own curve against its series', 0-1.

    Domains without enough shares or replicates are left out. All weigh 0 where the domains differ by no more than
    their noise, and where there is only one.
    """
    slopes, variances = {}, {}
    for domain, curve in curves.items():
        rows, kept = usable(curve.values, curve.shares)
        if not suffices(len(rows), len(kept)):
            continue
        values, away = curve.values[np.ix_(rows, kept)], curve.shares[kept] - curve.shares[kept].mean()
        along = away / np.sum(away**2)
        noise = noise_of(values, curve.by_document[rows][:, :, kept])
        slopes[domain] = float(values.mean(axis=0) @ along)
        by_replicate = noise.spread**2 * float(np.sum(along**2)) / len(rows)
        variances[domain] = by_replicate + float(np.var(noise.shared @ along))
    between = between_variance(np.array(list(slopes.values())), np.array(list(variances.values())))
    return {domain: between / (between + own) if between > 0 else 0.0 for domain, own in variances.items()}


def between_variance(estimates: Floats, variances: Floats) -> float:
    """Variance between units beyond that of their noise, by moments: DerSimonian & Laird 1986, eq. 8; 0 or more.

    Args:
        estimates, variances: [units]; units of variance 0 are taken at the smallest positive one.
    """
    positive = variances[variances > 0]
    if len(estimates) < 2 or not len(positive):
        return 0.0
    weights = 1 / np.maximum(variances, positive.min())
    mean = np.sum(weights * estimates) / weights.sum()
    excess = np.sum(weights * (estimates - mean) ** 2) - (len(estimates) - 1)
    return max(0.0, float(excess / (weights.sum() - np.sum(weights**2) / weights.sum())))


def pooled(own: Curve, whole: Curve, weight: float) -> Curve:
    """A domain's curve drawn towards its series'; both over the same arms and replicates."""
    return Curve(
        whole.shares,
        whole.values + weight * (own.values - whole.values),
        whole.by_document + weight * (own.by_document - whole.by_document),
    )
