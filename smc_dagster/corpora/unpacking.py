"""The bytes of a file, unpacked where its name ends in `.gz` or `.zst`, whole or up to where they break off.

What belongs here: decompression in pieces, and telling a broken archive from a file system that failed. What does
not: which files there are (files.py), what the bytes mean (jsonl.py, delimited.py, parquet.py).
"""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any, BinaryIO, cast

import pyarrow as pa

PACKED = (".gz", ".zst")
# unpacked bytes asked for at a time, and what is asked for again, byte by byte, where a piece breaks off
_PIECE = 1 << 18


class _Watched(io.RawIOBase):
    """A file whose own failures are kept, so that they are not taken for a broken archive."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self.file.read(len(buffer))
        except OSError as error:
            self.error = error
            raise
        buffer[: len(content)] = content
        return len(content)


class Unpacked(io.RawIOBase):
    """The unpacked bytes. Where the archive is broken they end early, and `fault` says why.

    Attributes:
        fault: why the bytes end before their end; None while there is no reason.
        given: bytes handed over.
    """

    def __init__(self, file: BinaryIO, packing: str) -> None:
        self.fault: str | None = None
        self.given = 0
        self._file = file
        self._packing = packing
        self._step: int | None = None
        self._open()

    def _open(self) -> None:
        self._watched = _Watched(self._file)
        self._stream: Any = None
        if self._packing == ".gz":
            self._stream = gzip.GzipFile(fileobj=cast(BinaryIO, io.BufferedReader(self._watched, 1 << 20)))
        else:
            whole = io.BufferedReader(self._watched, 1 << 20)
            self._stream = pa.CompressedInputStream(pa.PythonFile(whole, mode="r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._read(len(buffer)) if self.fault is None else b""
        buffer[: len(content)] = content
        self.given += len(content)
        return len(content)

    def _read(self, size: int) -> bytes:
        size = min(size, self._step or _PIECE)
        try:
            return bytes(self._stream.read1(size) if self._packing == ".gz" else self._stream.read(size))
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            if self._watched.error is not None:
                raise self._watched.error from error
            if self._packing == ".zst" and self._step is None:
                # the piece that holds the break is lost with it: come back to its start and go on in single bytes
                self._step = 1
                self._file.seek(0)
                self._open()
                left = self.given
                while left:
                    left -= len(self._stream.read(min(left, _PIECE)))
                return self._read(1)
            self.fault = f"the archive is broken from here on: {error}"
            return b""


def unpacked(file: BinaryIO, name: str) -> BinaryIO:
    """The bytes of a file by its name's ending; `fault_of` tells whether they ended early."""
    packing = next((one for one in PACKED if name.lower().endswith(one)), None)
    return file if packing is None else cast(BinaryIO, io.BufferedReader(Unpacked(file, packing), _PIECE))


def archive(stream: BinaryIO) -> Unpacked | None:
    """The archive behind a stream of `unpacked`; None where the file is plain."""
    raw = getattr(stream, "raw", None)
    return raw if isinstance(raw, Unpacked) else None


def fault_of(stream: BinaryIO) -> str | None:
    """Why a stream of `unpacked` ended before its end; None where it did not."""
    found = archive(stream)
    return found.fault if found else None
