"""A day's rows on disk before they are the lake's: documents, refused rows, and what whole-day rules need to know.

What belongs here: writing rows as they come, in bounded memory, and counting them in the files that were written. What
does not: judging rows (contract.py, whole_day.py), publishing (ingest.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smc_dagster.corpora.contract import Reason
from smc_dagster.corpora.text import doc_ids
from smc_dagster.fingerprints import Fingerprint, writing_parquet
from smc_dagster.study import Provenance
from smc_dagster.tables import QUARANTINE, RAW_DOCUMENTS

# one a document whose source gives it an id; `place` is the document's row in the staged table
IDS = pa.schema(
    [
        ("place", pa.int64()),
        ("id", pa.string()),
        ("doc_id", pa.string()),
        ("domain", pa.string()),
        ("label", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
    ]
)


class Stage:
    """Files of a day being read. Make it with `staging`; read it when that has ended.

    Attributes:
        documents: Parquet, schema RAW_DOCUMENTS, in the order the rows came.
        refused: Parquet, schema QUARANTINE.
        ids: Parquet, schema IDS.
        homes: rows by label and domain.
        reasons: refused rows by field and reason.
        placed: documents staged.
        identified: those with an id.
    """

    def __init__(self, folder: Path, day: str) -> None:
        self.documents = folder / "documents.parquet"
        self.refused = folder / "refused.parquet"
        self.ids = folder / "ids.parquet"
        self.day = day
        self.homes: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[Reason] = Counter()
        self.placed = 0
        self.identified = 0
        self.append_documents: Any = None
        self.append_refused: Any = None
        self._ids: Any = None

    def keep(self, records: pa.Table, source: str) -> None:
        """Stage rows that keep the contract (schema RECORD)."""
        rows = records.num_rows
        if not rows:
            return
        documents = {name: records[name] for name in records.column_names} | {
            "doc_id": doc_ids(records["domain"], records["label"], records["text"]),
            "provenance": pc.fill_null(records["provenance"], Provenance.human.value),
            "source": pa.repeat(source, rows),
            "generator": pa.nulls(rows, pa.string()),
            "parent_doc_id": pa.nulls(rows, pa.string()),
            "day": pa.repeat(self.day, rows),
        }
        self.append_documents(pa.table({name: documents[name] for name in RAW_DOCUMENTS.schema.names}))
        pairs = records.select(["label", "domain"]).group_by(["label", "domain"]).aggregate([([], "count_all")])
        for one in pairs.to_pylist():
            self.homes[one["label"], one["domain"]] += one["count_all"]
        if records["id"].null_count < rows:
            places = pa.array(np.arange(self.placed, self.placed + rows))
            given = pa.table({"place": places} | {name: documents[name] for name in IDS.names[1:]}, schema=IDS)
            given = given.filter(pc.is_valid(given["id"]))
            self.identified += given.num_rows
            self._ids.write_table(given)
        self.placed += rows

    def refuse(self, refused: pa.Table, reason: str | None = None) -> None:
        """Stage refused rows (schema REFUSED), counted under their reasons or under the one given."""
        if not refused.num_rows:
            return
        dated = refused.append_column("day", pa.repeat(self.day, refused.num_rows))
        self.append_refused(dated.select(QUARANTINE.schema.names))
        for one in refused.group_by(["field", "reason"]).aggregate([([], "count_all")]).to_pylist():
            self.reasons[one["field"], reason or one["reason"]] += one["count_all"]

    def rows(self) -> tuple[int, int]:
        """Documents and refused rows, as the footers of the files that were written tell."""
        return pq.read_metadata(self.documents).num_rows, pq.read_metadata(self.refused).num_rows


@contextmanager
def staging(folder: Path, day: str, fingerprint: Fingerprint) -> Iterator[Stage]:
    """A stage that takes rows until the block ends; `folder` is there and its own."""
    stage = Stage(folder, day)
    with ExitStack() as open_files:
        enter = open_files.enter_context
        stage.append_documents = enter(writing_parquet(stage.documents, RAW_DOCUMENTS, fingerprint))
        stage.append_refused = enter(writing_parquet(stage.refused, QUARANTINE, fingerprint))
        stage._ids = enter(pq.ParquetWriter(stage.ids, IDS))
        yield stage
