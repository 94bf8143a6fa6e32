"""The order of a pool's worst documents, and what is said of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.errors import StaleInputError
from smc_dagster.screening.explain import worst
from smc_dagster.tables import SYNTHETIC_SCORES

pytestmark = pytest.mark.unit

JUDGED = pa.table(
    {
        "doc_id": ["e1", "e2", "e3"],
        "split": ["test", "anchor_eval", "adversarial"],
        "text": ["judged", "frozen", "edited"],
    }
)
# by doc_id: what differs from a document that nothing is wrong with
FAULTS: dict[str, dict[str, Any]] = {
    "a-fine": {},
    "b-popular": {"template_share": 0.9},
    "c-copies": {"cluster_id": "c-copies", "cluster_size": 3, "exact_copies": 2},
    "d-cluster": {"cluster_id": "c-copies", "cluster_size": 3, "template_share": 0.8},
    "e-template": {"template_id": "x", "template": "set the ~ .", "template_share": 0.25},
    "f-near": {"contamination": 0.85, "contaminant_doc_id": "e2", "contamination_kind": "near_duplicate"},
    "g-similar": {"contamination": 0.5, "contaminant_doc_id": "e1", "contamination_kind": "similar"},
    "h-run": {
        "contamination": 1.0,
        "contaminant_doc_id": "e1",
        "contamination_kind": "shared_run",
        "contaminating_run": "the words shared",
        "cluster_size": 1,
    },
    "i-template": {"template_id": "y", "template": "get the ~ .", "template_share": 0.5, "cluster_size": 1},
    "j-near": {"contamination": 0.85, "contaminant_doc_id": "e2", "contamination_kind": "near_duplicate"},
}
WORST_FIRST = ["h-run", "f-near", "j-near", "i-template", "e-template", "c-copies", "d-cluster", "g-similar"]


def tables(faults: dict[str, dict[str, Any]] = FAULTS, seed: int | None = None) -> tuple[pa.Table, pa.Table]:
    plain = {"pool": "p", "cluster_size": 1, "exact_copies": 1, "template_share": 0.01, "contamination": 0.0}
    scores = pa.Table.from_pylist(
        [{"doc_id": one, "cluster_id": one, **plain, **fault} for one, fault in faults.items()],
        schema=SYNTHETIC_SCORES.schema,
    )
    docs = pa.table(
        {
            "doc_id": list(faults),
            "domain": ["d"] * len(faults),
            "label": ["l"] * len(faults),
            "text": [f"text of {one}" for one in faults],
        }
    )
    if seed is not None:
        rng = np.random.default_rng(seed)
        docs, scores = (one.take(pa.array(rng.permutation(one.num_rows))) for one in (docs, scores))
    return docs, scores


def explained() -> dict[str, dict[str, Any]]:
    return {row["doc_id"]: row for row in worst(*tables(), JUDGED, 100)}


def test_contaminated_then_templates_then_clusters_then_what_is_similar_and_nothing_else() -> None:
    assert [row["doc_id"] for row in worst(*tables(), JUDGED, 100)] == WORST_FIRST


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_and_the_number_asked_for_change_nothing_else(seed: int) -> None:
    whole = worst(*tables(), JUDGED, 100)
    assert worst(*tables(seed=seed), JUDGED, 3) == whole[:3]


def test_a_contaminated_document_comes_with_the_evaluation_text_and_the_words() -> None:
    row = explained()["h-run"]
    assert (row["contaminant_split"], row["contaminant_text"]) == ("test", "judged")
    assert (row["contaminating_run"], row["contamination"], row["text"]) == ("the words shared", 1.0, "text of h-run")
    assert row["reasons"] == {"contamination": "shares a long run of words with `e1` of the split test"}
    edited = worst(*tables({"a": FAULTS["f-near"] | {"contaminant_doc_id": "e3"}}), JUDGED, 1)[0]
    assert (edited["contaminant_split"], edited["contaminant_text"]) == ("adversarial", "edited")
    assert edited["reasons"] == {
        "contamination": "near-duplicate of `e3` of the frozen slice adversarial, Jaccard 0.85"
    }
    near = explained()["f-near"]
    assert near["contaminant_text"] == "frozen"
    assert near["reasons"] == {"contamination": "near-duplicate of `e2` of the split anchor_eval, Jaccard 0.85"}


def test_a_skeleton_a_cluster_and_copies_are_named() -> None:
    rows = explained()
    assert rows["e-template"]["template"] == "set the ~ ."
    assert rows["e-template"]["reasons"] == {"template": "25.0% of its domain's texts have this skeleton: over-used"}
    assert rows["c-copies"]["reasons"] == {
        "near_duplicates": "one of 3 near-duplicates in the cluster that it names",
        "exact_copies": "one of 2 documents with this text",
    }
    assert rows["c-copies"]["cluster_text"] is None
    assert rows["d-cluster"]["cluster_text"] == "text of c-copies"
    assert rows["d-cluster"]["reasons"] == {"near_duplicates": "one of 3 near-duplicates in the cluster of `c-copies`"}


def test_a_pool_without_faults_or_documents_has_no_worst() -> None:
    assert worst(*tables({"a": {}}), JUDGED, 5) == []
    docs, scores = (one.slice(0, 0) for one in tables())
    assert worst(docs, scores, JUDGED, 5) == []


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"contamination": 1.0, "contaminant_doc_id": "gone", "contamination_kind": "similar"}, "the evaluation text"),
        ({"cluster_id": "gone", "cluster_size": 2}, "synthetic_documents"),
    ],
)
def test_a_document_that_is_gone_is_named(fault: dict[str, Any], named: str) -> None:
    with pytest.raises(StaleInputError, match=rf"not in {named}, the first `gone`"):
        worst(*tables({"a": fault}), JUDGED, 5)


def test_copies_of_one_text_are_no_cluster() -> None:
    copied = {"a": {"exact_copies": 2}, "b": {"exact_copies": 2, "cluster_id": "a"}}
    for row in worst(*tables(copied), JUDGED, 5):
        assert row["cluster_text"] is None
        assert row["reasons"] == {"exact_copies": "one of 2 documents with this text"}


def test_hostile_text_comes_through_whole() -> None:
    hostile = "[bold]\x1b[31m<script>\u202e" + "x" * 100_000
    docs, scores = tables({"a": {"exact_copies": 2}})
    docs = docs.set_column(docs.schema.get_field_index("text"), "text", pa.array([hostile]))
    assert worst(docs, scores, JUDGED, 1)[0]["text"] == hostile
