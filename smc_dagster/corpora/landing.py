"""The landing folder: which days have files, and whether those files are whole.

What belongs here: looking at `<landing>/real/<day>/`. What does not: reading documents (files.py).
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from pathlib import Path

# a file whose last change is younger may still be growing
SETTLED_SECONDS = 5
REAL, SYNTHETIC = "real", "synthetic"


def arrivals(landing: Path, now: datetime) -> tuple[dict[str, str], list[str], list[str]]:
    """Days that have settled files.

    Args:
        landing: the study's landing folder; it need not exist.
        now: the present time, with a time zone.

    Returns:
        digest of names, sizes and times of the files by day (ISO 8601); names of days with a file that is still being
        written; names of folders that are no day.
    """
    settled: dict[str, str] = {}
    waiting: list[str] = []
    odd: list[str] = []
    root = landing / REAL
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if not folder.is_dir() or not is_day(folder.name):
            odd.append(folder.name)
            continue
        stats = []
        for path in sorted(folder.iterdir()):
            if path.name.startswith((".", "_")):
                continue
            try:
                stats.append((path.name, path.stat()))
            except FileNotFoundError:
                continue  # it vanished between the two calls; the next look sees what is left
        if not stats:
            continue
        if any(now.timestamp() - one.st_mtime < SETTLED_SECONDS for _, one in stats):
            waiting.append(folder.name)
            continue
        text = "\n".join(f"{name} {one.st_size} {one.st_mtime_ns}" for name, one in stats)
        settled[folder.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return settled, waiting, odd


def is_day(name: str) -> bool:
    """Whether a name is a date as the landing folder writes it, YYYY-MM-DD."""
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False
