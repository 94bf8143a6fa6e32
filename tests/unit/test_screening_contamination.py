"""Contamination by evaluation text: what is found, what it is called, and which document is named."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from smc_dagster.corpora.adversarial import edit_text
from smc_dagster.screening.contamination import CONTAMINATED, contamination, evaluation_text
from smc_dagster.screening.scores import score_pool
from smc_dagster.study import Screening
from smc_dagster.tables import REALITY_ANCHORS, SYNTHETIC_DOCUMENTS
from tests.unit.docstring_text import real_documents

pytestmark = pytest.mark.unit

SCREENING = Screening()
NO_ANCHORS = REALITY_ANCHORS.schema.empty_table()


def frozen(*rows: tuple[str, str, str]) -> pa.Table:
    """Anchors of (slice, doc_id, text)."""
    same = {"version": "v1", "domain": "d", "label": "d.l", "is_tail": False, "provenance": "human"}
    return pa.Table.from_pylist(
        [same | {"slice": name, "doc_id": one, "text": text} for name, one, text in rows], schema=REALITY_ANCHORS.schema
    )


def test_evaluation_text_is_what_is_held_out_and_what_was_frozen_each_document_once() -> None:
    real = pa.table({"doc_id": ["t", "e", "a"], "split": ["train", "test", "anchor_eval"], "text": ["T", "E", "A"]})
    anchors = frozen(
        ("anchor_train", "t", "T"),
        ("anchor_train", "u", "left the corpus, and was trained on"),
        ("atypical", "a", "A"),
        ("atypical", "g", "left the corpus"),
        ("rare", "g", "left the corpus"),
        ("adversarial", "x", "A, they say."),
    )
    assert evaluation_text(real, anchors).to_pylist() == [
        {"doc_id": "e", "split": "test", "text": "E"},
        {"doc_id": "a", "split": "anchor_eval", "text": "A"},
        {"doc_id": "g", "split": "atypical", "text": "left the corpus"},
        {"doc_id": "x", "split": "adversarial", "text": "A, they say."},
    ]


def test_a_pool_row_that_is_a_frozen_text_is_contaminated_though_the_corpus_has_lost_it() -> None:
    real = real_documents()
    lost = real.filter(pc.equal(real["split"], "anchor_eval")).slice(0, 1).to_pylist()[0]
    left = real.filter(pc.not_equal(real["doc_id"], lost["doc_id"]))
    _, edited = edit_text(lost["text"], lost["doc_id"], 7)
    anchors = frozen(("rare", lost["doc_id"], lost["text"]), ("adversarial", "x", edited))
    like = left.filter(pc.equal(left["split"], "train")).slice(0, 2)
    rows = {
        name: like[name] if name in like.column_names else pa.nulls(2, pa.string())
        for name in SYNTHETIC_DOCUMENTS.schema.names
    }
    rows |= {"text": pa.array([lost["text"].upper(), edited]), "pool": pa.repeat("p", 2)}
    found = score_pool(pa.table(rows), left, evaluation_text(left, anchors), SCREENING)
    by = {row["doc_id"]: row for row in found.to_pylist()}
    first, second = (by[one] for one in like["doc_id"].to_pylist())
    for row, contaminant in ((first, lost["doc_id"]), (second, "x")):
        assert row["contamination"] == 1
        assert row["contamination_kind"] in CONTAMINATED
        assert row["contaminant_doc_id"] == contaminant
    # what the corpus still holds out says nothing of them
    before = score_pool(pa.table(rows), left, evaluation_text(left, NO_ANCHORS), SCREENING)
    assert max(before["contamination"].to_pylist()) < 1


def test_contamination_finds_copies_near_copies_and_runs_and_nothing_else() -> None:
    evaluation = evaluation_text(real_documents(), NO_ANCHORS)
    assert set(evaluation["split"].to_pylist()) == {"test", "anchor_eval"}
    theirs = next(row for row in evaluation.to_pylist() if 26 < len(row["text"].split()) < 40)
    words = theirs["text"].split()
    run = f"Something of my own before {' '.join(words[4:20])} and after it, as long as it takes to be unlike the rest"
    near = " ".join([*words[:-1], "otherwise"])
    short_run = f"Nothing like it: {' '.join(words[4:10])} ends early in this text of mine, which says other things"
    found = contamination(pa.array([theirs["text"].upper(), near, run, short_run]), evaluation, SCREENING)
    value, by = found.value.to_pylist(), found.contaminant.to_pylist()
    assert value[0] == 1
    assert value[2] == 1
    assert value[1] >= 0.8
    assert value[3] == 0
    assert by[:3] == [theirs["doc_id"]] * 3
    assert by[3] is None
    # training text does not contaminate: the same documents in another split leave nothing
    none = contamination(pa.array([theirs["text"]]), evaluation.slice(0, 0), SCREENING)
    assert none.value.to_pylist() == [0]
    assert none.contaminant.to_pylist() == [None]


def test_contamination_names_the_nearest() -> None:
    evaluation = pa.table(
        {
            "doc_id": ["a", "b"],
            "text": [
                "Wait for the event loop to close the transport now",
                "Wait for the event loop to close the transport",
            ],
        }
    )
    found = contamination(pa.array(["Wait for the event loop to close the transport."]), evaluation, SCREENING)
    assert found.contaminant.to_pylist() == ["b"]
    assert found.value.to_pylist() == [1]


def test_contamination_explains_itself_by_the_match_that_set_it() -> None:
    shared = "the parser reads one token at a time and keeps the rest of the line in a buffer until asked"
    rows = [
        ("b", f"At first {shared} again."),
        ("a", f"Note that {shared} by name."),
        ("c", "Return the mean of the given array along one axis."),
        ("d", "Open the named file for reading and return its handle."),
    ]
    evaluation = pa.table({"doc_id": [one for one, _ in rows], "text": [text for _, text in rows]})
    texts = [
        f"As said, {shared} or later.",  # a run with two of them
        "Return the mean of the given array along one axis now.",  # a near-duplicate
        "Return the mean of the given array of numbers on one axis.",  # similar
        "Nothing of this stands anywhere else in here.",
    ]
    found = contamination(pa.array(texts), evaluation, SCREENING)
    assert found.kind.to_pylist() == ["shared_run", "near_duplicate", "similar", None]
    assert found.contaminant.to_pylist() == ["a", "c", "c", None]
    assert found.run.to_pylist() == [" ".join(shared.split()[: SCREENING.run_words]), None, None, None]
    value = found.value.to_pylist()
    assert value[0] == 1
    assert SCREENING.jaccard <= value[1] < 1
    assert SCREENING.floor <= value[2] < SCREENING.jaccard
    assert value[3] == 0


def test_a_shared_run_outranks_a_nearer_document_of_another_name() -> None:
    """The document that is named is the one that holds the run shown."""
    run = " ".join(f"word{n}" for n in range(20))
    evaluation = pa.table(
        {"doc_id": ["near", "run"], "text": [f"{run[:60]} and so on", f"{run} then much more of other text"]}
    )
    found = contamination(pa.array([f"{run} and so on"]), evaluation, SCREENING)
    assert found.kind.to_pylist() == ["shared_run"]
    assert found.contaminant.to_pylist() == ["run"]
    assert found.run[0].as_py() in evaluation["text"][1].as_py()
