"""What every reader hands over: rows in pieces, those that it could not read beside those that it could.

What belongs here: the shape of a batch, and gathering rows into one. What does not: reading (docstrings.py, files.py,
...), judging (contract.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

FIELDS = ("domain", "label", "text")
OPTIONAL = ("id", "provenance", "parent_doc_id")
# what could be read; nulls are the contract's business
RECORD = pa.schema(
    [
        ("domain", pa.string()),
        ("label", pa.string()),
        ("text", pa.string()),
        ("id", pa.string()),  # the source's own id of the row
        ("provenance", pa.string()),  # a grade of the scale; null is `human`
        ("parent_doc_id", pa.string()),  # the training document that a synthetic text came from
        ("source_split", pa.string()),  # a split of ours that the source settles; null where it does not
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
        rows: rows that came in, counted by the reader before it looked at them, so that it tells of a row that was
            lost on the way into `records` or `refused`.
        original: the rows as they came, for positions in `records`; None: a JSON object of the fields.
        files: files that this batch is the last of.
        files_refused: those of them that were refused whole, as one row.
    """

    records: pa.Table
    refused: pa.Table
    rows: int
    original: Callable[[Positions], list[str]] | None = None
    files: int = 0
    files_refused: int = 0

    def as_they_came(self, positions: Positions) -> list[str]:
        """The rows at these positions of `records`, as text."""
        return as_json(self.records, positions) if self.original is None else self.original(positions)


def as_json(records: pa.Table, positions: Positions) -> list[str]:
    """Rows of a table with the columns FIELDS, and perhaps OPTIONAL where given, each as a JSON object."""
    names = [name for name in (*FIELDS, *OPTIONAL) if name in records.column_names]
    rows = records.select(names).take(pa.array(positions)).to_pylist()
    return [
        json.dumps({key: row[key] for key in names if key in FIELDS or row[key] is not None}, ensure_ascii=False)
        for row in rows
    ]


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


def records(file: str | Sequence[str], lines: Sequence[int] | Positions, fields: Mapping[str, Any]) -> pa.Table:
    """Columns of equal length as a table, schema RECORD.

    Args:
        file: of all rows, or of each.
        lines: of each row.
        fields: columns by field, or one string for all rows; fields not named are null.
    """
    rows = len(lines)
    given = {**fields, "file": file, "line": pa.array(lines, pa.int64())}
    columns = [_column(given.get(one.name), one.type, rows) for one in RECORD]
    return pa.table(columns, schema=RECORD)


def _column(values: Any, kind: pa.DataType, rows: int) -> pa.Array | pa.ChunkedArray:
    if values is None:
        return pa.nulls(rows, kind)
    if isinstance(values, str):
        return pa.repeat(values, rows)
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)


def refused_file(file: str, reason: str) -> Batch:
    """A file that was refused whole, as one row: counts in = counts out holds, and the row says which file."""
    row = refusals([Refusal(file, None, None, reason, "")])
    return Batch(records(file, [], {}), row, 1, files=1, files_refused=1)
