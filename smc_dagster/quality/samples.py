"""Offending rows as plain values, and as markdown that is safe to show.

What belongs here: cutting and escaping what came from the corpus. What does not: choosing the rows (runner.py).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

LIMIT = 200
ROWS = 10


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of str, int, float, bool and None: text cut to 200 characters, NaN and infinities written out."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= LIMIT else text[: LIMIT - 1] + "…"


def to_markdown(sample: Iterable[Mapping[str, Any]]) -> str:
    """A sample as a markdown table, every name and value inert; an empty string for an empty sample."""
    rows = list(sample)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        return ""
    lines = ["| " + " | ".join(escape(name) for name in names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(escape(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def escape(value: Any) -> str:
    """One value as a markdown table cell that shows as it is.

    Every mark that HTML or markdown gives a meaning (also what makes a bare address a link) becomes a character
    reference; line breaks, control and direction-changing characters become blanks.
    """
    text = "" if value is None else str(value)
    visible = "".join(" " if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else one for one in text)
    marked = re.sub(r"[^\w\s.,()'-]|_", lambda one: f"&#{ord(one[0])};", visible, flags=re.ASCII)
    return re.sub(r"(?i)(www)\.", r"\1&#46;", marked).strip()
