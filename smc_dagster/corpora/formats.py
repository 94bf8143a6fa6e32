"""Rows of one JSONL, CSV or Parquet file, in pieces.

What belongs here: parsing a format, with the line of every row, and the rows that cannot be parsed. What does not:
which files there are (files.py), whether a row is fit to be a document (contract.py).

`line` is the first physical line of the row in JSONL and CSV (1-based, header and blank lines counted), the number of
the row in Parquet (1-based).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from smc_dagster.corpora.batches import FIELDS, Batch, Positions, Refusal, records, refusals
from smc_dagster.errors import CorpusError
from smc_dagster.study import Columns

BATCH_ROWS = 50_000
Reader = Callable[[BinaryIO, str, Columns], Iterator[Batch]]


class _Piece:
    """Rows gathered until they make a batch, with the text that each came as."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[int] = []
        self.values: list[tuple[str | None, ...]] = []
        self.came: list[str] = []
        self.refused: list[Refusal] = []

    def keep(self, line: int, values: tuple[str | None, ...], came: str) -> None:
        self.lines.append(line)
        self.values.append(values)
        self.came.append(came)

    def refuse(self, line: int, field: str | None, reason: str, came: str) -> None:
        self.refused.append(Refusal(self.file, line, field, reason, _printable(came)))

    def __len__(self) -> int:
        return len(self.lines) + len(self.refused)

    def batch(self) -> Batch:
        columns = list(zip(*self.values, strict=True)) or [()] * len(FIELDS)
        table = records([self.file] * len(self.lines), self.lines, *columns)

        def original(places: Positions) -> list[str]:
            return [_printable(self.came[place]) for place in places]

        return Batch(table, refusals(self.refused), original)


def _printable(text: str) -> str:
    """Bytes that are no UTF-8, as escapes."""
    return text if _is_utf8(text) else text.encode("utf-8", "backslashreplace").decode()


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(values: tuple[Any, ...]) -> tuple[str, str] | None:
    """Field and reason of the first value that is no text; None is text that is missing."""
    for field, value in zip(FIELDS, values, strict=True):
        if value is not None and not isinstance(value, str):
            return field, f"{type(value).__name__} where text is expected"
        if isinstance(value, str) and not value.isascii() and not _is_utf8(value):
            return field, "not valid UTF-8"
    return None


def read_jsonl(stream: BinaryIO, file: str, columns: Columns) -> Iterator[Batch]:
    """One JSON object a line; blank lines are no rows; columns not named are left alone."""
    wanted = (columns.domain, columns.label, columns.text)
    piece = _Piece(file)
    for line, content in enumerate(stream, start=1):
        came = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").strip()
        if not came:
            continue
        try:
            row = json.loads(came)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            piece.refuse(line, None, f"not valid JSON: {reason}", came)
        else:
            if isinstance(row, dict):
                _sort(piece, line, tuple(row.get(name) for name in wanted), came)
            else:
                piece.refuse(line, None, "not a JSON object", came)
        if len(piece) >= BATCH_ROWS:
            yield piece.batch()
            piece = _Piece(file)
    yield piece.batch()


def _sort(piece: _Piece, line: int, values: tuple[Any, ...], came: str) -> None:
    fault = _fault(values)
    if fault is None:
        piece.keep(line, values, came)
    else:
        piece.refuse(line, *fault, came)


def read_csv(stream: BinaryIO, file: str, columns: Columns, delimiter: str = ",") -> Iterator[Batch]:
    """CSV with a header, UTF-8, double quotes; a row with more or fewer fields than the header is refused.

    Raises:
        CorpusError: the file has no header, or the header lacks a column.
    """
    pending: list[str] = []

    def lines() -> Iterator[str]:
        for one in io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline=""):
            pending.append(one)
            yield one

    rows = csv.reader(lines(), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise CorpusError(f"{file}, line 1: not a CSV header: {error}", "mend the file") from error
    places = [_column(header, name, file) for name in (columns.domain, columns.label, columns.text)]
    piece = _Piece(file)
    while True:
        start = rows.line_num + 1
        pending.clear()
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            piece.refuse(start, None, f"not valid CSV: {error}", "".join(pending).rstrip("\r\n"))
            continue
        if row:
            came = "".join(pending).rstrip("\r\n")
            if len(row) == len(header):
                _sort(piece, start, tuple(row[place] for place in places), came)
            else:
                piece.refuse(start, None, f"{len(row)} fields where the header has {len(header)}", came)
        if len(piece) >= BATCH_ROWS:
            yield piece.batch()
            piece = _Piece(file)
    yield piece.batch()


def read_tsv(stream: BinaryIO, file: str, columns: Columns) -> Iterator[Batch]:
    """Like `read_csv`, with tabs between the fields."""
    return read_csv(stream, file, columns, "\t")


def read_parquet(stream: BinaryIO, file: str, columns: Columns) -> Iterator[Batch]:
    """Parquet, read by columns; plain, large and dictionary-encoded strings are text.

    Raises:
        CorpusError: the file is damaged, lacks a column, or a column holds no text.
    """
    wanted = [columns.domain, columns.label, columns.text]
    try:
        parquet = pq.ParquetFile(stream)
        schema = parquet.schema_arrow
        for name in wanted:
            _column(schema.names, name, file)
            kind = schema.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
                raise CorpusError(f"{file}: column `{name}` is {kind}; text is expected", "write it as a string")
        start = 1
        for part in parquet.iter_batches(BATCH_ROWS, columns=sorted(set(wanted))):
            lines = range(start, start + part.num_rows)
            start += part.num_rows
            yield _parquet_batch(part, wanted, file, list(lines))
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{file}: not readable as Parquet: {error}", "write the file again") from error


def _parquet_batch(part: pa.RecordBatch, wanted: list[str], file: str, lines: list[int]) -> Batch:
    columns = [part.column(name).cast(pa.large_string()).cast(pa.string()) for name in wanted]
    try:
        for column in columns:
            column.validate(full=True)
    except pa.ArrowInvalid:
        # Parquet promises UTF-8 and does not check it: go through the rows to find the broken ones
        piece = _Piece(file)
        raw = [column.cast(pa.binary()).to_pylist() for column in columns]
        for line, row in zip(lines, zip(*raw, strict=True), strict=True):
            values = tuple(None if one is None else one.decode("utf-8", "surrogateescape") for one in row)
            _sort(piece, line, values, json.dumps(dict(zip(FIELDS, values, strict=True))))
        return piece.batch()
    table = records([file] * part.num_rows, lines, *columns)
    return Batch(table, refusals([]))


def _column(names: list[str], name: str, file: str) -> int:
    found = [place for place, one in enumerate(names) if one == name]
    if len(found) != 1:
        problem = "no column" if not found else f"{len(found)} columns"
        raise CorpusError(
            f"{file}: {problem} named `{name}`; it has {', '.join(f'`{one}`' for one in names) or 'no header'}",
            "name the columns under corpus.source.columns, or mend the file",
        )
    return found[0]


FORMATS: dict[str, Reader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
}
