"""Scores and profiles of pools made from real docstrings, with planted faults."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from smc_dagster.corpora.shingles import sets, signatures, word_forms
from smc_dagster.corpora.text import normalise
from smc_dagster.errors import StaleInputError
from smc_dagster.screening.contamination import contamination, evaluation_text
from smc_dagster.screening.coverage import distinct_2, hash_order, mode_coverage, vendi
from smc_dagster.screening.profile import profile_pool
from smc_dagster.screening.scores import score_pool
from smc_dagster.screening.templates import skeletons, usage, widespread_words
from smc_dagster.study import Screening, Study
from smc_dagster.synthesis.registry import Place, make_pool
from smc_dagster.tables import SYNTHETIC_DOCUMENTS, SYNTHETIC_PROFILE, SYNTHETIC_SCORES
from tests.unit.docstring_text import real_documents

pytestmark = pytest.mark.unit

SCREENING = Screening(coverage_sample=60)
POOLS = ("template", "markov")


@cache
def pool(name: str) -> pa.Table:
    """A generator's pool; `same` is the real training text itself."""
    if name == "same":
        real = real_documents()
        train = real.filter(pc.equal(real["split"], "train"))
        return train.append_column("pool", pa.repeat("same", train.num_rows)).select(SYNTHETIC_DOCUMENTS.schema.names)
    study = Study(
        name="pools",
        title="Pools",
        question="What are pools like?",
        seed=7,
        corpus={"source": {"kind": "docstrings", "packages": ["python"]}},
        pools={one: {"generator": one} for one in POOLS},
        series=[{"name": "none", "composition": "drop"}],
        shares=[0.0, 0.5],
    )
    return make_pool(study, name, real_documents(), Place(Path("/nonexistent"))).documents


@cache
def scores(name: str) -> pa.Table:
    return score_pool(pool(name), real_documents(), SCREENING)


def embedded(docs: pa.Table) -> pa.Table:
    """Bags of hashed 4-character runs, [n, 384]: nearer where texts share more of their characters."""
    runs = sets(word_forms(docs["text"]), "chars")
    vectors = np.zeros((docs.num_rows, 384), np.float32)
    sign = np.where((runs.hashes >> np.uint64(40)) & np.uint64(1), 1, -1)
    np.add.at(vectors, (runs.owners, (runs.hashes % np.uint64(384)).astype(np.int64)), sign)
    vectors /= np.maximum(1e-9, np.linalg.norm(vectors, axis=1, keepdims=True))
    return pa.table({"doc_id": docs["doc_id"], "embedding": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 384)})


@cache
def profile(name: str) -> pa.Table:
    real = real_documents()
    return profile_pool(pool(name), scores(name), embedded(pool(name)), real, embedded(real), SCREENING, 3)


@pytest.fixture(scope="module", autouse=True)
def _made_once() -> None:
    # reading, generating, screening and importing daft are not the cost of any one test
    signatures(pa.array(["so that daft is imported"]), "chars")
    for name in (*POOLS, "same"):
        profile(name)


def values(name: str, domain: str = "*") -> dict[str, float]:
    return {row["measure"]: row["value"] for row in profile(name).to_pylist() if row["domain"] == domain}


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))


def planted(texts: list[str], like: pa.Table) -> pa.Table:
    """The first rows of a pool with other texts."""
    rows = like.slice(0, len(texts))
    return rows.set_column(rows.schema.get_field_index("text"), "text", pa.array(texts))


def test_templated_text_is_less_varied_than_sampled_text() -> None:
    low, high = values("template"), values("markov")
    for measure in ("vendi", "distinct_2", "mode_coverage"):
        assert low[measure] < high[measure], measure
    for measure in ("template_share", "exact_duplicate_rate", "near_duplicate_rate"):
        assert low[measure] > high[measure] + 0.05, measure
    assert low["template_share"] > 0.2
    assert high["template_share"] < 0.05


