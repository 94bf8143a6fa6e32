"""Rows of the report's tables, ready to print.

What belongs here: from tables of the lake to strings and marks. What does not: markup (the folder `page`),
escaping (jinja2 does it).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.findings import benchmark_coverage
from smc_dagster.findings.claims import BY_MEASURE
from smc_dagster.findings.curves import in_words
from smc_dagster.findings.draw import Findings
from smc_dagster.findings.plots import CURVES
from smc_dagster.findings.sentences import MEASURE_WORDS, figure, percent, share, signed_figure
from smc_dagster.findings.summary import plain_rows
from smc_dagster.findings.thresholds import NOT_COUNTED, thresholds
from smc_dagster.study import Composition, Series, Study
from smc_dagster.tables import ALL_DOMAINS, COLLAPSE_ONSET

MARKS = {"supported": "✓", "contradicted": "✗", "undecided": "?"}
# where on the page the evidence for a row of the headline table is
EVIDENCE = {measure: f"plot-{measure}" for measure, _, _ in CURVES} | {"onset": f"table-{COLLAPSE_ONSET.name}"}
STATUS = {
    "identified": "knee identified",
    "smooth_decline": "smooth decline",
    "no_decline": "no decline",
    "insufficient_data": "too few data",
    NOT_COUNTED: "does not count",
}
COMPOSITION_WORDS = {
    Composition.REPLACE: "in the place of real rows",
    Composition.DROP: "real rows leave and nothing comes",
    Composition.REPEAT: "real rows leave and those left are repeated",
    Composition.ADD: "on top of all real rows",
}


def describe(series: Series) -> str:
    """A series in words."""
    what = COMPOSITION_WORDS[series.composition]
    anchors = ", anchors stay" if series.anchors else ""
    if series.is_control:
        return f"control: {what}{anchors}"
    strictness = series.strictness.value
    filtered = "no filter" if strictness == "off" else f"{strictness} filter"
    caps = "caps obeyed" if series.caps else "no caps"
    shared_out = ", what is held back in a domain goes to others" if series.rebalance else ""
    return f"pool {series.pool} {what}, {filtered}, {caps}{anchors}{shared_out}"


def headline_groups(study: Study, findings: Findings) -> list[dict[str, Any]]:
    """The headline table by series, controls last."""
    rows = findings.headline.to_pylist()
    groups = []
    for series in sorted(study.series, key=lambda one: one.is_control):
        own = [row for row in rows if row["series"] == series.name]
        if own:
            control = series.is_control
            printed = [_headline_row(row, findings) for row in own]
            groups.append({"series": series.name, "what": describe(series), "control": control, "rows": printed})
    return groups


def _headline_row(row: dict[str, Any], findings: Findings) -> dict[str, Any]:
    measure = row["measure"]
    claim = BY_MEASURE[measure]
    ends = None if row["low"] is None else f"{figure(measure, row['low'])} to {figure(measure, row['high'])}"
    measured = figure(measure, row["estimate"])
    if measure == "onset" and row["estimate"] is None:
        onset = findings.onsets.get(row["series"])
        measured = STATUS[onset.status] if onset else "–"
    return {
        "measure": MEASURE_WORDS[measure],
        "evidence": EVIDENCE[measure],
        "claim": claim.text,
        "at": share(row["share"]),
        "n": f"{row['n']:,} x {row['replicates']}",
        "measured": measured,
        "interval": ends or "–",
        "p": "–" if row["p_holm"] is None else ("< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"),
        "verdict": row["verdict"],
        "mark": MARKS[row["verdict"]],
        "needed": None
        if row["n_needed"] is None
        else f"{row['n_needed']:,} documents and {row['replicates_needed']:,} replicates would do",
    }


def onset_rows(findings: Findings) -> list[dict[str, Any]]:
    """One row a series, with the scores of the rivals where they are known, and what could have been seen."""
    rows = []
    for row in _onsets(findings, domains=False):
        onset = findings.onsets.get(row["series"])
        scores = [] if onset is None else sorted(onset.scores.items(), key=lambda item: item[1][0])
        rows.append(
            {
                "series": row["series"],
                "status": STATUS[row["status"]],
                "knot": share(row["knot"]),
                "interval": "–" if row["low"] is None else f"{share(row['low'])} to {share(row['high'])}",
                "note": row["note"],
                "smallest_loss": "–" if row["smallest_loss"] is None else percent(-row["smallest_loss"]),
                "smallest_knee": "none" if row["smallest_knee"] is None else signed_figure(row["smallest_knee"] / 10),
                "false_knees": share(row["false_knees"]),
                "coverage": share(row["coverage"]),
                "reached": row["false_knees"] is not None,
                "scores": [(in_words(name), f"{bic:.1f}", f"{error:.4f}") for name, (bic, error) in scores],
            }
        )
    return rows


def rival_table(findings: Findings) -> pa.Table:
    """A row a series and rival shape: BIC above the best, and root mean squared error on held-out replicates."""
    return pa.Table.from_pylist(
        [
            {"series": series, "shape": name, "bic_above_best": bic, "held_out_error": error}
            for series, onset in findings.onsets.items()
            for name, (bic, error) in onset.scores.items()
        ],
        schema=pa.schema(
            [
                ("series", pa.string()),
                ("shape", pa.string()),
                ("bic_above_best", pa.float64()),
                ("held_out_error", pa.float64()),
            ]
        ),
    )


def domain_onset_rows(findings: Findings) -> list[dict[str, str]]:
    """One row a series and domain."""
    return [
        {
            "series": row["series"],
            "domain": row["domain"],
            "status": STATUS[row["status"]],
            "knot": share(row["knot"]),
            "interval": "–" if row["low"] is None else f"{share(row['low'])} to {share(row['high'])}",
            "n": f"{row['n']:,}",
            "needed": "–" if row["n_needed"] is None else f"{row['n_needed']:,}",
            "weight": share(row["own_weight"]),
            "note": row["note"],
        }
        for row in _onsets(findings, domains=True)
    ]


def _onsets(findings: Findings, *, domains: bool) -> list[dict[str, Any]]:
    rows = plain_rows(findings.onset)
    return [row for row in rows if (row["domain"] != ALL_DOMAINS) == domains]


def threshold_rows(study: Study, findings: Findings) -> tuple[list[str], list[dict[str, Any]]]:
    """Thresholds, and a row a series with a cell a threshold: what counts at the largest share, onset, safe share."""
    table = findings.thresholds.to_pylist()
    rows: dict[str, dict[str, Any]] = {}
    for row in table:
        knot = "" if row["knot"] is None else f" at {share(row['knot'])} ({share(row['low'])} to {share(row['high'])})"
        cell = {
            "counted": share(row["counted"]),
            "onset": STATUS[row["status"]] + knot,
            "safe": share(row["safe_counted"]) if row["safe_counted"] is not None else "none proven",
            "note": row["note"],
            "counts": row["status"] != NOT_COUNTED,
        }
        rows.setdefault(row["series"], {"series": row["series"], "asked": share(row["share"]), "cells": []})[
            "cells"
        ].append(cell)
    return [one.value for one in thresholds(study)] if rows else [], list(rows.values())


def trade_rows(findings: Findings) -> list[dict[str, Any]]:
    """A row a pool and strictness: what the filter leaves, and what it does to tail recall."""
    return [
        {
            "pool": row["pool"],
            "strictness": row["strictness"],
            "at": share(row["share"]),
            "left": share(row["pool_left"] / row["pool_rows"]) if row["pool_rows"] else "–",
            "contaminated": share(row["contaminated"]),
            "templated": share(row["templated"]),
            "duplicated": share(row["duplicated"]),
            "coverage": _number(row["coverage"]),
            "recall": _number(row["tail_recall"]),
            "recall_interval": _ends(row["recall_low"], row["recall_high"]),
            "n": f"{row['n']:,}",
            "change": "–" if row["change"] is None else signed_figure(row["change"]),
            "interval": "–" if row["low"] is None else f"{signed_figure(row['low'])} to {signed_figure(row['high'])}",
        }
        for row in findings.strictness_trade.to_pylist()
    ]


def profile_rows(profiles: dict[str, pa.Table]) -> list[dict[str, Any]]:
    """A row a measure: each pool's value over all domains, and the real corpus's own."""
    measures: dict[str, dict[str, Any]] = {}
    for pool, table in profiles.items():
        for row in table.filter(pc.field("domain") == ALL_DOMAINS).to_pylist():
            entry = measures.setdefault(row["measure"], {"values": {}, "real": None})
            entry["values"][pool] = row["value"]
            entry["real"] = row["reference"] if row["reference"] is not None else entry["real"]
    return [
        {
            "measure": name.replace("_", " "),
            "values": [_number(entry["values"].get(pool)) for pool in profiles],
            "real": _number(entry["real"]),
        }
        for name, entry in measures.items()
    ]


def domain_rows(findings: Findings) -> tuple[list[str], list[dict[str, Any]]]:
    """Series, and a row a domain: tail documents, cap in force, and what each series' safe share is."""
    table = findings.safe_shares.to_pylist()
    series = list(dict.fromkeys(row["series"] for row in table))
    cells = {(row["domain"], row["series"]): row for row in table}
    domains = list(dict.fromkeys(row["domain"] for row in table))
    composition = findings.evidence.composition
    rows = []
    for domain in domains:
        caps = composition.filter((pc.field("domain") == domain) & (pc.field("composition") != "drop"))["cap"]
        known = np.unique(caps.to_numpy()) if len(caps) else np.array([])
        cap = (
            " to ".join(dict.fromkeys("none" if one >= 1 else share(float(one)) for one in known[[0, -1]]))
            if len(known)
            else "–"
        )
        printed = [_safe_cell(cells.get((domain, name))) for name in series]
        n = next((cells[domain, name]["n"] for name in series if (domain, name) in cells), 0)
        name = "all domains" if domain == ALL_DOMAINS else domain
        rows.append({"domain": name, "n": f"{n:,}", "cap": cap, "cells": printed, "all": domain == ALL_DOMAINS})
    return series, rows


