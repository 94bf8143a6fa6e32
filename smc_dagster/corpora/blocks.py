"""A file of lines in blocks of whole lines, with where each line begins.

What belongs here: cutting bytes at line ends in bounded memory. What does not: what a line means (jsonl.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np

from smc_dagster.corpora.batches import Positions

BLOCK_BYTES = 4 << 20  # less than MAX_LINE_BYTES
# a line that is longer is no document; it is refused with its head rather than held in memory
MAX_LINE_BYTES = 16 << 20
KEPT_BYTES = 1 << 16
NEWLINE, RETURN = 10, 13


@dataclass(frozen=True)
class Block:
    """Whole lines.

    Attributes:
        data: their bytes; only the last line of a file may lack its newline.
        first: number of the first line, 1-based.
        cut: bytes that were dropped from the end of the block's only line, which is too long; else 0.
    """

    data: bytes
    first: int
    cut: int = 0

    @cached_property
    def ends(self) -> Positions:
        """[lines] place after the content of each line: of its newline, or the end."""
        found = np.flatnonzero(np.frombuffer(self.data, np.uint8) == NEWLINE)
        if self.data and self.data[-1] != NEWLINE:
            found = np.append(found, len(self.data))
        return found

    @cached_property
    def starts(self) -> Positions:
        """[lines] place of the first byte of each line."""
        return np.concatenate([np.zeros(min(1, len(self.ends)), np.int64), self.ends[:-1] + 1])

    def halves(self) -> tuple[Block, Block]:
        """The block in two of whole lines each; it must have two lines at least."""
        middle = len(self.ends) // 2
        at = int(self.starts[middle])
        return Block(self.data[:at], self.first), Block(self.data[at:], self.first + middle)


def blocks(stream: BinaryIO) -> Iterator[Block]:
    """The file's lines, about BLOCK_BYTES at a time."""
    line = 1
    rest, dropped = b"", 0  # the line that is not complete yet, and what of it was not kept
    while piece := stream.read(BLOCK_BYTES):
        first = piece.find(b"\n")
        if first < 0:
            if len(rest) > MAX_LINE_BYTES:
                dropped += len(piece)
            else:
                rest += piece
            continue
        if len(rest) + dropped + first > MAX_LINE_BYTES:
            yield _cut(rest + piece[:first], dropped, line)
            line += 1
            rest, dropped, piece = b"", 0, piece[first + 1 :]
        at = piece.rfind(b"\n") + 1
        if at:
            block = Block(rest + piece[:at], line)
            yield block
            line += len(block.ends)
            rest = b""
        rest += piece[at:]
    if len(rest) + dropped > MAX_LINE_BYTES:
        yield _cut(rest, dropped, line)
    elif rest:
        yield Block(rest, line)


def _cut(content: bytes, dropped: int, line: int) -> Block:
    head = content[:KEPT_BYTES]
    return Block(head, line, cut=len(content) + dropped - len(head))