def test_the_reference_is_what_real_text_shows() -> None:
    real = real_documents()
    train = real.filter(pc.equal(real["split"], "train"))
    reference = {row["measure"]: row for row in profile("markov").to_pylist() if row["domain"] == "*"}
    assert reference["documents"]["reference"] == train.num_rows
    texts = train["text"].to_pylist()
    surplus = 1 - len({normalise(text) for text in texts}) / len(texts)
    assert reference["exact_duplicate_rate"]["reference"] == pytest.approx(surplus)
    assert reference["template_share"]["reference"] < 0.05
    assert 0.5 < reference["mode_coverage"]["reference"] <= 1
    for name in POOLS:
        assert profile(name).column("reference").equals(profile("markov").column("reference"))


def test_a_pool_that_is_real_text_looks_real() -> None:
    by_measure = {row["measure"]: row for row in profile("same").to_pylist() if row["domain"] == "*"}
    assert by_measure["template_share"]["value"] == 0
    for measure in ("exact_duplicate_rate", "contamination_share", "mean_words"):
        assert by_measure[measure]["value"] == pytest.approx(by_measure[measure]["reference"])
    assert by_measure["vendi"]["value"] == pytest.approx(by_measure["vendi"]["reference"], rel=0.1)


def test_tables_keep_their_contract() -> None:
    assert scores("template").schema == SYNTHETIC_SCORES.schema
    assert profile("template").schema == SYNTHETIC_PROFILE.schema
    assert profile("template").filter(pc.equal(profile("template")["domain"], "json")).num_rows == 10


def test_scores_know_no_order_of_rows() -> None:
    again = score_pool(shuffled(pool("template"), 1), shuffled(real_documents(), 2), SCREENING)
    assert again.equals(scores("template"))


def test_profiles_know_no_order_of_rows() -> None:
    real, made = real_documents(), pool("template")
    vectors, theirs = shuffled(embedded(made), 5), shuffled(embedded(real), 7)
    again = profile_pool(
        shuffled(made, 3), shuffled(scores("template"), 4), vectors, shuffled(real, 6), theirs, SCREENING, 3
    )
    assert again.equals(profile("template"))


def test_too_few_documents_give_null() -> None:
    real = real_documents()
    train = real.filter(pc.equal(real["split"], "train"))["domain"].to_pylist()
    # enough for five neighbours, too few for a figure
    domain = next(one for one in sorted(set(train)) if 16 <= train.count(one) < 40)
    rows = {row["measure"]: row for row in profile("template").to_pylist() if row["domain"] == domain}
    assert rows["documents"]["value"] > 0
    for measure in ("mode_coverage", "tail_mode_coverage", "vendi", "distinct_2"):
        assert rows[measure]["value"] is None
        assert rows[measure]["reference"] is None
        assert rows[measure]["n"] < 20


def test_exact_copies_and_clusters_are_counted() -> None:
    texts = [
        "Parse the given header.",
        "parse  the given HEADER.",
        "Parse the given header!",
        "Close the event loop now.",
    ]
    made = score_pool(planted(texts, pool("markov")), real_documents(), SCREENING).to_pylist()
    of = {row["doc_id"]: row for row in made}
    rows = [of[one] for one in pool("markov").slice(0, 4)["doc_id"].to_pylist()]
    assert [row["exact_copies"] for row in rows] == [2, 2, 1, 1]
    assert [row["cluster_size"] for row in rows] == [2, 2, 2, 1]
    assert {row["cluster_id"] for row in rows[:3]} == {min(row["doc_id"] for row in rows[:3])}


def test_contamination_finds_copies_near_copies_and_runs_and_nothing_else() -> None:
    evaluation = evaluation_text(real_documents())
    assert set(evaluation["split"].to_pylist()) == {"test", "anchor_eval"}
    theirs = next(row for row in evaluation.to_pylist() if 26 < len(row["text"].split()) < 40)
    words = theirs["text"].split()
    run = f"Something of my own before {' '.join(words[4:20])} and after it, as long as it takes to be unlike the rest"
    near = " ".join([*words[:-1], "otherwise"])
    short_run = f"Nothing like it: {' '.join(words[4:10])} ends early in this text of mine, which says other things"
    found = contamination(pa.array([theirs["text"].upper(), near, run, short_run]), evaluation, SCREENING)
    value, by = found.value.to_pylist(), found.contaminant.to_pylist()
    assert value[0] == 1
    assert value[2] == 1
    assert value[1] >= 0.8
    assert value[3] == 0
    assert by[:3] == [theirs["doc_id"]] * 3
    assert by[3] is None
    # training text does not contaminate: the same documents in another split leave nothing
    none = contamination(pa.array([theirs["text"]]), evaluation.slice(0, 0), SCREENING)
    assert none.value.to_pylist() == [0]
    assert none.contaminant.to_pylist() == [None]


