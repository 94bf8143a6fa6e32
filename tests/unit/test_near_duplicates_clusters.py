"""Clusters against brute force on real docstrings with planted edits."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.stats import binom

from smc_dagster.corpora import bands, crowds, near_duplicates
from smc_dagster.corpora.bands import Bands, fewest_agreeing, rows_per_band
from smc_dagster.corpora.crowds import Crowd, close_pairs
from smc_dagster.corpora.near_duplicates import Judge, closest, clusters, similar
from smc_dagster.corpora.shingles import (
    SHORT_WORDS,
    Comparison,
    Kind,
    Shingled,
    sets,
    signatures,
    word_forms,
    word_runs,
)
from tests.unit.docstring_text import docstrings
from tests.unit.near_duplicate_world import brute_force, corpus, python_shingles, true_pairs

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module", autouse=True)
def _brute_force_is_done(daft_is_imported: None) -> None:
    brute_force(0.8)


def test_recall_and_precision_against_brute_force() -> None:
    ids, texts = corpus()
    pairs = brute_force(0.8)
    assert len(pairs) > 150
    cluster = np.array(clusters(ids, texts, 0.8).to_pylist())
    together = [cluster[i] == cluster[j] for i, j in pairs]
    assert np.mean(together) >= 0.99
    # precision: no more is joined than the true pairs join
    parent = list(range(len(texts)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, j in pairs:
        parent[root(i)] = root(j)
    true = np.array([root(i) for i in range(len(texts))])
    first = {}
    for one, of in zip(cluster, true, strict=True):
        assert first.setdefault(one, of) == of


def test_order_of_rows_does_not_matter() -> None:
    ids, texts = corpus()
    order = np.random.default_rng(0).permutation(len(ids))
    there = dict(zip(ids.to_pylist(), clusters(ids, texts, 0.8).to_pylist(), strict=True))
    shuffled = ids.take(pa.array(order))
    assert clusters(shuffled, texts.take(pa.array(order)), 0.8).to_pylist() == [there[i] for i in shuffled.to_pylist()]
    assert all(cluster <= one and there[cluster] == cluster for one, cluster in there.items())


def test_a_template_comes_out_whole_at_linear_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    words = sorted({word for _, _, text in docstrings() for word in text.split() if word.isalpha()})[:1500]
    pattern = "Return the {} of the given object after it was checked and brought up to date by whoever called it."
    texts = pa.array([pattern.format(word) for word in words])
    ids = pa.array([f"{number:05d}" for number in range(len(words))])
    compared = 0
    jaccard = Comparison.jaccard

    def counting(self: Comparison, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(left)
        return jaccard(self, left, right)

    monkeypatch.setattr(Comparison, "jaccard", counting)
    assert set(clusters(ids, texts, 0.8).to_pylist()) == {"00000"}
    assert compared < 60 * len(words)


def judge(shingled: Shingled) -> Judge:
    return Judge(Comparison(shingled, "chars"), Bands(shingled, "chars", 0.8), 0.8)


def test_a_large_bucket_of_several_clusters_is_not_lost_behind_its_centre() -> None:
    # one bucket by force: the first member resembles nobody, the others fall into two clusters
    texts = ["zzz yyy xxx www"] + [f"parse the header of a message {'again ' * 2}number {i % 10}" for i in range(30)]
    texts += [f"close the transport and wait until every stream is flushed {i % 10}" for i in range(30)]
    shingled = Shingled(word_forms(pa.array(texts)))
    member = np.arange(len(texts))
    component = near_duplicates._settle(judge(shingled), member.copy(), np.zeros(len(texts), np.int64), member)
    assert len(set(component[1:31])) == 1
    assert len(set(component[31:])) == 1
    assert len(set(component.tolist())) == 3


def test_a_large_bucket_of_many_clusters_is_finished() -> None:
    # 40 clusters of five in one bucket, by force: none may stay behind the first centres
    subjects = sorted({word for _, _, text in docstrings() for word in text.split() if word.isalpha()})[:4000:100]
    patterns = [f"{word} the {word[::-1]} of {word * 2} once {word} is {word[::-1]}" for word in subjects]
    texts = [f"{pattern} {tail}" for tail in ("a", "b", "c", "d", "e") for pattern in patterns]
    member = np.arange(len(texts))
    component = near_duplicates._settle(
        judge(Shingled(word_forms(pa.array(texts)))), member.copy(), np.zeros(len(texts), np.int64), member
    )
    assert component.tolist() == [row % len(patterns) for row in range(len(texts))]


@pytest.mark.parametrize(("words", "threshold"), [(9, 0.8), (22, 0.9), (40, 0.88)])
def test_what_a_large_bucket_holds_is_compared_in_full(words: int, threshold: float) -> None:
    # slots of two words that differ too much for most pairs: centres settle next to none; at 22 a slot of three words
    # makes some texts long, which are judged by characters beside a short one alone
    source = random.Random(words)
    vocabulary = sorted({word for _, _, text in docstrings() for word in text.lower().split() if word.isalpha()})
    frame = source.sample(vocabulary, words)

    def filled() -> str:
        slot = [source.choice(vocabulary) for _ in range(source.choice((1, 2, 3)))]
        return " ".join([*frame[: words // 2], *slot, *frame[words // 2 :]])

    texts = pa.array(sorted({filled() for _ in range(400)}))
    shingled = Shingled(word_forms(texts))
    kind: Kind = "words" if words >= SHORT_WORDS else "chars"
    everyone = shingled.members(kind)
    within = Comparison(shingled, kind)
    crowd = Crowd(np.zeros(len(everyone), np.int64), everyone, np.arange(len(everyone)) % 2 == 0)
    a, b = (everyone[ends] for ends in close_pairs(crowd, *within.sets_of(everyone), threshold))
    verified = within.jaccard(a, b) >= threshold
    a, b = a[verified], b[verified]
    true = true_pairs(texts, threshold)
    assert {(min(pair), max(pair)) for pair in zip(a, b, strict=True)} <= set(true)
    ends = np.array(true)
    ends = ends[shingled.judged_by(kind, ends[:, 0], ends[:, 1])]
    asked = ends[(ends % 2 == 0).any(axis=1)]

    def joined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        edges = coo_matrix((np.ones(len(left)), (left, right)), shape=(len(texts), len(texts)))
        return np.asarray(connected_components(edges, directed=False)[1])

    component = joined(a, b)
    assert 1 < len(np.unique(component)) < len(texts)
    assert (component[asked[:, 0]] == component[asked[:, 1]]).all()
    assert len(np.unique(component)) >= len(np.unique(joined(ends[:, 0], ends[:, 1])))


def test_a_crowd_that_shares_a_bucket_by_accident_is_not_compared_all_with_all() -> None:
    # 3000 texts of nothing in common but frequent words, and an edited copy of some
    source = random.Random(3)
    words = [word for _, _, text in docstrings() for word in text.lower().split() if word.isalpha()]
    texts = [" ".join(["the", *source.choices(words, k=16)]) for _ in range(3000)]
    texts += [text.rsplit(" ", 1)[0] + " again" for text in texts[:100]]
    shingled = Shingled(word_forms(pa.array(texts)))
    member = np.arange(len(texts))
    within = Comparison(shingled, "chars")
    crowd = Crowd(np.zeros(len(texts), np.int64), member, np.ones(len(texts), bool))
    a, b = close_pairs(crowd, *within.sets_of(member), 0.8)
    assert len(a) < 20 * len(texts)
    verified = within.jaccard(a, b) >= 0.8
    found = set(zip(a[verified].tolist(), b[verified].tolist(), strict=True))
    planted = within.jaccard(np.arange(100), np.arange(3000, 3100)) >= 0.8
    assert planted.sum() > 50
    assert {(row, row + 3000) for row in np.flatnonzero(planted).tolist()} <= found


def test_crowds_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    # two buckets that share members give what each gives alone, together or part by part
    texts = corpus()[1].slice(0, 300)
    shingled = Shingled(word_forms(texts))
    within, members = Comparison(shingled, "chars"), shingled.members("chars")
    halves = [members[: len(members) * 2 // 3], members[len(members) // 3 :]]

    def pairs(crowd: Crowd) -> set[tuple[int, int]]:
        a, b = close_pairs(crowd, *within.sets_of(crowd.member), 0.5)
        return set(zip(crowd.member[a].tolist(), crowd.member[b].tolist(), strict=True))

    bucket = np.repeat([4, 9], [len(half) for half in halves])
    both = Crowd.of(bucket, np.concatenate(halves), np.ones(len(bucket), bool))
    alone = [Crowd(np.zeros(len(half), np.int64), half, np.ones(len(half), bool)) for half in halves]
    assert pairs(both) == pairs(alone[0]) | pairs(alone[1])
    monkeypatch.setattr(crowds, "_SHINGLES", 1)
    assert [part.member.tolist() for part in both.parts(within.sizes(both.member))] == [
        half.tolist() for half in halves
    ]


def test_ten_templates_come_out_whole() -> None:
    words = sorted({word for _, _, text in docstrings() for word in text.split() if word.isalpha()})
    # unlike each other in their letters too, which docstrings of another Python may not be
    verbs = ["accept", "borrow", "close", "decide", "evaluate", "format", "gather", "handle", "inspect", "join"]
    fill = words[:300]
    pattern = "{0} every {1} that the {0} of a {0} has been given and {0} it again before it is {0} or closed"
    texts = [pattern.format(verb, word) for word in fill for verb in verbs]
    ids = pa.array([f"{number:05d}" for number in range(len(texts))])
    found = np.array(clusters(ids, pa.array(texts), 0.8).to_pylist()).reshape(len(fill), len(verbs))
    assert (found == [f"{number:05d}" for number in range(len(verbs))]).all()


def test_equal_texts_join_without_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "signatures", lambda forms, kind: np.zeros((0, 60), np.uint32))
    monkeypatch.setattr(Shingled, "members", lambda self, kind: np.zeros(0, np.int64))
    texts = pa.array(["Close the  transport.", "close the transport", "Open the transport."])
    assert clusters(pa.array(["b", "a", "c"]), texts, 0.8).to_pylist() == ["a", "a", "c"]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0])
def test_bands_propose_pairs_at_any_threshold(threshold: float) -> None:
    rows = rows_per_band(threshold)
    assert 60 % rows == 0
    assert 1 - (1 - threshold**rows) ** (60 // rows) >= 0.99
    if threshold == 0.8:
        assert rows == 5


def test_shingle_sets_are_those_of_the_recipe() -> None:
    texts = pa.array([text for _, _, text in docstrings()[:300]] + ["...", "a", "été à Paris", ""])
    forms = word_forms(texts)
    for kind in ("chars", "words"):
        sizes = np.diff(sets(forms, kind).starts)
        assert sizes.tolist() == [len(python_shingles(form, kind)) if form else 0 for form in forms.to_pylist()]


def test_signatures_estimate_the_jaccard() -> None:
    _, texts = corpus()
    forms = word_forms(texts)
    signed = signatures(forms, "chars")
    pairs = brute_force(0.8)
    assert np.mean([np.mean(signed[i] == signed[j]) for i, j in pairs]) > 0.75
    far = np.random.default_rng(1).permutation(len(forms))
    assert np.mean(signed == signed[far]) < 0.3


def test_word_runs_count() -> None:
    forms = word_forms(pa.array(["one two three four", "two three", "", "zero one two three"]))
    runs = word_runs(forms, 3)
    assert np.diff(runs.starts).tolist() == [2, 0, 0, 2]
    assert runs.hashes[0] == runs.hashes[3]
    assert len(set(runs.hashes.tolist())) == 3


def test_no_rows() -> None:
    none = pa.array([], pa.string())
    assert clusters(none, none, 0.8).to_pylist() == []
    assert similar(none, none, pa.array(["b"]), pa.array(["Close it now."]), 0.8).num_rows == 0
    assert closest(none, pa.array(["Close it now."]), 0.8)[0].tolist() == []
    assert closest(pa.array(["Close it now."]), none, 0.8)[0].tolist() == [-1]
    assert similar(none, none, none, none, 0.8).num_rows == 0


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.95, 1.0])
def test_a_signature_rules_out_a_millionth_of_what_is_at_the_threshold(threshold: float) -> None:
    fewest = fewest_agreeing(threshold)
    assert binom.cdf(fewest - 1, 60, threshold) <= 1e-6
    assert fewest == 60 or binom.cdf(fewest, 60, threshold) > 1e-6


def test_signatures_rule_out_unlike_texts_and_no_near_duplicate() -> None:
    texts = corpus()[1]
    shingled = Shingled(word_forms(texts))
    proposed = Bands(shingled, "chars", 0.8)
    pairs = np.array(brute_force(0.8))
    pairs = pairs[shingled.judged_by("chars", pairs[:, 0], pairs[:, 1])]
    assert len(pairs) > 50
    assert proposed.likely(pairs[:, 0], pairs[:, 1]).all()
    some = shingled.members("chars")
    far = proposed.likely(some[:-1], some[1:])
    assert far.mean() < 0.01
