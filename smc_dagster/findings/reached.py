"""The synthetic share that each domain really got.

What belongs here: shares reached, by arm and domain. What does not: shares over a whole arm (`Evidence`), and why a
share was not reached (the table mixture_composition says so).

An arm asks for one share of all domains; a cap or a short pool gives a domain less. What is claimed of a domain must
stand on what it got: arms at 40, 50 and 60 % all give a domain under a cap of 30 % the same 30 %.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.study import Arm
from smc_dagster.tables import ALL_DOMAINS

Reached = dict[tuple[str, str], float]


def reached_shares(arms: list[Arm], composition: pa.Table) -> Reached:
    """Share by (arm key, domain), and over all domains under `*`; 0-1, mean over replicates.

    Of the budget displaced; where synthetic rows come on top of the real ones, synthetic. It is the share asked where
    the difference is one of rounding to rows, so that rounding makes no shares of its own. In controls, which take no
    synthetic rows, it is the share of real rows that left.

    Args:
        composition: MIXTURE_COMPOSITION; arms that it does not have are left out.
    """
    asked = {arm.key: arm.share for arm in arms}
    if composition.num_rows == 0:
        return {}
    on_top = pc.max_element_wise(pc.subtract(composition["rows_synthetic"], composition["rows_displaced"]), 0)
    rows = composition.select(["arm", "domain"])
    rows = rows.append_column("given", pc.add(composition["rows_displaced"], on_top))
    rows = rows.append_column("size", pc.add(composition["budget"], on_top))
    found: Reached = {}
    for keys in (["arm", "domain"], ["arm"]):
        for row in rows.group_by(keys).aggregate([("given", "sum"), ("size", "sum"), ("given", "count")]).to_pylist():
            if row["arm"] in asked:
                found[row["arm"], row.get("domain", ALL_DOMAINS)] = _share(row, asked[row["arm"]])
    return found


def _share(row: dict[str, Any], asked: float) -> float:
    # each row of the table is rounded by itself
    if abs(row["given_sum"] - asked * row["size_sum"]) <= 0.5 * row["given_count"] + 1e-6:
        return asked
    return float(row["given_sum"] / row["size_sum"])
