"""The contract that every row must keep to become a document; what breaks it goes to quarantine with the reason.

What belongs here: the rules, checked on whole columns, and the share of refused rows above which a day fails. What does
not: reading rows (docstrings.py, files.py), and duplicates, which are no fault (real.py).

A row is refused for the first rule that it breaks, in the order of `_rules`. White space around a field is no fault and
is taken off. Rows in = rows accepted + rows refused, always.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.batches import FIELDS, REFUSED, Batch, as_json
from smc_dagster.errors import CorpusError
from smc_dagster.study import Corpus
from smc_dagster.tables import ALL_DOMAINS

MAX_NAME_CHARACTERS = 200


def check(batch: Batch, corpus: Corpus) -> tuple[pa.Table, pa.Table]:
    """Part a batch into rows that keep the contract (RECORD, trimmed) and rows that do not (REFUSED).

    What the reader had refused already is among the second.
    """
    table = batch.records
    for name in FIELDS:
        table = table.set_column(table.column_names.index(name), name, pc.utf8_trim_whitespace(table[name]))
    # 0: no rule broken yet, else the place of the broken rule in `broken`
    verdict = np.zeros(table.num_rows, np.int64)
    broken: list[tuple[str | None, str]] = [(None, "")]
    for field, reason, fails in _rules(table, corpus):
        broken.append((field, reason))
        # a null is `missing`; the rules that follow have nothing to say about it
        hit = pc.fill_null(fails, False).to_numpy(zero_copy_only=False)
        verdict[hit & (verdict == 0)] = len(broken) - 1
    return table.filter(pa.array(verdict == 0)), pa.concat_tables([batch.refused, _refuse(batch, verdict, broken)])


def _rules(table: pa.Table, corpus: Corpus) -> Iterator[tuple[str, str, pa.ChunkedArray]]:
    for field in FIELDS:
        column = table[field]
        yield field, "missing", pc.is_null(column)
        yield field, "empty", pc.equal(pc.utf8_length(column), 0)
        yield field, "holds a NUL byte", pc.match_substring(column, "\0")
    for field in ("domain", "label"):
        length = pc.utf8_length(table[field])
        yield field, f"longer than {MAX_NAME_CHARACTERS} characters", pc.greater(length, MAX_NAME_CHARACTERS)
    yield "domain", f"`{ALL_DOMAINS}` stands for all domains and names none", pc.equal(table["domain"], ALL_DOMAINS)
    text = table["text"]
    too_long = pc.greater(pc.utf8_length(text), corpus.max_characters)
    yield "text", f"longer than {corpus.max_characters} characters", too_long
    words = pc.count_substring_regex(text, r"\S+")
    yield "text", f"fewer than {corpus.min_words} words", pc.less(words, corpus.min_words)


def _refuse(batch: Batch, verdict: np.ndarray, broken: list[tuple[str | None, str]]) -> pa.Table:
    places = np.flatnonzero(verdict)
    codes = pa.array(verdict[places])
    rows = batch.records.select(["file", "line"]).take(pa.array(places))
    fields = pa.array([field for field, _ in broken], pa.string()).take(codes)
    reasons = pa.array([reason for _, reason in broken], pa.string()).take(codes)
    came = pa.array(batch.as_they_came(places), pa.string())
    return pa.table([rows["file"], rows["line"], fields, reasons, came], schema=REFUSED)


def home_domains(labels: pa.Array | pa.ChunkedArray, domains: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The domain that each label belongs to: the one with most rows, the first by name among equals.

    Returns:
        `label`, `home`, one row a label.
    """
    counts = pa.table({"label": labels, "home": domains, "row": pa.repeat(1, len(labels))})
    counts = counts.group_by(["label", "home"]).aggregate([("row", "count")])
    ordered = counts.sort_by([("label", "ascending"), ("row_count", "descending"), ("home", "ascending")])
    return ordered.group_by("label", use_threads=False).aggregate([("home", "first")]).rename_columns(["label", "home"])


def part_strays(records: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Refuse the rows whose label belongs to another domain (`home_domains`); to be called on a whole day.

    Returns:
        rows accepted (RECORD) and rows refused (REFUSED), each in the order they came.
    """
    homes = home_domains(records["label"], records["domain"])
    home = homes["home"].take(pc.index_in(records["label"], homes["label"]))
    stray = pc.not_equal(records["domain"], home)
    places = np.flatnonzero(stray.to_numpy(zero_copy_only=False))
    rows = records.take(pa.array(places))
    reason = pc.binary_join_element_wise("the label belongs to domain ", home.take(pa.array(places)), "")
    field = pa.repeat("label", len(places)).cast(pa.string())
    refused = pa.table(
        [rows["file"], rows["line"], field, reason, pa.array(as_json(records, places), pa.string())], schema=REFUSED
    )
    return records.filter(pc.invert(stray)), refused


def require_sound(day: str, rows_in: int, refused: pa.Table, corpus: Corpus) -> None:
    """Check that few enough rows of a day were refused.

    Raises:
        CorpusError: the share is above `corpus.max_quarantine_share`; the message counts the reasons and names a row.
    """
    if refused.num_rows <= corpus.max_quarantine_share * rows_in:
        return
    counts = refused.group_by(["field", "reason"], use_threads=False).aggregate([("reason", "count")])
    counts = counts.sort_by([("reason_count", "descending"), ("reason", "ascending"), ("field", "ascending")])
    listed = "; ".join(f"{one['reason_count']:,} x {_said(one)}" for one in counts.slice(0, 5).to_pylist())
    first = refused.slice(0, 1).to_pylist()[0]
    raise CorpusError(
        f"day {day}: {refused.num_rows:,} of {rows_in:,} rows were refused ({refused.num_rows / rows_in:.1%}; "
        f"at most {corpus.max_quarantine_share:.1%} may be): {listed}. "
        f"The first: {first['file']}, line {first['line']}, {_said(first)}",
        "mend the source, or raise corpus.max_quarantine_share in the study file",
    )


def _said(row: dict[str, object]) -> str:
    return f"`{row['field']}`: {row['reason']}" if row["field"] else str(row["reason"])
