"""The contract that every row must keep to become a document; what breaks it goes to quarantine with the reason.

What belongs here: the rules for a row, checked on whole columns, and the share of refused rows above which a day
fails. What does not: reading rows (docstrings.py, files.py), rules that take a whole day to judge (whole_day.py), and
duplicates, which are no fault (real.py).

A row is refused for the first rule that it breaks, in the order of the fields. White space around a field is no fault
and is taken off. Rows in = rows accepted + rows refused, always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.corpora.batches import FIELDS, OPTIONAL, REFUSED, Batch
from smc_dagster.errors import CorpusError
from smc_dagster.study import Corpus, Provenance
from smc_dagster.tables import ALL_DOMAINS

MAX_NAME_CHARACTERS = 200
# a pattern that asks for more repeats is more than the engine takes
_MOST_REPEATS = 500
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Rule = tuple[str, str, Flags]
Reason = tuple[str | None, str]


def check(batch: Batch, corpus: Corpus) -> tuple[pa.Table, pa.Table]:
    """Part a batch into rows that keep the contract (RECORD, trimmed) and rows that do not (REFUSED).

    What the reader had refused already is among the second. An id, a provenance or a parent that is empty counts as
    not given.
    """
    table = batch.records
    if not table.num_rows:
        return table, batch.refused
    # 0: no rule broken yet, else the place of the broken rule in `broken`
    verdict = np.zeros(table.num_rows, np.int64)
    broken: list[Reason] = [(None, "")]
    columns = {name: table[name] for name in table.column_names}
    rules = [*_text_rules(columns, corpus)]
    for name in ("domain", "label", *OPTIONAL):
        rules += _name_rules(columns, name)
    order = {field: place for place, field in enumerate((*FIELDS, *OPTIONAL))}
    for field, reason, fails in sorted(rules, key=lambda one: order[one[0]]):
        broken.append((field, reason))
        verdict[fails & (verdict == 0)] = len(broken) - 1
    table = pa.table(columns, schema=table.schema)
    if len(broken) == 1:
        return table, batch.refused
    return table.filter(pa.array(verdict == 0)), pa.concat_tables([batch.refused, _refuse(batch, verdict, broken)])


def fit_texts(texts: pa.Array, corpus: Corpus) -> Flags:
    """Whether each text, apart from white space around it, breaks no rule that the text of a row must keep."""
    fit = np.ones(len(texts), np.bool_)
    for _, _, fails in _text_rules({"text": pa.chunked_array([texts])}, corpus):
        fit &= ~fails
    return fit


def _name_rules(columns: dict[str, pa.ChunkedArray], field: str) -> Iterator[Rule]:
    """Rules of a field that is a name, judged once for each name there is."""
    given = columns[field]
    if given.null_count == len(given) and field in OPTIONAL:
        return
    encoded = given.combine_chunks().dictionary_encode()
    names = pc.utf8_trim_whitespace(encoded.dictionary)
    at = encoded.indices.fill_null(len(names)).to_numpy()
    absent = pc.equal(names, "")
    if field in OPTIONAL:
        kept = pc.if_else(absent, pa.scalar(None, pa.string()), names)
    else:
        kept = names
        yield field, "missing", at == len(names)
        yield from _spread(at, field, "empty", absent)
    columns[field] = pa.chunked_array([kept.take(encoded.indices)])
    yield from _spread(at, field, "holds a NUL byte", pc.match_substring(names, "\0"))
    long = pc.greater(pc.utf8_length(names), MAX_NAME_CHARACTERS)
    yield from _spread(at, field, f"longer than {MAX_NAME_CHARACTERS} characters", long)
    if field == "domain":
        clash = pc.equal(names, ALL_DOMAINS)
        yield from _spread(at, field, f"`{ALL_DOMAINS}` stands for all domains and names none", clash)
    if field == "provenance":
        grades = pa.array([one.value for one in Provenance])
        known = pc.or_(absent, pc.is_in(names, value_set=grades))
        yield from _spread(at, field, f"not on the scale {' < '.join(Provenance)}", pc.invert(known))


def _spread(at: np.ndarray, field: str, reason: str, fails: pa.Array) -> Iterator[Rule]:
    """A rule broken by some names, for the rows that bear them."""
    if pc.any(fails).as_py():
        yield field, reason, np.append(fails.to_numpy(zero_copy_only=False), False)[at]


def _text_rules(columns: dict[str, pa.ChunkedArray], corpus: Corpus) -> Iterator[Rule]:
    text = pc.utf8_trim_whitespace(columns["text"].combine_chunks())
    columns["text"] = pa.chunked_array([text])
    length = pc.utf8_length(text)
    nul = _holds_nul(text)
    for reason, fails in (
        ("missing", pc.is_null(text)),
        ("empty", pc.equal(length, 0)),
        ("holds a NUL byte", pc.match_substring(text, "\0") if nul else None),
        (f"longer than {corpus.max_characters} characters", pc.greater(length, corpus.max_characters)),
        (f"fewer than {corpus.min_words} words", _too_few_words(text, corpus.min_words)),
    ):
        if fails is not None and pc.any(fails).as_py():
            # a null is `missing`; the other rules have nothing to say about it
            yield "text", reason, pc.fill_null(fails, False).to_numpy(zero_copy_only=False)


def _holds_nul(text: pa.Array) -> bool:
    content = text.buffers()[2]
    return content is not None and bool((np.frombuffer(content, np.uint8) == 0).any())


def _too_few_words(text: pa.Array, least: int) -> pa.Array:
    if least > _MOST_REPEATS:
        return pc.less(pc.count_substring_regex(text, r"\S+"), least)
    # ends at the last word asked for, where counting would go through every text to its end
    return pc.invert(pc.match_substring_regex(text, rf"^\s*(?:\S+\s+){{{least - 1}}}\S"))


def _refuse(batch: Batch, verdict: np.ndarray, broken: list[Reason]) -> pa.Table:
    places = np.flatnonzero(verdict)
    codes = pa.array(verdict[places])
    rows = batch.records.select(["file", "line"]).take(pa.array(places))
    fields = pa.array([field for field, _ in broken], pa.string()).take(codes)
    reasons = pa.array([reason for _, reason in broken], pa.string()).take(codes)
    came = pa.array(batch.as_they_came(places), pa.string())
    return pa.table([rows["file"], rows["line"], fields, reasons, came], schema=REFUSED)


def home_domains(
    labels: pa.Array | pa.ChunkedArray, domains: pa.Array | pa.ChunkedArray, rows: pa.Array | None = None
) -> pa.Table:
    """The domain that each label belongs to: the one with most rows, the first by name among equals.

    Args:
        rows: how many rows a label and domain stand for; None: one.

    Returns:
        `label`, `home`, one row a label.
    """
    counts = pa.table({"label": labels, "home": domains, "rows": pa.repeat(1, len(labels)) if rows is None else rows})
    counts = counts.group_by(["label", "home"]).aggregate([("rows", "sum")])
    ordered = counts.sort_by([("label", "ascending"), ("rows_sum", "descending"), ("home", "ascending")])
    return ordered.group_by("label", use_threads=False).aggregate([("home", "first")]).rename_columns(["label", "home"])


def require_sound(
    what: str,
    rows: tuple[int, int],
    files: tuple[int, int],
    reasons: Counter[Reason],
    corpus: Corpus,
    where: str,
) -> None:
    """Check that few enough rows of a day or a pool were refused, and few enough of its files as a whole.

    A file that is refused whole is one row, however many it may hold: so that it does not pass for little, the limit
    holds for files too.

    Args:
        what: the day or the pool, as an error names it.
        rows: refused, and read.
        files: refused whole, and read.
        reasons: refused rows by field and reason.
        where: where the refused rows can be looked at.

    Raises:
        CorpusError: a share is above `corpus.max_quarantine_share`; the message counts the reasons.
    """
    limit = corpus.max_quarantine_share
    for (refused, of), unit in ((rows, "rows"), (files, "files")):
        if refused > limit * of:
            listed = "; ".join(
                f"{count:,} x {f'`{field}`: ' if field else ''}{reason}"
                for (field, reason), count in sorted(reasons.items(), key=lambda one: (-one[1], one[0][1]))[:5]
            )
            raise CorpusError(
                f"{what}: {refused:,} of {of:,} {unit} were refused ({refused / of:.1%}; at most {limit:.1%} "
                f"may be), and its tables were left as they were: {listed}. The refused rows, with file, line and "
                f"reason: {where}",
                "mend the source, or raise corpus.max_quarantine_share in the study file",
            )
