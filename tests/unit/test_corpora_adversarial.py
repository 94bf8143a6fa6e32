"""Edits that keep the label: every kind there, each different from its parent, the same whatever the order."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from docstring_text import real_documents

from smc_dagster.corpora.adversarial import adversarial_documents, edit_text
from smc_dagster.corpora.edits import EDITS, misspell
from smc_dagster.tables import REALITY_ANCHORS

pytestmark = pytest.mark.unit

HELD = real_documents().slice(0, 400).select(["doc_id", "domain", "label", "text", "is_tail"])
HOSTILE = [
    "<script>alert(1)</script>",
    "'; drop table documents; --",
    "../../etc/passwd",
    "| a | `b` | [c](javascript:d)",
    "{0} %s {text} \\1 \\g<0>",
    "ünïcödé ŠĐŽ ĳ ß",
    "مرحبا بالعالم هذا نص",
    "数据 正在 加载 中",
    "👩‍👩‍👧 family 👍🏽",
    "é combining",
    "a",
    "!!!",
    "\u202eright to left\u202c",
    "one",
]


def stream(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_every_held_out_document_has_one_edit_and_every_edit_is_there() -> None:
    made = adversarial_documents(HELD, "v3", 5000, 7)
    assert made.schema == REALITY_ANCHORS.schema
    rows = made.to_pylist()
    parents = {row["doc_id"]: row for row in HELD.to_pylist()}
    assert sorted(row["parent_doc_id"] for row in rows) == sorted(parents)
    assert {row["edit"] for row in rows} == set(EDITS)
    assert len({row["doc_id"] for row in rows}) == len(rows)
    assert not {row["doc_id"] for row in rows} & set(parents)
    for row in rows:
        parent = parents[row["parent_doc_id"]]
        assert row["text"] != parent["text"]
        assert (row["label"], row["domain"], row["is_tail"]) == (parent["label"], parent["domain"], parent["is_tail"])
        assert (row["version"], row["slice"], row["provenance"]) == ("v3", "adversarial", "edited")


def test_rows_do_not_depend_on_order_or_on_each_other() -> None:
    made = adversarial_documents(HELD, "v3", 5000, 7)
    order = pa.array(np.random.Generator(np.random.Philox(5)).permutation(HELD.num_rows))
    assert adversarial_documents(HELD.take(order), "v3", 5000, 7).equals(made)
    one = HELD.slice(17, 1)
    alone = adversarial_documents(one, "v3", 5000, 7).to_pylist()
    assert alone == [row for row in made.to_pylist() if row["parent_doc_id"] == one["doc_id"][0].as_py()]
    assert not adversarial_documents(HELD, "v3", 5000, 8).equals(made)


def test_a_limit_takes_a_sample_whatever_the_order() -> None:
    few = adversarial_documents(HELD, "v3", 30, 7)
    assert few.num_rows == 30
    assert adversarial_documents(HELD.take(pa.array(range(399, -1, -1))), "v3", 30, 7).equals(few)
    whole = {row["doc_id"] for row in adversarial_documents(HELD, "v3", 5000, 7).to_pylist()}
    assert set(few["doc_id"].to_pylist()) <= whole


@pytest.mark.parametrize("name", sorted(EDITS))
def test_an_edit_changes_any_text_and_keeps_what_it_is_about(name: str) -> None:
    for place, text in enumerate([*HOSTILE, *HELD["text"].to_pylist()[:100]]):
        made = EDITS[name](text, stream(place))
        assert made != text, text
        assert made.encode("utf-8")
        assert "\0" not in made
        if name in ("negation", "fragment"):
            assert text.strip().rstrip(".!?;:,") in made
        if name == "noise":
            assert letters(made) == letters(text)
        if name == "typo" and re.search(r"[^\W\d_]{4,}", text):
            assert len(made.split()) == len(text.split())
            wrong = sum(a != b for a, b in zip(made.split(), text.split(), strict=True))
            assert 1 <= wrong <= max(1, len(re.findall(r"[^\W\d_]{4,}", text)) // 6)


def letters(text: str) -> str:
    return "".join(re.findall(r"[^\W_]", text.casefold()))


def test_registers_are_mixed() -> None:
    texts = {EDITS["register"]("please do not delete the cuz wanna branch", stream(one)) for one in range(20)}
    assert any("pls don't delete" in text for text in texts)
    assert any("because" not in text and "want to branch" in text for text in texts)
    assert all("delete the" in text for text in texts)


def test_a_slip_keeps_the_ends_of_a_word_and_changes_it() -> None:
    for seed in range(300):
        made = misspell("aaBBlletter", stream(seed))
        assert made != "aaBBlletter"
        assert (made[0], made[-1]) == ("a", "r")
    assert len({misspell("document", stream(seed)) for seed in range(200)}) > 20


def test_an_edit_follows_from_seed_document_and_text() -> None:
    assert edit_text("the text of a document", "id", 1) == edit_text("the text of a document", "id", 1)
    assert len({edit_text("the text of a document", f"id {one}", 1) for one in range(40)}) > 20