def coverage(findings: Findings) -> dict[str, Any]:
    """Rare labels that can be judged, by domain, and those that cannot, one by one; empty where none was looked at."""
    table = findings.benchmark_coverage
    if table.num_rows == 0:
        return {}
    rows = [row for row in table.to_pylist() if not row["judged"]]
    domains = [
        row | {"median_n": f"{row['median_n']:g}", "base": _number(row["base"]), "needed": _number(row["needed"])}
        for row in benchmark_coverage.by_domain(table)
    ]
    listed = [row | {"smallest": _number(row["smallest_loss"]), "needed": _number(row["needed"])} for row in rows]
    return {"labels": table.num_rows, "unjudged": len(rows), "domains": domains, "rows": listed}


def _safe_cell(row: dict[str, Any] | None) -> dict[str, str]:
    if row is None:
        return {"kind": "unknown", "text": "–", "note": ""}
    if row["status"] == "measured":
        return {"kind": "safe", "text": f"✓ {share(row['share'])}", "note": row["note"]}
    if row["status"] == "none_safe" and row["harm_from"] is not None:
        return {"kind": "unsafe", "text": f"✗ loss from {share(row['harm_from'])}", "note": row["note"]}
    if row["status"] == "none_safe":
        return {"kind": "unproven", "text": "! none proven", "note": row["note"]}
    return {"kind": "unknown", "text": "? too few data", "note": row["note"]}


def anchor_rows(table: pa.Table) -> list[dict[str, Any]]:
    """A row a series and slice of the reality anchors (`anchor_slices.ROWS`), beside the natural test split."""
    return [
        {
            "series": str(row["series"]),
            "slice": str(row["slice"]),
            "n": f"{row['n']:,}",
            "at": share(row["share"]),
            **{name: _with_ends(row, name, _number) for name in ("accuracy_base", "accuracy")},
            **{name: _with_ends(row, name, signed_figure) for name in ("gap_base", "gap")},
        }
        for row in table.to_pylist()
    ]


def _with_ends(row: dict[str, Any], name: str, printed: Callable[[float], str]) -> dict[str, str]:
    """A figure and its interval, as a cell has them."""
    if row[name] is None:
        return {"value": "–", "ends": ""}
    return {"value": printed(row[name]), "ends": _ends(row[f"{name}_low"], row[f"{name}_high"], printed)}


def _ends(low: float | None, high: float | None, printed: Callable[[float], str] | None = None) -> str:
    shown = printed or _number
    return "" if low is None or high is None else f"{shown(low)} to {shown(high)}"


def _number(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
