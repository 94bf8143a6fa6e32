"""Great Expectations as the runner uses it: errors, severity, leftovers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from quality_world import ROWS, context, table_of

from smc_dagster.errors import LakeError
from smc_dagster.quality import runner
from smc_dagster.quality.checks import Check, Context, Suite, between
from smc_dagster.quality.expectations import SUITES, run_suite, suite_names

pytestmark = pytest.mark.pipeline


def suite(*checks: Check) -> Suite:
    return Suite("toy", checks, lambda table, given: {"rows": table}, {"rows": ("name",)})


TABLE = pa.table({"name": ["a", "b", None], "size": [1, 5, 9], "fine": [True, True, True]})


def test_a_broken_expectation_is_an_error_and_hides_no_other() -> None:
    broken: dict[str, Any] = {
        "expectation": "ExpectColumnValuesToMatchRegex",
        "arguments": lambda given: {"regex": "("},
    }
    found = runner.run(
        suite(
            Check("broken", "critical", "cannot be evaluated", "rows", "name", **broken),
            Check("small", "warning", "at most 4", "rows", "size", **between(high=4)),
            Check("fine", "critical", "is fine", "rows", "fine"),
        ),
        TABLE,
        context(),
    )
    assert [one.name for one in found] == ["broken", "small", "fine"]
    assert not found[0].passed
    assert found[0].error
    assert (found[1].passed, found[1].severity, found[1].checked, found[1].unexpected) == (False, "warning", 3, 2)
    assert found[1].sample == [{"name": "b", "size": 5}, {"name": None, "size": 9}]
    assert found[1].error is None
    assert found[2].passed


def test_a_sample_has_at_most_ten_rows() -> None:
    table = pa.table({"name": [str(at) for at in range(50)], "fine": [False] * 50})
    (found,) = runner.run(suite(Check("fine", "critical", "is fine", "rows", "fine")), table, context())
    assert found.unexpected == 50
    assert found.sample == [{"name": str(at)} for at in range(10)]


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runner.run(suite(Check("small", "warning", "at most 4", "rows", "size", **between(high=4))), TABLE, context())
    assert list(tmp_path.iterdir()) == []


def test_severity_of_results_is_that_of_the_specs() -> None:
    for table, (spec, rows_of) in ROWS.items():
        results = run_suite(table, table_of(spec, rows_of()), context())
        specs = suite_names(table)
        assert [(one.name, one.severity) for one in results] == [(one.name, one.severity) for one in specs]


def test_missing_columns_are_named() -> None:
    spec, rows_of = ROWS["predictions"]
    table = table_of(spec, rows_of()).drop(["entropy"])
    with pytest.raises(LakeError, match=r"predictions: columns \['entropy'\] are missing"):
        run_suite("predictions", table, context())


@pytest.mark.parametrize("table", [one for one in SUITES if one not in ("real_documents", "mixture_composition")])
def test_a_suite_that_compares_says_that_it_needs_the_real_documents(table: str) -> None:
    spec, rows_of = ROWS[table]
    without: Context = context(real=None)
    with pytest.raises(ValueError, match="real documents"):
        run_suite(table, table_of(spec, rows_of()), without)
