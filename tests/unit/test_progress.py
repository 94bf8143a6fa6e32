"""Progress: several pieces of one stage are told as one, whatever thread tells."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from smc_dagster import progress

pytestmark = pytest.mark.unit


def test_pieces_are_told_as_one_stage() -> None:
    told: list[tuple[str, int, int]] = []
    tell = progress.joint_reporter("train", 4)
    with progress.listening(lambda *one: told.append(one)), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda piece: [tell(piece, done, 100) for done in range(1, 101)], "abcd"))
    assert {(stage, total) for stage, _, total in told} == {("train", 400)}
    assert [done for _, done, _ in told] == list(range(1, 401))
