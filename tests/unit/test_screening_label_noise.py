"""Label disagreement of neighbours, beside a plain count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.screening import label_noise as module
from smc_dagster.screening.label_noise import NEIGHBOURS, label_disagreement

pytestmark = pytest.mark.unit


def corpus(noise: dict[str, float], each: int = 60, labels: int = 3, seed: int = 0) -> tuple[pa.Table, np.ndarray]:
    """Labels lie in directions of their own; a share of each domain's labels is drawn anew."""
    rng = np.random.default_rng(seed)
    domains = np.repeat(list(noise), each)
    label = rng.integers(0, labels, len(domains))
    place = np.eye(16)[label + labels * np.searchsorted(sorted(noise), domains)]
    vectors = place + 0.1 * rng.normal(size=place.shape)
    wrong = rng.random(len(domains)) < np.array([noise[one] for one in domains])
    label = np.where(wrong, rng.integers(0, labels, len(domains)), label)
    table = pa.table(
        {
            "doc_id": [f"d{i:04d}" for i in rng.permutation(len(domains))],
            "domain": domains,
            "label": [f"{domain}.{one}" for domain, one in zip(domains, label, strict=True)],
        }
    )
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return table, unit.astype(np.float32)


def by_hand(table: pa.Table, vectors: np.ndarray) -> dict[str, float]:
    labels, domains = np.array(table["label"].to_pylist()), np.array(table["domain"].to_pylist())
    distance = 1 - vectors.astype(float) @ vectors.T.astype(float)
    found: dict[str, list[float]] = {}
    for i in range(len(labels)):
        others = [j for j in np.argsort(distance[i], kind="stable") if j != i][:NEIGHBOURS]
        found.setdefault(str(domains[i]), []).append(float(np.mean(labels[others] != labels[i])))
    return {name: float(np.mean(values)) for name, values in found.items()}


def test_it_is_what_a_plain_count_gives():
    table, vectors = corpus({"a": 0.0, "b": 0.3, "c": 0.9})
    got = label_disagreement(table, vectors, 1)
    assert {name: n for name, (_, n) in got.items()} == {"a": 60, "b": 60, "c": 60}
    for name, value in by_hand(table, vectors).items():
        assert got[name][0] == pytest.approx(value, abs=1e-9)
    assert got["a"][0] < got["b"][0] < got["c"][0]


def test_the_order_of_rows_does_not_matter():
    table, vectors = corpus({"a": 0.2, "b": 0.5})
    order = np.random.default_rng(9).permutation(table.num_rows)
    assert label_disagreement(table.take(pa.array(order)), vectors[order], 1) == label_disagreement(table, vectors, 1)


def test_copies_at_one_distance_share_the_last_places():
    """Sixteen copies of a text, half with another label: each of them disagrees with 8 of its 15 twins."""
    vectors = np.repeat(np.eye(4, dtype=np.float32)[:1], 16, axis=0)
    far = np.repeat(np.eye(4, dtype=np.float32)[1:2], 16, axis=0)
    table = pa.table(
        {
            "doc_id": [f"d{i:02d}" for i in range(32)],
            "domain": ["twins"] * 16 + ["far"] * 16,
            "label": ["x", "y"] * 8 + ["z"] * 16,
        }
    )
    got = label_disagreement(table, np.concatenate([vectors, far]), 1)
    assert got == {"far": (0.0, 16), "twins": (pytest.approx(8 / 15), 16)}


def test_a_large_domain_is_sampled(monkeypatch: pytest.MonkeyPatch):
    table, vectors = corpus({"a": 0.2, "b": 0.5}, each=150)
    whole = label_disagreement(table, vectors, 1)
    monkeypatch.setattr(module, "MOST", 100)
    some = label_disagreement(table, vectors, 1)
    assert {n for _, n in some.values()} == {100}
    for name, (value, _) in some.items():
        assert value == pytest.approx(whole[name][0], abs=0.08)


def test_too_few_documents_say_nothing():
    table, vectors = corpus({"a": 0.0}, each=NEIGHBOURS)
    assert label_disagreement(table, vectors, 1) == {}
