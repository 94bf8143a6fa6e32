"""Rows of a CSV or TSV file.

What belongs here: parsing delimited text with the line of every row. What does not: judging documents (contract.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from smc_dagster.corpora import pieces
from smc_dagster.corpora.batches import Batch, refused_file
from smc_dagster.corpora.pieces import Piece, Wanted
from smc_dagster.corpora.unpacking import fault_of


def read_csv(stream: BinaryIO, file: str, wanted: Wanted, delimiter: str = ",") -> Iterator[Batch]:
    """CSV with a header, UTF-8, double quotes; a row with more or fewer fields than the header is refused.

    A header that is none, or lacks a column, refuses the file.
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
        yield refused_file(file, f"the header is not valid CSV: {error}")
        return
    lacking = missing_column(header, wanted)
    if lacking is not None:
        yield refused_file(file, fault_of(stream) or lacking)
        return
    places = [header.index(column) for column in wanted.columns.values()]
    piece = Piece(file, wanted)
    while True:
        start = rows.line_num + 1
        pending.clear()
        try:
            row = next(rows, None)
            reason = None
        except csv.Error as error:
            row, reason = [""], f"not valid CSV: {error}"
        fault = fault_of(stream)
        whole = bool(pending) and pending[-1].endswith(("\n", "\r"))
        came = "".join(pending).rstrip("\r\n")
        if row is None or (fault is not None and not whole):
            if fault is not None:
                piece.rows += 1
                piece.refuse(start, None, fault, came)
            break
        if row:
            piece.rows += 1
            if reason is None and len(row) != len(header):
                reason = f"{len(row)} fields where the header has {len(header)}"
            if reason is None:
                piece.sort(start, tuple(row[place] for place in places), came)
            else:
                piece.refuse(start, None, reason, came)
        if piece.rows >= pieces.BATCH_ROWS:
            yield piece.batch()
            piece = Piece(file, wanted)
    yield piece.batch()


def read_tsv(stream: BinaryIO, file: str, wanted: Wanted) -> Iterator[Batch]:
    """Like `read_csv`, with tabs between the fields."""
    return read_csv(stream, file, wanted, "\t")


def missing_column(names: list[str], wanted: Wanted) -> str | None:
    """Why a file with these columns cannot be read; None where it can."""
    for column in wanted.columns.values():
        found = names.count(column)
        if found != 1:
            problem = "no column" if not found else f"{found} columns"
            return f"{problem} named `{column}`; it has {', '.join(f'`{one}`' for one in names) or 'no header'}"
    return None
