"""Rows that are read one by one, gathered until they make a batch.

What belongs here: judging whether a value is text at all, and keeping the row as it came. What does not: parsing a
format (jsonl.py, delimited.py, parquet.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smc_dagster.corpora.batches import Batch, Positions, Refusal, records, refusals

BATCH_ROWS = 50_000
_INT64 = 1 << 63


@dataclass(frozen=True)
class Wanted:
    """What a reader looks for.

    Attributes:
        columns: the file's column, by field.
        domain: of every row, where no column holds it.
    """

    columns: Mapping[str, str]
    domain: str | None = None

    @property
    def constants(self) -> dict[str, str]:
        """Fields that are the same in all rows."""
        return {} if self.domain is None else {"domain": self.domain}


@dataclass
class Piece:
    """Rows of one file, with the text that each came as.

    `rows` is counted up by the reader; `settled` is the split of ours that the source puts the rows in, if it does.
    """

    file: str
    wanted: Wanted
    rows: int = 0
    settled: str | None = None
    lines: list[int] = field(default_factory=list)
    values: list[tuple[str | None, ...]] = field(default_factory=list)
    came: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def sort(self, line: int, values: tuple[Any, ...], came: str) -> None:
        """Keep a row whose values (in the order of `wanted.columns`) are text or missing, refuse another.

        An id may be a whole number of 64 bits too.
        """
        kept = []
        for name, value in zip(self.wanted.columns, values, strict=True):
            if name == "id" and type(value) is int and -_INT64 <= value < _INT64:
                value = str(value)
            fault = _fault(value)
            if fault is not None:
                self.refuse(line, name, fault, came)
                return
            kept.append(value)
        self.lines.append(line)
        self.values.append(tuple(kept))
        self.came.append(came)

    def refuse(self, line: int, field: str | None, reason: str, came: str) -> None:
        """Refuse a row."""
        self.refused.append(Refusal(self.file, line, field, reason, printable(came)))

    def batch(self) -> Batch:
        """The rows gathered."""
        columns = list(zip(*self.values, strict=True)) or [()] * len(self.wanted.columns)
        fields: dict[str, Any] = dict(zip(self.wanted.columns, columns, strict=True))
        settled = {} if self.settled is None else {"source_split": self.settled}
        table = records(self.file, self.lines, self.wanted.constants | settled | fields)

        def original(places: Positions) -> list[str]:
            return [printable(self.came[place]) for place in places]

        return Batch(table, refusals(self.refused), self.rows, original)


def _fault(value: Any) -> str | None:
    """Why a value is no text; None is text that is missing."""
    if value is None:
        return None
    if not isinstance(value, str):
        return f"{type(value).__name__} where text is expected"
    return None if value.isascii() or _is_utf8(value) else "not valid UTF-8"


def printable(text: str) -> str:
    """Bytes that are no UTF-8, as escapes."""
    return text if text.isascii() or _is_utf8(text) else text.encode("utf-8", "backslashreplace").decode()


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
