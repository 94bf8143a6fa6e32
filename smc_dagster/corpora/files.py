"""Documents from files: one, or a folder of them, on this machine or behind any fsspec URL.

What belongs here: which files there are, what they hold as a hash, opening them. What does not: their formats
(formats.py).

In a folder every file counts, at any depth, by relative path; names that begin with `.` or `_` are hidden, so that an
upload can go on under such a name until it is whole. A file of an unknown kind is an error rather than ignored: a
slip in an extension would lose its documents in silence. `.gz` after a text extension is unpacked.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import fsspec

from smc_dagster.corpora.batches import Batch
from smc_dagster.corpora.formats import FORMATS
from smc_dagster.errors import CorpusError
from smc_dagster.study import Columns, FilesSource, digest_of

_CHUNK = 1 << 20


@dataclass(frozen=True)
class _File:
    fs: Any
    path: str
    name: str  # relative to the source's root: what is recorded

    @property
    def kind(self) -> str:
        return PurePosixPath(self.name.removesuffix(".gz")).suffix.lower()

    def open(self) -> BinaryIO:
        return cast(BinaryIO, self.fs.open(self.path, "rb"))


def signature(source: FilesSource) -> str:
    """What the files hold: hash of their names and contents.

    Raises:
        CorpusError: there is no such file or folder, or it has a file of an unknown kind.
    """
    return digest_of([[file.name, _content_hash(file)] for file in _files(source.path)])


def read(source: FilesSource, prefix: str = "") -> Iterator[Batch]:
    """Batches of every file, file by file in the order of their names.

    Args:
        prefix: put before the relative path in `file`.

    Raises:
        CorpusError: a file that cannot be opened or read, is of an unknown kind or lacks a column.
    """
    for file in _files(source.path):
        try:
            with file.open() as stream:
                yield from _batches(stream, file, prefix + file.name, source.columns)
        except (OSError, EOFError) as error:
            raise CorpusError(f"{prefix}{file.name}: cannot be read: {error}", "write the file again") from error


def _batches(stream: BinaryIO, file: _File, shown: str, columns: Columns) -> Iterator[Batch]:
    if file.name.endswith(".gz"):
        with gzip.open(stream) as unpacked:
            yield from FORMATS[file.kind](cast(BinaryIO, unpacked), shown, columns)
    else:
        yield from FORMATS[file.kind](stream, shown, columns)


def _files(path: str) -> list[_File]:
    fs, root = fsspec.core.url_to_fs(path)
    root = root.rstrip("/")
    if fs.isfile(root):
        found = [_File(fs, root, PurePosixPath(root).name)]
    elif fs.isdir(root):
        inside = ((str(one), str(one).removeprefix(root).lstrip("/")) for one in fs.find(root))
        found = [_File(fs, one, name) for one, name in inside if not _is_hidden(name)]
    else:
        raise CorpusError(f"corpus.source.path: no file or folder at {path}", "mend the path in the study file")
    for file in found:
        if file.kind not in FORMATS or (file.kind == ".parquet" and file.name.endswith(".gz")):
            raise CorpusError(
                f"{file.name}: not a kind of file that can be read",
                f"use {', '.join(FORMATS)}; a name that begins with `.` or `_` is left alone",
            )
    return sorted(found, key=lambda one: one.name)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)


def _content_hash(file: _File) -> str:
    state = hashlib.sha256()
    with file.open() as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
