"""The slices of the anchors, against a plain computation."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from docstring_text import real_documents

from smc_dagster.corpora import anchors as module
from smc_dagster.corpora import neighbours
from smc_dagster.corpora.anchors import choose_anchors
from smc_dagster.errors import CorpusError
from smc_dagster.study import Anchors
from smc_dagster.tables import EMBEDDING_WIDTH, REAL_EMBEDDINGS, REALITY_ANCHORS

pytestmark = pytest.mark.unit

ANCHORS = Anchors(version="v7", neighbours=3, atypical_quantile=0.8)
SEED = 7


def embed(real: pa.Table) -> pa.Table:
    """Hashed word counts, L2-normalised: texts that share words are near each other."""
    matrix = np.zeros((real.num_rows, EMBEDDING_WIDTH), np.float32)
    for row, text in enumerate(real["text"].to_pylist()):
        for word in text.lower().split():
            matrix[row, int(hashlib.md5(word.encode()).hexdigest(), 16) % EMBEDDING_WIDTH] += 1
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), EMBEDDING_WIDTH)
    return pa.table({"doc_id": real["doc_id"], "embedding": flat}, schema=REAL_EMBEDDINGS.schema)


REAL = real_documents().slice(0, 700)
VECTORS = embed(REAL)


def plain() -> tuple[dict[str, float], float]:
    """Distances of anchor_eval and the threshold, by full sorts in float64."""
    matrix = VECTORS["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, EMBEDDING_WIDTH).astype(np.float64)
    splits = np.array(REAL["split"].to_pylist())
    train = matrix[splits == "train"]
    own = 1 - train @ train.T
    np.fill_diagonal(own, np.inf)
    threshold = np.quantile(np.sort(own, axis=1)[:, :3].mean(axis=1), 0.8)
    held = np.sort(1 - matrix[splits == "anchor_eval"] @ train.T, axis=1)[:, :3].mean(axis=1)
    ids = np.array(REAL["doc_id"].to_pylist())[splits == "anchor_eval"]
    return dict(zip(ids.tolist(), held.tolist(), strict=True)), float(threshold)


def train_distances() -> dict[str, float]:
    matrix = VECTORS["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, EMBEDDING_WIDTH).astype(np.float64)
    mine = np.array(REAL["split"].to_pylist()) == "train"
    own = 1 - matrix[mine] @ matrix[mine].T
    np.fill_diagonal(own, np.inf)
    ids = np.array(REAL["doc_id"].to_pylist())[mine]
    return dict(zip(ids.tolist(), np.sort(own, axis=1)[:, :3].mean(axis=1).tolist(), strict=True))


def test_both_slices_match_a_plain_computation() -> None:
    got = choose_anchors(REAL, VECTORS, ANCHORS, SEED)
    assert got.schema == REALITY_ANCHORS.schema
    assert set(got["version"].to_pylist()) == {"v7"}
    slices = {name: {row["doc_id"] for row in got.to_pylist() if row["slice"] == name} for name in ("rare", "atypical")}
    tail = {row["doc_id"] for row in REAL.to_pylist() if row["split"] == "anchor_eval" and row["is_tail"]}
    distances, threshold = plain()
    assert slices["rare"] == tail
    assert tail
    assert slices["atypical"] == {one for one, distance in distances.items() if distance > threshold + 1e-5}
    assert 0 < len(slices["atypical"]) < len(distances)
    for row in got.to_pylist():
        if row["slice"] not in ("rare", "atypical"):
            continue
        assert row["distance"] == pytest.approx(distances[row["doc_id"]], abs=2e-5)


def test_training_anchors_match_a_plain_computation() -> None:
    got = [one for one in choose_anchors(REAL, VECTORS, ANCHORS, SEED).to_pylist() if one["slice"] == "anchor_train"]
    rows = {row["doc_id"]: row for row in REAL.to_pylist() if row["split"] == "train"}
    distances = train_distances()
    for domain in {row["domain"] for row in rows.values()}:
        mine = sorted(
            (one for one in rows if rows[one]["domain"] == domain), key=lambda one: (-round(distances[one], 5), one)
        )
        firsts, seen = [], set()
        for one in mine:
            if rows[one]["is_tail"] and rows[one]["label"] not in seen:
                seen.add(rows[one]["label"])
                firsts.append(one)
        due = (firsts + [one for one in mine if one not in set(firsts)])[: max(1, int(0.05 * len(mine) + 0.5))]
        chosen = {row["doc_id"]: row["distance"] for row in got if row["domain"] == domain}
        assert sorted(chosen) == sorted(due), domain
        for one, value in chosen.items():
            assert value == pytest.approx(distances[one], abs=2e-5)
    assert {row["is_tail"] for row in got} == {True, False}


def test_order_of_rows_does_not_matter() -> None:
    got = choose_anchors(REAL, VECTORS, ANCHORS, SEED)
    order = pa.array(np.random.Generator(np.random.Philox(5)).permutation(REAL.num_rows))
    chunked = pa.concat_tables([VECTORS.take(order).slice(0, 300), VECTORS.take(order).slice(300)])
    assert choose_anchors(REAL.take(order), chunked, ANCHORS, SEED).equals(got)


def test_copies_of_a_training_document_do_not_count_as_far_from_themselves() -> None:
    """Leave-one-out leaves one out: with every training document there twice, k = 1 gives distance 0 for all."""
    train = REAL.filter(pa.array([one == "train" for one in REAL["split"].to_pylist()]))
    twins = train.set_column(0, "doc_id", pa.array([f"twin {one}" for one in range(train.num_rows)]))
    real = pa.concat_tables([REAL, twins.cast(REAL.schema)])
    vectors = embed(real)
    got = choose_anchors(real, vectors, Anchors(neighbours=1, atypical_quantile=0.9), SEED)
    held = [row["doc_id"] for row in REAL.to_pylist() if row["split"] == "anchor_eval"]
    atypical = {row["doc_id"] for row in got.to_pylist() if row["slice"] == "atypical"}
    single = choose_anchors(REAL, VECTORS, Anchors(neighbours=1, atypical_quantile=0.9), SEED)
    assert len(atypical) > 0.8 * len(held)
    assert sum(row["slice"] == "atypical" for row in single.to_pylist()) < 0.5 * len(held)


def test_the_large_path_agrees_with_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = choose_anchors(REAL, VECTORS, ANCHORS, SEED)
    monkeypatch.setattr(module, "EXACT_LIMIT", 100)
    monkeypatch.setattr(module, "REFERENCE_SAMPLE", 10_000)
    monkeypatch.setattr(neighbours, "EXACT_LIMIT", 100)
    monkeypatch.setattr(neighbours, "LISTS", 4)
    monkeypatch.setattr(neighbours, "PROBES", 4)
    assert choose_anchors(REAL, VECTORS, ANCHORS, SEED).equals(exact)


def test_a_missing_embedding_is_named() -> None:
    held = next(row["doc_id"] for row in REAL.to_pylist() if row["split"] == "anchor_eval")
    short = VECTORS.filter(pa.array([one != held for one in VECTORS["doc_id"].to_pylist()]))
    with pytest.raises(CorpusError, match=held):
        choose_anchors(REAL, short, ANCHORS, SEED)


def test_fewer_training_documents_than_neighbours() -> None:
    few = REAL.filter(pa.array([one == "anchor_eval" for one in REAL["split"].to_pylist()]))
    with pytest.raises(CorpusError, match="neighbours is 3, and there are 0"):
        choose_anchors(few, VECTORS, ANCHORS, SEED)
