"""Writing accepted caps into the caps seed.

What belongs here: replacing and adding rows of one study in `caps.csv`, under a lock and atomically, and the note that
an accepted cap bears. What does not: the rules of the file (seeds.py), and what may be accepted (cli/caps.py).

People edit the file too, so every other row stays as it is, to the byte. The whole file goes to a temporary name beside
its place, is read back, and is renamed over it: a crash leaves the old file or the new one. Readers need no lock.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from smc_dagster.errors import CapsError
from smc_dagster.mixing.seeds import CAPS_COLUMNS, Caps, read_caps, seed_path

LOCK_SECONDS = 30.0
MAX_REASON_CHARACTERS = 500
_FINDINGS = re.compile(r"^accepted \d{4}-\d\d-\d\d from findings ([0-9a-f]{16})\b")
# a note is one line, and nothing in it that a terminal or an editor would obey
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Accepted:
    """A cap that a person accepted for a domain: the share, 0-1, and the note that says why."""

    cap: float
    note: str


def accepted_note(day: str, findings: str, basis: str, reason: str) -> str:
    """The note of an accepted cap.

    Args:
        day: ISO date.
        findings: fingerprint of the findings that it was accepted from.
        basis: what it rests on.
        reason: the person's own.

    Raises:
        CapsError: the reason is empty, too long, or holds a control character.
    """
    reason = reason.strip()
    if not reason:
        raise CapsError("--reason is empty", "say why the caps are accepted; it is kept in the seed")
    if len(reason) > MAX_REASON_CHARACTERS:
        raise CapsError(f"--reason has {len(reason)} characters", f"give at most {MAX_REASON_CHARACTERS}")
    found = _UNPRINTABLE.search(reason)
    if found:
        raise CapsError(f"--reason holds the character U+{ord(found[0]):04X}", "give one line of plain text")
    return f"accepted {day} from findings {findings} ({basis}): {reason}"


def findings_of(note: str) -> str | None:
    """The fingerprint that `accepted_note` put into a note; None in any other."""
    found = _FINDINGS.match(note)
    return found[1] if found else None


def write_accepted(study: str, accepted: Mapping[str, Accepted], path: Path | None = None) -> Caps:
    """Put caps of one study into the seed; its other rows, and those of other studies, stay as they are.

    A domain's row is replaced where it stands; a new one follows the last row of its study.

    Args:
        accepted: by domain; `*` is every domain of the study without a row of its own.

    Returns:
        The caps as they now are.

    Raises:
        CapsError: the seed breaks a rule, cannot be written, or stays locked.
    """
    from filelock import FileLock, Timeout

    path = (path or seed_path("caps")).resolve()
    lock = path.with_name(f".{path.name}.lock")
    try:
        with FileLock(lock, timeout=LOCK_SECONDS):
            before = read_caps(path)
            with path.open(encoding="utf-8", newline="") as file:
                text = file.read()
            _replace(path, _merged(text, study, accepted), _expected(before, study, accepted))
            return read_caps(path)
    except Timeout as error:
        raise CapsError(
            f"{path} has been locked for {LOCK_SECONDS:g} s by another process", "let it end, and try again"
        ) from error
    except OSError as error:
        raise CapsError(f"{path} cannot be written: {error}", "make the file and its folder writable") from error


def _expected(before: Caps, study: str, accepted: Mapping[str, Accepted]) -> dict[tuple[str, str], tuple[float, str]]:
    rows = {(row.study, row.domain): (row.cap, row.note) for row in before.rows}
    return rows | {(study, domain): (one.cap, one.note) for domain, one in accepted.items()}


def _records(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each record of the file: as it stands, line end included, and its fields; a blank line has none."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    for fields in csv.reader(lines()):
        yield "".join(taken), fields
        taken.clear()


def _merged(text: str, study: str, accepted: Mapping[str, Accepted]) -> str:
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    records = list(_records(text.removeprefix("\ufeff")))
    head = records[0][1]
    end = "\r\n" if records[0][0].endswith("\r\n") else "\n"
    left = dict(accepted)
    kept: list[str] = []
    after = 0
    for raw, fields in records:
        row = dict(zip(head, fields, strict=False))
        if fields and row.get("study") == study and row.get("domain") in left and kept:
            raw = _line(head, row | _columns(study, row["domain"], left.pop(row["domain"])), end)
        kept.append(raw if raw.endswith(("\n", "\r")) else raw + end)
        if row.get("study") == study:
            after = len(kept)
    new = [_line(head, _columns(study, domain, one), end) for domain, one in left.items()]
    place = after or len(kept)
    return mark + "".join([*kept[:place], *new, *kept[place:]])


def _columns(study: str, domain: str, one: Accepted) -> dict[str, str]:
    return dict(zip(CAPS_COLUMNS, (study, domain, repr(one.cap), one.note), strict=True))


def _line(head: list[str], row: Mapping[str, str], end: str) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end).writerow([row.get(name, "") for name in head])
    return written.getvalue()


def _replace(path: Path, text: str, expected: Mapping[tuple[str, str], tuple[float, str]]) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, temporary)
        found = {(row.study, row.domain): (row.cap, row.note) for row in read_caps(temporary).rows}
        if found != expected:
            raise CapsError(f"{path}: what would be written does not read back as it should; nothing was changed")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
