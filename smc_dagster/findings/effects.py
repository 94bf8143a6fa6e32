"""Paired differences between two arms, with intervals and p-values.

What belongs here: differences of the panels' draws, their summary, and Holm's adjustment. What does not: which arms
are compared (headline.py, safe_shares.py, mitigation_effects.py).

Point estimates are differences of the means over replicates of `arm_metrics`. The draws supply the spread about
them and are shifted to be centred on the estimate: an ECE drawn from noisy data is too high by its noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from smc_dagster.evaluation.resampling import interval, p_value
from smc_dagster.findings.claims import BY_MEASURE
from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.draws import Floats, combine, combine_jointly, replicate_weights
from smc_dagster.findings.panels import confidence_draws, ece_draws, recall_draws, tail_of
from smc_dagster.findings.power import smallest_effect
from smc_dagster.study import Study
from smc_dagster.tables import ALL_DOMAINS

Values = dict[str, tuple[NDArray[np.int64], Floats]]


@dataclass(frozen=True)
class Effect:
    """A change between two arms.

    Attributes:
        estimate, low, high: relative change, or difference in the measure's unit; interval at the study's level.
        bound: one-sided lower bound at the same level.
        p_value: two-sided, from the draws, never 0.
        standard_error: of the estimate, over replicates and documents: that of a normal whose interval is as wide.
        smallest: smallest true effect that the study could have seen (power .8).
        n: documents; for rare recall those of tail labels.
        replicates: pairs.
    """

    estimate: float
    low: float
    high: float
    bound: float
    p_value: float
    standard_error: float
    smallest: float
    n: int
    replicates: int


@dataclass(frozen=True)
class Joint:
    """Changes that were drawn together.

    Attributes:
        effects: one a contrast.
        draws: [contrasts, draws], in the measure's unit; draw for draw they add up as the contrasts do.
    """

    effects: list[Effect]
    draws: Floats


@dataclass(frozen=True)
class _Paired:
    """Arms in their common replicates: points [arms, replicates], drawn [arms, replicates, draws]; n documents."""

    points: Floats
    drawn: Floats
    n: int


def summarise(estimate: float, draws: Floats, level: float, n: int, replicates: int) -> Effect:
    """Percentile interval, bound and two-sided p-value (with one draw added to either side) of an estimate."""
    low, high = interval(draws, level)
    # read off the interval: draws of few replicates have tails too long for a variance
    error = (high - low) / 2 / NormalDist().inv_cdf((1 + level) / 2)
    return Effect(
        estimate=estimate,
        low=low,
        high=high,
        bound=float(np.quantile(draws, 1 - level)),
        p_value=p_value(draws),
        standard_error=error,
        smallest=smallest_effect(error, level),
        n=n,
        replicates=replicates,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjustment, in the order given."""
    if not p_values:
        return []
    order = np.argsort(p_values, kind="stable")
    steps = np.array(p_values, dtype=float)[order] * (len(p_values) - np.arange(len(p_values)))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]


