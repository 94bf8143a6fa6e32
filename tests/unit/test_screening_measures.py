"""Skeletons and their use, coverage, variety and samples, each by its definition."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.screening.coverage import distinct_2, hash_order, mode_coverage, vendi
from smc_dagster.screening.templates import skeletons, usage, widespread_words
from tests.unit.docstring_text import real_documents

pytestmark = pytest.mark.unit


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))


def test_skeletons() -> None:
    kept = frozenset({"return", "the", "of", "given", "a"})
    texts = [
        "Return the mean of the given array.",
        "return the `sorted list` of the given 3 items!",
        "Foo_bar baz",
        "",
        "...",
    ]
    assert skeletons(pa.array(texts), kept).to_pylist() == [
        "return the ~ of the given ~ .",
        "return the ~ of the given ~ !",
        "~",
        "",
        ".",
    ]
    assert skeletons(pa.array(["Return a.b_c", "Return 12 34.5"]), kept).to_pylist() == ["return @", "return #"]


def test_widespread_words_are_those_of_the_most_documents() -> None:
    words = widespread_words(pa.array(["the the the cat", "a dog", "a cat 7", "a bird"] * 3))
    assert "a" in words
    assert "7" not in words
    kept = widespread_words(real_documents()["text"])
    assert len(kept) == 150
    assert {"the", "a", "of", "return", "if"} <= kept


def test_over_use_is_judged_against_real_text() -> None:
    real = pa.array(["p"] * 100 + [f"r{i}" for i in range(900)])
    home = pa.repeat("d", 1000)

    def over(number: int, shape: str, size: int = 1000) -> bool:
        shapes = pa.array([shape] * number + [f"s{i}" for i in range(size - number)])
        judged = usage(pa.repeat("d", size), shapes, home, real)
        assert judged.share[0] == pytest.approx(number / size)
        assert not judged.over_used[number:].any()
        return bool(judged.over_used[0])

    # real text uses p in 10 %: twice that and three deviations are 200 + 3 * 14.1
    assert not over(242, "p")
    assert over(243, "p")
    # a skeleton that real text has not: the tenth most used there has .1 %, so 1 + 3 documents
    assert not over(3, "new")
    assert over(4, "new")


def test_mode_coverage_by_its_definition() -> None:
    random = np.random.default_rng(0)
    real, made = random.normal(size=(40, 8)), random.normal(size=(40, 8))
    real, made = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (real, made))
    count = 0
    for i in range(40):
        radius = sorted(np.linalg.norm(real[i] - real[j]) for j in range(40) if j != i)[4]
        count += min(np.linalg.norm(real[i] - one) for one in made) < radius
    assert mode_coverage(real, made, 5) == pytest.approx(count / 40)
    assert mode_coverage(real, real, 5) == 1
    assert mode_coverage(real, np.repeat(made[:1], 40, axis=0), 5) < 0.5


def test_vendi_counts_different_rows() -> None:
    assert vendi(np.eye(12)) == pytest.approx(12)
    assert vendi(np.repeat(np.eye(12)[:3], 4, axis=0)) == pytest.approx(3)
    assert vendi(np.repeat(np.eye(12)[:1], 9, axis=0)) == pytest.approx(1)
    # more rows than columns takes the other product, with the same eigenvalues
    wide = np.random.default_rng(0).normal(size=(30, 40))
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    assert vendi(np.concatenate([wide, wide])) == pytest.approx(vendi(wide))


def test_distinct_2_at_a_fixed_number_of_pairs() -> None:
    texts = pa.array(["one two three", "one two four", "one two three"])
    assert distinct_2(texts, 4) == pytest.approx(3 / 4)
    assert distinct_2(texts, 6) == pytest.approx(3 / 6)
    assert distinct_2(texts, 7) is None


def test_a_sample_depends_on_ids_and_seed_alone() -> None:
    ids = real_documents()["doc_id"]
    there = ids.take(pa.array(hash_order(ids, 1))).to_pylist()
    other = shuffled(pa.table({"id": ids}), 9)["id"]
    assert other.take(pa.array(hash_order(other, 1))).to_pylist() == there
    assert ids.take(pa.array(hash_order(ids, 2))).to_pylist() != there
