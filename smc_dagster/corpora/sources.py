"""A day's documents: the study's source plus what lies in the landing folder for that day.

What belongs here: the registry of sources, the signature that tells whether a day must be read again, and `ingest`.
What does not: how a source is read (docstrings.py, files.py), what makes a row a document (contract.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from smc_dagster.corpora import contract, docstrings, files
from smc_dagster.corpora.batches import Batch
from smc_dagster.corpora.text import doc_ids
from smc_dagster.errors import CorpusError
from smc_dagster.study import DocstringSource, FilesSource, Provenance, Study, digest_of
from smc_dagster.tables import QUARANTINE, RAW_DOCUMENTS

LANDING = "landing"


@dataclass(frozen=True)
class Kind:
    """How a kind of source is read, and the hash of what it holds; errors as CorpusError."""

    read: Callable[[Any], Iterator[Batch]]
    signature: Callable[[Any], str]


SOURCES: dict[str, Kind] = {
    "docstrings": Kind(docstrings.read, docstrings.signature),
    "files": Kind(files.read, files.signature),
}


@dataclass(frozen=True)
class Ingested:
    """What came of a day.

    Attributes:
        raw: documents, schema RAW_DOCUMENTS, in the order of the source; a document twice is two rows.
        quarantine: refused rows, schema QUARANTINE.
        rows_in: rows read; raw + quarantine.
        signature: `signature` of what was read, taken before reading.
    """

    raw: pa.Table
    quarantine: pa.Table
    rows_in: int
    signature: str


def signature(source: DocstringSource | FilesSource, landing: Path | None, day: str) -> str:
    """Hash of what source and landing folder hold on a day (16 hex digits); the day itself is no part of it.

    Raises:
        CorpusError: a source that is not there, or a day that is no ISO 8601 date.
    """
    dropped = _landed(landing, day)
    return digest_of([SOURCES[source.kind].signature(source), dropped and files.signature(dropped)])


def ingest(study: Study, day: str, landing: Path | None) -> Ingested:
    """Read a day, check the contract, and part documents from quarantine.

    Args:
        day: ISO 8601.
        landing: folder whose `real/<day>/` is read beside the source (JSONL, CSV, Parquet with the columns `domain`,
            `label`, `text`); None, or a folder without that day, adds nothing.

    Raises:
        CorpusError: nothing there, a source that cannot be read, or more rows refused than the study allows.
    """
    corpus = study.corpus
    taken = signature(corpus.source, landing, day)
    parts: list[tuple[str, Iterator[Batch]]] = [(corpus.source.kind, SOURCES[corpus.source.kind].read(corpus.source))]
    dropped = _landed(landing, day)
    if dropped is not None:
        parts.append((LANDING, files.read(dropped, prefix=f"real/{day}/")))
    rows_in = 0
    accepted: list[pa.Table] = []
    refused: list[pa.Table] = []
    for origin, batches in parts:
        for batch in batches:
            good, bad = contract.check(batch, corpus)
            rows_in += batch.rows
            accepted.append(good.append_column("source", pa.repeat(origin, good.num_rows)))
            refused.append(bad)
    if not rows_in:
        raise CorpusError(f"day {day}: the source holds no rows", "name a source that holds documents")
    good, strays = contract.part_strays(pa.concat_tables(accepted))
    bad = pa.concat_tables([*refused, strays])
    contract.require_sound(day, rows_in, bad, corpus)
    return Ingested(_raw(good, day), _quarantine(bad, day), rows_in, taken)


def _landed(landing: Path | None, day: str) -> FilesSource | None:
    if not _is_date(day):
        raise CorpusError(f"day `{day}` is no date", "write it as YYYY-MM-DD")
    folder = None if landing is None else landing / "real" / day
    return FilesSource(kind="files", path=str(folder)) if folder is not None and folder.is_dir() else None


def _is_date(day: str) -> bool:
    try:
        return date.fromisoformat(day).isoformat() == day
    except ValueError:
        return False


def _raw(good: pa.Table, day: str) -> pa.Table:
    rows = good.num_rows
    columns = {name: good[name] for name in good.column_names} | {
        "doc_id": doc_ids(good["domain"], good["label"], good["text"]),
        "provenance": pa.repeat(Provenance.human.value, rows),
        "generator": pa.nulls(rows, pa.string()),
        "parent_doc_id": pa.nulls(rows, pa.string()),
        "day": pa.repeat(day, rows),
    }
    return pa.table(columns).select(RAW_DOCUMENTS.schema.names).cast(RAW_DOCUMENTS.schema)


def _quarantine(bad: pa.Table, day: str) -> pa.Table:
    dated = bad.append_column("day", pa.repeat(day, bad.num_rows))
    return dated.select(QUARANTINE.schema.names).cast(QUARANTINE.schema)
