"""The contract: each rule, the count, strays, and the share above which a day fails."""

from __future__ import annotations

import json
import re
from collections import Counter

import pyarrow as pa
import pytest
from docstring_text import docstrings

from smc_dagster.corpora.batches import RECORD, Batch, Refusal, records, refusals
from smc_dagster.corpora.contract import check, fit_texts, require_sound
from smc_dagster.errors import CorpusError
from smc_dagster.study import Corpus
from smc_dagster.study.sources import DocstringSource

pytestmark = pytest.mark.unit

CORPUS = Corpus(
    source=DocstringSource(kind="docstrings", packages=["python"]), min_words=3, max_characters=60,
    max_quarantine_share=0.2,
)  # fmt: skip


def batch(rows: list[tuple[str | None, ...]], came: tuple[Refusal, ...] = ()) -> Batch:
    """Rows of domain, label, text and perhaps id and provenance."""
    fields = dict(zip(("domain", "label", "text", "id", "provenance"), zip(*rows, strict=True), strict=False))
    return Batch(records("f.jsonl", range(1, len(rows) + 1), fields), refusals(came), len(rows) + len(came))


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


def test_texts_of_their_own_are_held_to_the_rules_of_a_row() -> None:
    texts = ["Three words here", "two words", "", "   ", "Three words " + "é" * 49, "Three\0 words here", " a b c "]
    good, _ = check(batch([("d", "a", text) for text in texts]), CORPUS)
    fit = fit_texts(pa.array(texts), CORPUS)
    assert [line for line, one in enumerate(fit.tolist(), 1) if one] == good["line"].to_pylist() == [1, 7]
    assert fit_texts(pa.array([], pa.string()), CORPUS).tolist() == []


def test_rows_in_are_rows_out_and_fields_are_trimmed() -> None:
    rows: list = [(f" {domain}", f"{label}\n", f"  {text} ") for domain, label, text in docstrings()[:300]]
    came = (Refusal("f.jsonl", 9, None, "not valid JSON", "{"),)
    whole = batch(rows, came)
    good, bad = check(whole, CORPUS)
    assert good.num_rows + bad.num_rows == whole.rows == 301
    assert bad.num_rows > 1
    assert all(value == value.strip() for row in good.to_pylist() for value in row.values() if isinstance(value, str))


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        (("a" * 201, None), "id", "longer than 200 characters"),
        (("a\0", None), "id", "holds a NUL byte"),
        (("a", "robotic"), "provenance", "not on the scale human < edited < "),
        (("a", "Human"), "provenance", "not on the scale"),
    ],
)
def test_rules_of_what_need_not_be_given(row: tuple[str | None, str | None], field: str, reason: str) -> None:
    fine = [("7", "edited"), (None, None), (" ", "  "), (" x ", " human ")]
    good, bad = check(batch([("d", "a", "Three words here", *one) for one in [*fine, row]]), CORPUS)
    assert [(one["id"], one["provenance"]) for one in good.to_pylist()] == [
        ("7", "edited"), (None, None), (None, None), ("x", "human"),
    ]  # fmt: skip
    (refused,) = bad.to_pylist()
    assert refused["field"] == field
    assert refused["reason"].startswith(reason)
    assert json.loads(refused["row"])["id"] == row[0]


@pytest.mark.parametrize("least", [1, 2, 3, 7, 600])
def test_words_are_counted_as_runs_of_what_is_no_white_space(least: int) -> None:
    corpus = CORPUS.model_copy(update={"min_words": least, "max_characters": 10**6})
    texts = [
        *(text for _, _, text in docstrings()[:200]),
        "one",
        "one two",
        "a\tb\n\nc",
        "é\u2003è è",
        "x " * 599,
        "x " * 600,
    ]
    good, _ = check(batch([("d", "a", text) for text in texts]), corpus)
    kept = {one["line"] for one in good.to_pylist()}
    assert kept == {at for at, text in enumerate(texts, 1) if len(re.findall(r"[^ \t\n\f\r]+", text)) >= least}


def test_too_many_refused_rows_fail_the_day_and_name_the_counts() -> None:
    reasons = Counter({("text", "missing"): 2, ("text", "fewer than 3 words"): 1})
    with pytest.raises(CorpusError) as caught:
        require_sound("day 2026-01-05", (3, 10), (0, 1), reasons, CORPUS, "the place")
    message = str(caught.value)
    for word in (
        "3 of 10 rows",
        "30.0%",
        "20.0%",
        "2 x `text`: missing",
        "1 x `text`: fewer",
        "2026-01-05",
        "the place",
    ):
        assert word in message
    require_sound("day 2026-01-05", (3, 15), (0, 1), reasons, CORPUS, "the place")


def test_files_refused_whole_do_not_pass_for_a_row_each() -> None:
    with pytest.raises(CorpusError, match="1 of 4 files"):
        require_sound("day 2026-01-05", (1, 10_000), (1, 4), Counter({(None, "broken"): 1}), CORPUS, "the place")
    require_sound("day 2026-01-05", (1, 10_000), (1, 5), Counter({(None, "broken"): 1}), CORPUS, "the place")


def test_an_empty_batch() -> None:
    good, bad = check(Batch(RECORD.empty_table(), refusals([]), 0), CORPUS)
    assert good.num_rows == bad.num_rows == 0
