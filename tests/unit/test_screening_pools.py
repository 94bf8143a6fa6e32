"""Scores and profiles of pools made from real docstrings, with planted faults."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from smc_dagster.corpora.shingles import sets, word_forms
from smc_dagster.corpora.text import normalise
from smc_dagster.errors import StaleInputError
from smc_dagster.screening.contamination import evaluation_text
from smc_dagster.screening.profile import profile_pool
from smc_dagster.screening.scores import score_pool
from smc_dagster.screening.templates import skeletons, widespread_words
from smc_dagster.study import Screening, Study
from smc_dagster.synthesis.registry import Place, make_pool
from smc_dagster.tables import REALITY_ANCHORS, SYNTHETIC_DOCUMENTS, SYNTHETIC_PROFILE, SYNTHETIC_SCORES
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
def judged() -> pa.Table:
    return evaluation_text(real_documents(), REALITY_ANCHORS.schema.empty_table())


@cache
def scores(name: str) -> pa.Table:
    return score_pool(pool(name), real_documents(), judged(), SCREENING)


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
    return profile_pool(pool(name), scores(name), embedded(pool(name)), real, embedded(real), judged(), SCREENING, 3)


@pytest.fixture(scope="module", autouse=True)
def _made_once(daft_is_imported: None) -> None:
    # reading, generating and screening are not the cost of any one test
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
    again = score_pool(shuffled(pool("template"), 1), shuffled(real_documents(), 2), shuffled(judged(), 8), SCREENING)
    assert again.equals(scores("template"))


def test_profiles_know_no_order_of_rows() -> None:
    real, made = real_documents(), pool("template")
    vectors, theirs = shuffled(embedded(made), 5), shuffled(embedded(real), 7)
    again = profile_pool(
        shuffled(made, 3),
        shuffled(scores("template"), 4),
        vectors,
        shuffled(real, 6),
        theirs,
        shuffled(judged(), 9),
        SCREENING,
        3,
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
    made = score_pool(planted(texts, pool("markov")), real_documents(), judged(), SCREENING).to_pylist()
    of = {row["doc_id"]: row for row in made}
    rows = [of[one] for one in pool("markov").slice(0, 4)["doc_id"].to_pylist()]
    assert [row["exact_copies"] for row in rows] == [2, 2, 1, 1]
    assert [row["cluster_size"] for row in rows] == [2, 2, 2, 1]
    assert {row["cluster_id"] for row in rows[:3]} == {min(row["doc_id"] for row in rows[:3])}


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


def test_a_missing_embedding_is_named() -> None:
    real = real_documents()
    with pytest.raises(StaleInputError, match=r"synthetic_embeddings\.doc_id: 1 documents"):
        profile_pool(
            pool("markov"),
            scores("markov"),
            embedded(pool("markov").slice(1)),
            real,
            embedded(real),
            judged(),
            SCREENING,
            3,
        )


def test_an_empty_pool() -> None:
    none, real = pool("markov").slice(0, 0), real_documents()
    assert score_pool(none, real, judged(), SCREENING).num_rows == 0
    vectors = embedded(real)
    made = profile_pool(none, scores("markov").slice(0, 0), vectors.slice(0, 0), real, vectors, judged(), SCREENING, 3)
    assert made.num_rows == 0
