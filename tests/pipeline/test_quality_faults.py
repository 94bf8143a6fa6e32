"""Every check fails on the fault it is for, and no other check does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from quality_world import ROWS, Rows, context, table_of

from smc_dagster.quality.expectations import SUITES, CheckResult, Context, run_suite

pytestmark = pytest.mark.pipeline
Edit = Callable[[Rows], Any]


@dataclass(frozen=True)
class Fault:
    """An edit of the sound rows that breaks one check; `unexpected` values must be counted."""

    table: str
    check: str
    edit: Edit
    unexpected: int = 1
    also: frozenset[str] = frozenset()
    changes: tuple[tuple[str, Any], ...] = ()


def put(**values: Any) -> Edit:
    """Change the first row."""
    return lambda rows: rows[0].update(values)


def where(choose: Callable[[dict[str, Any]], bool], count: int = 10**9, **values: Any) -> Edit:
    """Change the first `count` rows that are chosen."""

    def edit(rows: Rows) -> None:
        chosen = [one for one in rows if choose(one)][:count]
        assert chosen
        for one in chosen:
            one.update(values)

    return edit


def drop(choose: Callable[[dict[str, Any]], bool], count: int = 10**9) -> Edit:
    """Take the first `count` rows that are chosen away."""

    def edit(rows: Rows) -> None:
        gone = [id(one) for one in rows if choose(one)][:count]
        assert gone
        rows[:] = [one for one in rows if id(one) not in gone]

    return edit


def real(rows: Rows) -> Rows:
    return ROWS["real_documents"][1]()


def _twin_ids(rows: Rows) -> None:
    rows[1]["doc_id"] = rows[0]["doc_id"]


def _straddle(rows: Rows) -> None:
    train, test = (next(one for one in rows if one["split"] == split) for split in ("train", "test"))
    train["cluster_id"] = test["cluster_id"] = train["doc_id"]


def _two_domains(rows: Rows) -> None:
    rows[0]["domain"] = "data" if rows[0]["domain"] == "text" else "text"


def _common_tail(rows: Rows) -> None:
    # one more tail label than is due, as large as the head's, in a corpus that allows the share
    for one in rows:
        if one["label"] == "argparse":
            one["is_tail"] = True
        if one["label"] == "datetime" and one["split"] == "train":
            one["split"] = "validation" if one["cluster_id"] < "8" else "train"


def _held_out_id() -> str:
    return next(one["doc_id"] for one in ROWS["real_documents"][1]() if one["split"] == "test")


def _real_id(rows: Rows) -> None:
    rows[0]["doc_id"] = _held_out_id()


def _echo(rows: Rows) -> None:
    # the same text for every document of a label, but for case and blanks
    first: dict[tuple[str, str], str] = {}
    for place, one in enumerate(rows):
        text = first.setdefault((one["pool"], one["label"]), one["text"])
        if one["pool"] == "templated":
            one["text"] = text.upper() if place % 2 else f"  {text.replace(' ', '  ')} "


def _synthetic_held_out(rows: Rows) -> None:
    next(one for one in rows if one["provenance"] == "templated")["doc_id"] = _held_out_id()


def _twice_mixed(rows: Rows) -> None:
    rows[1]["doc_id"] = rows[0]["doc_id"]


def _same_slot(rows: Rows) -> None:
    rows[1]["slot"] = rows[0]["slot"]


def _double(rows: Rows) -> None:
    rows.append(dict(rows[0]))


def _over_cap(rows: Rows) -> None:
    one = next(one for one in rows if one["rows_synthetic"])
    one["cap"] = 0.2


def _over_pool(rows: Rows) -> None:
    one = next(one for one in rows if one["rows_synthetic"])
    one["pool_available"] = one["rows_synthetic"] - 1


def _unreplaced(rows: Rows) -> None:
    next(one for one in rows if one["rows_synthetic"])["rows_synthetic"] -= 1


def _filled_drop(rows: Rows) -> None:
    one = next(one for one in rows if one["composition"] == "drop")
    one["rows_synthetic"] = one["rows_displaced"]


def _short(rows: Rows, why: str | None = "cap") -> None:
    one = next(one for one in rows if one["rows_synthetic"])
    one["cap"] = 0.2
    taken = int(0.2 * one["budget"])
    one["shortfall"] = one["rows_asked"] - taken
    one["rows_displaced"] = one["rows_synthetic"] = taken
    one["rows_real"] = one["budget"] - taken
    one["why"] = why


def _overshoot(rows: Rows) -> None:
    one = next(one for one in rows if one["rows_synthetic"])
    one["rows_displaced"] += 1
    one["rows_synthetic"] += 1
    one["rows_real"] -= 1
    one["shortfall"] -= 1


def _missing_number(rows: Rows) -> None:
    rows[0]["entropy"] = float("nan")


def _odd_slice(rows: Rows) -> None:
    rows.append({**rows[0], "slice": "odd"})


def _unknown_document(rows: Rows) -> None:
    known = rows[0]["doc_id"]
    for one in rows:
        one["doc_id"] = "0" * 32 if one["doc_id"] == known else one["doc_id"]


def _swapped_truth(rows: Rows) -> None:
    one = next(one for one in rows if one["predicted"] != one["label"] and one["label"] != "shlex")
    one["label"] = "shlex"


def _collapsed(rows: Rows) -> None:
    for one in rows:
        if one["arm"] == "plain@40" and one["replicate"] == 1:
            one["predicted"] = "argparse"
            one["p_label"] = 0.6 if one["label"] == "argparse" else 0.3


def _one_less_replicate(rows: Rows) -> None:
    rows[:] = [one for one in rows if (one["arm"], one["replicate"]) != ("plain@40", 1)]


def _of_train(rows: Rows) -> str:
    return next(one["doc_id"] for one in real(rows) if one["split"] == "train")


def _frozen_document_trains(rows: Rows) -> None:
    one = next(one for one in rows if one["split"] == "anchor_eval" and not one["is_tail"])
    one["split"] = "train"


def _parent_trains(rows: Rows) -> None:
    next(one for one in rows if one["slice"] == "adversarial")["parent_doc_id"] = _of_train(rows)


def _same_text(rows: Rows) -> None:
    one = next(one for one in rows if one["slice"] == "adversarial")
    one["text"] = next(each["text"] for each in real(rows) if each["doc_id"] == one["parent_doc_id"])


def _anchor_trains(rows: Rows) -> None:
    next(one for one in rows if one["slice"] == "atypical")["doc_id"] = _of_train(rows)


def _train_anchor_held(rows: Rows) -> None:
    next(one for one in rows if one["slice"] == "anchor_train")["doc_id"] = _held_out_id()


def _wrong_slice(rows: Rows) -> None:
    known = next(one for one in rows if one["slice"] == "test")["doc_id"]
    for one in rows:
        one["slice"] = "atypical" if one["doc_id"] == known else one["slice"]


R, S, M, C, P = "real_documents", "synthetic_documents", "mixture_documents", "mixture_composition", "predictions"
A = "reality_anchors"
EMPTY: Edit = list.clear
FAULTS = [
    Fault(R, "has_rows", EMPTY, also=frozenset({"split_filled", "tail_large_enough"})),
    Fault(R, "fields_present", put(day=None)),
    Fault(R, "fields_present", put(source="")),
    Fault(R, "doc_id_unique", _twin_ids, 2),
    Fault(R, "doc_id_well_formed", put(doc_id="<b>not a hash</b>")),
    Fault(R, "doc_id_well_formed", put(doc_id="0" * 32 + "\n")),
    Fault(R, "text_not_blank", put(text=" \n\t\u00a0")),
    Fault(R, "text_not_blank", put(text=None)),
    Fault(R, "text_within_limit", put(text="x" * 601)),
    Fault(R, "split_known", where(lambda one: one["split"] == "validation", 1, split="holdout")),
    Fault(R, "provenance_known", put(provenance="machine")),
    Fault(R, "provenance_real", put(provenance="generated")),
    Fault(R, "split_filled", where(lambda one: one["split"] == "anchor_eval", split="validation")),
    Fault(
        R,
        "domain_has_training",
        where(lambda one: one["domain"] == "data", split="test"),
        also=frozenset({"label_has_training", "tail_is_rarest"}),
    ),
    Fault(R, "label_has_training", where(lambda one: one["label"] == "bisect", split="test")),
    Fault(R, "label_in_one_domain", _two_domains),
    Fault(R, "anchors_held_out", _frozen_document_trains),
    Fault(R, "label_has_documents", drop(lambda one: one["label"] == "bisect", 1)),
    Fault(R, "cluster_in_one_split", _straddle),
    Fault(
        R, "tail_by_label", where(lambda one: one["label"] == "argparse" and one["split"] == "test", 1, is_tail=True)
    ),
    Fault(R, "tail_is_rarest", _common_tail, changes=(("tail_share", 0.49),)),
    Fault(R, "tail_share_within_limit", put(), changes=(("tail_share", 0.05),)),
    Fault(R, "tail_large_enough", put(), changes=(("min_tail_labels", 3),)),
    Fault(S, "has_rows", EMPTY),
    Fault(S, "fields_present", put(generator=None)),
    Fault(S, "fields_present", put(source=None)),
    Fault(S, "doc_id_unique", _twin_ids, 2),
    Fault(S, "doc_id_well_formed", put(doc_id="F" * 32)),
    Fault(S, "doc_id_not_real", _real_id),
    Fault(S, "text_not_blank", put(text="   ")),
    Fault(S, "provenance_known", put(provenance="robot")),
    Fault(S, "provenance_synthetic", put(provenance="rewritten")),
    Fault(S, "label_known", put(label="os.path")),
    Fault(S, "domain_agrees", put(domain="data")),
    Fault(S, "domain_agrees", put(domain="cooking")),
    Fault(S, "parent_in_training", put(parent_doc_id=_held_out_id())),
    Fault(S, "parent_in_training", put(parent_doc_id="nowhere")),
    Fault(S, "labels_covered", drop(lambda one: one["label"] == "shlex" and one["pool"] == "sampled")),
    Fault(S, "few_exact_duplicates", _echo),
    Fault(M, "has_rows", EMPTY),
    Fault(M, "fields_present", put(weight=None)),
    Fault(M, "fields_present", put(weight=float("nan"))),
    Fault(M, "fields_present", put(domain=None)),
    Fault(M, "doc_id_unique", _twice_mixed, 2),
    Fault(M, "slot_unique", _same_slot, 2),
    Fault(M, "slot_not_negative", put(slot=-1)),
    Fault(M, "weight_positive", put(weight=0.0)),
    Fault(M, "weight_positive", put(weight=float("inf"))),
    Fault(M, "provenance_known", put(provenance="robot")),
    Fault(M, "label_known", put(label="os.path")),
    Fault(M, "no_held_out_documents", _synthetic_held_out),
    Fault(M, "no_held_out_documents", put(doc_id=_held_out_id())),
    Fault(M, "real_rows_known", put(doc_id="f" * 32)),
    Fault(M, "replicates_complete", _one_less_replicate),
    Fault(C, "has_rows", EMPTY),
    Fault(C, "fields_present", put(rows_real=None)),
    Fault(C, "fields_present", put(cap=float("nan"))),
    Fault(C, "one_row_a_cell", _double, 2),
    Fault(C, "budget_as_set", put(rows_available=900)),
    Fault(C, "asked_as_share", put(share=0.05)),
    Fault(C, "budget_met", lambda rows: rows[0].update(rows_real=rows[0]["rows_real"] - 1)),
    Fault(C, "displaced_replaced", _unreplaced),
    Fault(C, "displaced_replaced", _filled_drop),
    Fault(C, "cap_kept", _over_cap),
    Fault(C, "cap_kept", where(lambda one: one["composition"] == "drop", 1, cap=0.1)),
    Fault(C, "pool_kept", _over_pool),
    Fault(C, "shortfall_adds_up", put(shortfall=2, why="pool"), also=frozenset({"no_shortfall"})),
    Fault(C, "shortfall_not_negative", _overshoot, also=frozenset()),
    Fault(C, "shortfall_explained", lambda rows: _short(rows, None), also=frozenset({"no_shortfall"})),
    Fault(C, "no_shortfall", _short),
    Fault(C, "domains_complete", drop(lambda one: one["domain"] == "data", 1)),
    Fault(C, "replicates_complete", _one_less_replicate),
    Fault(A, "has_rows", EMPTY, also=frozenset({"one_version", "slices_filled", "edits_filled"})),
    Fault(A, "one_version", put(version="v2")),
    Fault(A, "fields_present", put(text="")),
    Fault(A, "row_unique", _double, 2),
    Fault(A, "slice_known", where(lambda one: one["slice"] == "rare", 1, slice="odd")),
    Fault(A, "slices_filled", drop(lambda one: one["slice"] == "rare")),
    Fault(A, "edits_filled", drop(lambda one: one["edit"] == "typo")),
    Fault(A, "edit_told", where(lambda one: one["slice"] == "adversarial", 1, edit="fuzz")),
    Fault(A, "edit_told", where(lambda one: one["slice"] == "rare", 1, edit="typo")),
    Fault(A, "parent_told", where(lambda one: one["slice"] == "adversarial", 1, parent_doc_id=None)),
    Fault(A, "edited_only", lambda rows: rows[-1].update(doc_id=_held_out_id())),
    Fault(A, "parent_held_out", _parent_trains),
    Fault(A, "text_differs", _same_text),
    Fault(A, "held_out", _anchor_trains),
    Fault(A, "trainable", _train_anchor_held),
    Fault(A, "distance_in_range", where(lambda one: one["slice"] == "rare", 1, distance=2.5)),
    Fault(A, "distance_in_range", where(lambda one: one["slice"] == "rare", 1, distance=None)),
    Fault(P, "has_rows", EMPTY),
    Fault(P, "held_out_only", _wrong_slice, 6),
    Fault(P, "fields_present", put(is_tail=None)),
    Fault(P, "fields_present", _missing_number),
    Fault(P, "row_unique", _double, 2),
    Fault(P, "slice_known", _odd_slice, also=frozenset({"same_documents"})),
    Fault(P, "label_known", put(label="os.path"), also=frozenset({"label_is_truth"})),
    Fault(P, "predicted_known", where(lambda one: one["predicted"] != one["label"], 1, predicted="os.path")),
    Fault(
        P,
        "held_out_only",
        _unknown_document,
        6,
    ),
    Fault(P, "label_is_truth", _swapped_truth),
    Fault(P, "label_is_truth", where(lambda one: one["is_tail"], 1, is_tail=False)),
    Fault(P, "probabilities_in_range", where(lambda one: one["predicted"] != one["label"], 1, p_label=-0.2)),
    Fault(P, "probabilities_in_range", put(sum_p2=1.2)),
    Fault(P, "p_label_at_most_confidence", where(lambda one: one["predicted"] != one["label"], 1, p_label=0.7)),
    Fault(P, "hit_has_confidence", where(lambda one: one["predicted"] == one["label"], 1, p_label=0.2)),
    Fault(P, "squares_consistent", put(sum_p2=0.1)),
    Fault(P, "squares_consistent", put(sum_p2=0.9)),
    Fault(P, "entropy_in_range", put(entropy=2.5)),
    Fault(P, "entropy_in_range", put(entropy=-0.5)),
    Fault(P, "same_documents", drop(lambda one: one["arm"] == "lost@40", 1)),
    Fault(P, "same_documents", drop(lambda one: (one["replicate"], one["slice"]) == (1, "rare")), 3),
    Fault(P, "replicates_complete", _one_less_replicate),
    Fault(P, "predictions_vary", _collapsed),
]


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


def test_result_does_not_depend_on_row_order() -> None:
    rows = ROWS[M][1]()
    _twice_mixed(rows)
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
