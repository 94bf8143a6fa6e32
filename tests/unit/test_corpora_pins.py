"""What frozen anchors fix when days come and documents go."""

from __future__ import annotations

import pyarrow as pa
import pytest
from docstring_text import docstrings, real_documents
from test_corpora_real import raw, study

from smc_dagster.corpora.adversarial import adversarial_documents
from smc_dagster.corpora.pins import pinned_clusters
from smc_dagster.corpora.real import build_real_documents
from smc_dagster.corpora.splits import assign_splits
from smc_dagster.study import Split
from smc_dagster.tables import REALITY_ANCHORS

pytestmark = pytest.mark.unit
DOCUMENTS = real_documents().slice(0, 300)


def anchors(documents: pa.Table, slice_name: str) -> pa.Table:
    rows = [
        {name: row[name] for name in ("doc_id", "domain", "label", "is_tail", "text", "provenance")}
        | {"version": "v1", "slice": slice_name, "distance": 0.1}
        for row in documents.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=REALITY_ANCHORS.schema)


def test_documents_parents_and_near_copies_of_what_is_gone_are_pinned() -> None:
    long = DOCUMENTS.filter(pa.array([len(one.split()) > 15 for one in DOCUMENTS["text"].to_pylist()]))
    kept, parent, gone = long.slice(0, 1), long.slice(1, 1), long.slice(2, 1)
    copy = gone["text"][0].as_py() + " again"
    corpus = DOCUMENTS.filter(pa.array([one != gone["doc_id"][0].as_py() for one in DOCUMENTS["doc_id"].to_pylist()]))
    near = gone.set_column(0, "doc_id", pa.array(["near"])).set_column(3, "text", pa.array([copy]))
    near = near.set_column(near.column_names.index("cluster_id"), "cluster_id", pa.array(["near"]))
    corpus = pa.concat_tables([corpus, near.cast(corpus.schema)])
    frozen = pa.concat_tables(
        [anchors(pa.concat_tables([kept, gone]), "rare"), adversarial_documents(parent, "v1", 9, 1)]
    )
    found = pinned_clusters(corpus, frozen, 0.8)
    assert {kept["doc_id"][0].as_py(), parent["doc_id"][0].as_py(), "near"} <= set(found)
    assert len(found) <= 5
    assert set(found.values()) == {"anchor_eval"}


def test_held_out_wins_over_trained_on() -> None:
    one = DOCUMENTS.slice(0, 1)
    frozen = pa.concat_tables([anchors(one, "atypical"), anchors(DOCUMENTS.slice(0, 2), "anchor_train")])
    found = pinned_clusters(DOCUMENTS, frozen, 0.8)
    assert found[one["doc_id"][0].as_py()] == "anchor_eval"
    assert found[DOCUMENTS["doc_id"][1].as_py()] == "train"


def test_pins_move_no_other_cluster() -> None:
    clusters = pa.array([f"{one:03}" for one in range(200)])
    free = assign_splits(clusters, Split(), 3).to_pylist()
    fixed = assign_splits(clusters, Split(), 3, {"005": "anchor_eval", "006": "train", "unknown": "test"}).to_pylist()
    assert (fixed[5], fixed[6]) == ("anchor_eval", "train")
    assert [one for at, one in enumerate(fixed) if at not in (5, 6)] == [
        one for at, one in enumerate(free) if at not in (5, 6)
    ]


def test_frozen_evaluation_text_stays_held_out_when_the_splits_are_drawn_anew() -> None:
    rows = list(docstrings())[:1500]
    before = build_real_documents(raw(rows), study())
    held = before.filter(pa.array([one == "anchor_eval" for one in before["split"].to_pylist()]))
    train = before.filter(pa.array([one == "train" for one in before["split"].to_pylist()])).slice(0, 40)
    frozen = pa.concat_tables([anchors(held, "rare"), anchors(train, "anchor_train")])
    other = study().model_copy(update={"seed": 99})
    free = {row["doc_id"]: row["split"] for row in build_real_documents(raw(rows), other).to_pylist()}
    pinned = {row["doc_id"]: row["split"] for row in build_real_documents(raw(rows), other, frozen).to_pylist()}
    ids = held["doc_id"].to_pylist()
    # without pins most of them would have been trained on
    assert sum(free.get(one) == "train" for one in ids) > len(ids) / 3
    assert all(pinned.get(one, "anchor_eval") == "anchor_eval" for one in ids)
    assert all(pinned.get(one, "train") == "train" for one in train["doc_id"].to_pylist())
