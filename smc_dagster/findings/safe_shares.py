"""The largest share that each domain takes, as far as it can be proven.

What belongs here: SAFE_SHARES. What does not: writing caps (a person accepts them: cli/caps.py), and the answer for a
domain over several series (domain_answer.py).

A share is safe where the one-sided lower bound on (tail recall - tail recall at 0 %) lies above -margin, and every
smaller share measured is safe too. Testing upwards and stopping at the first failure keeps the level over all shares of
a series and domain without adjustment (fixed-sequence testing, Maurer et al. 1995). The level is that of one series and
domain. Where the proof already fails at the smallest share, that is `none_safe` only if a loss of the margin would
have been seen or is proven; else the data are too few. So they are where the 0 % arm finds so few rare cases that no
more than the margin could be lost.

Shares are those that the domain really got (reached.py). A share from which on, upwards, a loss beyond the margin is
proven at every share is told as well, tested downwards from the largest by the same rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.difference_noise import label_noise, replicate_error
from smc_dagster.findings.effects import Effect, Effects
from smc_dagster.findings.panels import tail_of
from smc_dagster.findings.power import smallest_effect
from smc_dagster.findings.reached import Reached, reached_shares
from smc_dagster.findings.sentences import share as percent
from smc_dagster.findings.sentences import signed_figure
from smc_dagster.study import Arm, Study
from smc_dagster.tables import ALL_DOMAINS, SAFE_SHARES

MIN_TAIL_DOCUMENTS = 30


@dataclass(frozen=True)
class _Step:
    """An arm above 0 % in one domain: the share it gives the domain, and the change of tail recall there."""

    share: float
    arm: Arm
    effect: Effect


def build_safe_shares(study: Study, evidence: Evidence, effects: Effects) -> pa.Table:
    """SAFE_SHARES for every series with its 0 % arm and one more, for each domain with tail documents and for all."""
    reached = reached_shares(evidence.arms, evidence.composition)
    rows = []
    for series in study.series:
        if evidence.largest(series.name) is None:
            continue
        for domain in effects.domains:
            rows.append(
                {
                    "series": series.name,
                    "domain": domain,
                    "margin": study.findings.margin,
                    "n": effects.tail_documents(domain),
                    **_Ladder(study, evidence, effects, reached, series.name, domain).judge(),
                }
            )
    return pa.Table.from_pylist(rows, schema=SAFE_SHARES.schema)


class _Ladder:
    """The shares of one series in one domain, ascending."""

    def __init__(
        self, study: Study, evidence: Evidence, effects: Effects, reached: Reached, series: str, domain: str
    ) -> None:
        self._margin, self._level = study.findings.margin, study.findings.level
        self._evidence, self._effects, self._domain = evidence, effects, domain
        base, *arms = evidence.of_series(series)
        self._base = base
        steps = [(reached.get((arm.key, domain), arm.share), arm) for arm in arms]
        # a domain that got nothing says nothing of synthetic text
        found = [(share, arm, self._change(arm, domain)) for share, arm in steps if share > 0]
        ordered = sorted(found, key=lambda step: (step[0], step[1].share))
        self._unmeasured = [arm.share for _, arm, effect in ordered if effect is None]
        self._steps = [_Step(share, arm, effect) for share, arm, effect in ordered if effect is not None]

    def judge(self) -> dict[str, Any]:
        """The columns of SAFE_SHARES that the proof gives."""
        margin, n = self._margin, self._effects.tail_documents(self._domain)
        nothing = {"status": "insufficient_data", "share": None, "arm": None, "low": None, "harm_from": None}
        if not self._steps:
            why = (
                "no synthetic row was measured here against the 0 % arm"
                if n
                else "no document of a rare label is left to judge it by"
            )
            return {**nothing, "n_needed": None, "note": why}
        if n < MIN_TAIL_DOCUMENTS:
            needed = self._needed(self._steps[0], planned=True)
            return {**nothing, "n_needed": needed, "note": f"{n} tail documents: {_more(needed)}"}
        recall = self._base_recall()
        if recall <= margin:
            note = (
                f"rare-case recall at 0 % is {recall:.3f}: nothing beyond the margin can be lost, so nothing is proven"
            )
            return {**nothing, "n_needed": None, "note": note}
        safe: _Step | None = None
        failed: _Step | None = None
        for step in self._steps:
            if step.effect.bound <= -margin:
                failed = step
                break
            safe = step
        harmful = self._harm_from()
        note = self._note(failed) + (
            f"; a loss beyond the margin is proven from {percent(harmful)} on" if harmful else ""
        )
        judged = {"harm_from": harmful, "n_needed": None, "note": note}
        if safe is not None:
            proven = {"status": "measured", "share": safe.share, "arm": safe.arm.key, "low": safe.effect.bound}
            return {**proven, **judged}
        assert failed is not None
        found = {"share": None, "arm": None, "low": failed.effect.bound}
        if self._unseen(failed) <= margin or failed.effect.high < -margin:
            return {"status": "none_safe", **found, **judged}
        needed = self._needed(failed)
        note = f"{note}; {_more(needed)}"
        return {"status": "insufficient_data", **found, **judged, "n_needed": needed, "note": note}

    def _base_recall(self) -> float:
        """Rare-case recall of the 0 % arm in the domain, mean over replicates."""
        documents = self._evidence.documents["rare"]
        counted = tail_of(documents, self._domain)
        correct = self._evidence.outcomes[self._base.key, "rare"].correct[:, counted].astype(float)
        return float((correct @ _label_weights(documents.label[counted].astype(str))).mean())

    def _note(self, failed: _Step | None) -> str:
        gaps = f"; not measured at {', '.join(percent(one) for one in self._unmeasured)}" if self._unmeasured else ""
        if failed is None:
            return f"every share measured is safe: the limit may lie higher{gaps}"
        unseen = self._unseen(failed)
        reach = f", where a loss under {unseen:.3f} would probably go unseen" if unseen > self._margin else ""
        return f"at {percent(failed.share)} the lower bound is {signed_figure(failed.effect.bound)}{reach}{gaps}"

    def _harm_from(self) -> float | None:
        found = None
        for step in reversed(self._steps):
            if step.effect.high >= -self._margin:
                break
            found = step.share
        return found

    def _unseen(self, step: _Step) -> float:
        return smallest_effect(step.effect.standard_error, self._level, sides=1)

    def _change(self, arm: Arm, domain: str) -> Effect | None:
        return self._effects.change(arm.key, self._base.key, "rare_recall", domain=domain)

    def _needed(self, step: _Step, planned: bool = False) -> int | None:
        """Tail documents at which a share that does no harm would be proven safe with probability .8.

        They scale the part of the variance that is due to documents; None where that of replicates alone is too much.

        Args:
            planned: go by the variance in all domains, where this one has too few documents to give its own.
        """
        domain = ALL_DOMAINS if planned else self._domain
        effect = self._change(step.arm, domain)
        if effect is None:
            return None
        documents = self._evidence.documents["rare"]
        counted = tail_of(documents, domain)
        one, other = (self._evidence.outcomes[key, "rare"] for key in (step.arm.key, self._base.key))
        common = np.intersect1d(one.replicates, other.replicates)
        differences = np.subtract(
            *(each.correct[np.isin(each.replicates, common)][:, counted].astype(float) for each in (one, other))
        )
        labels = documents.label[counted].astype(str)
        noise = label_noise([differences], [labels])
        kept = replicate_error(differences, _label_weights(labels), 0.0 if noise is None else noise.answer) ** 2
        aimed = (self._margin / smallest_effect(1.0, self._level, sides=1)) ** 2
        if aimed <= kept:
            return None
        scale = max(0.0, effect.standard_error**2 - kept) / (aimed - kept)
        return max(MIN_TAIL_DOCUMENTS, math.ceil(scale * int(counted.sum()) - 1e-9))


def _label_weights(labels: np.ndarray) -> np.ndarray:
    """What each document counts in a mean over labels; they add up to 1."""
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    weights: np.ndarray = 1 / (sizes[codes] * len(sizes))
    return weights


def _more(needed: int | None) -> str:
    if needed is None:
        return "no number of documents would do at so few replicates"
    return f"about {needed:,} would do, if the share does no harm"
