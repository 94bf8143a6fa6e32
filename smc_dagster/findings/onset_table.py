"""COLLAPSE_ONSET: onsets by series and by domain, with what the study could have seen.

What belongs here: the rows. What does not: the onset of a series (onsets.py), how domains borrow from each other
(pooling.py), the simulations (reach.py).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from smc_dagster.findings.claims import RARE_RECALL
from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.effects import Effect, Effects
from smc_dagster.findings.noise import noise_of
from smc_dagster.findings.onset import Onset, find_onset, suffices, usable, without_proof
from smc_dagster.findings.onsets import Curve, recall_curve
from smc_dagster.findings.pooling import own_weights, pooled
from smc_dagster.findings.power import enough
from smc_dagster.findings.reach import reach
from smc_dagster.findings.safe_shares import MIN_TAIL_DOCUMENTS
from smc_dagster.study import Study
from smc_dagster.tables import ALL_DOMAINS, COLLAPSE_ONSET

# below it a domain's onset would be that of its series by another name
LEAST_WEIGHT = 0.5


def build_onset_table(study: Study, evidence: Evidence, effects: Effects, onsets: dict[str, Onset]) -> pa.Table:
    """COLLAPSE_ONSET: each series over all domains, then by domain."""
    rows: list[dict[str, Any]] = []
    realised = evidence.realised_shares()
    for name, onset in onsets.items():
        whole = recall_curve(evidence, effects, name, realised)
        if whole is None:
            continue
        loss = _loss(evidence, effects, name, ALL_DOMAINS)
        rows.append(_row(name, ALL_DOMAINS, onset, effects, loss) | _reach(study, whole, loss))
        found = {
            domain: recall_curve(evidence, effects, name, realised, domain)
            for domain in effects.domains
            if domain != ALL_DOMAINS
        }
        curves = {domain: curve for domain, curve in found.items() if curve is not None}
        weights = own_weights(curves)
        for domain, curve in curves.items():
            loss, weight = _loss(evidence, effects, name, domain), weights.get(domain)
            one = _of_domain(study, whole, curve, weight, effects.tail_documents(domain), loss)
            rows.append(_row(name, domain, one, effects, loss) | {"own_weight": weight})
    return pa.Table.from_pylist(rows, schema=COLLAPSE_ONSET.schema)


def _of_domain(study: Study, whole: Curve, own: Curve, weight: float | None, n: int, loss: Effect | None) -> Onset:
    def too_few(why: str) -> Onset:
        return Onset("insufficient_data", "", None, None, None, why, {})

    if n < MIN_TAIL_DOCUMENTS:
        return too_few(f"{n} tail documents; {MIN_TAIL_DOCUMENTS} are needed")
    if weight is None or own.values.shape != whole.values.shape:
        return too_few("not measured at enough shares and replicates")
    if weight < LEAST_WEIGHT:
        apart = (
            f"its own {n} tail documents would weigh {weight * 100:.0f} % against the series' curve"
            if weight
            else ("domains differ by no more than the noise of their few tail documents")
        )
        return too_few(f"{apart}: what is found for the series is all that can be said")
    curve = pooled(own, whole, weight)
    found = find_onset(curve.values, curve.shares, study.findings.level, study.seed, curve.by_document)
    return found if loss is not None and loss.high < 0 else without_proof(found)


def _loss(evidence: Evidence, effects: Effects, series: str, domain: str) -> Effect | None:
    arm = evidence.largest(series)
    if arm is None:
        return None
    return effects.change(arm.key, evidence.of_series(series)[0].key, "rare_recall", relative=True, domain=domain)


def _row(series: str, domain: str, onset: Onset, effects: Effects, loss: Effect | None) -> dict[str, Any]:
    n = effects.tail_documents(domain)
    return {
        "series": series,
        "domain": domain,
        "measure": "rare_recall",
        "status": onset.status,
        "best_model": onset.best_model or None,
        "knot": onset.knot,
        "low": onset.low,
        "high": onset.high,
        "note": onset.note,
        "n": n,
        "n_needed": None if loss is None else enough(n, loss.smallest, abs(RARE_RECALL.claimed)),
        "smallest_loss": None if loss is None else loss.smallest,
    }


def _reach(study: Study, curve: Curve, loss: Effect | None) -> dict[str, Any]:
    rows, kept = usable(curve.values, curve.shares)
    if loss is None or not suffices(len(rows), len(kept)):
        return {}
    values = curve.values[np.ix_(rows, kept)]
    noise = noise_of(values, curve.by_document[rows][:, :, kept])
    error = loss.standard_error * float(values[:, 0].mean())
    return asdict(
        reach(values, curve.shares[kept], study.findings.level, study.seed, noise, error, study.findings.reach_studies)
    )
