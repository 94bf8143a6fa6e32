"""The answer that the report opens with: a row a domain, and a sentence on all of them.

What belongs here: words, marks and order. What does not: what is in use and what is safe (domain_answer.py), markup
(page/answer.html).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from smc_dagster.findings.sentences import share
from smc_dagster.tables import ALL_DOMAINS

NAME = "domain_answer"
TABLE = pa.schema(
    [
        ("domain", pa.string()),
        ("status", pa.string()),
        ("share_in_use", pa.float64()),
        ("safe_share", pa.float64()),
        ("safe_status", pa.string()),
        ("cap", pa.float64()),
        ("series", pa.string()),
        ("margin", pa.float64()),
        ("n", pa.int64()),
        ("n_needed", pa.int64()),
        ("harm_from", pa.float64()),
        ("note", pa.string()),
    ]
)
# by status, worst first: mark, words, class of the stylesheet, and how the sentence counts them
STATUS = {
    "harmful": ("✗", "loss proven", "unsafe", "proven to lose rare cases in {}"),
    "unproven": ("!", "not proven safe", "unproven", "not proven safe in {}"),
    "insufficient_data": ("?", "too few data", "unknown", "too few data to tell in {}"),
    "unused": ("–", "nothing in use", "unknown", "nothing in use in {}"),
    "safe": ("✓", "proven safe", "safe", "proven safe in {}"),
}
SAFE_WORDS = {"none_safe": "none proven", "insufficient_data": "too few data"}


def table(answers: list[dict[str, Any]]) -> pa.Table:
    """TABLE from the rows of `domain_answers`."""
    return pa.Table.from_pylist(answers, schema=TABLE)


def rows(answers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ready to print: all domains together first, then the worst first, then by name."""
    order = list(STATUS)
    ordered = sorted(answers, key=lambda row: (row["domain"] != ALL_DOMAINS, order.index(row["status"]), row["domain"]))
    return [_row(row) for row in ordered]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    mark, words, look, _ = STATUS[row["status"]]
    whole = row["domain"] == ALL_DOMAINS
    cap = row["cap"]
    why = f"{row['series']}: {row['note']}" if row["series"] else row["note"]
    loose = cap is not None and row["safe_share"] is not None and cap > row["safe_share"]
    return {
        "domain": "all domains" if whole else row["domain"],
        "whole": whole,
        "mark": mark,
        "words": words,
        "look": look,
        "in_use": share(row["share_in_use"]),
        "safe": share(row["safe_share"]) if row["safe_share"] is not None else SAFE_WORDS.get(row["safe_status"], "–"),
        "cap": "–" if cap is None else "none" if cap >= 1 else share(cap),
        "loose": loose,
        "why": why,
        "bar": {
            "safe": _percent(row["safe_share"]),
            "harm": _percent(row["harm_from"]),
            "in_use": _percent(row["share_in_use"]),
            "cap": None if cap is None or cap >= 1 else _percent(cap),
        },
    }


def tally(answers: Iterable[dict[str, Any]]) -> str | None:
    """How many domains stand how, in a sentence; None without domains."""
    counts = Counter(row["status"] for row in answers if row["domain"] != ALL_DOMAINS)
    if not counts:
        return None
    told = [phrase.format(counts[status]) for status, (*_, phrase) in STATUS.items() if counts[status]]
    domains = f"{counts.total()} domain{'s' if counts.total() > 1 else ''}"
    return f"The largest synthetic share in use, over {domains}: {', '.join(told)}."


def _percent(value: float | None) -> float | None:
    """0-1 as 0-100, in the few digits a drawing needs."""
    return None if value is None else round(min(value, 1.0) * 100, 2)
