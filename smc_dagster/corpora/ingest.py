"""A day, from its source and the landing folder to `raw_documents` and `quarantine`, in memory that its size does not
set.

What belongs here: the order of the steps, and that all of a day is published or nothing of it. What does not: what a
source is (sources.py), the contract (contract.py, whole_day.py).
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from smc_dagster.corpora import contract, whole_day
from smc_dagster.corpora.contract import Reason
from smc_dagster.corpora.sources import parts_of, signature
from smc_dagster.corpora.staging import Stage, staging
from smc_dagster.errors import CorpusError
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Study
from smc_dagster.tables import FAILED_QUARANTINE, QUARANTINE, RAW_DOCUMENTS

# what a killed run left behind
_ABANDONED_SECONDS = 2 * 86400


@dataclass(frozen=True)
class Ingested:
    """What came of a day.

    Attributes:
        rows_in: rows that the readers counted.
        documents: rows in the file of documents, by its footer.
        refused: rows in the file of refused rows, by its footer.
        files_in: files read.
        files_refused: files refused whole.
        reasons: refused rows by field and reason.
    """

    rows_in: int
    documents: int
    refused: int
    files_in: int
    files_refused: int
    reasons: Counter[Reason] = field(default_factory=Counter)

    @property
    def adds_up(self) -> bool:
        """Whether each row read was written as a document or as a refused row. If not, nothing was published."""
        return self.rows_in == self.documents + self.refused


def ingest(study: Study, day: str, landing: Path | None, lake: Lake, lineage: Lineage) -> Ingested:
    """Read a day, check the contract, and write documents and refused rows to the lake.

    `raw_documents` and `quarantine` of the day are replaced together or, where an error is raised or rows do not add
    up, left as they were. A day with too many refused rows leaves those in `failed_quarantine`.

    Args:
        day: ISO 8601.
        landing: folder whose `real/<day>/` is read beside the source (files with the columns of `corpus.landing`);
            None, or a folder without that day, adds nothing.

    Raises:
        CorpusError: nothing there, a source that cannot be read, or more refused than the study allows.
    """
    corpus = study.corpus
    fingerprint = lineage.raw_documents(signature(study, landing, day))
    with _work(lake) as folder:
        stage, rows_in, files, files_refused = _read(study, day, landing, folder, fingerprint)
        if not rows_in:
            raise CorpusError(f"day {day}: the source holds no rows", "name a source that holds documents")
        (folder / "parted").mkdir()
        stage = whole_day.part(stage, folder / "parted", fingerprint)
        documents, refused = stage.rows()
        outcome = Ingested(rows_in, documents, refused, files, files_refused, stage.reasons)
        if not outcome.adds_up:
            return outcome
        failed = lake.table_path(FAILED_QUARANTINE, day)
        try:
            contract.require_sound(
                f"day {day}",
                (refused, rows_in),
                (files_refused, files),
                stage.reasons,
                corpus,
                f"failed_quarantine, {failed}",
            )
        except CorpusError:
            lake.adopt(FAILED_QUARANTINE, stage.refused, day)
            raise
        # the documents last: they are what tells whether a day is fresh
        lake.adopt(QUARANTINE, stage.refused, day)
        lake.adopt(RAW_DOCUMENTS, stage.documents, day)
        if lake.fs.exists(failed):
            lake.fs.rm(failed)
    return outcome


def _read(
    study: Study, day: str, landing: Path | None, folder: Path, fingerprint: Fingerprint
) -> tuple[Stage, int, int, int]:
    """The day staged; rows, files, and files refused as the readers counted them."""
    rows = files = files_refused = 0
    with staging(folder, day, fingerprint) as stage:
        for origin, batches in parts_of(study, landing, day):
            for batch in batches:
                good, bad = contract.check(batch, study.corpus)
                rows += batch.rows
                files += batch.files
                files_refused += batch.files_refused
                stage.keep(good, origin)
                stage.refuse(bad)
    return stage, rows, files, files_refused


@contextmanager
def _work(lake: Lake) -> Iterator[Path]:
    """A folder on the lake's own disk, so that a finished file is renamed into place; gone afterwards."""
    parent = None
    if lake.is_local:
        parent = Path(lake.place(".ingest"))
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.iterdir():
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="day-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
