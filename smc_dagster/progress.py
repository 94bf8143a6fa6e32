"""Progress of long work, from where it is done to whoever shows it.

What belongs here: one way to say `done of total`, and to listen. What does not: displays (cli) and logs (defs/).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]
_listeners: list[Listener] = []


def report(stage: str, done: int, total: int) -> None:
    """Tell listeners that `done` of `total` units of a stage are done. Cheap where nobody listens."""
    for listener in _listeners:
        listener(stage, done, total)


def reporter(stage: str) -> Callable[[int, int], None]:
    """`report` for one stage."""
    return lambda done, total: report(stage, done, total)


def joint_reporter(stage: str, pieces: int) -> Callable[[str, int, int], None]:
    """`report` for a stage of several equal pieces of work, told of from any thread as (piece, done, its total)."""
    held: dict[str, int] = {}
    lock = threading.Lock()

    def tell(piece: str, done: int, total: int) -> None:
        # within the lock, so that what is shown never falls
        with lock:
            held[piece] = done
            report(stage, sum(held.values()), pieces * total)

    return tell


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(stage, done, total)` on every report within the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
