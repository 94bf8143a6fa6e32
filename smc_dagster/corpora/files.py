"""Documents from files: one, or a folder of them, on this machine or behind any fsspec URL.

What belongs here: which files there are, what they hold as a hash, opening them. What does not: their formats
(formats.py).

In a folder every file counts, at any depth, by relative path; names that begin with `.` or `_` are hidden, so that an
upload can go on under such a name until it is whole. A file of an unknown kind is an error rather than ignored: a
slip in an extension would lose its documents in silence. `.gz` and `.zst` are unpacked as they are read.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from smc_dagster.corpora.batches import Batch, records, refusals, refused_file
from smc_dagster.corpora.formats import FORMATS
from smc_dagster.corpora.pieces import Wanted
from smc_dagster.corpora.unpacking import PACKED, archive, unpacked
from smc_dagster.errors import CorpusError
from smc_dagster.study import digest_of
from smc_dagster.study.sources import FilesSource

_CHUNK = 1 << 20
_SETTLED_SECONDS = 2.0
# hashes of local files by path, number, size and times: one process asks many times for what large files hold
_HASHES: dict[tuple[str, int, int, int, int], str] = {}


@dataclass(frozen=True)
class _File:
    fs: Any
    path: str
    name: str  # relative to the source's root: what is recorded

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

    A file that is no archive or no Parquet, or that lacks a column, is one refused row; the other files go on. What
    comes before the break of a truncated archive is read, and the break is one refused row.

    Args:
        prefix: put before the relative path in `file`.

    Raises:
        CorpusError: a file that cannot be opened, or is of an unknown kind.
    """
    wanted = Wanted(source.fields(), source.domain)
    for file in _files(source.path):
        try:
            with file.open() as stream:
                yield from _batches(stream, file, prefix + file.name, wanted)
        except OSError as error:
            raise CorpusError(f"{prefix}{file.name}: cannot be read: {error}", "check the file and its disk") from error


def _batches(stream: BinaryIO, file: _File, shown: str, wanted: Wanted) -> Iterator[Batch]:
    content = unpacked(stream, file.name)
    packed = archive(content)
    refused = 0
    for batch in FORMATS[kind_of(file.name)](content, shown, wanted):
        if packed is not None and packed.fault is not None and not packed.given:
            batch = refused_file(shown, packed.fault)
        refused += batch.files_refused
        yield batch
    if not refused:
        yield Batch(records(shown, [], {}), refusals([]), 0, files=1)


def _files(path: str) -> list[_File]:
    fs, root = fsspec.core.url_to_fs(path)
    root = root.rstrip("/")
    if fs.isfile(root):
        found = [_File(fs, root, PurePosixPath(root).name)]
    elif fs.isdir(root):
        inside = ((str(one), str(one).removeprefix(root).lstrip("/")) for one in fs.find(root))
        found = [_File(fs, one, name) for one, name in inside if not is_hidden(name)]
    else:
        raise CorpusError(f"corpus.source.path: no file or folder at {path}", "mend the path in the study file")
    for file in found:
        require_known(file.name)
    return sorted(found, key=lambda one: one.name)


def require_known(name: str) -> None:
    """Check that the name of a file is of a kind that can be read.

    Raises:
        CorpusError: it is not.
    """
    if kind_of(name) not in FORMATS:
        raise CorpusError(
            f"{name}: not a kind of file that can be read",
            f"use {', '.join(FORMATS)}, plain or packed as {' or '.join(PACKED)}; "
            "a name that begins with `.` or `_` is left alone",
        )


def kind_of(name: str) -> str:
    """The ending that tells the format, in lower case, without that of the packing."""
    path = PurePosixPath(name.lower())
    return (path.with_suffix("") if path.suffix in PACKED else path).suffix


def is_hidden(name: str) -> bool:
    """Whether a relative path is left alone."""
    return any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)


def _content_hash(file: _File) -> str:
    if not isinstance(file.fs, LocalFileSystem):
        return _hash(file)
    found = os.stat(file.path)
    key = (file.path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if key not in _HASHES:
        content = _hash(file)
        # a file that was just written may change once more within the same tick of the clock
        if time.time() - found.st_ctime < _SETTLED_SECONDS:
            return content
        _HASHES[key] = content
    return _HASHES[key]


def _hash(file: _File) -> str:
    state = hashlib.sha256()
    with file.open() as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()
