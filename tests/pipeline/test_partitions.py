"""Cutting a choice of arms into the ranges that a single run takes."""

from __future__ import annotations

from smc_dagster.defs.partitions import ranges

KEYS = ["a@00", "a@30", "b@00", "b@30", "c@00"]


def test_neighbours_share_a_run() -> None:
    assert ranges(KEYS, KEYS) == [KEYS]
    assert ranges(KEYS, ["b@00", "a@30"]) == [["a@30", "b@00"]]


def test_a_gap_starts_another_run() -> None:
    assert ranges(KEYS, ["a@00", "b@00", "c@00"]) == [["a@00"], ["b@00"], ["c@00"]]
    assert ranges(KEYS, []) == []
