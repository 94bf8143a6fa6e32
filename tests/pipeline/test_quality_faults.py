"""Every check fails on the fault it is for, and no other check does."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import faults_in_arms
import faults_in_documents
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from faults_in_arms import C, M, P
from faults_in_documents import A, R
from planting import Fault, double
from quality_world import ROWS, Rows, context, table_of

from smc_dagster.quality.expectations import SUITES, CheckResult, Context, run_suite

pytestmark = pytest.mark.pipeline
FAULTS = [*faults_in_documents.FAULTS, *faults_in_arms.FAULTS]


@cache
def sound_context() -> Context:
    return context()


def judged(table: str, rows: Rows, **changes: Any) -> dict[str, CheckResult]:
    given = context(**changes) if changes else sound_context()
    return {one.name: one for one in run_suite(table, table_of(ROWS[table][0], rows), given)}


def failed(results: dict[str, CheckResult]) -> set[str]:
    return {name for name, one in results.items() if not one.passed}


@pytest.mark.parametrize("table", SUITES)
def test_sound_table_passes_every_check(table: str) -> None:
    results = judged(table, ROWS[table][1]())
    assert failed(results) == set()
    assert all(one.error is None and one.checked > 0 and one.unexpected == 0 for one in results.values())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: f"{one.table}-{one.check}")
def test_fault_fails_its_check_alone(fault: Fault) -> None:
    rows = ROWS[fault.table][1]()
    fault.edit(rows)
    results = judged(fault.table, rows, **dict(fault.changes))
    assert failed(results) == {fault.check} | fault.also
    found = results[fault.check]
    assert found.error is None
    assert found.unexpected == fault.unexpected
    assert len(found.sample) == min(fault.unexpected, 10)


def test_every_check_has_a_fault() -> None:
    checks = {(suite.table, one.name) for suite in SUITES.values() for one in suite.checks}
    assert checks == {(one.table, one.check) for one in FAULTS}


@pytest.mark.parametrize("table", SUITES)
def test_a_null_anywhere_is_a_failure_and_never_an_error(table: str) -> None:
    spec, rows_of = ROWS[table]
    rows = rows_of()
    optional = {"generator", "parent_doc_id", "why", "pool_available"} | ({"pool"} if table == C else set())
    optional |= {"edit", "distance"} if table == A else set()
    names = [one for one in spec.schema.names if one not in optional and one != "text"]
    for place, name in enumerate(names):
        rows[place % len(rows)][name] = None
    results = judged(table, rows)
    assert {one.error for one in results.values()} == {None}
    assert results["fields_present"].unexpected == min(len(names), len(rows))


def test_anchors_that_have_left_the_corpus_are_sound() -> None:
    known = sound_context()
    left = known.real_documents().slice(0, 0)
    results = run_suite(A, table_of(ROWS[A][0], ROWS[A][1]()), replace(known, real=left))
    assert failed({one.name: one for one in results}) == set()


def test_an_anchor_that_left_the_corpus_is_real_in_anchored_mixtures_alone() -> None:
    known, rows = sound_context(), ROWS[M][1]()
    gone = next(one["doc_id"] for one in ROWS[A][1]() if one["slice"] == "anchor_train")
    left = known.real_documents().filter(pc.not_equal(known.real_documents()["doc_id"], gone))
    results = run_suite(M, table_of(ROWS[M][0], rows), replace(known, real=left))
    found = {one.name: one for one in results}
    assert failed(found) == {"real_rows_known"}
    elsewhere = sum(one["doc_id"] == gone and one["arm"] != "held@40" for one in rows)
    assert 0 < elsewhere < sum(one["doc_id"] == gone for one in rows)
    assert found["real_rows_known"].unexpected == elsewhere


def test_result_does_not_depend_on_row_order() -> None:
    rows = ROWS[M][1]()
    double(rows)
    forth, back = judged(M, rows), judged(M, rows[::-1])
    assert {name: (one.passed, one.unexpected) for name, one in forth.items()} == {
        name: (one.passed, one.unexpected) for name, one in back.items()
    }


def test_sample_holds_the_offending_rows() -> None:
    rows = ROWS[R][1]()
    rows[7]["text"] = "<script>alert(1)</script>" * 40
    sample = judged(R, rows)["text_within_limit"].sample
    assert [one["doc_id"] for one in sample] == [rows[7]["doc_id"]]
    assert sample[0]["characters"] == 1000
    assert len(sample[0]["text"]) == 200


def test_predictions_chunked_like_the_lake_are_judged_alike() -> None:
    spec, rows_of = ROWS[P]
    rows = rows_of()
    parts = [table_of(spec, rows[at : at + 7]) for at in range(0, len(rows), 7)]
    assert all(one.passed for one in run_suite(P, pa.concat_tables(parts), sound_context()))
