"""The landing folder: days with whole files, and the rest told apart."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smc_dagster.corpora.landing import arrivals

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def put(landing: Path, day: str, name: str, age: float = 60, text: str = "{}") -> Path:
    path = landing / "real" / day / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    when = (NOW - timedelta(seconds=age)).timestamp()
    os.utime(path, (when, when))
    return path


def test_no_folder_is_no_news(tmp_path: Path) -> None:
    assert arrivals(tmp_path / "nosuch", NOW) == ({}, [], [])


def test_a_settled_file_is_news_once(tmp_path: Path) -> None:
    put(tmp_path, "2026-03-01", "a.jsonl")
    first, waiting, odd = arrivals(tmp_path, NOW)
    assert list(first) == ["2026-03-01"]
    assert (waiting, odd) == ([], [])
    assert arrivals(tmp_path, NOW)[0] == first
    put(tmp_path, "2026-03-01", "b.jsonl")
    assert arrivals(tmp_path, NOW)[0] != first


def test_a_file_still_being_written_waits(tmp_path: Path) -> None:
    put(tmp_path, "2026-03-01", "a.jsonl", age=1)
    assert arrivals(tmp_path, NOW) == ({}, ["2026-03-01"], [])


def test_what_is_no_day_is_named(tmp_path: Path) -> None:
    put(tmp_path, "2026-3-1", "a.jsonl")
    put(tmp_path, "2026-03-02", ".hidden")
    assert arrivals(tmp_path, NOW) == ({}, [], ["2026-3-1"])
