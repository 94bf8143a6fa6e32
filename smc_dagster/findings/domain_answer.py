"""The answer for each domain in one row: the share in use, the safe share, the cap.

What belongs here: from the tables to that row. What does not: how a safe share is proven (safe_shares.py), how the row
is printed, and accepting a cap (cli/caps.py).

A cap holds for every series of a study that obeys caps, so without a series named a share counts as safe only where it
is safe in each of them: the smallest of their safe shares, and none where one of them has none. Each is proven at the
study's level, hence so is the statement on all (an intersection-union test, Berger 1982). A domain is judged at that
level by itself: of 20 domains in which no share is safe, one would be passed by mistake at 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from smc_dagster.findings.reached import reached_shares
from smc_dagster.findings.sentences import share as percent
from smc_dagster.study import Series, Study
from smc_dagster.tables import ALL_DOMAINS

MEASURED, NONE_SAFE, INSUFFICIENT = "measured", "none_safe", "insufficient_data"
# shares that differ by less are one: a share reached is a ratio of rows
SAME = 1e-9


def governed_series(study: Study) -> list[Series]:
    """The series whose synthetic rows a cap holds back; all with synthetic rows where none obeys caps."""
    synthetic = [one for one in study.series if one.pool is not None]
    return [one for one in synthetic if one.caps] or synthetic


def caps_met(composition: pa.Table) -> dict[str, float]:
    """Cap by domain that the mixtures were made under, 0-1: the least over arms, as those that obey none have 1."""
    caps = composition.group_by("domain").aggregate([("cap", "min")]).sort_by("domain")
    return dict(zip(caps["domain"].to_pylist(), caps["cap_min"].to_pylist(), strict=True))


def domain_answers(
    study: Study,
    safe_shares: pa.Table,
    composition: pa.Table,
    caps: Mapping[str, float] | None = None,
    series: str | None = None,
) -> list[dict[str, Any]]:
    """One row a domain, by name, and one for all domains, `*`, first.

    Args:
        safe_shares: SAFE_SHARES.
        composition: MIXTURE_COMPOSITION of the arms that count.
        caps: cap in force by domain, `*` for every other domain; without it, that of the mixtures.
        series: judge by this one alone, not by all that a cap governs.

    Returns:
        Rows of `domain`; `share_in_use`: the largest share of the domain that a mixture of these series gives
        to synthetic rows, None without mixtures; `safe_share`: None unless `safe_status` is `measured`; `cap`: 1 where
        there is none, None for `*`; `safe_status`: as in SAFE_SHARES; `series`: the one that the safe share, or the
        lack of one, comes from; `margin`; `n`: tail documents; `n_needed`: tail documents that would do, where data are
        too few; `harm_from`: share from which on a loss beyond the margin is proven; `note`; and `status`:

        - `safe`: the share in use is proven safe, or is 0;
        - `unproven`: it is not, with data that would have shown it;
        - `harmful`: a loss beyond the margin is proven at or below the share in use;
        - `insufficient_data`: too few documents to say;
        - `unused`: there is no mixture, so nothing is in use.
    """
    named = [one for one in study.series if one.name == series] if series else governed_series(study)
    names = [one.name for one in named]
    rows = [row for row in safe_shares.to_pylist() if row["series"] in names]
    in_use = _in_use(study, composition, set(names))
    known = caps_met(composition) if caps is None else caps
    domains = {row["domain"] for row in rows} | in_use.keys()
    found = []
    for domain in sorted(domains, key=lambda name: (name != ALL_DOMAINS, name)):
        own = [row for row in rows if row["domain"] == domain]
        judged = _least(own, names, measured=bool(rows))
        share = in_use.get(domain)
        cap = None if domain == ALL_DOMAINS else known.get(domain, known.get(ALL_DOMAINS, 1.0))
        found.append(
            {
                "domain": domain,
                "share_in_use": share,
                "safe_share": judged["share"],
                "cap": cap,
                "status": _status(share, judged),
                "safe_status": judged["status"],
                **{name: judged[name] for name in ("series", "margin", "n", "n_needed", "harm_from", "note")},
            }
        )
    return found


def _in_use(study: Study, composition: pa.Table, names: set[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    arms = [arm for arm in study.arms if arm.series.name in names]
    for (_, domain), share in reached_shares(arms, composition).items():
        found[domain] = max(found.get(domain, 0.0), share)
    return found


def _least(rows: list[dict[str, Any]], names: list[str], *, measured: bool) -> dict[str, Any]:
    """The row of the series that decides: one in which none is safe, else one with too few data, else the least.

    Args:
        rows: of one domain.
        measured: some domain has rows.
    """
    missing = [name for name in names if name not in {row["series"] for row in rows}]
    nothing = {"status": INSUFFICIENT, "share": None, "margin": None, "n": 0, "n_needed": None, "harm_from": None}
    if not rows:
        note = "no label of this domain is rare: nothing to judge it by" if measured else "no arm was measured"
        return {**nothing, "series": None, "note": note}
    harmful = min((row for row in rows if row["harm_from"] is not None), key=lambda row: row["harm_from"], default=None)
    order = (NONE_SAFE, INSUFFICIENT, MEASURED)
    least = min(rows, key=lambda row: (order.index(row["status"]), np.inf if row["share"] is None else row["share"]))
    if missing and least["status"] == MEASURED:
        note = f"series {', '.join(missing)} was not measured"
        least = {**least, **nothing, "series": missing[0], "n": least["n"], "margin": least["margin"], "note": note}
    if harmful is None:
        return {**least, "harm_from": None}
    note = least["note"]
    if harmful["series"] != least["series"]:
        # of its own series the note says so itself
        said = f"{harmful['series']}: a loss beyond the margin is proven from {percent(harmful['harm_from'])} on"
        note = f"{note}; {said}"
    return {**least, "harm_from": harmful["harm_from"], "note": note}


def _status(share: float | None, judged: dict[str, Any]) -> str:
    if share is None:
        return "unused"
    harm, safe = judged["harm_from"], judged["share"]
    if share <= SAME or (safe is not None and share <= safe + SAME):
        return "safe"
    if harm is not None and harm <= share + SAME:
        return "harmful"
    return INSUFFICIENT if judged["status"] == INSUFFICIENT else "unproven"
