"""A fault for every check of the corpus, the pools and the anchors.

What belongs here: faults of tables whose rows are documents. What does not: those of an arm (faults_in_arms.py).
"""

from __future__ import annotations

from planting import EMPTY, Fault, double, drop, first_id, put, where
from quality_world import ROWS, Rows


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


def _real_id(rows: Rows) -> None:
    rows[0]["doc_id"] = first_id("test")


def _echo(rows: Rows) -> None:
    # the same text for every document of a label, but for case and blanks
    first: dict[tuple[str, str], str] = {}
    for place, one in enumerate(rows):
        text = first.setdefault((one["pool"], one["label"]), one["text"])
        if one["pool"] == "templated":
            one["text"] = text.upper() if place % 2 else f"  {text.replace(' ', '  ')} "


def _frozen_document_trains(rows: Rows) -> None:
    one = next(one for one in rows if one["split"] == "anchor_eval" and not one["is_tail"])
    one["split"] = "train"


def _parent_trains(rows: Rows) -> None:
    next(one for one in rows if one["slice"] == "adversarial")["parent_doc_id"] = first_id("train")


def _same_text(rows: Rows) -> None:
    one = next(one for one in rows if one["slice"] == "adversarial")
    one["text"] = next(each["text"] for each in ROWS[R][1]() if each["doc_id"] == one["parent_doc_id"])


def _anchor_trains(rows: Rows) -> None:
    next(one for one in rows if one["slice"] == "atypical")["doc_id"] = first_id("train")


def _train_anchor_held(rows: Rows) -> None:
    next(one for one in rows if one["slice"] == "anchor_train")["doc_id"] = first_id("test")


R, S, A = "real_documents", "synthetic_documents", "reality_anchors"
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
    Fault(S, "parent_in_training", put(parent_doc_id=first_id("test"))),
    Fault(S, "parent_in_training", put(parent_doc_id="nowhere")),
    Fault(S, "labels_covered", drop(lambda one: one["label"] == "shlex" and one["pool"] == "sampled")),
    Fault(S, "few_exact_duplicates", _echo),
    Fault(A, "has_rows", EMPTY, also=frozenset({"one_version", "slices_filled", "edits_filled"})),
    Fault(A, "one_version", put(version="v2")),
    Fault(A, "fields_present", put(text="")),
    Fault(A, "row_unique", double, 2),
    Fault(A, "slice_known", where(lambda one: one["slice"] == "rare", 1, slice="odd")),
    Fault(A, "slices_filled", drop(lambda one: one["slice"] == "rare")),
    Fault(A, "edits_filled", drop(lambda one: one["edit"] == "typo")),
    Fault(A, "edit_told", where(lambda one: one["slice"] == "adversarial", 1, edit="fuzz")),
    Fault(A, "edit_told", where(lambda one: one["slice"] == "rare", 1, edit="typo")),
    Fault(A, "parent_told", where(lambda one: one["slice"] == "adversarial", 1, parent_doc_id=None)),
    Fault(A, "edited_only", lambda rows: rows[-1].update(doc_id=first_id("test"))),
    Fault(A, "parent_held_out", _parent_trains),
    Fault(A, "text_differs", _same_text),
    Fault(A, "held_out", _anchor_trains),
    Fault(A, "trainable", _train_anchor_held),
    Fault(A, "distance_in_range", where(lambda one: one["slice"] == "rare", 1, distance=2.5)),
    Fault(A, "distance_in_range", where(lambda one: one["slice"] == "rare", 1, distance=None)),
]
