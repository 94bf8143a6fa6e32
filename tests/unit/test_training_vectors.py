"""Vectors by id, and the embedding table."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.errors import StaleInputError
from smc_dagster.study import Training
from smc_dagster.tables import EMBEDDING_WIDTH, REAL_EMBEDDINGS
from smc_dagster.training import embeddings
from smc_dagster.training.vectors import Vectors

pytestmark = pytest.mark.unit


def _table(ids: list[str], rows: np.ndarray) -> pa.Table:
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(rows.astype(np.float32).ravel()), EMBEDDING_WIDTH)
    return pa.table([pa.array(ids), embedding], schema=REAL_EMBEDDINGS.schema)


def _rows(count: int) -> np.ndarray:
    return np.arange(count * EMBEDDING_WIDTH, dtype=np.float32).reshape(count, EMBEDDING_WIDTH)


def _embed_by_hash(texts: list[str], encoder: str, max_tokens: int, progress: object = None) -> np.ndarray:
    """In the encoder's place: a vector that tells the text."""
    seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
    return np.array([np.random.default_rng(seed).normal(size=EMBEDDING_WIDTH) for seed in seeds], dtype=np.float32)


def test_take_follows_the_ids_over_tables_chunks_and_slices() -> None:
    rows = _rows(6)
    real = pa.concat_tables([_table(["a", "b"], rows[:2]), _table(["x", "c", "d"], rows[1:4]).slice(1)])
    vectors = Vectors.build([real, _table(["e", "a"], rows[[4, 5]])])
    assert vectors.matrix.shape == (6, EMBEDDING_WIDTH)
    found = vectors.take(pa.chunked_array([["d", "a"], ["e", "b", "d"]]))
    # `a` is in two tables: the first counts
    assert np.array_equal(found, rows[[3, 0, 4, 1, 3]])
    assert vectors.take(pa.array([], pa.string())).shape == (0, EMBEDDING_WIDTH)


def test_a_missing_id_is_refused() -> None:
    vectors = Vectors.build([_table(["a"], _rows(1))])
    with pytest.raises(StaleInputError, match="2 of 3 documents have no embedding, the first is q"):
        vectors.rows(pa.array(["a", "q", "r"]))
    with pytest.raises(StaleInputError, match="1 of 1"):
        Vectors.build([]).rows(pa.array(["a"]))


def test_each_distinct_text_is_embedded_once_and_known_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counting(texts: list[str], *rest: object) -> np.ndarray:
        asked.extend(texts)
        return _embed_by_hash(texts, "", 8)

    monkeypatch.setattr(embeddings, "embed", counting)
    docs = pa.table(
        {
            "doc_id": ["d3", "d1", "d2", "d4"],
            "text": ["Return a copy.", "Close the file.", "Return a copy.", "Open the file."],
        }
    )
    kept = _rows(1) + 0.5
    table = embeddings.embed_documents(docs, Training(), _table(["gone", "d4"], np.vstack([kept + 1, kept])), None)
    assert sorted(asked) == ["Close the file.", "Return a copy."]
    assert table.schema == REAL_EMBEDDINGS.schema
    assert table["doc_id"].to_pylist() == ["d1", "d2", "d3", "d4"]
    of = dict(zip(["d1", "d2", "d3", "d4"], np.array(table["embedding"].to_pylist(), dtype=np.float32), strict=True))
    assert np.array_equal(of["d1"], _embed_by_hash(["Close the file."], "", 8)[0])
    assert np.array_equal(of["d2"], of["d3"])
    assert np.array_equal(of["d2"], _embed_by_hash(["Return a copy."], "", 8)[0])
    assert np.array_equal(of["d4"], kept[0])
    again = embeddings.embed_documents(docs.take([2, 0, 3, 1]), Training(), None, None)
    assert again.drop(["embedding"]).equals(table.drop(["embedding"]))
    asked.clear()
    embeddings.embed_documents(docs, Training(), table, None)
    assert asked == []
