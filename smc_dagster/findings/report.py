"""The study's report: one HTML file that needs nothing else.

What belongs here: gathering what the page shows, and the order of its sections. What does not: rows of tables
(report_tables.py), plots (report_plots.py), markup and style (the folder `page`, one file a section).

Everything from the corpus or the study is escaped by the template. Plots are SVG in the page's own colours, and every
plot and table has its numbers behind a link that holds them. The page fetches nothing and runs nothing: its security
policy allows the one stylesheet inside it, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pyarrow as pa

from smc_dagster.errors import LakeError
from smc_dagster.findings import anchor_slices, composition, report_answer, report_causes, report_plots, report_tables
from smc_dagster.findings.claims import CLAIMS
from smc_dagster.findings.downloads import Download, download
from smc_dagster.findings.draw import Findings
from smc_dagster.findings.safe_shares import MIN_TAIL_DOCUMENTS
from smc_dagster.findings.sentences import answer_parts
from smc_dagster.findings.summary import budget
from smc_dagster.lake import Lake
from smc_dagster.screening.label_noise import NEIGHBOURS
from smc_dagster.study import Study, shipped_studies
from smc_dagster.tables import MIXTURE_COMPOSITION, SYNTHETIC_PROFILE

BUDGET_WORDS = {
    "steps": "optimiser steps",
    "examples_seen": "examples seen",
    "tokens_seen": "token positions",
    "flops": "FLOPs",
}
ANCHORS = "anchor_slices"
RIVALS = "rival_shapes"


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        name: its anchor, and its file in the folder `page`.
        title: as the table of contents has it; empty for none.
        needs: what of the context must not be empty for the section to be shown; empty for always.
    """

    name: str
    title: str = ""
    needs: str = ""


SECTIONS = (
    Section("asked"),
    Section("claims", "Claims and verdicts"),
    Section("curves", "What happens as the share grows"),
    Section("onset", "Onset"),
    Section("provenance", "By what counts as synthetic", "thresholds"),
    Section("anchors", "Anchors", "anchors"),
    Section("attribution", "What is due to what"),
    Section("mitigations", "What helps"),
    Section("strictness", "The filter", "trade"),
    Section("domains", "Domains"),
    Section("sensitivity", "Which domains break first", "sensitivity"),
    Section("benchmark", "What can be judged", "coverage"),
    Section("calibration", "Calibration"),
    Section("pools", "Pools"),
    Section("mixtures", "Mixtures and budget"),
    Section("caveats", "Caveats"),
    Section("tables", "Tables"),
    Section("again", "Run it again"),
)


