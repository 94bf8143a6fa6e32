"""Lineage: what a change makes stale, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from smc_dagster.lake import Lake
from smc_dagster.lineage import CODE_VERSIONS, Lineage
from smc_dagster.study import Study, load_study

STRICTNESS = {"off": "0", "weak": "1", "medium": "2", "strong": "3"}
STUDY = load_study("default")
# one partition of each table, where it has partitions
ARM = "templated_filtered@30"
PARTITIONS = {"synthetic": "templated", "drift": "templated", "generator_model": "0"} | dict.fromkeys(
    ("mixture", "checkpoints", "predictions", "arm_metrics", "arm_audit", "released_model"), ARM
)
TABLES = [name for name in CODE_VERSIONS if name not in ("raw_documents", "day_drift", "study_report", "headline")]
FINDINGS = (
    "collapse_onset",
    "safe_shares",
    "attribution",
    "mitigation_effects",
    "provenance_thresholds",
    "strictness_trade",
    "domain_sensitivity",
    "domain_correlations",
    "benchmark_coverage",
)
TABLES = [name for name in TABLES if name not in FINDINGS]


def due(tmp_path: Path, study: Study = STUDY, **given: object) -> dict[str, str]:
    settings = {"caps": "c", "strictness": STRICTNESS, "mixture_code": "m", "encoder": "e"} | given
    lineage = Lineage(study, Lake(tmp_path, "default"), **settings)
    found = {}
    for name in TABLES:
        partition = next((key for start, key in PARTITIONS.items() if name.startswith(start)), None)
        found[name] = lineage.due(name, partition).digest
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


GATED = {"arm_audit", "released_model"}
TRAINED = {"checkpoints", "predictions", "arm_metrics"} | GATED
MIXED = {"mixture_documents", "mixture_composition"} | TRAINED
EMBEDDED = {
    "real_embeddings",
    "reality_anchors",
    "anchor_embeddings",
    "synthetic_embeddings",
    "synthetic_profile",
    "drift",
}


@pytest.mark.parametrize(
    ("given", "stale"),
    [
        ({"caps": "other"}, MIXED),
        ({"strictness": STRICTNESS | {"medium": "9"}}, MIXED),
        ({"strictness": STRICTNESS | {"strong": "9"}}, set()),
        ({"mixture_code": "other"}, MIXED),
        # anchors that are not frozen yet, and what is held against them
        ({"encoder": "other"}, EMBEDDED | {"anchor_tokens", "synthetic_scores"} | MIXED),
    ],
)
def test_what_a_change_outside_the_study_makes_stale(tmp_path: Path, given: dict, stale: set[str]) -> None:
    assert changed(due(tmp_path), due(tmp_path, **given)) == stale


@pytest.mark.parametrize(
    ("section", "key", "value", "stale"),
    [
        ("training", "steps", 5, TRAINED),
        ("evaluation", "null_draws", 50, {"arm_metrics"} | GATED),
        ("findings", "margin", 0.1, GATED),
        ("findings", "level", 0.9, {"arm_metrics"} | GATED),
        ("gates", "ece", 0.2, GATED),
        ("gates", "drift", {"label": 0.2}, set()),
        ("corpus", "exclude_labels", ["x"], set(TABLES)),
        ("split", "test", 0.1, set(TABLES)),
    ],
)
def test_what_a_change_of_the_study_makes_stale(
    tmp_path: Path, section: str, key: str, value: object, stale: set[str]
) -> None:
    spoken = STUDY.model_dump(mode="json")
    spoken[section][key] = value
    assert changed(due(tmp_path), due(tmp_path, Study.model_validate(spoken))) == stale


def test_what_a_network_concerns_where_it_is_trained(tmp_path: Path) -> None:
    def full(**training: object) -> Study:
        spoken = STUDY.model_dump(mode="json")
        spoken["training"] = {"tuning": "full", "learning_rate": 1e-4} | training
        return Study.model_validate(spoken)

    before = due(tmp_path, full(), network="n")
    tokens = {"real_tokens", "synthetic_tokens", "anchor_tokens"}
    assert changed(before, due(tmp_path, full(), network="other")) == tokens | TRAINED
    assert changed(due(tmp_path), due(tmp_path, network="other")) == tokens, "heads depend on a network"
    # the digest tells what the network is, whatever the study calls it
    same = full(model={"folder": "/somewhere"}, checkpoint_every=7)
    assert changed(before, due(tmp_path, same, network="n")) == set()
    assert changed(before, due(tmp_path, full(steps=5), network="n")) == TRAINED


def test_a_mixture_depends_on_the_anchors_that_it_holds(tmp_path: Path) -> None:
    """Of a control, as the scores of a pool depend on the anchors anyway."""

    def mixture(anchored: bool, train_share: float) -> str:
        spoken = STUDY.model_dump(mode="json")
        series = next(one for one in spoken["series"] if one["name"] == "real_dropped")
        series["anchors"], spoken["anchors"]["train_share"] = anchored, train_share
        settings = {"caps": "c", "strictness": STRICTNESS, "mixture_code": "m", "encoder": "e"}
        lineage = Lineage(Study.model_validate(spoken), Lake(tmp_path, "default"), **settings)
        due = lineage.due("checkpoints", "real_dropped@30")
        assert ("anchor_embeddings" in due.inputs) is anchored
        return due.digest

    assert mixture(False, 0.05) == mixture(False, 0.1)
    assert len({mixture(False, 0.05), mixture(True, 0.05), mixture(True, 0.1)}) == 3


def test_a_new_series_leaves_the_arms_that_are_there(tmp_path: Path) -> None:
    spoken = STUDY.model_dump(mode="json")
    spoken["series"].append({"name": "more", "pool": "sampled"})
    assert changed(due(tmp_path), due(tmp_path, Study.model_validate(spoken))) == set()
