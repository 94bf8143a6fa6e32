"""The study's report: one HTML file that needs nothing else.

What belongs here: gathering what the page shows, and the order of its sections. What does not: rows of tables
(report_tables.py), drawing (plots.py), markup and style (the folder `page`, one file a section).

Everything from the corpus or the study is escaped by the template. Plots are images inside the page, on a light
ground of their own, so that they read the same in the dark.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from smc_dagster.errors import LakeError
from smc_dagster.findings import anchor_slices, plots, report_tables
from smc_dagster.findings.claims import CLAIMS
from smc_dagster.findings.draw import Findings
from smc_dagster.findings.mitigation_effects import QUESTIONS
from smc_dagster.findings.sentences import answer
from smc_dagster.findings.summary import budget
from smc_dagster.lake import Lake
from smc_dagster.study import Composition, Study
from smc_dagster.tables import SYNTHETIC_PROFILE

BUDGET_WORDS = {"steps": "optimiser steps", "examples_seen": "examples seen", "flops": "FLOPs"}
CAPTIONS = {
    "rare_recall": "Mean over the rare labels of the share of their documents found, on the anchor slice “rare”.",
    "confidence": "Mean probability of the predicted label, on the natural test split.",
    "ece": "Equal-mass, top-label, on the natural test split; 0 is perfect, but a perfect model shows noise.",
}


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
    Section("strictness", "The filter", "trade"),
    Section("domains", "Domains"),
    Section("calibration", "Calibration"),
    Section("pools", "Pools"),
    Section("mixtures", "Mixtures and budget"),
    Section("caveats", "Caveats"),
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
    context = _context(study, lake, findings, fingerprint)
    sections = [one for one in SECTIONS if not one.needs or context[one.needs]]
    return environment.get_template("page.html").render(sections=sections, **context)


def _context(study: Study, lake: Lake, findings: Findings, fingerprint: str) -> dict[str, Any]:
    evidence = findings.evidence
    profiles = _profiles(study, lake)
    domain_series, domains = report_tables.domain_rows(findings)
    grades, by_threshold = report_tables.threshold_rows(study, findings)
    realised = evidence.realised_shares()
    return {
        "study": study,
        "fingerprint": fingerprint,
        "answer": answer(study, findings.headline, findings.onset),
        "claims": [claim.text for claim in CLAIMS],
        "series": [(one.name, report_tables.describe(one)) for one in study.series],
        "groups": report_tables.headline_groups(study, findings),
        "curves": _curves(study, findings),
        "onsets": report_tables.onset_rows(findings),
        "trade": report_tables.trade_rows(findings),
        "anchors": report_tables.anchor_rows(study, evidence),
        "anchor_versions": anchor_slices.versions(evidence),
        "grades": grades,
        "thresholds": by_threshold,
        "contrasts": report_tables.contrast_rows(findings, study.findings.level),
        "contrast_figures": _contrast_figures(study, findings),
        "reliability": _image(
            plots.svg_reliability(evidence, [one.name for one in study.series], study.evaluation.ece_bins)
        ),
        "pools": [(name, pool.generator) for name, pool in study.pools.items() if name in profiles],
        "profile": report_tables.profile_rows(profiles),
        "composition": report_tables.composition_rows(evidence),
        "domain_series": domain_series,
        "domains": domains,
        "budget": _budget(findings),
        "notes": findings.notes,
        "arms": len(evidence.arms),
        "all_arms": len(study.arms),
        "short": any(arm.share - realised[arm.key] > 0.01 for arm in evidence.arms),
        "documents": {name: f"{len(documents):,}" for name, documents in evidence.documents.items()},
    }


def _profiles(study: Study, lake: Lake) -> dict[str, pa.Table]:
    found = {}
    for pool in study.pools:
        try:
            found[pool] = lake.read(SYNTHETIC_PROFILE, pool)
        except LakeError:
            continue
    return found


def _controls(study: Study) -> set[str]:
    return {one.name for one in study.series if one.composition is Composition.DROP}


def _curves(study: Study, findings: Findings) -> list[dict[str, str]]:
    series = [one.name for one in study.series]
    shown = []
    for metric, slice_name, title in plots.CURVES:
        level = study.findings.level
        svg = plots.svg_share_curve(findings.metrics, metric, slice_name, title, series, _controls(study), level)
        ends = []
        for name in series:
            found = plots.curve(findings.metrics, name, metric, slice_name, level)
            if len(found["share"]) > 1:
                ends.append(
                    f"{name} {found['mean'][0]:.3f} at 0 %, {found['mean'][-1]:.3f} at {found['share'][-1]:.0%}"
                )
        alt = f"{title} against synthetic share. " + "; ".join(ends)
        shown.append({"title": title, "image": _image(svg) or "", "alt": alt, "caption": CAPTIONS[metric]})
    return shown


def _contrast_figures(study: Study, findings: Findings) -> list[dict[str, str]]:
    shown = []
    order = [one.name for one in study.series]
    for kind, question in QUESTIONS.items():
        image = _image(plots.svg_contrasts(findings.mitigation_effects, kind, _controls(study), order))
        if image is not None:
            shown.append({"kind": kind, "question": question[0].upper() + question[1:], "image": image})
    return shown


def _budget(findings: Findings) -> dict[str, Any]:
    found = budget(findings.evidence)
    rows = []
    for metric, words in BUDGET_WORDS.items():
        value = found.get(metric)
        if value is not None:
            ends = value if isinstance(value, list) else [value]
            rows.append((words, " to ".join(f"{end:,.0f}" if end < 1e9 else f"{end:.3g}" for end in ends)))
    return {"rows": rows, "equal": found["equal_for_all_arms"]}


def _image(svg: str | None) -> str | None:
    return None if svg is None else "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
