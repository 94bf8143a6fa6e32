"""Partitions: what depends on which, and cutting a choice of arms into the ranges that a single run takes."""

from __future__ import annotations

import dagster as dg
import pytest

from smc_dagster.definitions import build_defs
from smc_dagster.defs.partitions import ranges

KEYS = ["a@00", "a@30", "b@00", "b@30", "c@00"]


def test_neighbours_share_a_run() -> None:
    assert ranges(KEYS, KEYS) == [KEYS]
    assert ranges(KEYS, ["b@00", "a@30"]) == [["a@30", "b@00"]]


def test_a_gap_starts_another_run() -> None:
    assert ranges(KEYS, ["a@00", "b@00", "c@00"]) == [["a@00"], ["b@00"], ["c@00"]]
    assert ranges(KEYS, []) == []


@pytest.mark.parametrize("study", ["tiny", "default"])
def test_an_asset_depends_on_partitions_that_are_there(study: str) -> None:
    """Else the UI refuses to make several partitions at once."""
    graph = build_defs(study).resolve_asset_graph()
    looked_at = set()
    for key in graph.materializable_asset_keys:
        below = graph.get(key).partitions_def
        for parent in graph.get(key).parent_keys:
            above = graph.get(parent).partitions_def
            if not isinstance(below, dg.StaticPartitionsDefinition) or above is None:
                continue
            looked_at.add((key.to_user_string(), parent.to_user_string()))
            found = graph.get_partition_mapping(key, parent).get_upstream_mapped_partitions_result_for_partitions(
                below.subset_with_all_partitions(), below, above
            )
            assert set(found.required_but_nonexistent_subset.get_partition_keys()) == set(), (key, parent)
    assert ("checkpoints", "synthetic_embeddings") in looked_at
