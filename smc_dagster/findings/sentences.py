"""Findings in words.

What belongs here: the answer in a sentence or three, made from verdicts alone. What does not: any figure that is
not in the tables, and any judgement that the verdicts do not hold.
"""

from __future__ import annotations

import pyarrow as pa

from smc_dagster.findings.claims import BY_MEASURE
from smc_dagster.study import Study
from smc_dagster.tables import ALL_DOMAINS, COLLAPSE_ONSET, HEADLINE

MEASURE_WORDS = {
    "rare_recall": "rare-case recall",
    "confidence": "average confidence",
    "ece": "calibration error",
    "onset": "onset",
}
STATUS_WORDS = {
    "identified": "a knee was found",
    "smooth_decline": "rare-case recall declines smoothly, without a knee",
    "no_decline": "no decline was found",
    "insufficient_data": "there are too few data to tell",
}


def percent(value: float, digits: int = 1) -> str:
    """A signed percentage with a true minus sign: -0.214 is `−21.4 %`."""
    return f"{value * 100:+.{digits}f} %".replace("-", "−")


def signed_figure(value: float) -> str:
    """A difference in a measure's own unit, with a true minus sign: -0.0214 is `−0.021`."""
    return f"{value:+.3f}".replace("-", "−")


def share(value: float | None) -> str:
    """A share as a percentage without needless digits: 0.325 is `32.5 %`; a dash for none."""
    return "–" if value is None else f"{value * 100:.3g} %"


def figure(measure: str, value: float | None) -> str:
    """A figure of the headline table in its own unit; a dash for none."""
    if value is None:
        return "–"
    kind = BY_MEASURE[measure].kind
    if kind == "share":
        return share(value)
    return percent(value) if kind == "relative" else signed_figure(value)


def answer(study: Study, headline: pa.Table, onset: pa.Table) -> str:
    """The answer in a few sentences, as text: see `answer_parts`."""
    return " ".join(text for text, _ in answer_parts(study, headline, onset))


def answer_parts(study: Study, headline: pa.Table, onset: pa.Table) -> list[tuple[str, str | None]]:
    """The answer: onset first, then the loss of rare cases, then the tally of verdicts.

    Each part has the name of the table that it was read from; None where there is nothing to read
    yet. The control series says what losing real rows does; it has its own sentence and no part in the others.
    """
    controls = {series.name for series in study.series if series.is_control}
    every = headline.to_pylist()
    rows = [row for row in every if row["series"] not in controls]
    if not rows:
        few = "Too few arms have results for an answer: each series needs its 0 % arm and at least one more."
        return [(few, None)]
    measured = [_losses(rows), *_control(every, controls), _tally(rows)]
    return [(_onsets(onset, controls), COLLAPSE_ONSET.name), *((one, HEADLINE.name) for one in measured)]


def _onsets(onset: pa.Table, controls: set[str]) -> str:
    rows = [row for row in onset.to_pylist() if row["series"] not in controls and row["domain"] == ALL_DOMAINS]
    knees = [row for row in rows if row["status"] == "identified"]
    if knees:
        found = "; ".join(
            f"{row['series']} at {share(row['knot'])} ({share(row['low'])} to {share(row['high'])})" for row in knees
        )
        return f"An onset was identified in {len(knees)} of {len(rows)} synthetic series: {found}."
    parts = []
    for status in ("smooth_decline", "no_decline", "insufficient_data"):
        names = [row["series"] for row in rows if row["status"] == status]
        if names:
            parts.append(f"{STATUS_WORDS[status]} ({', '.join(names)})")
    if not parts:
        return "No onset was looked for: rare-case recall was not measured at 0 % and another share."
    return "No onset was found: " + "; ".join(parts) + "."


def _losses(rows: list[dict]) -> str:
    losses = [row for row in rows if row["measure"] == "rare_recall"]
    if not losses:
        return "No change of rare-case recall can be told: it was not measured, or the 0 % arms find no rare case."
    worst = min(losses, key=lambda row: row["estimate"])
    tell = f"{percent(worst['estimate'])} ({percent(worst['low'])} to {percent(worst['high'])})"
    proven = [row for row in losses if row["high"] < 0]
    if not proven:
        return (
            f"No loss of rare-case recall is proven in any synthetic series; the lowest estimate is {tell}, "
            f"in {worst['series']} at {share(worst['share'])}."
        )
    return (
        f"At the largest share, rare-case recall fell in {len(proven)} of {len(losses)} synthetic series; "
        f"most in {worst['series']}, {tell} at {share(worst['share'])}."
    )


def _control(rows: list[dict], controls: set[str]) -> list[str]:
    """What the same real rows cost when nothing comes in their place: without it a loss is blamed on synthetic text."""
    return [
        f"With the same real rows left out and nothing in their place ({row['series']}), it changed by "
        f"{percent(row['estimate'])} ({percent(row['low'])} to {percent(row['high'])})."
        for row in rows
        if row["series"] in controls and row["measure"] == "rare_recall"
    ]


def _tally(rows: list[dict]) -> str:
    counts = {
        verdict: sum(row["verdict"] == verdict for row in rows)
        for verdict in ("supported", "contradicted", "undecided")
    }
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"Of {len(rows)} tests of the published claims: {told}."
