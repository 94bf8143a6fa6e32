"""Mitigations are set against none where the mixtures reached the same share, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from findings_world import make_lake, make_study

from smc_dagster.findings.collect import collect
from smc_dagster.findings.effects import Effects
from smc_dagster.findings.mitigation_effects import build_mitigation_effects, contrasts

pytestmark = pytest.mark.unit
NONE = {"name": "none", "pool": "templated", "caps": False}
MITIGATED = [
    NONE,
    {**NONE, "name": "caps", "caps": True, "rebalance": True},
    {**NONE, "name": "anchors", "anchors": True},
    {**NONE, "name": "filter", "strictness": "strong"},
    {**NONE, "name": "all", "caps": True, "anchors": True, "strictness": "strong", "rebalance": True},
    {"name": "drop", "composition": "drop", "caps": False},
    {"name": "drop_capped", "composition": "drop"},
]


def kinds(series: list[dict]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.series, one.against) for one in contrasts(make_study(series))]


def built(folder: Path, loss, series: list[dict], cap: float = 1.0, **changes: object) -> list[dict]:
    study = make_study(series, findings={"bootstrap_draws": 1000}, **changes)
    evidence = collect(study, make_lake(folder, study, loss, cap=cap, documents=500))
    return build_mitigation_effects(study, evidence, Effects(evidence, study)).to_pylist()


def test_each_mitigation_alone_and_all_of_them_against_none():
    assert kinds(MITIGATED) == [
        ("caps", "caps", "none"),
        ("anchors", "anchors", "none"),
        ("filter", "filter", "none"),
        ("all", "all", "none"),
    ]


def test_pools_and_filters_that_differ_in_one_thing():
    series = [
        {"name": "one", "pool": "templated"},
        {"name": "two", "pool": "sampled"},
        {"name": "weak", "pool": "templated", "strictness": "weak"},
        {"name": "strong", "pool": "templated", "strictness": "strong"},
        {"name": "both", "pool": "sampled", "strictness": "strong", "caps": False},
    ]
    assert kinds(series) == [("filter", "weak", "one"), ("filter", "strong", "one"), ("pool", "two", "one")]
    # without an unfiltered twin, the mildest filter is what a stricter one is set against
    assert kinds(series[2:]) == [("filter", "strong", "weak")]


def test_a_remedy_is_found_and_nothing_else(tmp_path: Path):
    def loss(series: str, share: float) -> tuple[float, float]:
        return (-0.1 if series in ("filter", "all") else -0.4) * share, 0.0

    rows = built(tmp_path, loss, MITIGATED, shares=[0, 0.6])
    largest = {row["contrast"]: row for row in rows if row["measure"] == "rare_recall" and row["p_holm"] is not None}
    assert {row["share"] for row in largest.values()} == {0.6}
    for kind in ("filter", "all"):
        assert largest[kind]["low"] < 0.18 < largest[kind]["high"]
        assert largest[kind]["p_holm"] < 0.05
    for kind in ("caps", "anchors"):
        assert abs(largest[kind]["estimate"]) < 0.05
    assert sum(row["p_holm"] is not None for row in rows) == 4 * 3


def test_less_synthetic_text_is_no_remedy(tmp_path: Path):
    """Caps that only lower the share are set against the uncapped arm of that share."""

    def loss(series: str, share: float) -> tuple[float, float]:
        return -0.4 * (min(share, 0.3) if series == "caps" else share), 0.0

    rows = built(tmp_path, loss, MITIGATED[:2], cap=0.3, shares=[0, 0.1, 0.2, 0.3, 0.6])
    caps = [row for row in rows if row["contrast"] == "caps" and row["measure"] == "rare_recall"]
    # arms asked for more than 30 % hold what the arm of 30 % holds, and stand in the table once
    assert [(row["share"], row["share_against"]) for row in caps] == [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)]
    for row in caps:
        assert row["realised"] == pytest.approx(row["realised_against"], abs=0.01)
        # against the arm that was asked for as much, it would be .12
        assert abs(row["estimate"]) < 0.04
    assert caps[-1]["p_holm"] is not None


def test_an_arm_is_paired_by_what_it_reached_not_by_what_was_asked(tmp_path: Path):
    study = make_study(MITIGATED[:2], findings={"bootstrap_draws": 300}, shares=[0, 0.3, 0.6])
    lake = make_lake(tmp_path, study, lambda *_: (0.0, 0.0), cap=0.3, arms=lambda key: key != "caps@30")
    evidence = collect(study, lake)
    rows = build_mitigation_effects(study, evidence, Effects(evidence, study)).to_pylist()
    assert {(row["share"], row["share_against"], row["realised"]) for row in rows} == {(0.6, 0.3, 0.3)}


def test_only_the_largest_share_is_tested(tmp_path: Path):
    rows = built(tmp_path, lambda *_: (0.0, 0.0), MITIGATED[:4:3], shares=[0, 0.2, 0.4])
    tested = {(row["share"], row["measure"]) for row in rows if row["p_holm"] is not None}
    assert {row["share"] for row in rows if row["estimate"] is not None} == {0.2, 0.4}
    assert {share for share, _ in tested} == {0.4}
    assert len(tested) == 3


def test_where_shares_differ_nothing_is_compared(tmp_path: Path):
    rows = built(tmp_path, lambda *_: (0.0, 0.0), [NONE, *MITIGATED[1::3]], cap=0.25, shares=[0, 0.2, 0.3, 0.6])
    refused = [row for row in rows if row["share_against"] is None]
    assert {(row["contrast"], row["share"]) for row in refused} == {("caps", 0.3), ("all", 0.3)}
    for row in refused:
        assert row["estimate"] is row["p_value"] is row["p_holm"] is None
        assert row["realised"] == pytest.approx(0.25)
        assert "reached 25 %, none at the nearest" in row["note"]
    # conclusions rest on the largest share that could be compared, and on that alone
    (caps,) = [row for row in rows if row["contrast"] == "caps" and row["p_holm"] and row["measure"] == "ece"]
    assert caps["share"] == 0.2
