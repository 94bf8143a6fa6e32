"""A pool drawn from the real corpus shows no drift; each planted shift shows in its own column."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from quality_world import HEAD, doc_id, lines, real_rows, table_of

from smc_dagster.errors import LakeError
from smc_dagster.quality.drift import METHODS, SAMPLE, Drift, pool_drift, sample
from smc_dagster.tables import EMBEDDING_WIDTH, REAL_DOCUMENTS, REAL_EMBEDDINGS, SYNTHETIC_DOCUMENTS

pytestmark = pytest.mark.pipeline
Rows = list[dict[str, Any]]
DOCUMENTS = 600


def corpus(name: str) -> Rows:
    """Documents with real text: label and text follow the same cycle on both sides."""
    modules = [(domain, module) for domain, all_of in HEAD.items() for module in all_of]
    rows = []
    for at in range(DOCUMENTS):
        domain, module = modules[at % len(modules)]
        text = lines(module, 30)[at // len(modules) % 30]
        rows.append(
            {
                "doc_id": doc_id(name, str(at)),
                "domain": domain,
                "label": module,
                "text": text,
                "provenance": "human",
                "source": name,
                "split": "train",
                "pool": name,
            }
        )
    return rows


def vectors(rows: Rows, shift: float = 0.0, seed: int = 1) -> pa.Table:
    drawn = np.random.default_rng(seed).normal(size=(len(rows), EMBEDDING_WIDTH))
    drawn[:, 0] += shift
    unit = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(unit.reshape(-1)), EMBEDDING_WIDTH)
    return pa.table({"doc_id": [one["doc_id"] for one in rows], "embedding": column}).cast(REAL_EMBEDDINGS.schema)


def drift(edit: Callable[[Rows], Any] = lambda rows: None, shift: float = 0.0, seed: int = 3) -> Drift:
    real, pool = corpus("real"), corpus("pool")
    edit(pool)
    return pool_drift(
        table_of(REAL_DOCUMENTS, real),
        table_of(SYNTHETIC_DOCUMENTS, pool),
        vectors(real, seed=1),
        vectors(corpus("pool"), shift, seed=2),
        seed,
    )


@cache
def calm() -> Drift:
    return drift()


def drifted(found: Drift) -> set[str]:
    return {one.column for one in found.scores if one.drifted}


def test_same_distribution_shows_no_drift() -> None:
    assert drifted(calm()) == set()
    assert [(one.column, one.method) for one in calm().scores] == list(METHODS.items())


def test_the_same_documents_on_both_sides_score_nothing() -> None:
    real = corpus("real")
    table = table_of(REAL_DOCUMENTS, real)
    found = pool_drift(table, table, vectors(real), vectors(real), 0)
    assert {one.column: one.score for one in found.scores if one.column != "embedding"} == {
        "label": 0.0,
        "domain": 0.0,
        "words": 0.0,
        "characters": 0.0,
    }
    assert drifted(found) == set()


def _one_label(rows: Rows) -> None:
    for one in rows:
        one["label"] = {"text": "argparse", "data": "datetime"}[one["domain"]]


def _one_domain(rows: Rows) -> None:
    for one in rows:
        one["domain"] = "text"


def _wordy(rows: Rows) -> None:
    for one in rows:
        one["text"] = f"Put plainly, and as anyone who works with it would say: {one['text']}"


def _spelt_out(rows: Rows) -> None:
    for one in rows:
        one["text"] = " ".join(f"{word}ness" for word in one["text"].split())


@pytest.mark.parametrize(
    ("edit", "columns"),
    [
        (_one_label, {"label"}),
        (_one_domain, {"domain"}),
        (_wordy, {"words", "characters"}),
        (_spelt_out, {"characters"}),
    ],
)
def test_planted_shift_shows_in_its_column(edit: Callable[[Rows], Any], columns: set[str]) -> None:
    assert drifted(drift(edit)) == columns


def test_shifted_embeddings_show() -> None:
    found = drift(shift=4.0)
    assert drifted(found) == {"embedding"}
    assert found.scores[-1].score > 0.8


def test_nothing_in_common_scores_the_most_that_the_distance_can() -> None:
    found = drift(lambda rows: [one.update(label=f"new {one['label']}") for one in rows])
    assert found.scores[0].score == pytest.approx(np.sqrt(np.log(2)), abs=1e-6)


def test_order_of_rows_changes_nothing() -> None:
    assert drift(lambda rows: rows.reverse()).scores == calm().scores


def test_sample_is_bounded_and_follows_the_seed_alone() -> None:
    rows = [{"doc_id": doc_id(str(at)), "domain": "d", "label": "l", "text": "t"} for at in range(SAMPLE + 500)]
    forth, back = (table_of(REAL_DOCUMENTS, one) for one in (rows, rows[::-1]))
    assert sample(forth, 1, "x").num_rows == SAMPLE
    assert sample(forth, 1, "x")["doc_id"].equals(sample(back, 1, "x")["doc_id"])
    assert not sample(forth, 1, "x")["doc_id"].equals(sample(forth, 2, "x")["doc_id"])
    # the documents kept are no special part of the corpus
    kept = set(sample(forth, 1, "x")["doc_id"].to_pylist())
    assert 380 < sum(one["doc_id"] not in kept for one in rows[: 5 * (SAMPLE + 500) // 6]) < 450


def test_page_is_self_contained_and_inert() -> None:
    evil = "</script><script>alert('PWNED')</script>"
    secret = "the quick corpus text that must not be in the page"

    def edit(rows: Rows) -> None:
        for one in rows[:60]:
            one["label"], one["domain"], one["text"] = evil, evil, secret
        rows[100]["label"] = "x" * 500 + "1"
        rows[101]["label"] = "x" * 500 + "2"

    page = drift(edit).html.decode()
    assert "PWNED" in page
    assert evil not in page
    assert "<script>alert(" not in page
    assert secret not in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//(?!plotly\.com)""", page)
    assert not re.search(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", page)
    assert "x" * 100 not in page
    assert len(set(re.findall(r"x{68}… [0-9a-f]{10}|x{68}\\u2026 [0-9a-f]{10}", page))) == 2
    assert page.index("<section") > page.index("<body>")
    assert "classifier_auc" in page


def test_only_training_documents_are_the_reference() -> None:
    real = real_rows()
    for one in real:
        if one["split"] != "train":
            one["text"] = "word " * 100
    train = [one for one in real if one["split"] == "train"]
    everything, part = table_of(REAL_DOCUMENTS, real), table_of(REAL_DOCUMENTS, train)
    found = pool_drift(everything, part, vectors(real), vectors(real), 0)
    assert {one.score for one in found.scores[:4]} == {0.0}


def test_missing_embedding_is_named() -> None:
    real = corpus("real")
    table = table_of(REAL_DOCUMENTS, real)
    with pytest.raises(LakeError, match=r"synthetic_embeddings: 1 documents have no embedding"):
        pool_drift(table, table, vectors(real), vectors(real[1:]), 0)


def test_a_side_without_documents_is_an_error() -> None:
    real = corpus("real")
    table = table_of(REAL_DOCUMENTS, real)
    with pytest.raises(LakeError, match="synthetic_documents: 0 documents"):
        pool_drift(table, table.slice(0, 0), vectors(real), vectors(real), 0)
