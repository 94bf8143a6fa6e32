"""A source's own split in place of the one that is drawn."""

from __future__ import annotations

import pyarrow as pa

from smc_dagster.corpora.own_splits import honour


def documents(rows: list[tuple[str, str, str | None]]) -> pa.Table:
    clusters, drawn, own = zip(*rows, strict=True)
    columns = {"n": range(len(rows)), "cluster_id": clusters, "split": drawn}
    return pa.table(columns | {"source_split": pa.array(own, pa.string())})


def outcome(rows: list[tuple[str, str, str | None]]) -> list[tuple[int, str]]:
    return [(row["n"], row["split"]) for row in honour(documents(rows)).to_pylist()]


def test_sources_without_a_split_are_left_alone() -> None:
    rows = [("a", "test", None), ("b", "train", None)]
    assert honour(documents(rows)) == documents(rows)


def test_test_and_validation_are_the_sources_own() -> None:
    rows = [("a", "train", "test"), ("b", "test", "train"), ("c", "anchor_eval", "train"), ("d", "train", "validation")]
    rows += [("e", "test", None), ("f", "validation", "train")]
    assert outcome(rows) == [
        (0, "test"), (1, "train"), (2, "anchor_eval"), (3, "validation"), (4, "test"), (5, "train"),
    ]  # fmt: skip


def test_a_source_that_settles_the_anchors_spares_its_training_set() -> None:
    rows = [("a", "anchor_eval", "train"), ("b", "train", "anchor_eval"), ("c", "anchor_eval", "test")]
    rows += [("d", "anchor_eval", None), ("b", "train", "train"), ("c", "test", "anchor_eval")]
    # the near-duplicates of what is held out are left out, those of the test set first of all
    assert outcome(rows) == [(0, "train"), (1, "anchor_eval"), (2, "test"), (3, "anchor_eval")]


def test_nothing_that_resembles_the_sources_test_is_trained_on() -> None:
    rows = [("a", "train", "train"), ("a", "train", "test"), ("a", "train", None), ("b", "train", "train")]
    assert outcome(rows) == [(1, "test"), (2, "test"), (3, "train")]