class Effects:
    """Changes between arms of one study; the draws are made at the first change asked for.

    Args:
        evidence: what is there.
        study: for seed, draws, level and ECE bins.
    """

    def __init__(self, evidence: Evidence, study: Study) -> None:
        self._evidence = evidence
        self._level = study.findings.level
        self._count = study.findings.bootstrap_draws
        self._bins = study.evaluation.ece_bins
        self._seed = study.seed
        self._drawn: dict[str, dict[tuple[str, str], Floats]] = {}
        self._metrics: dict[tuple[str, str], Values] = {}
        rare = evidence.documents.get("rare")
        domains = [] if rare is None else sorted(set(rare.domain[rare.is_tail].tolist()))
        self.domains = [ALL_DOMAINS, *domains]

    def change(
        self, key: str, against: str, measure: str, *, relative: bool = False, domain: str = ALL_DOMAINS
    ) -> Effect | None:
        """Change of a measure from arm `against` to arm `key`, on the slice that the measure is claimed on.

        Args:
            measure: `rare_recall`, `confidence` or `ece`.
            relative: mean of `key` over mean of `against`, less 1; else the difference.
            domain: for rare recall, one domain.

        Returns:
            None where either arm, their common replicates, or the documents are missing, or where a relative change
            has no positive base.
        """
        paired = self._paired((key, against), measure, domain)
        if paired is None:
            return None
        if not relative:
            return self._weigh(paired, np.array([[1.0, -1.0]])).effects[0]
        points, drawn = paired.points, paired.drawn
        base, base_drawn = float(points[1].mean()), drawn[1].mean(axis=0)
        if base <= 0 or np.min(base_drawn) <= 0:
            return None
        # a relative change is taken to be linear in each replicate, near its estimate
        slope = float(points[0].mean()) / base
        single, each = (drawn[0] - slope * drawn[1]) / base, (points[0] - slope * points[1]) / base
        by_document = drawn[0].mean(axis=0) / base_drawn
        change = combine(slope - 1, by_document, self._by_replicate(each[None])[0], single, each)
        return summarise(slope - 1, change, self._level, paired.n, len(each))

    def jointly(
        self, contrasts: Sequence[Mapping[str, float]], measure: str, *, domain: str = ALL_DOMAINS
    ) -> Joint | None:
        """Several weighted sums of a measure over arms, drawn together: where one is the sum of others, so are its
        draws.

        Args:
            contrasts: weight by arm key, each.

        Returns:
            None as in `change`.
        """
        keys = list(dict.fromkeys(key for one in contrasts for key in one))
        paired = self._paired(keys, measure, domain)
        if paired is None:
            return None
        return self._weigh(paired, np.array([[one.get(key, 0.0) for key in keys] for one in contrasts]))

    def _weigh(self, paired: _Paired, weights: Floats) -> Joint:
        """Contrasts [k, arms] of paired arms."""
        each = weights @ paired.points
        single = np.einsum("ka,ard->krd", weights, paired.drawn)
        estimates = each.mean(axis=1)
        draws = combine_jointly(estimates, single.mean(axis=1), self._by_replicate(each), single, each)
        replicates = each.shape[1]
        return Joint(
            [
                summarise(float(estimate), drawn, self._level, paired.n, replicates)
                for estimate, drawn in zip(estimates, draws, strict=True)
            ],
            draws,
        )

    def _by_replicate(self, each: Floats) -> Floats:
        """Draws [k, draws] of means over replicates of [k, replicates]."""
        return each @ replicate_weights(each.shape[1], self._count, self._seed)

    def _paired(self, keys: Sequence[str], measure: str, domain: str) -> _Paired | None:
        slice_name = BY_MEASURE[measure].slice
        outcomes = [self._evidence.outcomes.get((key, slice_name)) for key in keys]
        values = self._values(measure, domain)
        found = [(key, one) for key, one in zip(keys, outcomes, strict=True) if one is not None and key in values]
        if len(found) < len(keys):
            return None
        common = reduce(np.intersect1d, [numbers for key, one in found for numbers in (one.replicates, values[key][0])])
        if not len(common):
            return None
        points = [values[key][1][np.isin(values[key][0], common)] for key in keys]
        drawn = [self._draws(measure)[key, domain][np.isin(one.replicates, common)] for key, one in found]
        n = self.tail_documents(domain) if measure == "rare_recall" else len(self._evidence.documents[slice_name])
        return _Paired(np.stack(points), np.stack(drawn), n)

    def tail_documents(self, domain: str) -> int:
        """Documents of tail labels in the slice that rare recall is measured on."""
        documents = self._evidence.documents.get("rare")
        return 0 if documents is None else int(tail_of(documents, domain).sum())

    def recall_drawn(self, key: str, domain: str = ALL_DOMAINS) -> Floats:
        """Rare recall of an arm that has predictions, with the documents drawn anew, [replicates, draws]."""
        return self._draws("rare_recall")[key, domain]

    def _values(self, measure: str, domain: str) -> Values:
        if (measure, domain) not in self._metrics:
            found = self._evidence.metric(measure, BY_MEASURE[measure].slice, domain)
            usable = {k: (r[~np.isnan(v)], v[~np.isnan(v)]) for k, (r, v) in found.items()}
            self._metrics[measure, domain] = {k: pair for k, pair in usable.items() if len(pair[0])}
        return self._metrics[measure, domain]

    def _draws(self, measure: str) -> dict[tuple[str, str], Floats]:
        if measure not in self._drawn:
            evidence, count, seed = self._evidence, self._count, self._seed
            if measure == "rare_recall":
                self._drawn[measure] = recall_draws(evidence, self.domains, count, seed)
            else:
                found = (
                    confidence_draws(evidence, count, seed)
                    if measure == "confidence"
                    else ece_draws(evidence, self._bins, count, seed)
                )
                self._drawn[measure] = {(key, ALL_DOMAINS): draws for key, draws in found.items()}
        return self._drawn[measure]
