"""Findings back from the lake.

What belongs here: reading what was drawn before. What does not: drawing (draw.py), or who writes and under which
fingerprint (the caller: it knows the lineage).
"""

from __future__ import annotations

import json
from typing import Any

from smc_dagster.lake import Lake

PAGE = "report/index.html"
SUMMARY = "report/findings.json"


def read_summary(lake: Lake) -> dict[str, Any] | None:
    """The summary as written beside the report; None where there is none that can be read."""
    try:
        shown = json.loads(lake.fs.cat_file(lake.place(*SUMMARY.split("/"))))
    except (OSError, ValueError):
        return None
    return shown if isinstance(shown, dict) else None