def test_contamination_names_the_nearest() -> None:
    evaluation = pa.table(
        {
            "doc_id": ["a", "b"],
            "text": [
                "Wait for the event loop to close the transport now",
                "Wait for the event loop to close the transport",
            ],
        }
    )
    found = contamination(pa.array(["Wait for the event loop to close the transport."]), evaluation, SCREENING)
    assert found.contaminant.to_pylist() == ["b"]
    assert found.value.to_pylist() == [1]


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


def test_an_over_used_template_is_shown_as_text() -> None:
    rows = scores("template").to_pylist()
    kept = widespread_words(real_documents().filter(pc.equal(real_documents()["split"], "train"))["text"])
    texts = dict(zip(pool("template")["doc_id"].to_pylist(), pool("template")["text"].to_pylist(), strict=True))
    shown = [row for row in rows if row["template_id"] is not None]
    assert shown
    assert all((row["template"] is None) == (row["template_id"] is None) for row in rows)
    assert [row["template"] for row in shown] == skeletons(
        pa.array([texts[row["doc_id"]] for row in shown]), kept
    ).to_pylist()
    assert len({row["template"] for row in shown}) == len({row["template_id"] for row in shown})


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


def test_a_missing_embedding_is_named() -> None:
    real = real_documents()
    with pytest.raises(StaleInputError, match=r"synthetic_embeddings\.doc_id: 1 documents"):
        profile_pool(
            pool("markov"), scores("markov"), embedded(pool("markov").slice(1)), real, embedded(real), SCREENING, 3
        )


def test_an_empty_pool() -> None:
    none, real = pool("markov").slice(0, 0), real_documents()
    assert score_pool(none, real, SCREENING).num_rows == 0
    vectors = embedded(real)
    made = profile_pool(none, scores("markov").slice(0, 0), vectors.slice(0, 0), real, vectors, SCREENING, 3)
    assert made.num_rows == 0


def test_contamination_explains_itself_by_the_match_that_set_it() -> None:
    shared = "the parser reads one token at a time and keeps the rest of the line in a buffer until asked"
    rows = [
        ("b", f"At first {shared} again."),
        ("a", f"Note that {shared} by name."),
        ("c", "Return the mean of the given array along one axis."),
        ("d", "Open the named file for reading and return its handle."),
    ]
    evaluation = pa.table({"doc_id": [one for one, _ in rows], "text": [text for _, text in rows]})
    texts = [
        f"As said, {shared} or later.",  # a run with two of them
        "Return the mean of the given array along one axis now.",  # a near-duplicate
        "Return the mean of the given array of numbers on one axis.",  # similar
        "Nothing of this stands anywhere else in here.",
    ]
    found = contamination(pa.array(texts), evaluation, SCREENING)
    assert found.kind.to_pylist() == ["shared_run", "near_duplicate", "similar", None]
    assert found.contaminant.to_pylist() == ["a", "c", "c", None]
    assert found.run.to_pylist() == [" ".join(shared.split()[: SCREENING.run_words]), None, None, None]
    value = found.value.to_pylist()
    assert value[0] == 1
    assert SCREENING.jaccard <= value[1] < 1
    assert SCREENING.floor <= value[2] < SCREENING.jaccard
    assert value[3] == 0


def test_a_shared_run_outranks_a_nearer_document_of_another_name() -> None:
    """The document that is named is the one that holds the run shown."""
    run = " ".join(f"word{n}" for n in range(20))
    evaluation = pa.table(
        {"doc_id": ["near", "run"], "text": [f"{run[:60]} and so on", f"{run} then much more of other text"]}
    )
    found = contamination(pa.array([f"{run} and so on"]), evaluation, SCREENING)
    assert found.kind.to_pylist() == ["shared_run"]
    assert found.contaminant.to_pylist() == ["run"]
    assert found.run[0].as_py() in evaluation["text"][1].as_py()
