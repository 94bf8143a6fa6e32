"""What must hold of `mixture_composition`: one row an arm, replicate and domain.

What belongs here: that budgets, caps, pools and shortfalls add up: rows asked = share x budget, rows displaced = the
least of those asked, the cap and the pool. What does not: the rows themselves (mixture_suite.py).
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
    "rows_asked", "rows_displaced", "rows_synthetic", "rows_real", "shortfall",
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
    drop = groups.within(table.column("composition"), [Composition.DROP.value])
    budget, displaced, synthetic = column("budget"), column("rows_displaced"), column("rows_synthetic")
    shortfall = column("shortfall")
    rows = table
    for name, broken in {
        "cell_alone": ~groups.alone(table, GRAIN),
        "whole": ~groups.present(table, REQUIRED),
        "budget_due": np.abs(budget - context.budget * column("rows_available")) > ROUNDING,
        "asked_due": np.abs(column("rows_asked") - column("share") * budget) > ROUNDING,
        "budget_kept": differ(column("rows_real") + displaced, budget),
        "gap_filled": differ(synthetic, np.where(drop, 0.0, displaced)),
        "cap_kept": np.maximum(synthetic, displaced) > column("cap") * budget + 1e-5,
        "pool_kept": ~drop & (synthetic > column("pool_available")),
        "shortfall_due": differ(shortfall, column("rows_asked") - displaced),
        "explained": (shortfall > 0) & ~groups.within(table.column("why"), ["cap", "pool"]),
    }.items():
        rows = rows.append_column(name, pa.array(~broken))
    return {"rows": rows, "arms": groups.replicates(table), "cells": _cells(table), "table": groups.size(table)}


def _cells(table: pa.Table) -> pa.Table:
    """One row an arm and replicate: how many of the table's domains it lacks."""
    cells = table.group_by(["arm", "replicate"]).aggregate([("domain", "count_distinct")])
    domains = pc.count_distinct(table.column("domain"))
    return cells.append_column("missing", pc.subtract(domains, cells.column("domain_count_distinct")))


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
            "Each displaced row has a synthetic one in its place; with `drop`, none has.",
            "rows",
            "gap_filled",
        ),
        Check("cap_kept", "critical", "Synthetic and displaced rows are at most cap times budget.", "rows", "cap_kept"),
        Check("pool_kept", "critical", "No more synthetic rows than the filtered pool has.", "rows", "pool_kept"),
        Check(
            "shortfall_adds_up",
            "critical",
            "The shortfall is the rows asked less the rows displaced.",
            "rows",
            "shortfall_due",
        ),
        Check(
            "shortfall_not_negative",
            "critical",
            "No arm displaces more than it was asked to.",
            "rows",
            "shortfall",
            **between(0),
        ),
        Check("shortfall_explained", "warning", "A shortfall names cap or pool as its reason.", "rows", "explained"),
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