def render(study: Study, lake: Lake, findings: Findings, fingerprint: str) -> str:
    """The report as a string of HTML.

    Args:
        study: the study.
        lake: for the profiles of the pools; those not there are left out.
        findings: drawn or loaded.
        fingerprint: digest that the page is written under.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("smc_dagster.findings", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = resources.files("smc_dagster.findings").joinpath("page", "style.css").read_text(encoding="utf-8")
    context = _context(study, lake, findings, fingerprint)
    return environment.get_template("page.html").render(
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        sections=[one for one in SECTIONS if not one.needs or context[one.needs]],
        **context,
    )


def _context(study: Study, lake: Lake, findings: Findings, fingerprint: str) -> dict[str, Any]:
    evidence = findings.evidence
    profiles = _profiles(study, lake)
    domain_series, domains = report_tables.domain_rows(findings)
    grades, by_threshold = report_tables.threshold_rows(study, findings)
    realised = evidence.realised_shares()
    mixed = composition.by_arm(evidence)
    anchors = anchor_slices.slice_table(study, evidence)
    beside = {
        report_answer.NAME: report_answer.table(findings.domain_answer),
        ANCHORS: anchors,
        RIVALS: report_tables.rival_table(findings),
        MIXTURE_COMPOSITION.name: mixed,
        SYNTHETIC_PROFILE.name: pa.concat_tables([SYNTHETIC_PROFILE.schema.empty_table(), *profiles.values()]),
    }
    return {
        "study": study,
        "fingerprint": fingerprint,
        "answers": report_answer.rows(findings.domain_answer),
        "tally": report_answer.tally(findings.domain_answer),
        "answer": answer_parts(study, findings.headline, findings.onset),
        "claims": [claim.text for claim in CLAIMS],
        "series": [(one.name, report_tables.describe(one)) for one in study.series],
        "groups": report_tables.headline_groups(study, findings),
        "curves": report_plots.curves(study, findings),
        "onsets": report_tables.onset_rows(findings),
        "domain_onsets": report_tables.domain_onset_rows(findings),
        "trade": report_tables.trade_rows(findings),
        "anchors": report_tables.anchor_rows(anchors),
        "anchor_versions": anchor_slices.versions(evidence),
        "grades": grades,
        "thresholds": by_threshold,
        "attribution": report_causes.attribution_groups(findings.attribution, study.findings.level),
        "attribution_plot": report_plots.attribution(study, findings),
        "parts": report_causes.parts_in_words(findings.attribution),
        "lacking": report_causes.lacking_rows(study, findings.attribution),
        "contrasts": report_causes.contrast_rows(findings.mitigation_effects, study.findings.level),
        "refused": report_causes.refused(findings.mitigation_effects),
        "sensitivity": report_causes.sensitivity_rows(findings.domain_sensitivity),
        "sensitivity_plot": report_plots.domains(study, findings),
        "correlations": report_causes.correlation_rows(findings.domain_correlations),
        "untaken": report_causes.untaken(findings.domain_correlations),
        "neighbours": NEIGHBOURS,
        "least_tail": MIN_TAIL_DOCUMENTS,
        "contrast_plots": report_plots.contrasts(study, findings),
        "reliability": report_plots.reliability(study, findings),
        "pools": [(name, pool.generator) for name, pool in study.pools.items() if name in profiles],
        "profile": report_tables.profile_rows(profiles),
        "composition": composition.printed(mixed),
        "coverage": report_tables.coverage(findings),
        "domain_series": domain_series,
        "domains": domains,
        "budget": _budget(findings),
        "notes": findings.notes,
        "untested": _untested(study),
        "shipped": study.name in shipped_studies(),
        "reference": study.name if study.name in shipped_studies() else f"{study.name}.yaml",
        "arms": len(evidence.arms),
        "all_arms": len(study.arms),
        "short": any(arm.share - realised[arm.key] > 0.01 for arm in evidence.arms),
        "documents": {name: f"{len(documents):,}" for name, documents in evidence.documents.items()},
        "tables": _downloads(study, findings.tables | beside),
    }


def _untested(study: Study) -> list[str]:
    """What a reader might take the study to have tried."""
    found = []
    if not study.training.is_full:
        found.append(
            "Fine-tuning of the whole encoder: a head is trained on frozen features, which may be hurt less or more."
        )
    if study.generations < 2:
        found.append("Generators that are trained on the output of generators.")
    return found


def _downloads(study: Study, tables: dict[str, pa.Table]) -> dict[str, Download]:
    return {name: download(table, study.name, name) for name, table in tables.items()}


def _profiles(study: Study, lake: Lake) -> dict[str, pa.Table]:
    found = {}
    for pool in study.pools:
        try:
            found[pool] = lake.read(SYNTHETIC_PROFILE, pool)
        except LakeError:
            continue
    return found


def _budget(findings: Findings) -> dict[str, Any]:
    found = budget(findings.evidence)
    rows = []
    for metric, words in BUDGET_WORDS.items():
        value = found.get(metric)
        if value is not None:
            ends = value if isinstance(value, list) else [value]
            rows.append((words, " to ".join(f"{end:,.0f}" if end < 1e9 else f"{end:.3g}" for end in ends)))
    return {"rows": rows, "equal": found["equal_for_all_arms"]}
