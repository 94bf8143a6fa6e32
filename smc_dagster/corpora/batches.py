"""What every reader hands over: rows in pieces, those that it could not read beside those that it could.

What belongs here: the shape of a batch. What does not: reading (docstrings.py, files.py), judging (contract.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

FIELDS = ("domain", "label", "text")
# what could be read; nulls are the contract's business
RECORD = pa.schema(
    [
        ("domain", pa.string()),
        ("label", pa.string()),
        ("text", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
    ]
)
# what could not, in the columns of `quarantine` less the day
REFUSED = pa.schema(
    [("file", pa.string()), ("line", pa.int64()), ("field", pa.string()), ("reason", pa.string()), ("row", pa.string())]
)
Positions = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Batch:
    """Some rows of a source.

    Attributes:
        records: rows that were read, schema RECORD.
        refused: rows that could not be read as a record, schema REFUSED.
        original: the rows as they came, for positions in `records`; None: a JSON object of the fields.
    """

    records: pa.Table
    refused: pa.Table
    original: Callable[[Positions], list[str]] | None = None

    @property
    def rows(self) -> int:
        """Rows that came in."""
        return int(self.records.num_rows + self.refused.num_rows)

    def as_they_came(self, positions: Positions) -> list[str]:
        """The rows at these positions of `records`, as text."""
        return as_json(self.records, positions) if self.original is None else self.original(positions)


def as_json(records: pa.Table, positions: Positions) -> list[str]:
    """Rows of a table with the columns FIELDS, each as a JSON object."""
    rows = records.select(list(FIELDS)).take(pa.array(positions)).to_pylist()
    return [json.dumps(row, ensure_ascii=False) for row in rows]


@dataclass(frozen=True)
class Refusal:
    """One row that could not be read."""

    file: str
    line: int | None
    field: str | None
    reason: str
    row: str


def refusals(rows: Iterable[Refusal]) -> pa.Table:
    """Refused rows as a table, schema REFUSED."""
    return pa.Table.from_pylist([one.__dict__ for one in rows], schema=REFUSED)


def records(
    files: Sequence[str],
    lines: Sequence[int],
    domains: Sequence[str | None],
    labels: Sequence[str | None],
    texts: Sequence[str | None],
) -> pa.Table:
    """Columns of equal length as a table, schema RECORD."""
    columns = (domains, labels, texts, files)
    return pa.table([*(pa.array(one, pa.string()) for one in columns), pa.array(lines, pa.int64())], schema=RECORD)
