"""Rows of a JSONL file: whole blocks at once where they are sound, line by line where one is not.

What belongs here: parsing JSON lines. What does not: judging documents (contract.py).

`_read_lines` says what a row is. `_parse` is Arrow's parser on a block; what it gives is taken only where it must be
what `_read_lines` gives: the block is UTF-8 without NUL, each line that is not blank begins with `{` and ends with
`}`, and there are as many objects as such lines. A newline between `}` and `{` can lie inside no JSON value, so there
is then exactly one object a line. Anything else, a duplicate key or a value that is no text among them, makes Arrow
fail, and the block is read in halves until what fails is small enough to go through line by line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from smc_dagster.corpora.batches import Batch, Positions, records, refusals
from smc_dagster.corpora.blocks import RETURN, Block, blocks
from smc_dagster.corpora.pieces import Piece, Wanted
from smc_dagster.corpora.unpacking import fault_of

# below it a block is read line by line rather than in halves again
SMALL_BYTES = 16 << 10
# Arrow is fastest on pieces that fit the cache
_PARSER_BYTES = 1 << 20
# deeper values are refused: Python's parser gives up somewhere below a thousand, depending on who calls it
MAX_DEPTH = 400
_BOM = b"\xef\xbb\xbf"
_OPEN, _CLOSE = ord("{"), ord("}")


def _whole(digits: str) -> int:
    """A whole number; of one that is far beyond any id only that: Python refuses to read thousands of digits."""
    return int(digits) if len(digits) < 100 else 1 << 100


_DECODER = json.JSONDecoder(parse_int=_whole)


def read_jsonl(stream: BinaryIO, file: str, wanted: Wanted) -> Iterator[Batch]:
    """One JSON object a line; blank lines are no rows; keys not wanted are left alone."""
    last = 0
    held: Block | None = None
    for block in blocks(stream):
        if held is not None:
            yield from _read(held, file, wanted)
            last = held.first + len(held.ends) - 1
        held = block
    fault = fault_of(stream)
    if held is not None:
        last = held.first + len(held.ends) - 1
        broken_off = fault is not None and not held.data.endswith(b"\n") and not held.cut
        at = int(held.starts[-1]) if broken_off else len(held.data)
        yield from _read(Block(held.data[:at], held.first, held.cut), file, wanted)
        if broken_off:
            yield _broken(file, wanted, last, str(fault), held.data[at:])
            return
    if fault is not None:
        yield _broken(file, wanted, last + 1, fault, b"")


def _broken(file: str, wanted: Wanted, line: int, fault: str, came: bytes) -> Batch:
    piece = Piece(file, wanted, rows=1)
    piece.refuse(line, None, fault, came.decode("utf-8", "surrogateescape"))
    return piece.batch()


def _read(block: Block, file: str, wanted: Wanted) -> Iterator[Batch]:
    if not block.data:
        return
    if block.cut:
        piece = Piece(file, wanted, rows=1)
        head = block.data.decode("utf-8", "surrogateescape")
        reason = f"a line of {len(block.data) + block.cut:,} bytes; only its head is kept here"
        piece.refuse(block.first, None, reason, head)
        yield piece.batch()
        return
    batch = _parse(block, file, wanted)
    if batch is not None:
        yield batch
    elif len(block.data) <= SMALL_BYTES or len(block.ends) < 2:
        yield _read_lines(block, file, wanted)
    else:
        for half in block.halves():
            yield from _read(half, file, wanted)


# ---------------------------------------------------------------------- line by line


def _read_lines(block: Block, file: str, wanted: Wanted) -> Batch:
    piece = Piece(file, wanted)
    keys = tuple(wanted.columns.values())
    for line, content in enumerate(block.data.split(b"\n"), start=block.first):
        came = content.removeprefix(_BOM).decode("utf-8", "surrogateescape").strip()
        if not came:
            continue
        piece.rows += 1
        if _depth(came) > MAX_DEPTH:
            piece.refuse(line, None, f"not valid JSON: nested more than {MAX_DEPTH} deep", came)
            continue
        try:
            row = _DECODER.decode(came)
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            piece.refuse(line, None, f"not valid JSON: {reason}", came)
            continue
        if isinstance(row, dict):
            piece.sort(line, tuple(row.get(key) for key in keys), came)
        else:
            piece.refuse(line, None, "not a JSON object", came)
    return piece.batch()


def _depth(text: str) -> int:
    """How deep arrays and objects are nested; brackets inside strings do not count."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    deepest = depth = 0
    inside = escaped = False
    for one in text:
        if inside:
            inside = escaped or one != '"'
            escaped = one == "\\" and not escaped
        elif one == '"':
            inside = True
        elif one in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif one in "]}":
            depth -= 1
    return deepest


# ---------------------------------------------------------------------- whole blocks


def _parse(block: Block, file: str, wanted: Wanted) -> Batch | None:
    """The block as Arrow reads it; None where that might not be what `_read_lines` gives."""
    lines = _object_lines(block)
    if lines is None:
        return None
    if not len(lines):
        return Batch(records(file, [], {}), refusals([]), 0)
    names = sorted(set(wanted.columns.values()))
    table = _by_arrow(block.data, names, None)
    if table is None and list(wanted.columns.values()).count(wanted.columns.get("id", "")) == 1:
        table = _by_arrow(block.data, names, wanted.columns["id"])
    if table is None or table.num_rows != len(lines):
        return None
    columns = {field: table[column].cast(pa.string()) for field, column in wanted.columns.items()}
    starts, ends = block.starts, block.ends

    def original(places: Positions) -> list[str]:
        at = lines[places]
        return [block.data[i:j].decode().strip() for i, j in zip(starts[at], ends[at], strict=True)]

    held = records(file, lines + block.first, wanted.constants | columns)
    return Batch(held, refusals([]), len(lines), original)


def _object_lines(block: Block) -> Positions | None:
    """Places of the lines that are not blank, if all of them look like one object each and Arrow may read them."""
    data = block.data
    if b"\0" in data or not _is_utf8(data):
        return None
    content = np.frombuffer(data, np.uint8)
    starts, ends = block.starts, block.ends
    ends = ends - ((ends > starts) & (content[ends - 1] == RETURN))
    full = ends > starts
    lines = np.flatnonzero(full)
    starts, ends = starts[full], ends[full]
    if not ((content[starts] == _OPEN) & (content[ends - 1] == _CLOSE)).all():
        return None
    # so deep a value takes two bytes a level at least
    for place in np.flatnonzero(ends - starts >= 2 * MAX_DEPTH):
        inside = (int(starts[place]), int(ends[place]))
        if data.count(b"{", *inside) + data.count(b"[", *inside) > MAX_DEPTH:
            return None
    return lines


def _is_utf8(data: bytes) -> bool:
    try:
        pa.Array.from_buffers(
            pa.large_string(), 1, [None, pa.py_buffer(np.array([0, len(data)], np.int64)), pa.py_buffer(data)]
        ).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _by_arrow(data: bytes, columns: list[str], number: str | None) -> pa.Table | None:
    """The columns as text, but `number` as whole numbers; None where a value is neither that nor null."""
    schema = pa.schema([(name, pa.int64() if name == number else pa.string()) for name in columns])
    try:
        table = arrow_json.read_json(
            pa.BufferReader(data),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=_PARSER_BYTES),
            parse_options=arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
        # half a surrogate pair passes the parser and is no UTF-8
        table.validate(full=True)
    except pa.ArrowException:
        return None
    checked: Any = table.combine_chunks()
    return checked
