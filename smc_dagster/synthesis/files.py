"""The team's own synthetic text, from files.

What belongs here: the generator's settings, and which files are a pool's. What does not: reading files
(corpora/files.py), and what a row must keep to belong to the pool (own_rows.py).

Without a `path`, a pool is fed by the landing folder: what lies in `synthetic/<day>/<pool>/` is the pool's, over all
days; a file directly in `synthetic/<day>/` is that of the one pool that is fed so, and an error where there are more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from smc_dagster.corpora import contract, files
from smc_dagster.corpora.batches import RECORD, REFUSED
from smc_dagster.corpora.landing import Landed, finish, is_day
from smc_dagster.errors import CorpusError, StudyError
from smc_dagster.study import Corpus, Provenance, digest_of
from smc_dagster.study.sources import Columns, FilesSource, OpenPlace
from smc_dagster.synthesis.contract import Made, Request
from smc_dagster.synthesis.own_rows import Judge, made_of, part_conflicts


class PoolColumns(Columns):
    """Which column of a pool's file holds which field."""

    parent_doc_id: str | None = Field(default=None, description="the training document that a text came from")


class Place(FilesSource):
    """A file or folder of a pool."""

    columns: PoolColumns = PoolColumns()

    @model_validator(mode="after")
    def _has_a_domain(self) -> Place:
        # a label belongs to one domain, so a pool's files need not say it
        return self

    def fields(self) -> dict[str, str]:
        """Column by field, for the fields that the rows hold."""
        parent = self.columns.parent_doc_id
        return super().fields() | ({} if parent is None else {"parent_doc_id": parent})


class FilesSettings(BaseModel):
    """Settings of the generator `files`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: OpenPlace | None = Field(default=None, description="a path or URL; without one, the landing folder")
    columns: PoolColumns = PoolColumns()
    domain: str | None = Field(default=None, min_length=1, description="the domain of every row, where no column is")
    provenance: Provenance = Field(default=Provenance.generated, description="grade of rows that name none")

    @model_validator(mode="after")
    def _agrees(self) -> FilesSettings:
        if self.domain is not None and "domain" in self.columns.model_fields_set and self.columns.domain is not None:
            raise ValueError("give either `domain`, one for all rows, or `columns.domain`, not both")
        if self.provenance is Provenance.human:
            raise ValueError("provenance: `human` text is no synthetic text")
        return self

    @property
    def domain_told(self) -> bool:
        """Whether the files, or the settings, say the domain; a label belongs to one, so they need not."""
        return self.domain is not None or self.columns.domain is not None

    def place(self, path: str) -> Place:
        """A file or folder, read by these settings."""
        return Place(kind="files", path=path, columns=self.columns, domain=self.domain)


class Files:
    """The generator that reads."""

    provenance = Provenance.edited
    settings = FilesSettings
    counts_bind = False

    def generate(self, request: Request) -> Made:
        """See `contract.Generator`; gives what the files hold, whatever was asked.

        Raises:
            CorpusError: no files, a file that cannot be opened, or more rows or files refused than the study allows.
        """
        settings: FilesSettings = request.settings
        corpus = request.limits
        judge = Judge(request.train, corpus, settings.domain_told, settings.provenance, request.synthetic_from)
        kept: list[pa.Table] = [RECORD.empty_table()]
        refused: list[pa.Table] = [REFUSED.empty_table()]
        rows = count = broken = 0
        for source, prefix in sources(request.pool, settings, request.landing):
            for batch in files.read(source, prefix):
                good, bad = judge.part(batch)
                kept.append(good)
                refused.append(bad)
                rows, count, broken = rows + batch.rows, count + batch.files, broken + batch.files_refused
        if not rows:
            raise CorpusError(f"pool `{request.pool}`: its files hold no rows", _remedy(request.pool, settings))
        good, conflicts = part_conflicts(pa.concat_tables(kept))
        bad = pa.concat_tables([*refused, conflicts])
        self._require_sound(request, corpus, bad, (bad.num_rows, rows), (broken, count))
        return Made(made_of(good, settings.provenance), bad, rows)

    def _require_sound(
        self, request: Request, corpus: Corpus, bad: pa.Table, rows: tuple[int, int], of: tuple[int, int]
    ) -> None:
        reasons = Counter(zip(bad["field"].to_pylist(), bad["reason"].to_pylist(), strict=True))
        shown = request.work / "refused.jsonl"
        try:
            contract.require_sound(f"pool `{request.pool}`", rows, of, reasons, corpus, str(shown))
        except CorpusError:
            shown.parent.mkdir(parents=True, exist_ok=True)
            with shown.open("w", encoding="utf-8") as out:
                out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in bad.to_pylist())
            raise


def sources(pool: str, settings: FilesSettings, landing: Path | None) -> Iterator[tuple[Place, str]]:
    """Where a pool's files lie, each place with what is put before the names in it.

    Raises:
        CorpusError: there is none.
    """
    if settings.path is not None:
        yield settings.place(settings.path), ""
        return
    found = 0
    for day in sorted(landing.iterdir()) if landing is not None and landing.is_dir() else []:
        if not (day.is_dir() and is_day(day.name)):
            continue
        finish(day)
        for place in sorted(day.iterdir()):
            if files.is_hidden(place.name) or (place.is_dir() and (place.name != pool or not _holds_files(place))):
                continue
            found += 1
            prefix = f"{Landed.synthetic}/{day.name}/" + (f"{place.name}/" if place.is_dir() else "")
            yield settings.place(str(place)), prefix
    if not found:
        raise CorpusError(f"pool `{pool}`: no files in the landing folder for it", _remedy(pool, settings))


def signature(pool: str, settings: FilesSettings, landing: Path | None) -> str:
    """Hash of the names and contents of a pool's files.

    Raises:
        CorpusError: as `sources`, or a file of an unknown kind.
    """
    return digest_of([[prefix, files.signature(source)] for source, prefix in sources(pool, settings, landing)])


def require_apart(fed: list[str], landing: Path | None) -> None:
    """Check that each file of the landing folder is one pool's.

    Args:
        fed: the study's pools that the landing folder feeds.
        landing: the study's `landing/synthetic`.

    Raises:
        StudyError: a file that may be several pools', or a folder that is no pool's.
    """
    for day in sorted(landing.iterdir()) if fed and landing is not None and landing.is_dir() else []:
        if not (day.is_dir() and is_day(day.name)):
            continue
        for place in sorted(one for one in day.iterdir() if not files.is_hidden(one.name)):
            where = f"{Landed.synthetic}/{day.name}/{place.name}"
            if place.is_dir() and place.name not in fed:
                raise StudyError(
                    f"landing folder: {where} is no pool that it feeds; those are {', '.join(fed)}",
                    "rename the folder after a pool, or give the pool a `path`",
                )
            if place.is_file() and len(fed) > 1:
                raise StudyError(
                    f"landing folder: {where} may belong to any of the pools {', '.join(fed)}",
                    f"put it into {Landed.synthetic}/{day.name}/<pool>/, or give all pools but one a `path`",
                )


def _holds_files(folder: Path) -> bool:
    return any(one.is_file() and not files.is_hidden(str(one.relative_to(folder))) for one in folder.rglob("*"))


def _remedy(pool: str, settings: FilesSettings) -> str:
    if settings.path is not None:
        return f"put files there, or mend pools.{pool}.settings.path in the study file"
    return f"put files into {Landed.synthetic}/<day>/{pool}/ of the landing folder, or give the pool a `path`"
