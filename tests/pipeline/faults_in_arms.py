"""A fault for every check of mixtures, their composition, and predictions.

What belongs here: faults of tables that are made arm by arm. What does not: those of documents
(faults_in_documents.py).
"""

from __future__ import annotations

from planting import EMPTY, Fault, double, drop, first_id, put, where
from quality_world import Rows


def _synthetic_held_out(rows: Rows) -> None:
    next(one for one in rows if one["provenance"] == "templated")["doc_id"] = first_id("test")


def _twice_mixed(rows: Rows) -> None:
    rows[1]["doc_id"] = rows[0]["doc_id"]


def _third_copy(rows: Rows) -> None:
    """Of a mixture that repeats, the last real row that has no copy becomes one of a row that has."""
    cell = [one for one in rows if (one["arm"], one["replicate"], one["domain"]) == ("again@40", 0, "text")]
    ids = [one["doc_id"] for one in cell]
    next(one for one in cell if ids.count(one["doc_id"]) == 1)["doc_id"] = cell[0]["doc_id"]


def _lost_anchor(rows: Rows) -> None:
    place = next(at for at, one in enumerate(rows) if one["arm"] == "held@40" and one["slot"] == 0)
    del rows[place]


def _uncopied(rows: Rows) -> None:
    next(one for one in rows if one["composition"] == "repeat")["rows_repeated"] -= 1


def _copied_elsewhere(rows: Rows) -> None:
    next(one for one in rows if one["composition"] == "replace")["rows_repeated"] = 1


def _real_row_left(rows: Rows) -> None:
    one = next(one for one in rows if one["composition"] == "add")
    one["rows_displaced"], one["rows_real"] = 1, one["rows_real"] - 1


def _too_much_on_top(rows: Rows) -> None:
    next(one for one in rows if one["composition"] == "add")["cap"] = 0.19


def _anchors_gone(rows: Rows) -> None:
    one = next(one for one in rows if one["series"] == "held")
    one["rows_anchor"] = one["rows_real"] + 1


def _taken_from_nobody(rows: Rows) -> None:
    """One domain displaces more than asked, though no other fell short."""
    one = next(one for one in rows if one["arm"] == "plain@40")
    one["rows_displaced"] += 2
    one["rows_synthetic"] += 2
    one["rows_real"] -= 2
    one["rows_taken_over"] = 2


def _same_slot(rows: Rows) -> None:
    rows[1]["slot"] = rows[0]["slot"]


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


def _wrong_slice(rows: Rows) -> None:
    known = next(one for one in rows if one["slice"] == "test")["doc_id"]
    for one in rows:
        one["slice"] = "atypical" if one["doc_id"] == known else one["slice"]


M, C, P = "mixture_documents", "mixture_composition", "predictions"
FAULTS = [
    Fault(M, "has_rows", EMPTY),
    Fault(M, "fields_present", put(weight=None)),
    Fault(M, "fields_present", put(weight=float("nan"))),
    Fault(M, "fields_present", put(domain=None)),
    Fault(M, "doc_id_unique", _twice_mixed, 2),
    Fault(M, "doc_id_unique", _third_copy, 3),
    Fault(M, "anchors_complete", _lost_anchor),
    Fault(M, "slot_unique", _same_slot, 2),
    Fault(M, "slot_not_negative", put(slot=-1)),
    Fault(M, "weight_positive", put(weight=0.0)),
    Fault(M, "weight_positive", put(weight=float("inf"))),
    Fault(M, "provenance_known", put(provenance="robot")),
    Fault(M, "label_known", put(label="os.path")),
    Fault(M, "no_held_out_documents", _synthetic_held_out),
    Fault(M, "no_held_out_documents", put(doc_id=first_id("test"))),
    Fault(M, "real_rows_known", put(doc_id="f" * 32)),
    Fault(M, "replicates_complete", _one_less_replicate),
    Fault(C, "has_rows", EMPTY),
    Fault(C, "fields_present", put(rows_real=None)),
    Fault(C, "fields_present", put(cap=float("nan"))),
    Fault(C, "one_row_a_cell", double, 2),
    Fault(C, "budget_as_set", put(rows_available=900)),
    Fault(C, "asked_as_share", put(share=0.05)),
    Fault(C, "budget_met", lambda rows: rows[0].update(rows_real=rows[0]["rows_real"] - 1)),
    Fault(C, "displaced_replaced", _unreplaced),
    Fault(C, "displaced_replaced", _filled_drop),
    Fault(C, "displaced_replaced", _uncopied),
    Fault(C, "displaced_replaced", _copied_elsewhere),
    Fault(C, "displaced_replaced", _real_row_left),
    Fault(C, "cap_kept", _over_cap),
    Fault(C, "cap_kept", _too_much_on_top),
    Fault(C, "anchors_stay", _anchors_gone),
    Fault(C, "taken_over_held_back", _taken_from_nobody),
    Fault(C, "cap_kept", where(lambda one: one["composition"] == "drop", 1, cap=0.1)),
    Fault(C, "pool_kept", _over_pool),
    Fault(C, "shortfall_adds_up", put(shortfall=2, why="pool"), also=frozenset({"no_shortfall"})),
    Fault(C, "shortfall_not_negative", _overshoot, also=frozenset()),
    Fault(C, "shortfall_explained", lambda rows: _short(rows, None), also=frozenset({"no_shortfall"})),
    Fault(C, "no_shortfall", _short),
    Fault(C, "domains_complete", drop(lambda one: one["domain"] == "data", 1)),
    Fault(C, "replicates_complete", _one_less_replicate),
    Fault(P, "has_rows", EMPTY),
    Fault(P, "held_out_only", _wrong_slice, 6),
    Fault(P, "fields_present", put(is_tail=None)),
    Fault(P, "fields_present", _missing_number),
    Fault(P, "row_unique", double, 2),
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
