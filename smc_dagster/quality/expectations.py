"""The suites by table, and running one.

What belongs here: what other packages call. What does not: what is expected of a table (its suite module), or how it is
decided (runner.py).
"""

from __future__ import annotations

import pyarrow as pa

from smc_dagster.errors import LakeError
from smc_dagster.quality import runner
from smc_dagster.quality.anchor_suite import ANCHOR_SUITE
from smc_dagster.quality.checks import CheckResult, CheckSpec, Context
from smc_dagster.quality.composition_suite import COMPOSITION_SUITE
from smc_dagster.quality.mixture_suite import MIXTURE_SUITE
from smc_dagster.quality.prediction_suite import PREDICTION_SUITE
from smc_dagster.quality.real_suite import REAL_SUITE
from smc_dagster.quality.synthetic_suite import SYNTHETIC_SUITE
from smc_dagster.tables import TABLES

__all__ = ["SUITES", "CheckResult", "CheckSpec", "Context", "run_suite", "suite_names"]

SUITES = {
    one.table: one
    for one in (REAL_SUITE, ANCHOR_SUITE, SYNTHETIC_SUITE, MIXTURE_SUITE, COMPOSITION_SUITE, PREDICTION_SUITE)
}


def suite_names(table: str) -> list[CheckSpec]:
    """The checks of a table; fast, without Great Expectations.

    Raises:
        KeyError: the table has no suite; those in `SUITES` have.
    """
    return [one.spec for one in SUITES[table].checks]


def run_suite(table_name: str, table: pa.Table, context: Context) -> list[CheckResult]:
    """Run a table's suite over its rows: a whole table, one partition, or several partitions in one table.

    Args:
        table_name: a key of `SUITES`.
        table: rows with the table's columns.
        context: what the study says, and the real documents where the suite compares with them.

    Returns:
        One result a check, in the order of `suite_names`. A check that could not be evaluated has `error` and counts as
        not passed. An empty table fails `has_rows`.

    Raises:
        LakeError: columns of the table's schema are missing.
        ValueError: the suite needs real documents and the context has none.
    """
    missing = [one for one in TABLES[table_name].schema.names if one not in table.column_names]
    if missing:
        raise LakeError(f"{table_name}: columns {missing} are missing", f"materialise {table_name} again")
    return runner.run(SUITES[table_name], table, context)
