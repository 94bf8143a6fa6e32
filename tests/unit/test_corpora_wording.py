"""Wordings that stand for each other."""

from __future__ import annotations

import pytest

from smc_dagster.corpora.wording import Wordings, both_ways

pytestmark = pytest.mark.unit

PAIRS = [("it is", "it's"), ("it", "that"), ("with", "w/")]


def test_the_longest_wording_of_whole_words_is_swapped_whatever_the_order_of_the_table() -> None:
    text = "It is with it, items within: it  is"
    expected = "it's w/ that, items within: that  is"
    assert Wordings(PAIRS).swapped(text) == Wordings(PAIRS[::-1]).swapped(text) == expected


def test_what_is_found_stands_where_it_is_said_to() -> None:
    text = "w/ it is It's"
    found = Wordings(both_ways(PAIRS)).found(text)
    assert [(text[start:end], new) for start, end, new in found] == [
        ("w/", "with"),
        ("it is", "it's"),
        ("It's", "it is"),
    ]
    assert Wordings(PAIRS).found("nothing of the kind") == []
