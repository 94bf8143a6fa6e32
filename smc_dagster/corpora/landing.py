"""The landing folder: `<landing>/<kind>/<day>/...`, what is in it, and putting files there whole.

What belongs here: looking at it, and `put`. What does not: reading documents (files.py).

`put` is whole or not at all: files are copied under a hidden name beside the days; the rename of that folder into the
day, still hidden, is the one moment that decides. From then on `finish` moves them to their names, and whoever looks
at the day next does so first, if the one who put them was killed.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

from smc_dagster.corpora.files import is_hidden, require_known
from smc_dagster.errors import CorpusError

# a file whose last change is younger may still be growing
SETTLED_SECONDS = 5
_DECIDED = ".put-"


class Landed(StrEnum):
    """What lands: `<landing>/real/` and `<landing>/synthetic/`."""

    real = "real"
    synthetic = "synthetic"


# ---------------------------------------------------------------------- looking


def arrivals(landing: Path, now: datetime, kind: Landed = Landed.real) -> tuple[dict[str, str], list[str], list[str]]:
    """Days that have settled files; never an error.

    Args:
        landing: the study's landing folder; it need not exist.
        now: the present time, with a time zone.

    Returns:
        digest of names, sizes and times of the files by day (ISO 8601), at any depth, as files.py reads them; names of
        days with a file that is still being written; what is no day or cannot be looked at, each with why.
    """
    settled: dict[str, str] = {}
    waiting: list[str] = []
    odd: list[str] = []
    root = landing / kind
    try:
        folders = sorted(root.iterdir()) if root.is_dir() else []
    except OSError as error:
        return {}, [], [f"{kind}: {error.strerror}"]
    for folder in folders:
        shown = ascii(folder.name)[1:-1]
        if folder.name.startswith("."):
            continue
        if not is_day(folder.name) or not folder.is_dir():
            odd.append(f"{shown}: not a day")
            continue
        try:
            finish(folder)
            stats = [(str(one.relative_to(folder)), one.stat()) for one in _files_in(folder)]
        except FileNotFoundError:
            # the next look sees what is left
            odd.append(f"{shown}: a file vanished while it was looked at, or is a link to nothing")
            continue
        except OSError as error:
            odd.append(f"{shown}: {error.strerror}")
            continue
        if any(now.timestamp() - one.st_mtime < SETTLED_SECONDS for _, one in stats):
            waiting.append(shown)
        elif stats:
            text = "\n".join(f"{name} {one.st_size} {one.st_mtime_ns}" for name, one in stats)
            settled[folder.name] = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        else:
            odd.append(f"{shown}: no files in it")
    return settled, waiting, odd


def is_day(name: str) -> bool:
    """Whether a name is a date as the landing folder writes it, YYYY-MM-DD."""
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def require_day(day: str) -> None:
    """Check a day.

    Raises:
        CorpusError: it is no date.
    """
    if not is_day(day):
        raise CorpusError(f"day `{day}` is no date", "write it as YYYY-MM-DD")


def _files_in(folder: Path) -> list[Path]:
    """Regular files at any depth that are not hidden, by name."""
    found: list[Path] = []

    def fail(error: OSError) -> None:
        raise error

    for at, _, names in os.walk(folder, onerror=fail):
        inside = (Path(at, name) for name in names)
        found += [one for one in inside if not is_hidden(str(one.relative_to(folder)))]
    return sorted(found)


# ---------------------------------------------------------------------- putting


@dataclass(frozen=True)
class Put:
    """What `put` did: the folder, files put there (relative names), files that were there already, and bytes put."""

    folder: Path
    put: list[str]
    unchanged: list[str]
    size: int


def put(source: Path, folder: Path, *, replace: bool = False) -> Put:
    """Put a file, or all files of a folder, into a day's folder, whole or not at all.

    Args:
        source: hidden files of a folder are left alone, as the reader leaves them.
        folder: `<landing>/<kind>/<day>`, perhaps with a folder below it.
        replace: whether a file of the same name and other content may be replaced.

    Raises:
        CorpusError: no such source, nothing in it, a kind of file that cannot be read, a file that is not readable, a
            name that is taken by other content, or not enough room; nothing was put then.
    """
    names = _sources(source)
    finish(folder)
    fresh = []
    for name in names:
        require_known(name)
        target = folder / name
        taken = next((one for one in (target, *target.parents) if one.exists() or one.is_symlink()), None)
        try:
            if taken == target and target.is_file() and filecmp.cmp(_at(source, name), target, shallow=False):
                continue
        except OSError as error:
            raise _unreadable(name, error) from error
        if (taken == target and not (replace and target.is_file())) or (
            taken is not None and not taken.is_dir() and taken != target
        ):
            raise CorpusError(
                f"{name} is there already with other content; nothing was put",
                "give it another name, or replace it with --replace",
            )
        fresh.append(name)
    size = sum(_at(source, name).stat().st_size for name in fresh)
    if fresh:
        _copy(source, fresh, folder, size)
        finish(folder)
    return Put(folder, fresh, [name for name in names if name not in set(fresh)], size)


def _sources(source: Path) -> list[str]:
    """Names of the files, relative to a folder."""
    if source.is_file():
        if is_hidden(source.name):
            raise CorpusError(f"{source.name}: a name that begins with `.` or `_` is not read", "rename the file")
        return [source.name]
    if not source.is_dir():
        raise CorpusError(f"no file or folder at {source}", "mend the path")
    try:
        found = _files_in(source)
    except OSError as error:
        raise _unreadable(str(source), error) from error
    if not found:
        raise CorpusError(f"{source} holds no files", "name a folder that holds documents")
    odd = next((one for one in found if not one.is_file()), None)
    if odd is not None:
        raise CorpusError(f"{odd.name} is no regular file", "take it out of the folder")
    return [one.relative_to(source).as_posix() for one in found]


def _at(source: Path, name: str) -> Path:
    return source if source.is_file() else source / name


def _copy(source: Path, names: list[str], folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise CorpusError(f"{size:,} bytes to put and {free:,} free at {folder}", "make room, or set SMC_LANDING")
    staging = folder / f".staging-{uuid.uuid4().hex}"
    try:
        for name in names:
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with _at(source, name).open("rb") as given, target.open("wb") as taken:
                shutil.copyfileobj(given, taken, 1 << 22)
                taken.flush()
                os.fsync(taken.fileno())
        os.rename(staging, staging.with_name(_DECIDED + uuid.uuid4().hex))
    except OSError as error:
        raise _unreadable(str(error.filename or source), error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unreadable(name: str, error: OSError) -> CorpusError:
    return CorpusError(
        f"{name}: {error.strerror or error}; nothing was put", "check who may read and write there, and the disk"
    )


def finish(folder: Path) -> None:
    """Move files that `put` decided on, here or below, to their names; a second one at work on them does no harm."""
    for decided in sorted(folder.rglob(f"{_DECIDED}*")):
        for one in sorted(decided.rglob("*")):
            if one.is_dir():
                continue
            target = decided.parent / one.relative_to(decided)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.replace(one, target)
            except FileNotFoundError:
                continue
        shutil.rmtree(decided, ignore_errors=True)
