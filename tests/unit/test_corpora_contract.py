"""The contract: each rule, the count, strays, and the share above which a day fails."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from docstring_text import docstrings

from smc_dagster.corpora.batches import RECORD, Batch, Refusal, records, refusals
from smc_dagster.corpora.contract import check, part_strays, require_sound
from smc_dagster.errors import CorpusError
from smc_dagster.study import Corpus, DocstringSource

pytestmark = pytest.mark.unit

CORPUS = Corpus(
    source=DocstringSource(kind="docstrings", packages=["python"]), min_words=3, max_characters=60,
    max_quarantine_share=0.2,
)  # fmt: skip


def batch(rows: list[tuple[str | None, str | None, str | None]], came: tuple[Refusal, ...] = ()) -> Batch:
    columns = zip(*rows, strict=True)
    return Batch(records(["f.jsonl"] * len(rows), list(range(1, len(rows) + 1)), *columns), refusals(came))


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ((None, "a", "Three words here"), "domain", "missing"),
        (("d", None, "Three words here"), "label", "missing"),
        (("d", "a", None), "text", "missing"),
        ((" ", "a", "Three words here"), "domain", "empty"),
        (("d", "\u2003", "Three words here"), "label", "empty"),
        (("d", "a", "\n"), "text", "empty"),
        (("d\0", "a", "Three words here"), "domain", "holds a NUL byte"),
        (("d", "a", "Three\0 words here"), "text", "holds a NUL byte"),
        (("d" * 201, "a", "Three words here"), "domain", "longer than 200 characters"),
        (("d", "a" * 201, "Three words here"), "label", "longer than 200 characters"),
        (("*", "a", "Three words here"), "domain", "`*` stands for all domains and names none"),
        (("d", "a", "Three words " + "é" * 49), "text", "longer than 60 characters"),
        (("d", "a", "two words"), "text", "fewer than 3 words"),
    ],
)
def test_each_rule(row: tuple[str | None, str | None, str | None], field: str, reason: str) -> None:
    sound = ("d", "a", "Three words " + "é" * 48)
    good, bad = check(batch([sound, row, sound]), CORPUS)
    assert [one["line"] for one in good.to_pylist()] == [1, 3]
    (refused,) = bad.to_pylist()
    assert (refused["file"], refused["line"]) == ("f.jsonl", 2)
    assert (refused["field"], refused["reason"]) == (field, reason)
    assert json.loads(refused["row"]) == dict(zip(("domain", "label", "text"), row, strict=True))


def test_rows_in_are_rows_out_and_fields_are_trimmed() -> None:
    rows = [(f" {domain}", f"{label}\n", f"  {text} ") for domain, label, text in docstrings()[:300]]
    came = (Refusal("f.jsonl", 9, None, "not valid JSON", "{"),)
    whole = batch(rows, came)
    good, bad = check(whole, CORPUS)
    assert good.num_rows + bad.num_rows == whole.rows == 301
    assert bad.num_rows > 1
    assert all(value == value.strip() for row in good.to_pylist() for value in row.values() if isinstance(value, str))


def test_a_label_of_two_domains_stays_with_the_larger_whatever_the_order() -> None:
    rows = [("json", "a", "Decode one document."), ("http", "a", "Serve one request."), ("json", "a", "Encode a list.")]
    rows += [("http", "b", "Serve a file."), ("json", "b", "Decode a file.")]  # equals: the first by name
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 4, 0, 3, 2]):
        good, bad = part_strays(batch([rows[one] for one in order]).records)
        assert {(row["domain"], row["label"]) for row in good.to_pylist()} == {("json", "a"), ("http", "b")}
        assert good.schema == RECORD
        assert sorted((json.loads(row["row"])["text"], row["reason"]) for row in bad.to_pylist()) == [
            ("Decode a file.", "the label belongs to domain http"),
            ("Serve one request.", "the label belongs to domain json"),
        ]
        assert good.num_rows + bad.num_rows == len(rows)


def test_too_many_refused_rows_fail_the_day_and_name_the_counts() -> None:
    rows = [("d", "a", "Three words here")] * 7 + [("d", "a", None)] * 2 + [("d", "a", "two words")]
    _, bad = check(batch(rows), CORPUS)
    with pytest.raises(CorpusError) as caught:
        require_sound("2026-01-05", 10, bad, CORPUS)
    message = str(caught.value)
    counts = ("3 of 10", "30.0%", "20.0%", "2 x `text`: missing", "1 x `text`: fewer")
    for word in (*counts, "2026-01-05", "f.jsonl, line 8"):
        assert word in message
    require_sound("2026-01-05", 15, bad, CORPUS)


def test_an_empty_batch() -> None:
    good, bad = check(Batch(RECORD.empty_table(), refusals([])), CORPUS)
    assert good.num_rows == bad.num_rows == 0
    good, bad = part_strays(pa.concat_tables([good]))
    assert good.num_rows == bad.num_rows == 0
