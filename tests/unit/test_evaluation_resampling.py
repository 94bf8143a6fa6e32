"""The paired bootstrap against a plain loop over its own resamples, and its statistical behaviour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.errors import StaleInputError
from smc_dagster.evaluation import resampling
from smc_dagster.evaluation.calibration import ece, equal_mass_bins
from smc_dagster.evaluation.resampling import Panel, interval, p_value, paired_difference, panel
from smc_dagster.tables import PREDICTIONS

pytestmark = pytest.mark.unit


def _panels(n: int = 60, replicates: int = 3, effect: float = 0.15, seed: int = 0) -> tuple[Panel, Panel]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, n)
    difficulty = rng.random(n)
    ids = [f"{i:032x}" for i in range(n)]

    def one(shift: float) -> Panel:
        correct = (rng.random((replicates, n)) * 0.5 + difficulty * 0.5 > 0.4 + shift).astype(float)
        confidence = np.clip(rng.beta(4, 2, (replicates, n)), 0.1, 1).astype(np.float32).astype(float)
        return Panel(ids, labels, list(range(replicates)), correct, confidence)

    return one(effect), one(0.0)


def _by_loop(one: Panel, counts: np.ndarray, drawn: np.ndarray, statistic: str) -> np.ndarray:
    """The statistic on each draw, document by document and replicate by replicate."""
    out = []
    for draw in range(counts.shape[1]):
        rows = np.repeat(np.arange(one.n), counts[:, draw].astype(int))
        values = []
        for r in range(len(one.replicates)):
            correct, confidence = one.correct[r], one.confidence[r]
            if statistic == "macro_recall":
                value = np.mean([correct[rows[one.labels[rows] == g]].mean() for g in np.unique(one.labels)])
            elif statistic == "ece":
                bins = equal_mass_bins(confidence, 15)[rows]
                value = sum(abs((correct - confidence)[rows[bins == b]].sum()) for b in range(15)) / len(rows)
            else:
                value = {
                    "accuracy": correct[rows].mean(),
                    "confidence": confidence[rows].mean(),
                    "gap": (confidence - correct)[rows].mean(),
                }[statistic]
            values.append(value)
        out.append(np.array(values) @ drawn[:, draw])
    return np.array(out)


@pytest.mark.parametrize("statistic", ["macro_recall", "accuracy", "confidence", "gap", "ece"])
@pytest.mark.parametrize("change", ["absolute", "relative"])
def test_draws_are_those_of_a_loop(statistic: str, change: str) -> None:
    arm, base = _panels()
    found = paired_difference(arm, base, statistic, draws=20, seed=4, change=change)  # type: ignore[arg-type]
    strata = arm.labels if statistic == "macro_recall" else arm.labels * 0
    counts = np.hstack(list(resampling._document_counts(strata, 20, 4)))
    drawn = resampling._replicate_weights(3, 20, 4)
    expected = [_by_loop(one, counts, drawn, statistic) for one in (arm, base)]
    difference = expected[0] - expected[1]
    if change == "relative":
        difference = difference / expected[1]
    assert found.draws == pytest.approx(difference, abs=1e-9)
    assert len(np.unique(found.draws)) > 10


def test_estimate_is_the_statistic_of_the_full_sample() -> None:
    arm, base = _panels()
    means = [np.mean([ece(c, h) for c, h in zip(one.confidence, one.correct, strict=True)]) for one in (arm, base)]
    found = paired_difference(arm, base, "ece", draws=10, seed=0)
    assert (found.arm, found.baseline) == pytest.approx(tuple(means), abs=1e-9)
    assert found.estimate == pytest.approx(means[0] - means[1], abs=1e-9)
    relative = paired_difference(arm, base, "confidence", draws=10, seed=0, change="relative")
    assert relative.estimate == pytest.approx(arm.confidence.mean() / base.confidence.mean() - 1)
    assert (relative.n, relative.replicates) == (60, 3)


def test_resamples_have_the_right_sizes() -> None:
    labels = np.array([2, 0, 0, 1, 2, 2, 0, 2])
    counts = np.hstack(list(resampling._document_counts(labels, 500, 1)))
    for label in range(3):
        assert (counts[labels == label].sum(axis=0) == (labels == label).sum()).all()
    assert counts.mean(axis=1) == pytest.approx(1, abs=0.15)
    assert counts[3].tolist() == [1] * 500
    weights = resampling._replicate_weights(5, 500, 1)
    assert weights.sum(axis=0) == pytest.approx(1)
    assert weights.mean(axis=1) == pytest.approx(0.2, abs=0.03)


def test_draws_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    arm, base = _panels()
    whole = paired_difference(arm, base, "macro_recall", draws=70, seed=4).draws
    monkeypatch.setattr(resampling, "CHUNK_ELEMENTS", 60 * 11)
    assert np.array_equal(paired_difference(arm, base, "macro_recall", draws=70, seed=4).draws, whole)
    assert not np.array_equal(paired_difference(arm, base, "macro_recall", draws=70, seed=5).draws, whole)


def test_pairing_removes_what_arms_share() -> None:
    arm, _ = _panels(n=200)
    same = paired_difference(arm, arm, "accuracy", draws=200, seed=0)
    assert same.estimate == 0
    assert (same.draws == 0).all()
    shifted = replace(arm, confidence=arm.confidence - 0.05)
    low, high = interval(paired_difference(shifted, arm, "confidence", draws=200, seed=0).draws)
    assert low == pytest.approx(-0.05)
    assert high == pytest.approx(-0.05)


def test_interval_covers_documents_and_replicates() -> None:
    # 40 studies whose arms differ by a known amount; 200 draws each
    covered = 0
    for study in range(40):
        rng = np.random.default_rng(study)
        replicate = 0.03 * rng.normal(size=(4, 1))
        shared = rng.random((1, 150))
        correct = [
            (shared < p + (replicate if p > 0.5 else 0)).astype(float) * (rng.random((4, 150)) < 0.9)
            for p in (0.6, 0.5)
        ]
        ids = [f"{i:032x}" for i in range(150)]
        panels = [Panel(ids, np.zeros(150, dtype=int), [0, 1, 2, 3], c, c) for c in correct]
        low, high = interval(paired_difference(*panels, "accuracy", draws=200, seed=study).draws)
        covered += low <= 0.09 <= high
    assert covered >= 33


def test_interval_and_p_value() -> None:
    draws = np.concatenate([np.arange(1, 1000), [np.nan]])
    assert interval(draws, 0.9) == pytest.approx((50.9, 949.1))
    assert p_value(draws) == pytest.approx(2 / 1000)
    assert p_value(np.array([-1.0, 1.0] * 50)) == 1.0
    assert p_value(np.zeros(10)) == 1.0
    assert np.isnan(interval(np.array([np.nan]))).all()
    assert np.isnan(p_value(np.zeros(0)))


def test_nothing_and_nothing_to_be_relative_to() -> None:
    arm, base = _panels()
    never = replace(base, correct=np.zeros_like(base.correct))
    found = paired_difference(arm, never, "accuracy", draws=5, seed=0, change="relative")
    assert np.isnan(found.estimate)
    assert np.isnan(found.draws).all()
    none = Panel([], arm.labels[:0], arm.replicates, arm.correct[:, :0], arm.confidence[:, :0])
    empty = paired_difference(none, none, "ece", draws=5, seed=0)
    assert (empty.n, len(empty.draws)) == (0, 5)
    assert np.isnan(empty.estimate)
    single = Panel(arm.doc_ids[:1], arm.labels[:1], [0], arm.correct[:1, :1], arm.confidence[:1, :1])
    assert (paired_difference(single, single, "macro_recall", draws=5, seed=0).draws == 0).all()


def test_panels_that_do_not_match_are_refused() -> None:
    arm, base = _panels()
    with pytest.raises(StaleInputError, match="60 documents x 3 replicates against 60 x 2"):
        paired_difference(arm, replace(base, replicates=[0, 1]), "accuracy", draws=5, seed=0)
    with pytest.raises(ValueError, match="unknown statistic"):
        paired_difference(arm, base, "f1", draws=5, seed=0)  # type: ignore[arg-type]


def test_panel_from_predictions() -> None:
    rows = [
        {
            "arm": "a@00",
            "replicate": replicate,
            "doc_id": doc_id,
            "slice": name,
            "domain": label.split(".")[0],
            "label": label,
            "is_tail": label == "json.tool",
            "predicted": label if (replicate, doc_id) != (1, "b") else "json.encoder",
            "confidence": 0.25 * (replicate + 1),
            "p_label": 0.5,
            "sum_p2": 0.5,
            "entropy": 0.5,
        }
        for replicate in (1, 0)
        for name, doc_id, label in (
            ("test", "c", "json.tool"),
            ("test", "b", "email.policy"),
            ("test", "a", "json.tool"),
            ("rare", "a", "json.tool"),
        )
    ]
    table = pa.Table.from_pylist(rows, PREDICTIONS.schema)
    found = panel(table, "test")
    assert (found.doc_ids, found.replicates, found.labels.tolist()) == (["a", "b", "c"], [0, 1], [1, 0, 1])
    assert found.correct.tolist() == [[1, 1, 1], [1, 0, 1]]
    assert found.confidence.tolist() == [[0.25] * 3, [0.5] * 3]
    assert panel(table, "test", tail=True).doc_ids == ["a", "c"]
    assert panel(table, "test", domain="email").doc_ids == ["b"]
    assert panel(table, "rare").doc_ids == ["a"]
    assert panel(table, "atypical").n == 0
    with pytest.raises(StaleInputError, match="do not cover the same documents once each"):
        panel(table.slice(1), "test")
    with pytest.raises(StaleInputError, match="do not cover the same documents once each"):
        panel(pa.concat_tables([table, table]), "test")
