"""Similar texts of two sets: pairs against brute force, and the closest of each."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.corpora import all_with_all, near_duplicates
from smc_dagster.corpora.near_duplicates import KINDS, closest, similar
from smc_dagster.corpora.shingles import SHORT_WORDS, Comparison, word_forms
from tests.unit.near_duplicate_world import brute_force, corpus, python_shingles

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module", autouse=True)
def _brute_force_is_done(daft_is_imported: None) -> None:
    brute_force(0.8)


def test_similar_is_the_true_pairs_across() -> None:
    ids, texts = corpus()
    cut = len(ids) // 2
    found = similar(ids.slice(0, cut), texts.slice(0, cut), ids.slice(cut), texts.slice(cut), 0.8)
    want = {(ids[i].as_py(), ids[j].as_py()) for i, j in brute_force(0.8) if i < cut <= j}
    got = set(zip(found["a"].to_pylist(), found["b"].to_pylist(), strict=True))
    assert len(want) > 50
    assert got <= want
    assert len(got) >= 0.99 * len(want)
    assert min(found["jaccard"].to_pylist()) >= np.float32(0.8)


def test_the_closest_is_the_first_of_the_most_similar(monkeypatch: pytest.MonkeyPatch) -> None:
    # so few pairs at once that a text's pairs come in many parts
    monkeypatch.setattr(near_duplicates, "_PAIRS", 50)
    ids, texts = corpus()
    cut = len(ids) // 2
    ours, theirs = texts.slice(0, cut), texts.slice(cut)
    pairs = similar(ids.slice(0, cut), ours, ids.slice(cut), theirs, 0.5)
    best: dict[str, tuple[float, int]] = {}
    place = {one: at for at, one in reversed(list(enumerate(ids.slice(cut).to_pylist())))}
    for row in pairs.to_pylist():
        other = -row["jaccard"], place[row["b"]]
        best[row["a"]] = min(best.get(row["a"], other), other)
    want = [best.get(one, (0.0, -1)) for one in ids.slice(0, cut).to_pylist()]
    assert 50 < sum(at >= 0 for _, at in want) < cut
    at, value = closest(ours, theirs, 0.5)
    assert at.tolist() == [one for _, one in want]
    assert value.tolist() == [-jaccard for jaccard, _ in want]


def test_all_compared_with_all_give_the_closest_by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few words in many texts, short and long ones: nearly all pairs share a bucket."""
    draw = random.Random(4)
    words = ["accept", "borrow", "close", "decide", "format", "gather", "handle", "inspect", "join", "keep"]
    texts = [f"{n % 97} " + " ".join(draw.choices(words, k=draw.choice([9, 10, 26, 30]))) for n in range(260)]
    ours, theirs = texts[:120] + texts[240:], texts[120:]
    compared: list[tuple[int, int]] = []

    def told(within: Comparison, left: np.ndarray, right: np.ndarray, jaccard: float):
        compared.append((len(left), len(right)))
        return all_with_all.most_similar(within, left, right, jaccard)

    monkeypatch.setattr(near_duplicates, "_CROWD", 1 << 60)
    monkeypatch.setattr(near_duplicates, "most_similar", told)
    by_pairs = closest(pa.array(ours), pa.array(theirs), 0.5)
    assert not compared
    monkeypatch.setattr(near_duplicates, "_CROWD", 1)
    monkeypatch.setattr(near_duplicates, "_ALL_COST", 0.0)
    # parts of both sides, blocks of rows, and shingles beyond the dense ones
    for name, size in (("_TEXTS", 64), ("_ROWS", 10), ("_DENSE", 7)):
        monkeypatch.setattr(all_with_all, name, size)
    by_all = closest(pa.array(ours), pa.array(theirs), 0.5)
    assert len(compared) == len(KINDS)
    # by definition
    made = {text: {kind: python_shingles(text, kind) for kind in KINDS} for text in texts}
    want: list[tuple[int, np.float32]] = []
    for one in ours:
        found = []
        for other in theirs:
            kind = "chars" if min(len(one.split()), len(other.split())) < SHORT_WORDS else "words"
            a, b = made[one][kind], made[other][kind]
            found.append(len(a & b) / len(a | b))
        best = int(np.argmax(found))
        want.append((best, np.float32(found[best])) if found[best] >= 0.5 else (-1, np.float32(0)))
    assert 50 < sum(at >= 0 for at, _ in want) < len(ours)
    assert (by_pairs[1][-20:] == 1).all()
    assert list(zip(*(one.tolist() for one in by_all), strict=True)) == [(at, float(value)) for at, value in want]
    # signatures miss some pairs, and say of the others the same
    assert (by_pairs[1] <= by_all[1]).all()
    assert (by_pairs[0] == by_all[0]).mean() > 0.97


def test_similar_gives_every_copy() -> None:
    ours, theirs = pa.array(["Close it now.", "close it NOW"]), pa.array(["Close it now"] * 2)
    found = similar(pa.array(["a1", "a2"]), ours, pa.array(["b1", "b2"]), theirs, 0.8)
    assert found.to_pylist() == [{"a": a, "b": b, "jaccard": 1.0} for a in ("a1", "a2") for b in ("b1", "b2")]


def test_across_the_length_boundary_characters_decide() -> None:
    short = (
        "Wait until the transport has been closed and every buffered byte is flushed to the peer or the given"
        " timeout in seconds passes"
    )
    long = short + " has run"
    assert len(short.split()) == SHORT_WORDS - 1
    found = similar(pa.array(["s"]), pa.array([short]), pa.array(["l"]), pa.array([long]), 0.8)
    a, b = (python_shingles(word_forms(pa.array([one]))[0].as_py(), "chars") for one in (short, long))
    assert found["jaccard"].to_pylist() == pytest.approx([len(a & b) / len(a | b)])
