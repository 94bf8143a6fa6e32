"""Answers read, prompts written, and the cache of answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from smc_dagster.synthesis.chat.answers import texts_in
from smc_dagster.synthesis.chat.cache import AnswerCache, key_of
from smc_dagster.synthesis.chat.prompts import DEFAULT, messages

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ('["one text", "another  text"]', ["one text", "another text"]),
        ('Here you are:\n```json\n["a b", "c d"]\n```', ["a b", "c d"]),
        ("1. first one\n2) second one\n(3) third one", ["first one", "second one", "third one"]),
        ("- one\n* two\n• three\n\n", ["one", "two", "three"]),
        ("\"quoted text\"\n“so is this”\n'and this'", ["quoted text", "so is this", "and this"]),
        ("Text 1: hello there\nExample: more of it", ["hello there", "more of it"]),
        # lists that break off, as at the most tokens, give their whole strings
        ('["one text", "two \\"texts\\"", "thr', ["one text", 'two "texts"']),
        ('```json\n[\n  "one text",\n  "two', ["one text"]),
        ('["one text", 5, "two"]', ["one text"]),
        ('["half \\ud83d of a pair", "a whole \\ud83d\\ude00 one"]', ["a whole \U0001f600 one"]),
        # no list of strings: lines, as they are
        ('["unclosed', ['["unclosed']),
        ("[1, 2]", ["[1, 2]"]),
        ("see [the docs] for more", ["see [the docs] for more"]),
        ("", []),
        ("3.5 volts are enough", ["3.5 volts are enough"]),
        ("[" * 100_000 + "]", ["[" * 100_000 + "]"]),
    ],
)
def test_texts_in_an_answer(answer: str, texts: list[str]) -> None:
    assert texts_in(answer) == texts


def test_braces_in_a_text_are_no_fields() -> None:
    own = ["use {label} and {0} here", "{count}"]
    content = messages(DEFAULT, "a.b", "a", own, 2, 5, 1, 0)[1]["content"]
    assert "- use {label} and {0} here" in content
    assert "`a.b`" in content
    assert "Write 5 new" in content


def test_examples_follow_label_and_number_alone() -> None:
    own = [f"text {n}" for n in range(30)]
    first = messages(DEFAULT, "a.b", "a", own, 4, 5, 1, 0)
    assert messages(DEFAULT, "a.b", "a", own, 4, 5, 1, 0) == first
    assert messages(DEFAULT, "a.b", "a", own, 4, 5, 1, 1) != first
    assert messages(DEFAULT, "a.b", "a", own, 4, 5, 2, 0) != first


def test_an_answer_is_kept_under_all_that_shaped_it(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path)
    request = {"url": "u", "model": "m", "messages": [{"role": "user", "content": "\ud800 é"}], "number": ["l", 0]}
    cache.put(key_of({**request, "messages": []}), "an answer with \ud83d")
    assert cache.get(key_of({**request, "messages": []})) == "an answer with \ud83d"
    for change in ({"model": "n"}, {"url": "v"}, {"number": ["l", 1]}, {"temperature": 1.0}):
        assert cache.get(key_of({**request, "messages": [], **change})) is None
    assert not list(tmp_path.rglob(".*"))


def test_a_damaged_answer_counts_as_none(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path)
    cache.put("ab" * 32, "whole")
    (path,) = (one for one in tmp_path.rglob("*.json"))
    path.write_text('{"answer": "who')
    assert cache.get("ab" * 32) is None
    path.write_text('{"answer": 3}')
    assert cache.get("ab" * 32) is None
