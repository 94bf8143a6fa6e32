"""Faults planted in the sound study of quality_world: what a fault is, and edits of rows that several suites share.

What belongs here: the shape of a fault and the edits. What does not: the faults (faults_in_documents.py,
faults_in_arms.py), or any assertion about a suite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quality_world import ROWS, Rows

Edit = Callable[[Rows], Any]
EMPTY: Edit = list.clear


@dataclass(frozen=True)
class Fault:
    """An edit of the sound rows that breaks one check; `unexpected` values must be counted."""

    table: str
    check: str
    edit: Edit
    unexpected: int = 1
    also: frozenset[str] = frozenset()
    changes: tuple[tuple[str, Any], ...] = ()


def put(**values: Any) -> Edit:
    """Change the first row."""
    return lambda rows: rows[0].update(values)


def where(choose: Callable[[dict[str, Any]], bool], count: int = 10**9, **values: Any) -> Edit:
    """Change the first `count` rows that are chosen."""

    def edit(rows: Rows) -> None:
        chosen = [one for one in rows if choose(one)][:count]
        assert chosen
        for one in chosen:
            one.update(values)

    return edit


def drop(choose: Callable[[dict[str, Any]], bool], count: int = 10**9) -> Edit:
    """Take the first `count` rows that are chosen away."""

    def edit(rows: Rows) -> None:
        gone = [id(one) for one in rows if choose(one)][:count]
        assert gone
        rows[:] = [one for one in rows if id(one) not in gone]

    return edit


def first_id(split: str) -> str:
    """The doc_id of the first real document of a split."""
    return next(one["doc_id"] for one in ROWS["real_documents"][1]() if one["split"] == split)


def double(rows: Rows) -> None:
    """The first row once more."""
    rows.append(dict(rows[0]))
