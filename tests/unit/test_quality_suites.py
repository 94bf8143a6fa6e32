"""Declarations of the suites, group answers, samples: what needs no Great Expectations."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.quality import groups
from smc_dagster.quality.expectations import SUITES, suite_names
from smc_dagster.quality.runner import raised
from smc_dagster.quality.samples import escape, plain, to_markdown
from smc_dagster.tables import TABLES

pytestmark = pytest.mark.unit


def test_names_are_snake_case_and_unique_in_their_table() -> None:
    for table in SUITES:
        names = [one.name for one in suite_names(table)]
        assert table in TABLES
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", one) for one in names)


def test_every_check_is_described_and_graded() -> None:
    for table in SUITES:
        for one in suite_names(table):
            assert one.severity in ("critical", "warning")
            assert len(one.description) > 15
            assert one.description.endswith(".")


def test_declarations_do_not_import_great_expectations() -> None:
    script = (
        "import sys; from smc_dagster.quality.expectations import suite_names; suite_names('predictions');"
        "import smc_dagster.quality.drift;"
        "print([m for m in ('great_expectations', 'evidently', 'pandas', 'dagster', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_groups_know_equal_rows_across_chunks() -> None:
    table = pa.table(
        {
            "arm": pa.chunked_array([["a", "a"], ["b", "a"]]),
            "doc": pa.chunked_array([["x", "y"], ["x", "x"]]),
        }
    )
    assert groups.alone(table, ("arm", "doc")).tolist() == [False, True, True, False]
    assert groups.alone(table.slice(0, 0), ("arm", "doc")).tolist() == []


def test_a_null_is_a_value_of_its_own_in_groups() -> None:
    table = pa.table({"one": pa.array(["a", None, None, ""])})
    assert groups.alone(table, ["one"]).tolist() == [True, False, False, True]


def test_many_wide_columns_do_not_overflow_the_key() -> None:
    rows = 3000
    columns = {f"c{at}": pa.array(np.arange(rows)) for at in range(8)}
    assert groups.alone(pa.table(columns), list(columns)).all()
    twice = pa.concat_tables([pa.table(columns), pa.table(columns).slice(0, 1)])
    assert (~groups.alone(twice, list(columns))).nonzero()[0].tolist() == [0, rows]


def test_counted_has_a_row_for_a_value_that_no_row_holds() -> None:
    column = pa.chunked_array([["a", "b"], [None, "a"]])
    found = groups.counted(column, "slice", ("b", "c", "a"))
    assert found.to_pylist() == [{"slice": "b", "rows": 1}, {"slice": "c", "rows": 0}, {"slice": "a", "rows": 2}]


def test_present_refuses_null_nan_and_empty() -> None:
    table = pa.table(
        {
            "text": pa.array(["a", "", None, "b", "c"]),
            "number": pa.array([1.0, 1.0, 1.0, float("nan"), 2.0]),
            "flag": pa.array([True, False, True, True, None]),
        }
    )
    assert groups.present(table, ("text",)).tolist() == [True, False, False, True, True]
    assert groups.present(table, ("number",)).tolist() == [True, True, True, False, True]
    assert groups.present(table, ("flag",)).tolist() == [True, True, True, True, False]


def test_within_never_holds_for_null() -> None:
    column = pa.chunked_array([["a", None], ["b"]])
    assert groups.within(column, ["a"]).tolist() == [True, False, False]
    assert groups.within(column, pa.chunked_array([["b", None]])).tolist() == [False, False, True]


def test_grades_follow_the_scale() -> None:
    assert groups.grades(pa.array(["human", "recursive", "other", None])).tolist() == [0, 5, -1, -1]


def test_crossed_has_every_pair() -> None:
    found = groups.crossed(pa.table({"a": [1, 2]}), pa.table({"b": ["x", "y", "z"]}))
    assert {(one["a"], one["b"]) for one in found.to_pylist()} == {(a, b) for a in (1, 2) for b in "xyz"}
    assert groups.crossed(pa.table({"a": [1]}), pa.table({"b": pa.array([], pa.string())})).num_rows == 0


@pytest.mark.parametrize(
    ("info", "error"),
    [
        ({"raised_exception": False, "exception_message": None, "exception_traceback": None}, None),
        ({"raised_exception": True, "exception_message": "no such column"}, "no such column"),
        ({"('metric', 1)": {"raised_exception": True, "exception_message": "bad"}}, "bad"),
        (
            {
                "m1": {"raised_exception": False, "exception_message": "unused"},
                "m2": {"raised_exception": True, "exception_message": "bad"},
                "m3": {"raised_exception": True, "exception_message": "worse"},
            },
            "bad; worse",
        ),
        ({"raised_exception": True, "exception_message": None}, "None"),
        (None, None),
        ({}, None),
    ],
)
def test_both_shapes_of_exception_info_are_read(info: object, error: str | None) -> None:
    assert raised(info) == error


def test_plain_cuts_text_and_keeps_numbers() -> None:
    row = {"text": "é" * 500, "n": np.int64(3), "p": np.float32(0.5), "ok": np.bool_(True), "no": None, "nan": np.nan}
    found = plain(row)
    assert found == {"text": "é" * 199 + "…", "n": 3, "p": 0.5, "ok": True, "no": None, "nan": "nan"}
    assert [type(one) for one in found.values()] == [str, int, float, bool, type(None), str]


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "a | b | c",
        "`code` ``` ~~~",
        "[click](javascript:alert(1))",
        "![x](http://example.org/x.png)",
        "https://example.org www.example.org me@example.org",
        "**bold** __init__ _it_",
        "line\nbreak\r\n| --- |",
        "&lt;script&gt; &#60;",
        "\u202eright to left\u2028",
        "$x^2$ \\| \\` # heading",
    ],
)
def test_escaped_text_has_no_mark_left(hostile: str) -> None:
    cell = escape(hostile)
    bare = re.sub(r"&#\d+;", "", cell)
    assert not set(bare) & set('<>&|`[]!*_~\\#$@:/{}"=\n\r\u202e\u2028')
    assert "www." not in bare
    import html

    shown = html.unescape(cell)
    assert shown.split() == re.sub(r"[\u202e\u2028\r\n]", " ", hostile).split()


def test_markdown_table_keeps_its_columns() -> None:
    sample = [{"doc_id": "1", "te|xt": "a|b\nc"}, {"doc_id": "2", "more": None}]
    lines = to_markdown(sample).splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {4}
    assert to_markdown([]) == ""
