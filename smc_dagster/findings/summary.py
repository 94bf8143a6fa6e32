"""The findings as JSON: what `smc findings --json` prints.

What belongs here: that shape. What does not: words for people (sentences.py), the page (report.py).
"""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.draw import Findings
from smc_dagster.findings.sentences import answer
from smc_dagster.study import Study

BUDGET_METRICS = ("steps", "examples_seen", "tokens_seen", "flops")


def summary(study: Study, findings: Findings, fingerprint: str) -> dict[str, Any]:
    """The findings as plain JSON values; what is not a number is null.

    Keys: study, fingerprint, answer, domain_answer, headline, onset, safe_shares, budget, and beyond these
        attribution, mitigation_effects, provenance_thresholds, strictness_trade, benchmark_coverage,
        domain_sensitivity, domain_correlations, arms, notes. Rows of `domain_answer` are those of `domain_answers`;
        those of `headline` have `control`: whether the series loses real rows and no synthetic ones come.
    """
    controls = {series.name for series in study.series if series.is_control}
    headline = [{**row, "control": row["series"] in controls} for row in plain_rows(findings.headline)]
    evidence = findings.evidence
    return {
        "study": study.name,
        "fingerprint": fingerprint,
        "answer": answer(study, findings.headline, findings.onset),
        "domain_answer": findings.domain_answer,
        "headline": headline,
        "onset": plain_rows(findings.onset),
        "safe_shares": plain_rows(findings.safe_shares),
        "budget": budget(evidence),
        "attribution": plain_rows(findings.attribution),
        "mitigation_effects": plain_rows(findings.mitigation_effects),
        "provenance_thresholds": plain_rows(findings.thresholds),
        "strictness_trade": plain_rows(findings.strictness_trade),
        "benchmark_coverage": plain_rows(findings.benchmark_coverage),
        "domain_sensitivity": plain_rows(findings.domain_sensitivity),
        "domain_correlations": plain_rows(findings.domain_correlations),
        "arms": {
            "counted": [arm.key for arm in evidence.arms],
            "missing": evidence.missing,
            "stale": evidence.stale,
        },
        "notes": findings.notes,
    }


def budget(evidence: Evidence) -> dict[str, Any]:
    """Compute spent by one replicate of an arm: steps, examples, tokens and FLOPs, and whether all arms spent the
    same.

    Where arms differ, a figure is the [smallest, largest].
    """
    found: dict[str, Any] = {}
    equal = True
    for metric in BUDGET_METRICS:
        table = evidence.metrics.filter((pc.field("slice") == "train") & (pc.field("metric") == metric))
        if table.num_rows:
            values = table["value"].to_numpy()
            low, high = float(values.min()), float(values.max())
            equal = equal and low == high
            found[metric] = low if low == high else [low, high]
    return {**found, "equal_for_all_arms": equal if found else None}


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of a table with null for what is not a finite number."""
    return [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
