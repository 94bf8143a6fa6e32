"""Rules that take a whole day to judge: a label belongs to one domain, an id to one document.

What belongs here: finding the rows that break them, and parting those from a staged day, both in bounded memory. What
does not: rules for a row by itself (contract.py).

A label's domain is the one with most rows of the day (`home_domains`); its rows elsewhere are refused. Of an id that
stands for several documents the first row by file and line is kept, and each row with another document is refused; the
same document again is a duplicate, which is no fault.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smc_dagster.corpora.batches import REFUSED, as_json
from smc_dagster.corpora.contract import home_domains
from smc_dagster.corpora.staging import Stage, staging
from smc_dagster.fingerprints import Fingerprint

ANOTHER_DOCUMENT = "the id stands for another document"
# of what DuckDB holds in memory before it goes to disk
_MEMORY = "300MB"
_ROWS = 50_000


def part(stage: Stage, folder: Path, fingerprint: Fingerprint) -> Stage:
    """The day without the rows that break a rule, which are among its refused rows then.

    Args:
        stage: a day read to its end.
        folder: an empty folder for the outcome and for what does not fit into memory.

    Returns:
        the same stage where no row breaks a rule.
    """
    homes = _contested(stage)
    conflicts = _conflicts(stage, homes, folder)
    if not homes.num_rows and conflicts is None:
        return stage
    with staging(folder, stage.day, fingerprint) as parted:
        for refused in pq.ParquetFile(stage.refused).iter_batches(_ROWS):
            parted.append_refused(pa.Table.from_batches([refused]))
        parted.reasons.update(stage.reasons)
        start = 0
        for batch in pq.ParquetFile(stage.documents).iter_batches(_ROWS):
            documents = pa.Table.from_batches([batch])
            stray = _strays(documents, homes)
            parted.refuse(_refused(documents, stray, "label", _home_reasons(documents, stray, homes)))
            keep = ~stray
            if conflicts is not None:
                keep &= _refuse_conflicts(parted, documents, conflicts, start)
            parted.append_documents(documents.filter(pa.array(keep)))
            start += documents.num_rows
    return parted


# ---------------------------------------------------------------------- labels


def _contested(stage: Stage) -> pa.Table:
    """`label`, `home` of the labels that came in several domains."""
    domains: dict[str, int] = {}
    for label, _ in stage.homes:
        domains[label] = domains.get(label, 0) + 1
    rows = [(label, domain, count) for (label, domain), count in stage.homes.items() if domains[label] > 1]
    labels, names, counts = (list(one) for one in zip(*rows, strict=True)) if rows else ([], [], [])
    return home_domains(pa.array(labels, pa.string()), pa.array(names, pa.string()), pa.array(counts, pa.int64()))


def _home(documents: pa.Table, homes: pa.Table) -> pa.ChunkedArray:
    return homes["home"].take(pc.index_in(documents["label"], homes["label"]))


def _strays(documents: pa.Table, homes: pa.Table) -> np.ndarray:
    astray = pc.fill_null(pc.not_equal(documents["domain"], _home(documents, homes)), False)
    return np.asarray(astray.to_numpy(zero_copy_only=False))


def _home_reasons(documents: pa.Table, stray: np.ndarray, homes: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(
        "the label belongs to domain ", _home(documents.filter(pa.array(stray)), homes), ""
    )


# ---------------------------------------------------------------------- ids


def _conflicts(stage: Stage, homes: pa.Table, folder: Path) -> Any:
    """A DuckDB relation `place, id, file, line` (of the first row) by place of the rows to refuse; None without one."""
    if not stage.identified:
        return None
    import duckdb

    connection = duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(folder / "spill"), "threads": 1})
    connection.register("homes", homes)
    connection.execute(
        """
        create temp table conflicts as
        with rows as (
            select ids.* from read_parquet($ids) as ids left join homes using (label)
            where homes.home is null or homes.home = ids.domain
        ), firsts as (
            select id, arg_min(doc_id, place) as doc_id, arg_min(file, place) as file, arg_min(line, place) as line
            from rows group by id having min(doc_id) <> max(doc_id)
        )
        select rows.place, rows.id, firsts.file, firsts.line
        from rows join firsts using (id) where rows.doc_id <> firsts.doc_id order by rows.place
        """,
        {"ids": str(stage.ids)},
    )
    ((found,),) = connection.execute("select count(*) from conflicts").fetchall()
    return connection if found else None


def _refuse_conflicts(parted: Stage, documents: pa.Table, conflicts: Any, start: int) -> np.ndarray:
    """Refuse the rows of a stretch whose id stands for another document; returns which rows are left."""
    found = conflicts.sql(
        "select place - $start as place, id, file, line from conflicts "
        "where place >= $start and place < $end order by place",
        params={"start": start, "end": start + documents.num_rows},
    ).to_arrow_table()
    broken = np.zeros(documents.num_rows, np.bool_)
    broken[found["place"].to_numpy()] = True
    line = pc.fill_null(found["line"].cast(pa.string()), "?")
    reasons = pc.binary_join_element_wise(f"{ANOTHER_DOCUMENT}, first in ", found["file"], ", line ", line, "")
    parted.refuse(_refused(documents, broken, "id", reasons, found["id"]), ANOTHER_DOCUMENT)
    return ~broken


def _refused(
    documents: pa.Table, broken: np.ndarray, field: str, reasons: pa.ChunkedArray, ids: pa.ChunkedArray | None = None
) -> pa.Table:
    rows = documents.filter(pa.array(broken))
    given = rows if ids is None else rows.append_column("id", ids)
    came = pa.array(as_json(given, np.arange(rows.num_rows)), pa.string())
    fields = pa.repeat(field, rows.num_rows).cast(pa.string())
    return pa.table([rows["file"], rows["line"], fields, reasons, came], schema=REFUSED)
