"""The report's plots, each with what it shows in words and its numbers.

What belongs here: which plots the page has. What does not: drawing them (plots.py), their numbers (plot_numbers.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.findings import plot_numbers, plots, plots_causes
from smc_dagster.findings.attribution import TOTAL
from smc_dagster.findings.downloads import Download, download
from smc_dagster.findings.draw import Findings
from smc_dagster.findings.mitigation_effects import QUESTIONS
from smc_dagster.findings.report_causes import PART_WORDS
from smc_dagster.findings.sentences import share
from smc_dagster.study import Study

CAPTIONS = {
    "rare_recall": "Mean over the rare labels of the share of their documents found, on the anchor slice “rare”.",
    "confidence": "Mean probability of the predicted label, on the natural test split.",
    "ece": "Equal-mass, top-label, on the natural test split; 0 is perfect, but a perfect model shows noise.",
}


@dataclass(frozen=True)
class Plot:
    """A plot of the page.

    Attributes:
        name: its anchor, after `plot-`.
        svg: the drawing: markup of our own, with all names in it escaped.
        alt: what it shows, in words.
        numbers: what is drawn.
        title: what is measured, or asked.
        caption: what a reader must know besides.
        wide: whether it has panels side by side.
    """

    name: str
    svg: str
    alt: str
    numbers: Download
    title: str
    caption: str = ""
    wide: bool = False


def curves(study: Study, findings: Findings) -> list[Plot]:
    """The three measures of the claims against the share, in their order."""
    series = [one.name for one in study.series]
    shown = []
    for metric, slice_name, title in plots.CURVES:
        numbers = plot_numbers.share_curve(findings.metrics, series, metric, slice_name, study.findings.level)
        shown.append(
            Plot(
                name=metric,
                svg=plots.svg_share_curve(numbers, metric, title, series, _controls(study)),
                alt=f"{title} against synthetic share. " + "; ".join(_ends(numbers)),
                numbers=download(numbers, study.name, f"plot-{metric}"),
                title=title,
                caption=CAPTIONS[metric],
            )
        )
    return shown


def contrasts(study: Study, findings: Findings) -> list[Plot]:
    """One plot a kind of contrast that the study has."""
    order = [one.name for one in study.series]
    shown = []
    for kind, question in QUESTIONS.items():
        numbers = plot_numbers.contrasts(findings.mitigation_effects, kind)
        svg = plots.svg_contrasts(numbers, f"contrast-{kind}", _controls(study), order)
        if svg is not None:
            shown.append(
                Plot(
                    name=f"contrast-{kind}",
                    svg=svg,
                    alt=f"Differences of {kind} contrasts against share; those at the largest share are in the table.",
                    numbers=download(numbers, study.name, f"plot-contrast-{kind}"),
                    title=question[0].upper() + question[1:],
                    wide=True,
                )
            )
    return shown


def attribution(study: Study, findings: Findings) -> Plot | None:
    """The parts of the change of rare-case recall; None where no series has a control."""
    numbers = findings.attribution.filter(pc.field("measure") == "rare_recall")
    svg = plots_causes.svg_attribution(numbers, PART_WORDS, TOTAL, "attribution")
    if svg is None:
        return None
    return Plot(
        name="attribution",
        svg=svg,
        alt="Parts of the change of rare-case recall against the share reached, a panel a series and order of the "
        "parts; those at the largest share are in the table.",
        numbers=download(numbers, study.name, "plot-attribution"),
        title="Parts of the change of rare-case recall",
        wide=True,
    )


def domains(study: Study, findings: Findings) -> Plot | None:
    """Loss slopes of domains against their traits; None where none was measured."""
    numbers = findings.domain_sensitivity
    series = list(dict.fromkeys(str(one) for one in numbers["series"].to_pylist()))
    svg = plots_causes.svg_domains(numbers, series, _controls(study), "domain-sensitivity")
    if svg is None:
        return None
    return Plot(
        name="domain-sensitivity",
        svg=svg,
        alt="Loss slope of tail recall, a point a domain and series, against tail-heaviness, label noise and coverage "
        "by the pool; the figures are in the table.",
        numbers=download(numbers, study.name, "plot-domain-sensitivity"),
        title="How much domains lose, beside what they are like",
        wide=True,
    )


def reliability(study: Study, findings: Findings) -> Plot | None:
    """Reliability of every series; None where no series has its 0 % arm and another."""
    series = [one.name for one in study.series]
    numbers = plot_numbers.reliability_bins(findings.evidence, series, study.evaluation.ece_bins)
    svg = plots.svg_reliability(numbers, "reliability")
    if svg is None:
        return None
    return Plot(
        name="reliability",
        svg=svg,
        alt="Reliability diagrams, one a series: accuracy against confidence at 0 % and at the largest share, with the "
        "diagonal of perfect calibration.",
        numbers=download(numbers, study.name, "plot-reliability"),
        title="Reliability on the natural test split",
        wide=True,
    )


def _controls(study: Study) -> set[str]:
    return {one.name for one in study.series if one.is_control}


def _ends(numbers: pa.Table) -> list[str]:
    """The first and last point of each curve that has two, in words."""
    found = []
    for name in dict.fromkeys(numbers["series"].to_pylist()):
        own = numbers.filter(pc.field("series") == name).to_pylist()
        if len(own) > 1:
            first, last = own[0], own[-1]
            at = f"{last['mean']:.3f} at {share(last['share'])}"
            found.append(f"{name} {first['mean']:.3f} at {share(first['share'])}, {at}")
    return found
