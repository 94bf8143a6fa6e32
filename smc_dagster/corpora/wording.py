"""Wordings that say the same, and finding them in a text.

What belongs here: the search for wordings of a table, and the table that several kinds of edit share. What does not:
tables of one kind of edit, and how many of the wordings found it swaps (edits.py, synthesis/light_edits.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Pairs = Iterable[tuple[str, str]]

CONTRACTIONS = (
    ("do not", "don't"), ("does not", "doesn't"), ("did not", "didn't"), ("is not", "isn't"), ("are not", "aren't"),
    ("cannot", "can't"), ("will not", "won't"), ("it is", "it's"), ("that is", "that's"), ("what is", "what's"),
)  # fmt: skip


class Wordings:
    """What stands for what: the second of each pair for the first. Whole words only; case does not count."""

    def __init__(self, pairs: Pairs) -> None:
        self._of = {old.lower(): new for old, new in pairs}
        # the longest that fits is found, whatever the order of the table
        known = sorted(self._of, key=lambda one: (-len(one), one))
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)", re.IGNORECASE)

    def found(self, text: str) -> list[tuple[int, int, str]]:
        """Where a wording of the table begins and ends, and what stands for it; in the order of the text."""
        return [(hit.start(), hit.end(), self._of[hit.group().lower()]) for hit in self._pattern.finditer(text)]

    def swapped(self, text: str) -> str:
        """The text with every wording of the table swapped."""
        return self._pattern.sub(lambda hit: self._of[hit.group().lower()], text)


def both_ways(pairs: Pairs) -> list[tuple[str, str]]:
    """Pairs that stand for each other."""
    return [pair for one, other in pairs for pair in ((one, other), (other, one))]
