"""Accepted caps in the seed: what is replaced, what stays to the byte, crashes, and several writers at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smc_dagster.errors import CapsError
from smc_dagster.mixing import accepting, seeds
from smc_dagster.mixing.accepting import Accepted, accepted_note, findings_of, write_accepted

pytestmark = pytest.mark.unit
HEAD = "study,domain,cap,note\n"
HOSTILE = [
    "a, b",
    'say "no"',
    "O'Brien; drop table x -- ../[*]",
    "two\nlines",
    "\u2028 and \x85 part no rows",
    "=1+1|x",
]
FINDINGS = "0123456789abcdef"


def written(folder: Path, text: str) -> Path:
    path = folder / "caps.csv"
    path.write_bytes(text.encode())
    return path


def test_other_rows_and_their_order_stay_to_the_byte(tmp_path: Path) -> None:
    text = HEAD + 'other,json,1.0,"a ""note"", odd"\nmine,json,0.50,old\n\nmine,re,1,\nlast,*,0.9,no end'
    path = written(tmp_path, text)
    write_accepted("mine", {"json": Accepted(0.25, "new"), "os": Accepted(0.1, "x")}, path)
    expected = text.replace("mine,json,0.50,old", "mine,json,0.25,new").replace(
        "mine,re,1,\n", "mine,re,1,\nmine,os,0.1,x\n"
    )
    assert path.read_bytes().decode() == expected + "\n"


def test_a_new_study_comes_last_and_a_domain_of_another_study_is_not_touched(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "other,json,0.5,kept\n")
    caps = write_accepted("mine", {"json": Accepted(0.1, "n")}, path)
    assert (caps.of("other"), caps.of("mine")) == ({"json": 0.5}, {"json": 0.1})
    assert path.read_text().splitlines()[-1] == "mine,json,0.1,n"


def test_the_files_own_line_ends_mark_columns_and_mode_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffnote,cap,owner,domain,study\r\nold,1,ann,json,mine\r\n")
    path.chmod(0o640)
    write_accepted("mine", {"json": Accepted(0.5, "n"), "re": Accepted(0.2, "m")}, path)
    expected = "\ufeffnote,cap,owner,domain,study\r\nn,0.5,ann,json,mine\r\nm,0.2,,re,mine\r\n"
    assert path.read_bytes().decode() == expected
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("domain", HOSTILE)
def test_hostile_names_read_back(tmp_path: Path, domain: str) -> None:
    path = written(tmp_path, HEAD + "mine,json,1,\n")
    note = accepted_note("2026-11-25", FINDINGS, "n 9", f'because, {"x" * 9} "quoted"')
    for cap in (0.3, 0.2):
        write_accepted("mine", {domain: Accepted(cap, note)}, path)
    rows = seeds.read_caps(path).rows
    assert [(row.domain, row.cap, row.note) for row in rows] == [("json", 1.0, ""), (domain, 0.2, note)]


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_crash_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    path = written(tmp_path, HEAD + "mine,json,1,\n")
    before = path.read_bytes()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, at, crash)
    with pytest.raises(KeyboardInterrupt):
        write_accepted("mine", {"json": Accepted(0.5, "n")}, path)
    assert path.read_bytes() == before
    assert {one.name for one in tmp_path.iterdir()} <= {"caps.csv", ".caps.csv.lock"}


def test_what_does_not_read_back_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, HEAD + "mine,json,1,\n")
    before = path.read_bytes()
    monkeypatch.setattr(accepting, "_line", lambda head, row, end: "mine,json,0.9,other\n")
    with pytest.raises(CapsError, match="does not read back"):
        write_accepted("mine", {"json": Accepted(0.5, "n")}, path)
    assert path.read_bytes() == before


def test_a_broken_seed_is_refused_and_left(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "mine,json,2,\n")
    with pytest.raises(CapsError, match="line 2"):
        write_accepted("mine", {"json": Accepted(0.5, "n")}, path)
    assert path.read_text() == HEAD + "mine,json,2,\n"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = written(tmp_path / "elsewhere", HEAD)
    link = tmp_path / "caps.csv"
    link.symlink_to(path)
    write_accepted("mine", {"json": Accepted(0.5, "n")}, link)
    assert link.is_symlink()
    assert seeds.read_caps(path).of("mine") == {"json": 0.5}


def test_writers_at_once_lose_no_row(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD)
    code = (
        "import sys; from pathlib import Path; from smc_dagster.mixing.accepting import Accepted, write_accepted\n"
        "for i in range(15): write_accepted(sys.argv[1], {f'd{i}': Accepted(0.5, 'n')}, Path(sys.argv[2]))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, study, str(path)]) for study in ("one", "two")]
    assert [writer.wait() for writer in writers] == [0, 0]
    caps = seeds.read_caps(path)
    assert {study: len(caps.of(study)) for study in ("one", "two")} == {"one": 15, "two": 15}


def test_a_lock_that_is_not_given_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    path = written(tmp_path, HEAD)
    monkeypatch.setattr(accepting, "LOCK_SECONDS", 0.05)
    with FileLock(tmp_path / ".caps.csv.lock"), pytest.raises(CapsError, match="locked for"):
        write_accepted("mine", {"json": Accepted(0.5, "n")}, path)


def test_a_note_says_when_from_what_and_why() -> None:
    note = accepted_note("2026-11-25", FINDINGS, "safe share 0.3, n 40", "  agreed, with billing ")
    assert note == f"accepted 2026-11-25 from findings {FINDINGS} (safe share 0.3, n 40): agreed, with billing"
    assert findings_of(note) == FINDINGS
    assert findings_of(f"see: {note}") is None


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (" ", "is empty"),
        ("x" * 501, "501 characters"),
        ("a\nb", r"U\+000A"),
        ("a\x1b[2J", r"U\+001B"),
        ("\u202e", "202E"),
    ],
)
def test_a_reason_is_one_line_of_plain_text(reason: str, said: str) -> None:
    with pytest.raises(CapsError, match=said):
        accepted_note("2026-11-25", FINDINGS, "n 4", reason)
