"""Rows of a Parquet file.

What belongs here: reading Parquet by columns, and going through the rows where its text is no UTF-8. What does not:
judging documents (contract.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Container, Iterator
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smc_dagster.corpora import pieces
from smc_dagster.corpora.batches import Batch, records, refusals, refused_file
from smc_dagster.corpora.delimited import missing_column
from smc_dagster.corpora.pieces import Piece, Wanted
from smc_dagster.corpora.unpacking import archive, fault_of

_COPY_BYTES = 1 << 20


def read_parquet(stream: BinaryIO, file: str, wanted: Wanted) -> Iterator[Batch]:
    """Parquet; plain, large and dictionary-encoded strings are text, and ids may be whole numbers.

    A file that is damaged or lacks a column is refused; so is the rest of one whose damage shows later, as one row.
    """
    with tempfile.TemporaryFile() as space:
        if archive(stream) is not None:
            # Parquet is read from its end, which an archive gives last
            shutil.copyfileobj(stream, space, _COPY_BYTES)
            if fault_of(stream) is not None:
                yield refused_file(file, str(fault_of(stream)))
                return
            space.seek(0)
            stream = cast(BinaryIO, space)
        start = 1
        try:
            parquet = pq.ParquetFile(stream, buffer_size=_COPY_BYTES)
            reason = missing_column(parquet.schema_arrow.names, wanted) or wrong_type(parquet.schema_arrow, wanted)
            if reason is not None:
                yield refused_file(file, reason)
                return
            columns = sorted(set(wanted.columns.values()))
            for part in parquet.iter_batches(pieces.BATCH_ROWS, columns=columns, use_threads=False):
                lines = np.arange(start, start + part.num_rows)
                start += part.num_rows
                fields = {
                    field: part.column(column).cast(pa.large_string()).cast(pa.string())
                    for field, column in wanted.columns.items()
                }
                yield text_batch(fields, file, wanted, lines)
        except (pa.ArrowException, OSError) as error:
            reason = f"not readable as Parquet: {error}"
            if start == 1:
                yield refused_file(file, reason)
                return
            piece = Piece(file, wanted, rows=1)
            piece.refuse(start, None, f"from here on {reason}", "")
            yield piece.batch()


def wrong_type(schema: pa.Schema, wanted: Wanted, known: Container[str] = ()) -> str | None:
    """Why columns of these types cannot be read, but for those that are `known` to be names; None where they can."""
    for field, column in wanted.columns.items():
        if column in known:
            continue
        kind = schema.field(column).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        if not is_text and not (field == "id" and pa.types.is_integer(kind)):
            return f"column `{column}` is {kind}; text is expected"
    return None


def text_batch(
    fields: dict[str, pa.Array], file: str, wanted: Wanted, lines: np.ndarray, settled: str | None = None
) -> Batch:
    """String columns by field as a batch; `settled` as in `Piece`."""
    try:
        for column in fields.values():
            column.validate(full=True)
    except pa.ArrowInvalid:
        # Parquet promises UTF-8 and does not check it: go through the rows to find the broken ones
        piece = Piece(file, wanted, rows=len(lines), settled=settled)
        raw = [column.cast(pa.binary()).to_pylist() for column in fields.values()]
        for line, row in zip(lines.tolist(), zip(*raw, strict=True), strict=True):
            values = tuple(None if one is None else one.decode("utf-8", "surrogateescape") for one in row)
            piece.sort(line, values, json.dumps(dict(zip(fields, values, strict=True))))
        return piece.batch()
    constants = wanted.constants | ({} if settled is None else {"source_split": settled})
    return Batch(records(file, lines, constants | fields), refusals([]), len(lines))
