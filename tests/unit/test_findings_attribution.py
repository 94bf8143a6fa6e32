"""What is due to lost real rows and what to synthetic ones, in a world where both are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from findings_world import make_lake, make_study

from smc_dagster.findings.attribution import TOTAL, build_attribution, lacking, paths
from smc_dagster.findings.collect import collect
from smc_dagster.findings.draw import draw_findings
from smc_dagster.findings.draws import combine, combine_jointly, document_weights, replicate_weights
from smc_dagster.findings.effects import Effects, summarise
from smc_dagster.findings.pairs import Compositions
from smc_dagster.findings.report import render
from smc_dagster.findings.summary import summary
from smc_dagster.study import Composition

pytestmark = pytest.mark.unit
SERIES = [
    {"name": "mixed", "pool": "templated", "caps": False},
    {"name": "other", "pool": "sampled", "caps": False},
    {"name": "drop", "composition": "drop"},
    {"name": "repeat", "composition": "repeat"},
    {"name": "add", "pool": "templated", "composition": "add", "caps": False},
]
# tail recall lost for a share of 1
LOSS = {"mixed": 0.5, "other": 0.3, "drop": 0.3, "repeat": 0.3, "add": 0.1}
STUDY = make_study(SERIES)


def truth(series: str, share: float) -> tuple[float, float]:
    return -LOSS[series] * share, 0.1 * share if series == "mixed" else 0.0


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    evidence = collect(STUDY, make_lake(tmp_path_factory.mktemp("attribution"), STUDY, truth))
    effects = Effects(evidence, STUDY)
    return evidence, effects, build_attribution(STUDY, evidence, effects)


def found(table, **equal: object) -> list[dict]:
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in equal.items())]


def test_the_parts_of_a_path_add_up_to_the_total(world):
    sums: dict[tuple, dict[str, float]] = {}
    for row in world[2].to_pylist():
        key = tuple(row[name] for name in ("series", "share", "path", "measure"))
        sums.setdefault(key, {})[row["part"]] = row["estimate"]
    # two series, six shares, three measures; the second path has its control for one series alone
    assert len(sums) == (2 + 1) * 6 * 3
    for parts in sums.values():
        total = parts.pop(TOTAL)
        assert len(parts) >= 2
        assert sum(parts.values()) == pytest.approx(total, abs=1e-12)


def test_their_draws_add_up_one_by_one(world):
    evidence, effects, _ = world
    for path in paths(STUDY, evidence, Compositions(evidence), evidence.largest("mixed")):
        steps = [(path.arms[0], path.arms[-1]), *zip(path.arms[:-1], path.arms[1:], strict=True)]
        for measure in ("rare_recall", "confidence", "ece"):
            joint = effects.jointly([{to: 1.0, start: -1.0} for start, to in steps], measure)
            assert joint.draws.shape == (len(path.parts) + 1, STUDY.findings.bootstrap_draws)
            assert joint.draws[0].std() > 0
            np.testing.assert_allclose(joint.draws[0], joint.draws[1:].sum(axis=0), atol=1e-12)


def test_what_was_planted_is_found_in_its_part(world):
    rows = {row["part"]: row for row in found(world[2], series="mixed", share=0.6, measure="rare_recall")}
    planted = {
        TOTAL: -0.30,
        "real_rows_lost": -0.18,
        "repetition": 0.0,
        "synthetic_in_place": -0.12,
        "synthetic_on_top": -0.06,
        "fewer_rows": -0.24,
    }
    assert rows.keys() == planted.keys()
    for part, value in planted.items():
        assert rows[part]["low"] < value < rows[part]["high"], part
    for part in ("real_rows_lost", "synthetic_in_place", "fewer_rows"):
        assert rows[part]["p_holm"] < 0.05, part
    assert rows["repetition"]["p_holm"] > 0.05
    assert rows[TOTAL]["p_holm"] is None
    assert {row["p_holm"] for row in found(world[2], share=0.3)} == {None}
    (other,) = found(world[2], series="other", share=0.6, measure="rare_recall", part="synthetic_in_place")
    assert other["low"] < 0 < other["high"]


def test_it_is_told_for_confidence_too(world):
    (row,) = found(world[2], series="mixed", share=0.6, measure="confidence", part="synthetic_in_place")
    # a little less than what was planted, as confidence ends at 1
    assert row["estimate"] == pytest.approx(0.06, abs=0.001)
    assert row["p_holm"] < 0.05
    assert (row["arm"], row["against"]) == ("mixed@60", "repeat@60")


def test_controls_that_a_study_lacks_are_named(world, tmp_path: Path):
    assert list(lacking(STUDY, world[2])) == [("other", [Composition.ADD])]
    fewer = make_study([SERIES[0], SERIES[2]], shares=[0, 0.3, 0.6])
    lake = make_lake(tmp_path, fewer, truth)
    drawn = draw_findings(fewer, lake)
    page, table = render(fewer, lake, drawn, "f" * 16), drawn.attribution
    assert "what the size of the mixture does" in page
    assert "synthetic rows in their place" in page
    assert len(summary(fewer, drawn, "f" * 16)["attribution"]) == table.num_rows == 2 * 3 * 3
    assert list(lacking(fewer, table)) == [("mixed", [Composition.REPEAT, Composition.ADD])]
    assert set(table["part"].to_pylist()) == {TOTAL, "real_rows_lost", "synthetic_in_place"}


@pytest.mark.parametrize(("cap", "against"), [(0.3, "drop@30"), (0.25, None)])
def test_the_control_is_the_one_in_which_the_same_real_rows_left(tmp_path: Path, cap: float, against: str | None):
    """Where caps hold an arm at 30 %, the control that lost 60 % of the real rows says nothing about it."""
    study = make_study([{"name": "mixed", "pool": "templated"}, SERIES[2]], shares=[0, 0.1, 0.2, 0.3, 0.6])
    evidence = collect(study, make_lake(tmp_path, study, truth, cap=cap))
    rows = found(build_attribution(study, evidence, Effects(evidence, study)), share=0.6, part="real_rows_lost")
    assert {row["arm"] for row in rows} == ({against} if against else set())


def test_a_control_with_anchors_lost_other_rows(tmp_path: Path):
    study = make_study([SERIES[0], {"name": "drop", "composition": "drop", "anchors": True}])
    evidence = collect(study, make_lake(tmp_path, study, truth))
    assert paths(study, evidence, Compositions(evidence), evidence.largest("mixed")) == []


def drawn(values: np.ndarray, seed: int, draws: int = 200):
    """By documents, by replicates, and singly, of means over the last axis of [k, replicates, documents]."""
    count, n = values.shape[1:]
    weights = np.concatenate(list(document_weights(np.zeros(n, int), draws, seed, "test")), axis=1)
    single = values @ weights / n
    each = values.mean(axis=2)
    return single.mean(axis=1), each @ replicate_weights(count, draws, seed), single, each


@pytest.mark.parametrize(("document", "replicate", "single"), [(0.5, 0.0, 0.3), (0.1, 0.05, 0.1), (0.2, 0.05, 1.0)])
def test_joint_intervals_cover_what_they_say(document, replicate, single):
    """Two changes that share an arm, and their sum."""
    rng = np.random.default_rng(3)
    tries, count, n = 120, 5, 80
    hits = np.zeros(3)
    for seed in range(tries):
        arms = document * rng.normal(size=(3, 1, n)) + replicate * rng.normal(size=(3, count, 1))
        arms = arms + single * rng.normal(size=(3, count, n))
        values = np.stack([arms[1] - arms[0], arms[2] - arms[1], arms[2] - arms[0]])
        parts = drawn(values, seed)
        draws = combine_jointly(values.mean(axis=(1, 2)), *parts)
        np.testing.assert_allclose(draws[0] + draws[1], draws[2], atol=1e-9)
        for i, one in enumerate(draws):
            effect = summarise(values[i].mean(), one, 0.95, n, count)
            hits[i] += effect.low <= 0 <= effect.high
    assert (hits / tries >= 0.87).all(), hits / tries


def test_drawn_together_no_interval_is_narrower_than_alone():
    rng = np.random.default_rng(4)
    wider = []
    for seed in range(40):
        values = rng.normal(size=(3, 5, 60)) + 0.2 * rng.normal(size=(3, 5, 1))
        by_document, by_replicate, single, each = drawn(values, seed, 400)
        together = combine_jointly(each.mean(axis=1), by_document, by_replicate, single, each)
        for i in range(3):
            alone = combine(each[i].mean(), by_document[i], by_replicate[i], single[i], each[i])
            wider.append(together[i].std() / alone.std())
    # draws of documents and of replicates are made apart, and covary by chance alone
    assert np.mean(wider) >= 1
    assert min(wider) > 0.9


def test_one_estimate_drawn_jointly_is_the_closed_form():
    values = np.random.default_rng(5).normal(size=(1, 5, 60)) + np.arange(5)[:, None]
    by_document, by_replicate, single, each = drawn(values, 1)
    covariance = np.cov(single[0])
    own = np.trace(covariance) / 5
    shared = (covariance.sum() - own * 5) / 20
    kept = max(0.0, 1 - (own - shared) / each[0].var(ddof=1))
    spread = by_document[0] - by_document[0].mean() + np.sqrt(kept) * (by_replicate[0] - each.mean())
    got = combine(each.mean(), by_document[0], by_replicate[0], single[0], each[0])
    np.testing.assert_allclose(got, each.mean() + spread, atol=1e-10)
