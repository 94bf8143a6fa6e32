"""Which domains break first: how each fares against what it was like before anything was mixed.

What belongs here: DOMAIN_SENSITIVITY, a row a series and domain, and DOMAIN_CORRELATIONS, the rank correlations over
domains. What does not: the traits (domain_traits.py), onsets and safe shares themselves.

The loss slope of a domain is the least-squares slope of its tail recall against the share that the domain really
got: the sum over arms of (x - mean x) / sum (x - mean x)^2 times recall. It is a weighted sum over paired
arms, so its interval comes from the same draws as every other effect.

Domains are few, and a rank correlation over a dozen of them sees only what is strong. Domains with too few tail
documents are left out of the correlations: their slopes would be noise. Holm's adjustment runs over all correlations
of the study.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.domain_traits import Traits
from smc_dagster.findings.effects import Effect, Effects, holm
from smc_dagster.findings.pairs import Compositions
from smc_dagster.findings.rank_correlation import LEAST_PAIRS, RankCorrelation, rank_correlation
from smc_dagster.findings.safe_shares import MIN_TAIL_DOCUMENTS
from smc_dagster.study import Study
from smc_dagster.tables import ALL_DOMAINS, DOMAIN_CORRELATIONS, DOMAIN_SENSITIVITY

SENSITIVITIES = ("loss_slope", "safe_share", "onset")
TRAITS = ("tail_share", "noise", "coverage")
RISES, FALLS, UNDECIDED = "rises", "falls", "undecided"


def build_domain_sensitivity(
    study: Study, evidence: Evidence, effects: Effects, traits: Traits, onset: pa.Table, safe_shares: pa.Table
) -> pa.Table:
    """DOMAIN_SENSITIVITY: for every series with its 0 % arm and another, a row for each domain with tail documents.

    Args:
        onset, safe_shares: COLLAPSE_ONSET and SAFE_SHARES; a domain that is not in them has none.
    """
    onsets = {(row["series"], row["domain"]): row for row in onset.to_pylist()}
    safe = {(row["series"], row["domain"]): row for row in safe_shares.to_pylist()}
    rows: list[dict[str, Any]] = []
    composed = Compositions(evidence)
    for series in study.series:
        if evidence.largest(series.name) is None:
            continue
        for domain in effects.domains:
            if domain == ALL_DOMAINS:
                continue
            noise, looked_at = traits.noise.get(domain, (None, 0))
            slope = loss_slope(evidence, effects, composed, series.name, domain)
            safe_share, sets_in = safe.get((series.name, domain)), onsets.get((series.name, domain))
            rows.append(
                {
                    "series": series.name,
                    "domain": domain,
                    "documents": traits.documents.get(domain, 0),
                    "tail_documents": effects.tail_documents(domain),
                    "tail_share": traits.tail_share.get(domain),
                    "noise": noise,
                    "n_noise": looked_at,
                    "coverage": None if series.pool is None else traits.coverage.get((series.pool, domain)),
                    "loss_slope": slope and slope.estimate,
                    "low": slope and slope.low,
                    "high": slope and slope.high,
                    "safe_status": safe_share and safe_share["status"],
                    "safe_share": _proven(safe_share),
                    "onset_status": sets_in and sets_in["status"],
                    "onset": sets_in and sets_in["knot"],
                }
            )
    return pa.Table.from_pylist(rows, schema=DOMAIN_SENSITIVITY.schema)


def loss_slope(evidence: Evidence, effects: Effects, composed: Compositions, series: str, domain: str) -> Effect | None:
    """Change of a domain's tail recall for a share of 1 (see the module); None where its share does not vary."""
    got = {arm.key: composed.shares(arm.key).get(domain) for arm in evidence.of_series(series)}
    shares = {key: share for key, share in got.items() if share is not None}
    x = np.array(list(shares.values()))
    if len(x) < 2 or np.ptp(x) == 0:
        return None
    weights = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    joint = effects.jointly([dict(zip(shares, weights.tolist(), strict=True))], "rare_recall", domain=domain)
    return None if joint is None else joint.effects[0]


def build_domain_correlations(study: Study, sensitivity: pa.Table) -> pa.Table:
    """DOMAIN_CORRELATIONS: for every series a row for each sensitivity and trait, whether or not it can be told."""
    rows: list[dict[str, Any]] = []
    tested: list[tuple[int, RankCorrelation]] = []
    judged = [row for row in sensitivity.to_pylist() if row["tail_documents"] >= MIN_TAIL_DOCUMENTS]
    for series in dict.fromkeys(sensitivity["series"].to_pylist()):
        for target in SENSITIVITIES:
            for trait in TRAITS:
                pairs = [(row[trait], row[target]) for row in judged if row["series"] == series]
                known = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
                purpose = f"domains {series} {target} {trait}"
                found = rank_correlation(known[:, 0], known[:, 1], study.findings.level, study.seed, purpose)
                if found is not None:
                    tested.append((len(rows), found))
                rows.append(
                    {
                        "series": series,
                        "sensitivity": target,
                        "trait": trait,
                        "n": len(known),
                        "rho": found and found.rho,
                        "low": found and found.low,
                        "high": found and found.high,
                        "p_value": found and found.p_value,
                        "p_holm": None,
                        "smallest": found and found.smallest,
                        "verdict": UNDECIDED,
                        "note": _note(known) if found is None else None,
                    }
                )
    adjusted = holm([found.p_value for _, found in tested])
    for (i, found), p_holm in zip(tested, adjusted, strict=True):
        rows[i]["p_holm"] = p_holm
        if p_holm < 1 - study.findings.level and (found.low > 0 or found.high < 0):
            rows[i]["verdict"] = RISES if found.rho > 0 else FALLS
    return pa.Table.from_pylist(rows, schema=DOMAIN_CORRELATIONS.schema)


def _proven(safe: dict[str, Any] | None) -> float | None:
    """The share proven safe, 0 where a first step already was not; None where there were too few data to say."""
    if safe is None:
        return None
    return 0.0 if safe["status"] == "none_safe" else safe["share"]


def _note(known: np.ndarray) -> str:
    if len(known) < LEAST_PAIRS:
        return f"{len(known)} domains have both figures; {LEAST_PAIRS} are needed"
    return "the figure is the same in all domains"
