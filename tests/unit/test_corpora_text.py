"""Identity of a document: what normalisation forgives, and what the hash keeps apart."""

from __future__ import annotations

import pyarrow as pa
import pytest
from docstring_text import docstrings
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_dagster.corpora.draws import uniform
from smc_dagster.corpora.text import doc_id, doc_ids, normalise

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  Return\tthe \n\n value. ", "return the value."),
        ("ＦＵＬＬ width ﬁle", "full width file"),  # compatibility forms
        ("Straße", "strasse"),  # folding, not lowering
        ("cafe\u0301", "caf\u00e9"),  # composed
        ("a\u00a0b\u2003c", "a b c"),  # other blanks
        ("", ""),
    ],
)
def test_normalise(text: str, plain: str) -> None:
    assert normalise(text) == plain


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=40))
def test_normalise_is_done_after_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


def test_doc_id_is_stable_and_forgives_only_what_normalise_does() -> None:
    known = doc_id("json", "json.decoder", "Decode a JSON document.")
    assert known == doc_id("json", "json.decoder", " decode a\nJSON  DOCUMENT. ")
    assert len(known) == 32
    assert set(known) <= set("0123456789abcdef")
    others = {
        doc_id("json", "json.decoder", "Decode a JSON document"),
        doc_id("json", "json.encoder", "Decode a JSON document."),
        doc_id("JSON", "json.decoder", "Decode a JSON document."),
        doc_id("jsonjson", ".decoder", "Decode a JSON document."),
    }
    assert known not in others
    assert len(others) == 4


def test_doc_ids_is_doc_id_row_by_row() -> None:
    rows = docstrings()[:200]
    domains, labels, texts = (pa.chunked_array([list(one)[:90], list(one)[90:]]) for one in zip(*rows, strict=True))
    assert doc_ids(domains, labels, texts).to_pylist() == [doc_id(*row) for row in rows]


def test_draws_are_uniform_belong_to_the_key_and_differ_by_salt() -> None:
    keys = pa.array([str(one) for one in range(4000)])
    draw = uniform(keys, 7, "split")
    assert draw.min() >= 0
    assert draw.max() < 1
    # ten bins of 400 expected: a deviation of 6 standard errors is no accident
    counts = [int(((draw >= low / 10) & (draw < (low + 1) / 10)).sum()) for low in range(10)]
    assert all(abs(one - 400) < 6 * 19 for one in counts)
    assert (uniform(keys.take(pa.array([9, 3])), 7, "split") == draw[[9, 3]]).all()
    assert (uniform(keys, 8, "split") != draw).all()
    assert (uniform(keys, 7, "sample") != draw).all()
