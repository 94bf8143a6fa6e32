"""The landing folder: days with whole files, the rest told apart, and files put there whole or not at all."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smc_dagster.corpora import landing
from smc_dagster.corpora.landing import Landed, arrivals
from smc_dagster.errors import CorpusError

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def drop(landing: Path, day: str, name: str, age: float = 60, text: str = "{}") -> Path:
    path = landing / "real" / day / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    when = (NOW - timedelta(seconds=age)).timestamp()
    os.utime(path, (when, when))
    return path


def test_no_folder_is_no_news(tmp_path: Path) -> None:
    assert arrivals(tmp_path / "nosuch", NOW) == ({}, [], [])


def test_a_settled_file_is_news_once(tmp_path: Path) -> None:
    drop(tmp_path, "2026-03-01", "a.jsonl")
    first, waiting, odd = arrivals(tmp_path, NOW)
    assert list(first) == ["2026-03-01"]
    assert (waiting, odd) == ([], [])
    assert arrivals(tmp_path, NOW)[0] == first
    drop(tmp_path, "2026-03-01", "b.jsonl")
    assert arrivals(tmp_path, NOW)[0] != first


def test_a_file_still_being_written_waits(tmp_path: Path) -> None:
    drop(tmp_path, "2026-03-01", "a.jsonl", age=1)
    assert arrivals(tmp_path, NOW) == ({}, ["2026-03-01"], [])


def test_what_is_no_day_is_named(tmp_path: Path) -> None:
    drop(tmp_path, "2026-3-1", "a.jsonl")
    drop(tmp_path, "2026-03-02", ".hidden")
    assert arrivals(tmp_path, NOW) == ({}, [], ["2026-03-02: no files in it", "2026-3-1: not a day"])


def test_nested_files_count_as_the_reader_counts_them(tmp_path: Path) -> None:
    drop(tmp_path, "2026-03-01", "team/a.jsonl")
    first = arrivals(tmp_path, NOW)[0]
    assert list(first) == ["2026-03-01"]
    drop(tmp_path, "2026-03-01", "team/.part.jsonl", age=0)
    assert arrivals(tmp_path, NOW)[0] == first
    drop(tmp_path, "2026-03-01", "team/b.jsonl")
    assert arrivals(tmp_path, NOW)[0] != first
    assert arrivals(tmp_path, NOW, Landed.synthetic) == ({}, [], [])


def test_a_day_that_cannot_be_looked_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(tmp_path, "2026-03-01", "a.jsonl")
    drop(tmp_path, "2026-03-02", "a.jsonl")
    walk = os.walk

    def broken(folder: Path, **options: object) -> object:
        if Path(folder).name == "2026-03-01":
            raise PermissionError(13, "Permission denied")
        if Path(folder).name == "2026-03-02":
            raise FileNotFoundError(2, "No such file")
        return walk(folder, **options)

    monkeypatch.setattr(landing.os, "walk", broken)
    settled, waiting, odd = arrivals(tmp_path, NOW)
    assert (settled, waiting) == ({}, [])
    assert odd[0] == "2026-03-01: Permission denied"
    assert odd[1].startswith("2026-03-02: a file vanished while it was looked at")


def test_a_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    os.mkdir(os.fsencode(tmp_path / "real") + b"/\xff")
    assert arrivals(tmp_path, NOW) == ({}, [], ["\\udcff: not a day"])
    drop(tmp_path, "2026-03-01", os.fsdecode(b"\xfe.jsonl"))
    assert list(arrivals(tmp_path, NOW)[0]) == ["2026-03-01"]


def tree(folder: Path) -> dict[str, str]:
    return {str(one.relative_to(folder)): one.read_text() for one in sorted(folder.rglob("*")) if one.is_file()}


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "given" / "deep").mkdir(parents=True)
    (tmp_path / "given" / "a.jsonl").write_text("{}\n")
    (tmp_path / "given" / "deep" / "b.csv").write_text("domain,label,text\n")
    (tmp_path / "given" / ".hidden").write_text("left alone")
    return tmp_path / "given"


def test_a_folder_is_put_and_putting_it_again_changes_nothing(given: Path, tmp_path: Path) -> None:
    day = tmp_path / "landing" / "real" / "2026-03-01"
    done = landing.put(given, day)
    assert (done.put, done.unchanged, done.size) == (["a.jsonl", "deep/b.csv"], [], 21)
    assert tree(day) == {"a.jsonl": "{}\n", "deep/b.csv": "domain,label,text\n"}
    again = landing.put(given, day)
    assert (again.put, again.unchanged, again.size) == ([], ["a.jsonl", "deep/b.csv"], 0)
    one = landing.put(given / "a.jsonl", day)
    assert (one.put, one.unchanged) == ([], ["a.jsonl"])


def test_other_content_is_refused_and_nothing_put_unless_asked(given: Path, tmp_path: Path) -> None:
    day = tmp_path / "landing" / "real" / "2026-03-01"
    landing.put(given / "deep" / "b.csv", day)
    (given / "b.csv").write_text("another\n")
    before = tree(day)
    with pytest.raises(CorpusError, match=r"b\.csv is there already"):
        landing.put(given, day)
    assert tree(day) == before
    landing.put(given, day, replace=True)
    assert tree(day) == {"a.jsonl": "{}\n", "b.csv": "another\n", "deep/b.csv": "domain,label,text\n"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda given: (given / "deep" / "notes.txt").write_text("x"), "not a kind of file"),
        (lambda given: (given / "deep" / "b.csv").rename(given / "deep" / "b.cvs"), "not a kind of file"),
        (lambda given: os.mkfifo(given / "pipe.jsonl"), "no regular file"),
        (lambda given: (given / "gone.jsonl").symlink_to(given / "nowhere"), "no regular file"),
        (lambda given: [(given / "a.jsonl").unlink(), (given / "deep" / "b.csv").unlink()], "holds no files"),
    ],
)
def test_what_cannot_be_read_puts_nothing(given: Path, tmp_path: Path, spoil, words: str) -> None:
    spoil(given)
    with pytest.raises(CorpusError, match=words):
        landing.put(given, tmp_path / "landing" / "real" / "2026-03-01")
    assert not (tmp_path / "landing").exists()


def test_a_copy_that_fails_half_way_puts_nothing(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day = tmp_path / "landing" / "real" / "2026-03-01"
    copy = landing.shutil.copyfileobj

    def full(source, target, length: int) -> None:
        if source.name.endswith("b.csv"):
            raise OSError(28, "No space left on device")
        copy(source, target, length)

    monkeypatch.setattr(landing.shutil, "copyfileobj", full)
    with pytest.raises(CorpusError, match="No space left"):
        landing.put(given, day)
    assert tree(day) == {}


def test_a_put_that_was_killed_after_it_was_decided_is_finished(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = tmp_path / "real" / "2026-03-01"
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target).name == "b.csv":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(landing.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        landing.put(given, day)
    assert "b.csv" not in tree(day)
    monkeypatch.setattr(landing.os, "replace", replace)
    arrivals(tmp_path, NOW)
    assert tree(day) == {"a.jsonl": "{}\n", "deep/b.csv": "domain,label,text\n"}
