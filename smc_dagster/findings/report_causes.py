"""Rows of the report's sections on causes: what is due to what, what helps, which domains break first.

What belongs here: from tables of the lake to strings. What does not: the other sections' rows (report_tables.py),
markup (the folder `page`), escaping (jinja2 does it).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from smc_dagster.findings.attribution import PARTS, TOTAL, lacking
from smc_dagster.findings.domain_sensitivity import UNDECIDED
from smc_dagster.findings.mitigation_effects import QUESTIONS
from smc_dagster.findings.sentences import MEASURE_WORDS, share, signed_figure
from smc_dagster.study import Composition, Study

PART_WORDS = {
    TOTAL: "total",
    "real_rows_lost": "real rows lost",
    "repetition": "repetition",
    "synthetic_in_place": "synthetic rows in their place",
    "synthetic_on_top": "synthetic rows on top",
    "fewer_rows": "fewer rows at that share",
}
PATH_WORDS = {"loss_first": "real rows leave, then synthetic rows come", "synthetic_first": "the other way round"}
TRAIT_WORDS = {"tail_share": "tail-heaviness", "noise": "label noise", "coverage": "coverage by the pool"}
SENSITIVITY_WORDS = {"loss_slope": "loss slope", "safe_share": "safe share", "onset": "onset"}
LACKING = {
    Composition.DROP: "what of the change is lost real rows (drop)",
    Composition.REPEAT: "what the size of the mixture does (repeat)",
    Composition.ADD: "what synthetic rows do while all real rows stay (add)",
}


def attribution_groups(table: pa.Table, level: float) -> list[dict[str, Any]]:
    """One group a series and path, at its largest share: a row a part, a figure a measure; the total comes last."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    rows = table.to_pylist()
    largest = {(row["series"], row["path"]): row["share"] for row in rows}
    for row in rows:
        key = (row["series"], row["path"])
        if row["share"] != largest[key]:
            continue
        head = {"series": key[0], "path": PATH_WORDS[key[1]], "at": share(row["realised"]), "parts": {}}
        parts = groups.setdefault(key, head)["parts"]
        pair = f"{row['arm']} − {row['against']}"
        words = {"part": PART_WORDS[row["part"]], "total": row["part"] == TOTAL, "pair": pair, "cells": {}}
        parts.setdefault(row["part"], words)["cells"][row["measure"]] = {
            "estimate": signed_figure(row["estimate"]),
            "interval": _interval(row),
            "proven": _proven(row, level),
        }
    ordered = [
        {**one, "parts": sorted(one["parts"].values(), key=lambda part: bool(part["total"]))} for one in groups.values()
    ]
    return sorted(ordered, key=lambda one: list(dict.fromkeys(row["series"] for row in rows)).index(one["series"]))


def parts_in_words(table: pa.Table) -> list[tuple[str, str]]:
    """The parts that the table has, each with what it is."""
    there = set(table["part"].to_pylist())
    return [(PART_WORDS[part], words) for part, words in PARTS.items() if part in there]


def lacking_rows(study: Study, table: pa.Table) -> list[tuple[str, str]]:
    """Series, each with what cannot be told apart for want of a control."""
    return [(name, "; ".join(LACKING[one] for one in missing)) for name, missing in lacking(study, table)]


def contrast_rows(table: pa.Table, level: float) -> list[dict[str, Any]]:
    """Contrasts at their largest matched share: those that are in the adjusted family."""
    rows = [
        {
            "kind": row["contrast"],
            "pair": f"{row['series']} − {row['against']}",
            "at": share(row["realised"]),
            "against_at": share(row["realised_against"]),
            "measure": MEASURE_WORDS[row["measure"]],
            "estimate": signed_figure(row["estimate"]),
            "interval": _interval(row),
            "p": _p(row["p_holm"]),
            "proven": _proven(row, level),
        }
        for row in table.to_pylist()
        if row["p_holm"] is not None
    ]
    order = list(QUESTIONS)
    return sorted(rows, key=lambda row: order.index(row["kind"]))


def refused(table: pa.Table) -> list[str]:
    """Why pairs of arms were not compared, each reason once."""
    return list(dict.fromkeys(row["note"] for row in table.to_pylist() if row["note"] is not None))


def sensitivity_rows(table: pa.Table) -> list[dict[str, Any]]:
    """A row a series and domain, those that lose most first."""
    rows = sorted(
        table.to_pylist(),
        key=lambda row: (row["series"], row["loss_slope"] is None, row["loss_slope"] or 0.0, row["domain"]),
    )
    return [
        {
            "series": row["series"],
            "domain": row["domain"],
            "n": f"{row['tail_documents']:,}",
            "tail": share(row["tail_share"]),
            "noise": share(row["noise"]),
            "coverage": share(row["coverage"]),
            "slope": "–" if row["loss_slope"] is None else signed_figure(row["loss_slope"]),
            "interval": "–" if row["low"] is None else _interval(row),
        }
        for row in rows
    ]


def correlation_rows(table: pa.Table) -> list[dict[str, Any]]:
    """A row a correlation that could be taken; see `untaken` for the others."""
    return [
        {
            "series": row["series"],
            "pair": f"{SENSITIVITY_WORDS[row['sensitivity']]} with {TRAIT_WORDS[row['trait']]}",
            "n": row["n"],
            "rho": f"{row['rho']:+.2f}".replace("-", "−"),
            "interval": f"{row['low']:+.2f} to {row['high']:+.2f}".replace("-", "−"),
            "p": _p(row["p_holm"]),
            "seen": f"{row['smallest']:.2f}",
            "verdict": row["verdict"],
            "told": row["verdict"] != UNDECIDED,
        }
        for row in table.to_pylist()
        if row["rho"] is not None
    ]


def untaken(table: pa.Table) -> list[str]:
    """Why correlations could not be taken, series by series, each reason once."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in table.to_pylist():
        if row["note"] is not None:
            pair = f"{SENSITIVITY_WORDS[row['sensitivity']]} with {TRAIT_WORDS[row['trait']]}"
            found.setdefault((row["series"], row["note"]), []).append(pair)
    return [f"{series}: {', '.join(pairs)}: {note}" for (series, note), pairs in found.items()]


def _interval(row: dict[str, Any]) -> str:
    return f"{signed_figure(row['low'])} to {signed_figure(row['high'])}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _proven(row: dict[str, Any], level: float) -> bool:
    return row["p_holm"] is not None and (row["low"] > 0 or row["high"] < 0) and row["p_holm"] < 1 - level
