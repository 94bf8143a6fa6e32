"""What a day's documents come from: the study's source plus what lies in the landing folder for that day.

What belongs here: the registry of sources, and the signature that tells whether a day must be read again. What does
not: how a source is read (docstrings.py, files.py, ...), what becomes of its rows (ingest.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_dagster.corpora import clinc, docstrings, files, huggingface
from smc_dagster.corpora.batches import Batch
from smc_dagster.corpora.landing import Landed, finish, require_day
from smc_dagster.study import Study, digest_of
from smc_dagster.study.sources import FilesSource

LANDING = "landing"


@dataclass(frozen=True)
class Kind:
    """How a kind of source is read, and the hash of what it holds; errors as CorpusError."""

    read: Callable[[Any], Iterator[Batch]]
    signature: Callable[[Any], str]


SOURCES: dict[str, Kind] = {
    "docstrings": Kind(docstrings.read, docstrings.signature),
    "files": Kind(files.read, files.signature),
    "huggingface": Kind(huggingface.read, huggingface.signature),
    "clinc150": Kind(clinc.read, clinc.signature),
}


def signature(study: Study, landing: Path | None, day: str) -> str:
    """Hash of what source and landing folder hold on a day (16 hex digits); the day itself is no part of it.

    Raises:
        CorpusError: a source that is not there, or a day that is no ISO 8601 date.
    """
    dropped = _landed(study, landing, day)
    source = study.corpus.source
    return digest_of([SOURCES[source.kind].signature(source), dropped and files.signature(dropped)])


def parts_of(study: Study, landing: Path | None, day: str) -> Iterator[tuple[str, Iterator[Batch]]]:
    """What a day is made of: the name and the batches of the source, then of the landing folder if it has the day.

    Raises:
        CorpusError: as the readers do, or a day that is no ISO 8601 date.
    """
    dropped = _landed(study, landing, day)
    source = study.corpus.source
    yield source.kind, SOURCES[source.kind].read(source)
    if dropped is not None:
        yield LANDING, files.read(dropped, prefix=f"{Landed.real}/{day}/")


def _landed(study: Study, landing: Path | None, day: str) -> FilesSource | None:
    require_day(day)
    folder = None if landing is None else landing / Landed.real / day
    if folder is None or not folder.is_dir():
        return None
    finish(folder)
    return FilesSource(kind="files", path=str(folder), columns=study.corpus.landing)
