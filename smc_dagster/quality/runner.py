"""Great Expectations: a suite's frames in, one result a check out.

What belongs here: everything that knows Great Expectations. What does not: what is expected (the suites).

Each frame is validated once, with the columns that its checks name and nothing else: corpus text never enters Great
Expectations, and boolean columns cost it about 70 ns a row. It reports offending values, which are looked up in the
frame.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from smc_dagster.quality import groups
from smc_dagster.quality.checks import Check, CheckResult, Context, Suite
from smc_dagster.quality.samples import ROWS, plain

if TYPE_CHECKING:
    import pandas as pd

# Great Expectations keeps its current context in a global
_ONE_AT_A_TIME = threading.Lock()


def run(suite: Suite, table: pa.Table, context: Context) -> list[CheckResult]:
    """Every check of the suite, in its order."""
    frames = suite.frames(table, context)
    found: dict[str, CheckResult] = {}
    with _ONE_AT_A_TIME:
        for name, frame in frames.items():
            checks = [one for one in suite.checks if one.frame == name]
            found |= _judge(checks, frame, suite.shown[name], context)
    return [found[one.name] for one in suite.checks]


def _judge(checks: Sequence[Check], frame: pa.Table, shown: Sequence[str], context: Context) -> dict[str, CheckResult]:
    outcomes = _validate(checks, frame, context)
    return {one.name: _result(one, outcomes.get(one.name), frame, shown) for one in checks}


def _validate(checks: Sequence[Check], frame: pa.Table, context: Context) -> dict[str, Any]:
    """The expectation results, by check: they come back in no fixed order."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations import expectations
    from great_expectations.data_context.types.base import ProgressBarsConfig

    session = gx.get_context(mode="ephemeral")
    session.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        session.data_sources.add_pandas("lake").add_dataframe_asset("frame").add_batch_definition_whole_dataframe("all")
    )
    suite = session.suites.add(gx.ExpectationSuite(name="suite"))
    for one in checks:
        kind = getattr(expectations, one.expectation)
        meta = {"check": one.name}
        suite.add_expectation(
            kind(
                column=one.column,
                severity=one.severity,
                meta=meta,
                description=one.description,
                **one.arguments(context),
            )
        )
    definition = session.validation_definitions.add(gx.ValidationDefinition(name="validation", data=batch, suite=suite))
    outcome = definition.run(
        batch_parameters={"dataframe": _pandas(frame, sorted({one.column for one in checks}))},
        result_format={"result_format": "BASIC", "partial_unexpected_count": ROWS},
    )
    return {one.expectation_config.meta["check"]: one for one in outcome.results}


def _pandas(frame: pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    """The columns that checks read. Numbers without nulls go as numpy, the rest as Arrow."""
    import pandas as pd

    data: dict[str, Any] = {}
    for name in columns:
        column = frame.column(name)
        if column.null_count or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            data[name] = column.to_pandas(types_mapper=pd.ArrowDtype)
        else:
            data[name] = column.to_numpy()
    return pd.DataFrame(data)


def _result(check: Check, outcome: Any, frame: pa.Table, shown: Sequence[str]) -> CheckResult:
    if outcome is None:
        return CheckResult(check.name, check.severity, False, 0, 0, error="Great Expectations returned no result")
    error = raised(outcome.exception_info)
    if error is not None:
        return CheckResult(check.name, check.severity, False, 0, 0, error=error)
    detail = outcome.result
    names = list(
        dict.fromkeys([*shown, *([] if pa.types.is_boolean(frame.field(check.column).type) else [check.column])])
    )
    # whether a value is unexpected depends on the value alone, so those reported lead back to their rows; asking Great
    # Expectations for the rows costs it 8 us each, which a table that fails throughout turns into minutes
    values = pa.array(list(detail.get("partial_unexpected_list") or []), frame.field(check.column).type)
    rows = np.flatnonzero(groups.within(frame.column(check.column), values))[:ROWS]
    sample = frame.select(names).take(pa.array(rows)).to_pylist()
    return CheckResult(
        check.name,
        check.severity,
        bool(outcome.success),
        int(detail.get("element_count", 0)),
        int(detail.get("unexpected_count", 0)),
        [plain(one) for one in sample],
    )


def raised(info: Any) -> str | None:
    """The error in an expectation's `exception_info`, None where there is none.

    It has two shapes: one mapping for the expectation, or one such mapping for each metric that it needed.
    """
    if not isinstance(info, dict):
        return None
    parts = [info] if "raised_exception" in info else [one for one in info.values() if isinstance(one, dict)]
    messages = [str(one.get("exception_message")) for one in parts if one.get("raised_exception")]
    return "; ".join(dict.fromkeys(messages)) if messages else None
