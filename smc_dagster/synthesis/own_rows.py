"""What a row of a team's own synthetic text must keep to belong to a pool.

What belongs here: the rules beyond those of every document (corpora/contract.py). What does not: reading rows.

A row is refused, for the first rule that it breaks, where it breaks the contract of real documents; where the corpus
has no training document of its label, or the label belongs to another domain; where its grade is human, or one that
counts as real in the study; and where its parent is no training document, as what comes from evaluation text must not
be trained on. Over all rows of a pool, an id stands for one document.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora import contract
from smc_dagster.corpora.batches import REFUSED, Batch, as_json
from smc_dagster.corpora.text import doc_ids
from smc_dagster.corpora.whole_day import ANOTHER_DOCUMENT
from smc_dagster.study import Corpus, Provenance
from smc_dagster.synthesis.contract import MADE

_UNTOLD = "?"
Rule = tuple[str, pa.ChunkedArray, str | pa.ChunkedArray]  # field, whether broken, reason


class Judge:
    """Parts the rows of a pool's files.

    Args:
        train: the training split, columns doc_id, domain, label.
        corpus: the study's limits on documents.
        domain_told: whether the rows say their domain; else that of their label is theirs.
        grade: of rows that name none.
        synthetic_from: the grade from which on text counts as synthetic.
    """

    def __init__(
        self, train: pa.Table, corpus: Corpus, domain_told: bool, grade: Provenance, synthetic_from: Provenance
    ) -> None:
        homes = train.select(["label", "domain"]).group_by(["label", "domain"]).aggregate([])
        self._labels, self._homes = homes["label"].combine_chunks(), homes["domain"].combine_chunks()
        self._parents = train["doc_id"].combine_chunks()
        self._corpus, self._told, self._grade = corpus, domain_told, grade
        self._least = synthetic_from

    def part(self, batch: Batch) -> tuple[pa.Table, pa.Table]:
        """Rows that belong to the pool (RECORD) and rows that do not (REFUSED), with the rows the reader refused."""
        if not self._told:
            home = pc.fill_null(self._home(pc.utf8_trim_whitespace(batch.records["label"])), _UNTOLD)
            place = batch.records.schema.get_field_index("domain")
            told = batch.records.set_column(place, batch.records.schema.field(place), home)
            batch = Batch(told, batch.refused, batch.rows, batch.original, batch.files, batch.files_refused)
        good, bad = contract.check(batch, self._corpus)
        if not good.num_rows:
            return good, bad
        fields, reasons = pa.nulls(good.num_rows, pa.string()), pa.nulls(good.num_rows, pa.string())
        for field, broken, reason in self._rules(good):
            hit = pc.and_(pc.fill_null(broken, False), pc.is_null(reasons))
            fields, reasons = pc.if_else(hit, field, fields), pc.if_else(hit, reason, reasons)
        out = pc.is_valid(reasons)
        return good.filter(pc.invert(out)), pa.concat_tables([bad, _refused(good, fields, reasons)])

    def _rules(self, rows: pa.Table) -> Iterator[Rule]:
        home = self._home(rows["label"])
        yield "label", pc.is_null(home), "the corpus has no training document of this label"
        astray = pc.not_equal(rows["domain"], home)
        yield "domain", astray, pc.binary_join_element_wise("the label belongs to domain ", home, "")
        grades = pc.fill_null(rows["provenance"], self._grade.value)
        yield "provenance", pc.equal(grades, Provenance.human.value), "`human` text is no synthetic text"
        real = pa.array([one.value for one in Provenance if one.grade < self._least.grade], pa.string())
        counted = pc.binary_join_element_wise(
            "`", grades, f"` text counts as real in this study (synthetic_from: {self._least.value})", ""
        )
        yield "provenance", pc.is_in(grades, value_set=real), counted
        parent = rows["parent_doc_id"]
        stranger = pc.and_(pc.is_valid(parent), pc.invert(pc.is_in(parent, value_set=self._parents)))
        yield "parent_doc_id", stranger, "no training document has this doc_id"

    def _home(self, labels: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.take(self._homes, pc.index_in(labels, value_set=self._labels))


def part_conflicts(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Refuse the rows whose id the first row with it, in the order of the rows, gives to another document.

    Returns:
        rows kept (RECORD) and rows refused (REFUSED).
    """
    if rows["id"].null_count == rows.num_rows:
        return rows, REFUSED.empty_table()
    given = pa.table(
        {
            "place": np.arange(rows.num_rows),
            "id": rows["id"],
            "document": doc_ids(rows["domain"], rows["label"], rows["text"]),
        }
    ).filter(pc.is_valid(rows["id"]))
    firsts = given.group_by("id", use_threads=False).aggregate([("place", "first"), ("document", "first")])
    at = pc.index_in(given["id"], value_set=firsts["id"])
    clash = pc.not_equal(given["document"], firsts["document_first"].take(at))
    places = given["place"].filter(clash)
    first = rows.take(firsts["place_first"].take(at).filter(clash))
    line = pc.fill_null(first["line"].cast(pa.string()), "?")
    told = pc.binary_join_element_wise(f"{ANOTHER_DOCUMENT}, first in ", first["file"], ", line ", line, "")
    out = np.zeros(rows.num_rows, np.bool_)
    out[places.to_numpy()] = True
    reasons = pa.array(np.full(rows.num_rows, None, object), pa.string())
    reasons = pc.replace_with_mask(reasons, pa.array(out), told.combine_chunks())
    return rows.filter(pa.array(~out)), _refused(rows, pc.if_else(pa.array(out), "id", None), reasons)


def made_of(rows: pa.Table, grade: Provenance) -> pa.Table:
    """Rows that belong to the pool as a generator gives them back, schema MADE, by label, then by file and line.

    Args:
        grade: of rows that name none.
    """
    keys = [(name, "ascending") for name in ("label", "file", "line", "text")]
    rows = rows.take(pc.sort_indices(rows, sort_keys=keys))
    count = rows.num_rows
    return pa.table(
        {
            "label": rows["label"],
            "text": rows["text"],
            "parent_doc_id": rows["parent_doc_id"],
            "provenance": pc.fill_null(rows["provenance"], grade.value),
            "generator": pa.repeat("files", count),
        },
        schema=MADE,
    )


def _refused(rows: pa.Table, fields: pa.Array, reasons: pa.Array) -> pa.Table:
    """Those of the rows that have a reason, schema REFUSED."""
    places = np.flatnonzero(pc.is_valid(reasons).to_numpy(zero_copy_only=False))
    at = pa.array(places)
    came = pa.array(as_json(rows, places), pa.string())
    held = rows.select(["file", "line"]).take(at)
    return pa.table([held["file"], held["line"], fields.take(at), reasons.take(at), came], schema=REFUSED)
