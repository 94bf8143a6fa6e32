"""All findings of a study in one go.

What belongs here: the order in which the parts are drawn and what they share. What does not: any of the parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import pyarrow as pa

from smc_dagster.errors import StaleInputError
from smc_dagster.findings.attribution import build_attribution
from smc_dagster.findings.benchmark_coverage import build_benchmark_coverage
from smc_dagster.findings.collect import Evidence, collect
from smc_dagster.findings.domain_answer import domain_answers
from smc_dagster.findings.domain_sensitivity import build_domain_correlations, build_domain_sensitivity
from smc_dagster.findings.domain_traits import read_traits
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.headline import build_headline, draws_suffice
from smc_dagster.findings.mitigation_effects import build_mitigation_effects
from smc_dagster.findings.mixtures import Mixtures
from smc_dagster.findings.onset import Onset
from smc_dagster.findings.onset_table import build_onset_table
from smc_dagster.findings.onsets import find_onsets, losing_series
from smc_dagster.findings.power import smallest_effect
from smc_dagster.findings.safe_shares import build_safe_shares
from smc_dagster.findings.sentences import share as percent
from smc_dagster.findings.strictness_trade import build_strictness_trade
from smc_dagster.findings.thresholds import build_thresholds
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Arm, Study
from smc_dagster.tables import (
    ATTRIBUTION,
    BENCHMARK_COVERAGE,
    COLLAPSE_ONSET,
    DOMAIN_CORRELATIONS,
    DOMAIN_SENSITIVITY,
    HEADLINE,
    MITIGATION_EFFECTS,
    PROVENANCE_THRESHOLDS,
    SAFE_SHARES,
    STRICTNESS_TRADE,
)


@dataclass(frozen=True)
class Findings:
    """What was found, as tables, and what it was found from.

    Attributes:
        headline, onset, safe_shares: HEADLINE, COLLAPSE_ONSET, SAFE_SHARES.
        domain_answer: rows of `domain_answers`.
        attribution, mitigation_effects: ATTRIBUTION, MITIGATION_EFFECTS.
        thresholds: PROVENANCE_THRESHOLDS; empty unless the study names a second threshold.
        strictness_trade: STRICTNESS_TRADE; empty unless a pool is filtered at two levels.
        domain_sensitivity, domain_correlations: DOMAIN_SENSITIVITY, DOMAIN_CORRELATIONS; empty where the lake does
            not hold the corpus.
        benchmark_coverage: BENCHMARK_COVERAGE.
        notes: what a reader must know: missing and stale arms, what the study could have seen.
        evidence: the arms, metrics and predictions used.
        onsets: by series, with the scores of every rival shape.
    """

    headline: pa.Table
    onset: pa.Table
    safe_shares: pa.Table
    domain_answer: list[dict[str, Any]]
    attribution: pa.Table
    mitigation_effects: pa.Table
    thresholds: pa.Table
    strictness_trade: pa.Table
    domain_sensitivity: pa.Table
    domain_correlations: pa.Table
    benchmark_coverage: pa.Table
    notes: list[str]
    evidence: Evidence
    onsets: dict[str, Onset] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, pa.Table]:
        """The tables by their name in the lake."""
        return {
            HEADLINE.name: self.headline,
            COLLAPSE_ONSET.name: self.onset,
            SAFE_SHARES.name: self.safe_shares,
            ATTRIBUTION.name: self.attribution,
            MITIGATION_EFFECTS.name: self.mitigation_effects,
            PROVENANCE_THRESHOLDS.name: self.thresholds,
            STRICTNESS_TRADE.name: self.strictness_trade,
            DOMAIN_SENSITIVITY.name: self.domain_sensitivity,
            DOMAIN_CORRELATIONS.name: self.domain_correlations,
            BENCHMARK_COVERAGE.name: self.benchmark_coverage,
        }

    @property
    def metrics(self) -> pa.Table:
        """ARM_METRICS of the arms they were drawn from."""
        return self.evidence.metrics


def draw_findings(
    study: Study, lake: Lake, arms: Iterable[Arm] | None = None, lineage: Lineage | None = None
) -> Findings:
    """Draw all findings from the arms that are there.

    Args:
        arms: those that may count; by default all of the study's.
        lineage: leaves out arms whose results are stale; without one, every readable arm counts.

    Raises:
        StaleInputError: no arm has results.
        LakeError: see `collect`.
    """
    evidence = collect(study, lake, arms, lineage)
    if not evidence.arms:
        why = f"{len(evidence.stale)} stale, {len(evidence.missing)} missing"
        raise StaleInputError(f"no arm of study `{study.name}` has results ({why})", "run `smc study run`")
    effects = Effects(evidence, study)
    losing = losing_series(study, evidence, effects)
    onsets = find_onsets(study, evidence, effects, losing)
    headline = build_headline(evidence, effects, onsets, study.findings.level)
    safe_shares = build_safe_shares(study, evidence, effects)
    mixtures, undrawn = Mixtures(lake), list[str]()
    trade = STRICTNESS_TRADE.schema.empty_table()
    try:
        trade = build_strictness_trade(study, lake, mixtures, evidence, effects)
    except StaleInputError as error:
        # it looks at the mixtures themselves, which a lake may have parted with once the arms were measured
        undrawn.append(f"what the filter saves and costs was not drawn: {error.problem}")
    onset = build_onset_table(study, evidence, effects, onsets)
    domains = DOMAIN_SENSITIVITY.schema.empty_table()
    try:
        traits = read_traits(study, lake)
        domains = build_domain_sensitivity(study, evidence, effects, traits, onset, safe_shares)
    except StaleInputError as error:
        undrawn.append(f"what sets sensitive domains apart was not drawn: {error.problem}")
    return Findings(
        headline=headline,
        onset=onset,
        safe_shares=safe_shares,
        domain_answer=domain_answers(study, safe_shares, evidence.composition),
        thresholds=build_thresholds(study, mixtures, evidence, effects, onsets, losing, safe_shares),
        attribution=build_attribution(study, evidence, effects),
        mitigation_effects=build_mitigation_effects(study, evidence, effects),
        strictness_trade=trade,
        domain_sensitivity=domains,
        domain_correlations=build_domain_correlations(study, domains),
        notes=[*evidence.notes, *reach(study, evidence, headline), *undrawn],
        benchmark_coverage=build_benchmark_coverage(study, lake, evidence),
        evidence=evidence,
        onsets=onsets,
    )


def reach(study: Study, evidence: Evidence, headline: pa.Table) -> list[str]:
    """What the study could have seen, series by series, and which arms fell short of the share asked."""
    normal = NormalDist().inv_cdf((1 + study.findings.level) / 2)
    realised = evidence.realised_shares()
    notes = []
    for row in headline.to_pylist():
        if row["measure"] == "rare_recall":
            seen = smallest_effect((row["high"] - row["low"]) / (2 * normal), study.findings.level)
            notes.append(
                f"{row['series']}: with {row['n']} tail documents and {row['replicates']} replicates, a change of rare "
                f"recall under {seen * 100:.1f} % (relative, at {percent(row['share'])}) would probably go unseen"
            )
    for series in study.series:
        arm = evidence.largest(series.name)
        if arm is not None and arm.share - realised[arm.key] > 0.01:
            reached = percent(realised[arm.key])
            notes.append(
                f"{series.name}: {percent(arm.share)} was asked, {reached} was reached (caps, or a short pool)"
            )
    tests = sum(row["p_value"] is not None for row in headline.to_pylist())
    if not draws_suffice(tests, study.findings.bootstrap_draws, study.findings.level):
        notes.append(
            f"{study.findings.bootstrap_draws} bootstrap draws are too few for {tests} tests: none can be supported; "
            "raise `findings.bootstrap_draws`"
        )
    return notes
