"""The split by cluster and the tail rule."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.corpora.splits import assign_splits, tail_labels
from smc_dagster.study import Split

pytestmark = pytest.mark.unit

SPLIT = Split(test=0.2, validation=0.05, anchor_eval=0.2)
CLUSTERS = [f"cluster {one // 2}" for one in range(8000)]


def test_shares_are_met_and_clusters_are_whole() -> None:
    splits = assign_splits(pa.array(CLUSTERS), SPLIT, 7).to_pylist()
    assert all(splits[one] == splits[one + 1] for one in range(0, 8000, 2))
    counts = Counter(splits[::2])
    for name, share in {"test": 0.2, "validation": 0.05, "anchor_eval": 0.2, "train": 0.55}.items():
        assert abs(counts[name] - 4000 * share) < 5 * np.sqrt(4000 * share * (1 - share))


def test_a_split_depends_on_cluster_and_seed_alone() -> None:
    splits = assign_splits(pa.array(CLUSTERS), SPLIT, 7).to_pylist()
    order = np.random.Generator(np.random.Philox(1)).permutation(len(CLUSTERS))[:1000]
    some = pa.chunked_array([[CLUSTERS[one] for one in order[:400]], [CLUSTERS[one] for one in order[400:]]])
    assert assign_splits(some, SPLIT, 7).to_pylist() == [splits[one] for one in order]
    assert assign_splits(pa.array(CLUSTERS), SPLIT, 8).to_pylist() != splits


def test_a_wider_test_split_keeps_what_it_had() -> None:
    narrow = assign_splits(pa.array(CLUSTERS), SPLIT, 7).to_pylist()
    wide = assign_splits(pa.array(CLUSTERS), Split(test=0.3, validation=0.05, anchor_eval=0.2), 7).to_pylist()
    assert all(now == "test" for was, now in zip(narrow, wide, strict=True) if was == "test")


def test_without_validation_none_is_held_back() -> None:
    split = Split(test=0.2, validation=0.0, anchor_eval=0.2)
    assert set(assign_splits(pa.array(CLUSTERS), split, 7).to_pylist()) == {"test", "anchor_eval", "train"}


@pytest.mark.parametrize(
    ("sizes", "share", "tail"),
    [
        ({"a": 85, "b": 10, "c": 5}, 0.15, ["c", "b"]),  # exactly the share is within it
        ({"a": 84, "b": 11, "c": 5}, 0.15, ["c"]),
        ({"a": 90, "by": 5, "cx": 5}, 0.07, ["by"]),  # ties by name
        ({"a": 50, "b": 50}, 0.4, []),
        ({"a": 94, "b": 1, "c": 2, "d": 3}, 0.04, ["b", "c"]),
    ],
)
def test_tail_labels(sizes: dict[str, int], share: float, tail: list[str]) -> None:
    labels = [label for label, size in sizes.items() for _ in range(size)]
    assert tail_labels(pa.array(labels), share) == tail
    assert tail_labels(pa.chunked_array([labels[::-1]]), share) == tail
