"""The real corpus from the raw documents of several days."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from docstring_text import docstrings

from smc_dagster.corpora.real import build_real_documents
from smc_dagster.corpora.text import doc_ids
from smc_dagster.errors import CorpusError
from smc_dagster.study import Provenance, Study, load_study
from smc_dagster.tables import RAW_DOCUMENTS, REAL_DOCUMENTS

pytestmark = pytest.mark.unit


def study(**corpus: object) -> Study:
    tiny = load_study("tiny")
    changes = {"max_documents": None, "min_label_documents": 12} | corpus
    return tiny.model_copy(update={"corpus": tiny.corpus.model_copy(update=changes)})


def raw(rows: list[tuple[str, str, str]], day: str = "2026-01-02") -> pa.Table:
    domains, labels, texts = (pa.array(one, pa.string()) for one in zip(*rows, strict=True))
    size = len(rows)
    columns = {
        "doc_id": doc_ids(domains, labels, texts),
        "domain": domains,
        "label": labels,
        "text": texts,
        "provenance": ["human"] * size,
        "source": ["files"] * size,
        "generator": pa.nulls(size, pa.string()),
        "parent_doc_id": pa.nulls(size, pa.string()),
        "day": [day] * size,
        "file": ["own.jsonl"] * size,
        "line": range(1, size + 1),
        "source_split": pa.nulls(size, pa.string()),
    }
    return pa.table(columns, schema=RAW_DOCUMENTS.schema)


@cache
def rows() -> list[tuple[str, str, str]]:
    return list(docstrings())


@cache
def built() -> pa.Table:
    return build_real_documents(raw(rows()), study())


def test_labels_that_are_excluded_are_left_out() -> None:
    found = set(built()["label"].to_pylist())
    gone = sorted(found)[:2]
    again = build_real_documents(raw(rows()), study(exclude_labels=[*gone, "no such label"]))
    assert set(again["label"].to_pylist()) == found - set(gone)


@pytest.mark.parametrize(("synthetic_from", "left"), [("edited", 0), ("rewritten", 1), ("generated", 1)])
def test_text_that_counts_as_synthetic_is_no_real_document(synthetic_from: str, left: int) -> None:
    table = raw(rows())
    # two documents that are in the corpus as long as they count as real
    edited, generated = built()["doc_id"].to_pylist()[:2]
    grade = {edited: "edited", generated: "generated"}
    grades = [grade.get(one, "human") for one in table["doc_id"].to_pylist()]
    graded = table.set_column(table.column_names.index("provenance"), "provenance", pa.array(grades))
    asked = study().model_copy(update={"synthetic_from": Provenance(synthetic_from)})
    ids = set(build_real_documents(graded, asked)["doc_id"].to_pylist())
    assert generated not in ids
    assert (edited in ids) == bool(left)


def test_the_table_keeps_its_contract() -> None:
    real = built()
    assert real.schema == REAL_DOCUMENTS.schema
    assert real["doc_id"].to_pylist() == sorted(set(real["doc_id"].to_pylist()))
    sizes = real.group_by("label").aggregate([("doc_id", "count")])
    assert pc.min(sizes["doc_id_count"]).as_py() >= 12
    assert not any(real[name].null_count for name in ("split", "is_tail", "cluster_id"))


def test_row_order_and_days_do_not_matter() -> None:
    whole = raw(rows())
    order = np.random.Generator(np.random.Philox(3)).permutation(whole.num_rows)
    assert build_real_documents(whole.take(pa.array(order)), study()).equals(built())
    again = raw(rows()[::-1], "2026-01-09")  # a later day that brings nothing new
    assert build_real_documents(pa.concat_tables([again, whole]), study()).equals(built())


def test_a_document_seen_twice_keeps_its_earliest_day_and_its_wording() -> None:
    domain, label, text = rows()[0]
    later = raw([(domain, label, text.upper())], "2026-01-03")
    real = build_real_documents(pa.concat_tables([later, raw(rows())]), study(min_label_documents=5))
    found = real.filter(pc.equal(real["doc_id"], later["doc_id"][0])).to_pylist()
    assert [(one["day"], one["text"]) for one in found] == [("2026-01-02", text)]


def test_near_duplicates_share_cluster_and_split() -> None:
    domain, label, _ = rows()[0]
    stem = "Return the number of seconds that the server waits for a client before it closes the connection"
    copies = [(domain, label, f"{stem}{end}") for end in (".", "!", "...", " .")]
    real = build_real_documents(raw([*rows(), *copies]), study(min_label_documents=5))
    found = real.filter(pc.starts_with(real["text"], stem))
    assert found.num_rows >= 2
    assert len(set(found["cluster_id"].to_pylist())) == 1
    assert len(set(found["split"].to_pylist())) == 1
    per_cluster = real.group_by("cluster_id").aggregate([("split", "count_distinct")])
    assert pc.max(per_cluster["split_count_distinct"]).as_py() == 1


def test_a_sample_is_nested_and_ignores_what_it_left_out() -> None:
    small, large = (
        set(build_real_documents(raw(rows()), study(max_documents=size, min_label_documents=5))["doc_id"].to_pylist())
        for size in (400, 600)
    )
    assert len(small) <= 400
    # a label that is too small at 400 may be large enough at 600, never the other way round
    assert small <= large
    reseeded = study(max_documents=400, min_label_documents=5).model_copy(update={"seed": 8})
    assert set(build_real_documents(raw(rows()), reseeded)["doc_id"].to_pylist()) != small


def test_the_tail_comes_from_training_documents() -> None:
    real = built()
    train = real.filter(pc.equal(real["split"], "train"))
    sizes = {one["label"]: one["doc_id_count"] for one in
             train.group_by("label").aggregate([("doc_id", "count")]).to_pylist()}  # fmt: skip
    tail = set(real.filter(real["is_tail"])["label"].to_pylist())
    head = set(real["label"].to_pylist()) - tail
    assert tail
    assert 0 < sum(sizes[one] for one in tail) <= study().tail.share * train.num_rows
    assert max(sizes[one] for one in tail) <= min(sizes[one] for one in head)
    assert set(real["label"].to_pylist()) <= sizes.keys()


def test_a_label_without_a_training_document_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = rows()[0][1]
    texts = {text for _, label, text in rows() if label == lost}

    def all_held_out(clusters: pa.ChunkedArray, split: object, seed: int, pinned: object) -> pa.Array:
        ids = doc_ids(*(pa.array(one) for one in zip(*rows(), strict=True))).to_pylist()
        held = {one for one, (_, _, text) in zip(ids, rows(), strict=True) if text in texts}
        return pa.array(["test" if one in held else "train" for one in clusters.to_pylist()])

    monkeypatch.setattr("smc_dagster.corpora.real.assign_splits", all_held_out)
    monkeypatch.setattr("smc_dagster.corpora.near_duplicates.clusters", lambda ids, texts, jaccard: ids)
    real = build_real_documents(raw(rows()), study(min_label_documents=5))
    assert lost not in set(real["label"].to_pylist())
    assert real.num_rows


def test_a_slip_in_the_domain_on_another_day_is_left_out_and_stops_nothing() -> None:
    first = built().slice(0, 1).to_pylist()[0]
    domain, label = first["domain"], first["label"]
    for day in ("2026-01-01", "2026-01-03"):
        other = raw([("elsewhere", label, "Three words here.")], day)
        real = build_real_documents(pa.concat_tables([raw(rows()), other]), study())
        assert set(real.filter(pc.equal(real["label"], label))["domain"].to_pylist()) == {domain}
        assert real["doc_id"].to_pylist() == built()["doc_id"].to_pylist()


@pytest.mark.parametrize("table", [raw(list(docstrings())[:10]), RAW_DOCUMENTS.schema.empty_table()])
def test_too_little_to_study(table: pa.Table) -> None:
    with pytest.raises(CorpusError, match=rf"of {table.num_rows} raw documents"):
        build_real_documents(table, study())
