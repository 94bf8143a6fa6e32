"""What must hold of `mixture_composition`: one row an arm, replicate and domain.

What belongs here: that budgets, caps, pools and shortfalls add up: rows asked = share x budget (`add`, on top:
share / (1 - share) x budget), rows given = those asked less the shortfall and with those taken over. What does not: the
rows themselves (mixture_suite.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.quality import groups
from smc_dagster.quality.checks import HAS_ROWS, REPLICATES_COMPLETE, Check, Context, Frames, Suite, between
from smc_dagster.study import Composition

REQUIRED = (
    "arm", "series", "share", "composition", "strictness", "replicate", "domain", "rows_available", "budget", "cap",
    "rows_asked", "rows_displaced", "rows_synthetic", "rows_real", "rows_repeated", "rows_anchor", "rows_taken_over",
    "shortfall",
)  # fmt: skip
GRAIN = ("arm", "replicate", "domain")
# share x budget is floating point, and .5 may be rounded either way within it
ROUNDING = 0.5 + 1e-5


def _frames(table: pa.Table, context: Context) -> Frames:
    def column(name: str) -> npt.NDArray[np.float64]:
        return groups.numbers(table.column(name))

    def differ(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> groups.Bools:
        return np.asarray(np.abs(left - right) > 1e-6)

    # a comparison with a missing number (NaN) is false: each rule lets nulls through, `fields_present` has them
    replace, drop, repeat, add = (groups.within(table.column("composition"), [one.value]) for one in Composition)
    budget, displaced, synthetic = column("budget"), column("rows_displaced"), column("rows_synthetic")
    real, repeated, shortfall = column("rows_real"), column("rows_repeated"), column("shortfall")
    taken_over = column("rows_taken_over")
    share = column("share")
    # a share of 1 is out of reach on top of anything
    level = np.where(add, share / np.where(share < 1, 1 - share, np.nan), share)
    on_top = np.where(add, synthetic, 0.0)
    given = np.where(add, synthetic, displaced)
    rows = table
    for name, broken in {
        "cell_alone": ~groups.alone(table, GRAIN),
        "whole": ~groups.present(table, REQUIRED),
        "budget_due": np.abs(budget - context.budget * column("rows_available")) > ROUNDING,
        "asked_due": np.abs(column("rows_asked") - level * budget) > ROUNDING,
        "budget_kept": differ(real + displaced, budget),
        "gap_filled": (replace & differ(synthetic, displaced))
        | ((drop | repeat) & (synthetic > 0))
        | (repeat & differ(repeated, np.where(real > 0, displaced, 0.0)))
        | (~repeat & (repeated > 0))
        | (add & (displaced > 0)),
        "cap_kept": np.maximum(synthetic, displaced) > column("cap") * (budget + on_top) + 1e-5,
        "pool_kept": (replace | add) & (synthetic > column("pool_available")),
        "anchors_stay": column("rows_anchor") > real,
        "shortfall_due": differ(given + shortfall, column("rows_asked") + taken_over),
        "none_negative": (shortfall < 0) | (taken_over < 0),
        "explained": (shortfall > 0) & ~groups.within(table.column("why"), ["cap", "pool", "anchors"]),
    }.items():
        rows = rows.append_column(name, pa.array(~broken))
    return {"rows": rows, "arms": groups.replicates(table), "cells": _cells(table), "table": groups.size(table)}


def _cells(table: pa.Table) -> pa.Table:
    """One row an arm and replicate: domains of the table that it lacks, and rows taken over that none held back."""
    cells = table.group_by(["arm", "replicate"]).aggregate(
        [("domain", "count_distinct"), ("rows_taken_over", "sum"), ("shortfall", "sum")]
    )
    domains = pc.count_distinct(table.column("domain"))
    # each domain rounds once
    spare = groups.numbers(cells.column("rows_taken_over_sum")) - groups.numbers(cells.column("shortfall_sum"))
    unasked = np.maximum(spare - 0.5 * groups.numbers(cells.column("domain_count_distinct")), 0)
    cells = cells.append_column("missing", pc.subtract(domains, cells.column("domain_count_distinct")))
    return cells.append_column("unasked", pa.array(np.nan_to_num(unasked)))


COMPOSITION_SUITE = Suite(
    table="mixture_composition",
    frames=_frames,
    shown={
        "rows": (
            *GRAIN,
            "share",
            "composition",
            "budget",
            "cap",
            "pool_available",
            "rows_asked",
            "rows_displaced",
            "rows_synthetic",
            "rows_real",
            "rows_repeated",
            "rows_anchor",
            "rows_taken_over",
            "shortfall",
            "why",
        ),
        "arms": ("arm",),
        "cells": ("arm", "replicate"),
        "table": (),
    },
    checks=(
        HAS_ROWS,
        Check("fields_present", "critical", f"No field of {', '.join(REQUIRED)} is null or empty.", "rows", "whole"),
        Check("one_row_a_cell", "critical", "An arm, replicate and domain has one row.", "rows", "cell_alone"),
        Check(
            "budget_as_set",
            "critical",
            "The budget is the study's budget times the real training rows.",
            "rows",
            "budget_due",
        ),
        Check("asked_as_share", "critical", "The rows asked are the arm's share of the budget.", "rows", "asked_due"),
        Check(
            "budget_met",
            "critical",
            "Real rows and displaced rows make up the budget to the row.",
            "rows",
            "budget_kept",
        ),
        Check(
            "displaced_replaced",
            "critical",
            "A displaced row has a synthetic one in its place, in `repeat` a copy, in `drop` none; `add` has none.",
            "rows",
            "gap_filled",
        ),
        Check(
            "cap_kept", "critical", "Synthetic and displaced rows are at most cap times the rows.", "rows", "cap_kept"
        ),
        Check("pool_kept", "critical", "No more synthetic rows than the filtered pool has.", "rows", "pool_kept"),
        Check(
            "anchors_stay",
            "critical",
            "No fewer real rows are left than the series protects anchors.",
            "rows",
            "anchors_stay",
        ),
        Check(
            "shortfall_adds_up",
            "critical",
            "Rows displaced (in `add`: synthetic) are those asked less the shortfall and with those taken over.",
            "rows",
            "shortfall_due",
        ),
        Check(
            "shortfall_not_negative",
            "critical",
            "Neither a shortfall nor what is taken over is negative.",
            "rows",
            "none_negative",
        ),
        Check(
            "taken_over_held_back",
            "critical",
            "What some domains take over, others held back.",
            "cells",
            "unasked",
            **between(high=0),
        ),
        Check(
            "shortfall_explained",
            "warning",
            "A shortfall names cap, pool or anchors as its reason.",
            "rows",
            "explained",
        ),
        Check(
            "no_shortfall",
            "warning",
            "Every domain got the synthetic share that was asked.",
            "rows",
            "shortfall",
            **between(high=0),
        ),
        Check(
            "domains_complete",
            "critical",
            "Every replicate of every arm has all domains.",
            "cells",
            "missing",
            **between(high=0),
        ),
        REPLICATES_COMPLETE,
    ),
)
