"""What holds of clusters and measures whatever the texts: tried on texts and vectors that hypothesis makes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_dagster.corpora import bands, crowds, shingles
from smc_dagster.corpora.near_duplicates import clusters, similar
from smc_dagster.corpora.shingles import _spaced, word_forms
from smc_dagster.corpora.text import normalise
from smc_dagster.screening.coverage import distinct_2, mode_coverage, vendi
from smc_dagster.screening.scores import score_pool
from smc_dagster.study import Screening

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("daft_is_imported")]

WORDS = st.sampled_from(["close", "the", "Transport", "open", "a", "été", "file", "of", "2.5", "...", "中文", "it's"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=30).map(" ".join), min_size=1, max_size=12)
ODD = st.text(alphabet="aB1 _-.\t\n é\u0301ß中\U0001f600\u00a0\u2028\u0130'`²", max_size=14)
quick = settings(max_examples=8, deadline=None, derandomize=True)


def ids(count: int) -> pa.Array:
    return pa.array([f"{number:03d}" for number in range(count)])


@quick
@given(TEXTS, st.randoms(use_true_random=False))
def test_clusters_know_no_order_and_no_chunks(texts: list[str], random: object) -> None:
    texts = [*texts, *(f"{text} again" for text in texts)]
    there = clusters(ids(len(texts)), pa.array(texts), 0.6).to_pylist()
    order = list(range(len(texts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = pa.table({"id": ids(len(texts)), "text": texts}).take(order)
    chunked = pa.chunked_array([one for row in range(len(texts)) for one in moved["text"].slice(row, 1).chunks])
    assert clusters(moved["id"], chunked, 0.6).to_pylist() == [there[row] for row in order]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "_BLOCK", 3)
        patch.setattr(crowds, "_SHINGLES", 3)
        patch.setattr(shingles, "_BLOCK", 2)
        assert clusters(ids(len(texts)), pa.array(texts), 0.6).to_pylist() == there


@quick
@given(TEXTS, st.integers(0, 11), st.integers(1, 4))
def test_copies_of_a_text_move_no_other_text(texts: list[str], which: int, copies: int) -> None:
    more = [*texts, *[texts[which % len(texts)]] * copies]
    found = clusters(ids(len(more)), pa.array(more), 0.8).to_pylist()
    assert found[: len(texts)] == clusters(ids(len(texts)), pa.array(texts), 0.8).to_pylist()
    assert set(found[len(texts) :]) == {found[which % len(texts)]}


@quick
@given(TEXTS, TEXTS)
def test_pairs_are_in_range_and_know_no_side(left: list[str], right: list[str]) -> None:
    there = similar(ids(len(left)), pa.array(left), ids(len(right)), pa.array(right), 0.5)
    back = similar(ids(len(right)), pa.array(right), ids(len(left)), pa.array(left), 0.5)
    assert all(0.5 <= one <= 1 for one in there["jaccard"].to_pylist())
    assert {(a, b) for a, b, _ in zip(*there.to_pydict().values(), strict=True)} == {
        (a, b) for b, a, _ in zip(*back.to_pydict().values(), strict=True)
    }


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(ODD, min_size=1, max_size=12), st.integers(0, 3))
def test_forms_by_bytes_are_those_of_the_expression(texts: list[str], cut: int) -> None:
    plain = pa.array([normalise(text) for text in texts], pa.string())
    words = pc.replace_substring_regex(pc.utf8_lower(plain), pattern=r"[^\p{L}\p{M}\p{N}]+", replacement=" ")
    words = pc.utf8_trim_whitespace(words)
    forms = word_forms(pa.array(texts))
    assert forms.equals(pc.if_else(pc.equal(words, ""), plain, words))
    assert _spaced(forms.slice(cut)).to_pylist() == [" ".join(one.replace(" ", "_")) for one in forms.to_pylist()[cut:]]


@quick
@given(st.integers(7, 40), st.integers(1, 6), st.integers(0, 2**32 - 1), st.booleans())
def test_coverage_of_a_corpus_by_itself_is_its_maximum(rows: int, k: int, seed: int, repeated: bool) -> None:
    random = np.random.default_rng(seed)
    real, made = random.normal(size=(rows, 5)), random.normal(size=(rows, 5))
    if repeated:
        real[: rows // 2] = real[0]
    real, made = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (real, made))
    itself = mode_coverage(real, real, k)
    copies = (np.abs(real[:, None] - real[None]).sum(axis=2) == 0).sum(axis=1) - 1
    assert itself == pytest.approx(np.mean(copies < k))
    assert 0 <= mode_coverage(real, made, k) <= itself
    assert mode_coverage(real, np.concatenate([made, real]), k) == itself
    assert 1 - 1e-9 <= vendi(real) <= rows + 1e-9


def test_coverage_needs_a_kth_neighbour() -> None:
    rows = np.eye(5)
    assert mode_coverage(rows, rows, 4) == 1
    for real, made, k in ((rows, rows, 5), (rows, rows, 0), (rows, rows[:0], 2)):
        with pytest.raises(ValueError, match="made rows for the distance"):
            mode_coverage(real, made, k)


@quick
@given(TEXTS, st.integers(1, 40))
def test_distinct_2_by_its_definition(texts: list[str], pairs: int) -> None:
    split = [form.split() for form in word_forms(pa.array(texts)).to_pylist()]
    every = [pair for words in split for pair in pairwise(words)]
    want = len(set(every[:pairs])) / pairs if pairs <= len(every) else None
    assert distinct_2(pa.array(texts), pairs) == (None if want is None else pytest.approx(want))


def scored(texts: list[str], domains: list[str]) -> list[dict]:
    """Scores of a pool of these texts, in their order, but for the name of the cluster."""
    count = len(texts)
    pool = pa.table({"doc_id": ids(count), "pool": ["p"] * count, "domain": domains, "text": texts})
    rows = score_pool(pool, REAL, HELD, Screening(run_words=5)).drop(["pool", "cluster_id"]).to_pylist()
    return sorted(rows, key=lambda row: row["doc_id"])


def real_rows() -> pa.Table:
    training = [f"Open the file named {word}." for word in ("one", "two", "ten", "log")] * 3
    held = ["close the Transport of a file 2.5 open", "the file of été ... close a Transport it's open"]
    texts, splits = [*training, *held], ["train"] * len(training) + ["test"] * len(held)
    return pa.table(
        {"doc_id": [f"r{n}" for n in range(len(texts))], "domain": ["a"] * len(texts), "text": texts, "split": splits}
    )


REAL = real_rows()
HELD = REAL.filter(pc.equal(REAL["split"], "test"))


@quick
@given(TEXTS, st.integers(0, 11), st.integers(1, 5))
def test_copies_of_a_document_change_no_other_score(texts: list[str], which: int, copies: int) -> None:
    # enough of one skeleton that it is over-used, so that a share or a size could move
    texts = [*texts, *(f"open the file {number}" for number in range(6))]
    domains = ["a" if place % 2 else "b" for place in range(len(texts))]
    which %= len(texts)
    more = [*texts, *[texts[which]] * copies]
    before, after = scored(texts, domains), scored(more, [*domains, *[domains[which]] * copies])
    alike = [normalise(text) == normalise(texts[which]) for text in texts]
    for place, same in enumerate(alike):
        told = dict(after[place])
        if same:
            assert told.pop("exact_copies") == before[place].pop("exact_copies") + copies
        assert told == before[place]


@quick
@given(TEXTS)
def test_scores_are_in_range(texts: list[str]) -> None:
    rows = scored([*texts, *texts[:2]], ["a"] * (len(texts) + len(texts[:2])))
    for row in rows:
        assert 0 <= row["contamination"] <= 1
        assert 0 < row["template_share"] <= 1
        assert 1 <= row["cluster_size"] <= len(texts)
        assert 1 <= row["exact_copies"] <= len(rows)
        assert 1 <= row["template_size"] <= len(texts)
        assert (row["contamination"] > 0) == (row["contamination_kind"] is not None)
        assert (row["contamination_kind"] is None) == (row["contaminant_doc_id"] is None)
        assert (row["contamination_kind"] == "shared_run") == (row["contaminating_run"] is not None)
        assert (row["template_id"] is None) == (row["template"] is None)
