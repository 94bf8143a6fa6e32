"""Caps as a person reads them: what is in force, and what mixtures gave under it.

What belongs here: the table of `smc caps` and of the report. What does not: reading the seed (seeds.py).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow.compute as pc

from smc_dagster.lake import Lake
from smc_dagster.mixing.launch import PARTS
from smc_dagster.mixing.seeds import check_caps, read_caps
from smc_dagster.study import Study
from smc_dagster.tables import ALL_DOMAINS, MIXTURE_COMPOSITION, REAL_DOCUMENTS


def caps_in_force(study: Study, lake: Lake) -> list[dict[str, Any]]:
    """One row a domain: its cap and why, the largest synthetic share that a mixture in the lake gives it, and arms cut
    short.

    Before a first run there are no domains to list: then the rows of the seed are given as they are.

    Raises:
        CapsError: the seed breaks a rule, or names a domain that the corpus does not have.
    """
    if lake.fingerprint(REAL_DOCUMENTS) is None:
        rows = [row for row in read_caps().rows if row.study == study.name]
        return [
            {"domain": row.domain, "cap": row.cap, "largest_share": None, "arms_capped": None, "note": row.note}
            for row in rows
        ]
    domains = sorted(pc.unique(lake.read(REAL_DOCUMENTS, columns=["domain"])["domain"]).to_pylist())
    caps = {row.domain: row for row in check_caps(study, domains).rows if row.study == study.name}
    in_force = {domain: caps.get(domain) or caps.get(ALL_DOMAINS) for domain in domains}
    largest: dict[str, float] = defaultdict(float)
    capped: dict[str, set[str]] = defaultdict(set)
    for arm in study.arms:
        if lake.fingerprint(MIXTURE_COMPOSITION, arm.key) is None:
            continue
        for row in lake.read(MIXTURE_COMPOSITION, arm.key).to_pylist():
            rows = sum(row[name] for name in PARTS)
            largest[row["domain"]] = max(largest[row["domain"]], row["rows_synthetic"] / rows if rows else 0.0)
            if row["why"] == "cap":
                capped[row["domain"]].add(arm.key)
    return [
        {
            "domain": domain,
            "cap": row.cap if row else 1.0,
            "largest_share": largest.get(domain),
            "arms_capped": len(capped[domain]),
            "note": row.note if row else "",
        }
        for domain, row in in_force.items()
    ]
