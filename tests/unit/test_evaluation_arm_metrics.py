"""Every metric against scikit-learn and a plain loop, over slices, domains and replicates."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, log_loss, recall_score

from smc_dagster.errors import StaleInputError
from smc_dagster.evaluation.arm_metrics import arm_metrics
from smc_dagster.evaluation.calibration import ece, null_band
from smc_dagster.evaluation.metrics import METRICS
from smc_dagster.study import Arm, Evaluation, Series
from smc_dagster.tables import ARM_METRICS, PREDICTIONS

pytestmark = pytest.mark.unit
ARM = Arm(series=Series(name="templated", pool="templated"), share=0.4)
BUDGET = {"steps": 600.0, "examples_seen": 76800.0, "flops": 6.4e10}
LABELS = ["email.charset", "email.header", "email.policy", "json.decoder", "json.tool"]
TAIL = {"email.policy", "json.tool"}


def _predictions(per_slice: dict[str, int], replicates: tuple[int, ...] = (0, 3), seed: int = 0) -> list[dict]:
    """Rows whose probabilities come from a softmax, kept as `probabilities` for the second implementation."""
    rows = []
    for replicate in replicates:
        for name, count in per_slice.items():
            labels = np.random.default_rng([seed, 1]).choice(LABELS, count, p=[0.4, 0.2, 0.1, 0.2, 0.1])
            for i in range(count):
                rng = np.random.default_rng([seed, replicate, i])
                z = 2 * rng.normal(size=5) + 2 * (np.array(LABELS) == labels[i])
                p = np.exp(z) / np.exp(z).sum()
                rows.append(
                    {
                        "arm": ARM.key,
                        "replicate": replicate,
                        "doc_id": f"{i:032x}",
                        "slice": name,
                        "domain": labels[i].split(".")[0],
                        "label": labels[i],
                        "is_tail": labels[i] in TAIL,
                        "predicted": LABELS[int(p.argmax())],
                        "confidence": p.max(),
                        "p_label": p[LABELS.index(labels[i])],
                        "sum_p2": (p**2).sum(),
                        "entropy": -(p * np.log(p)).sum(),
                        "probabilities": p,
                    }
                )
    return rows


def _table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(
        [{k: v for k, v in r.items() if k != "probabilities"} for r in rows], PREDICTIONS.schema
    )


def _metrics(rows: list[dict], seed: int = 1) -> dict[tuple, tuple[float | None, int]]:
    table = arm_metrics(_table(rows), ARM, BUDGET, Evaluation(null_draws=50), seed, "v1")
    found = {(r["replicate"], r["slice"], r["domain"], r["metric"]): (r["value"], r["n"]) for r in table.to_pylist()}
    assert len(found) == table.num_rows
    return found


def _by_loop(rows: list[dict]) -> dict[str, float]:
    hits: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        hits[row["label"]].append(row["label"] == row["predicted"])
    recalls = {label: sum(one) / len(one) for label, one in hits.items()}
    tail = [recall for label, recall in recalls.items() if label in TAIL]
    n = len(rows)
    accuracy = sum(map(sum, hits.values())) / n
    confidence = sum(r["confidence"] for r in rows) / n
    stored = np.array([r["confidence"] for r in rows], dtype=np.float32)
    correct = np.array([r["label"] == r["predicted"] for r in rows])
    gaps: dict[bool, list[float]] = {True: [], False: []}
    for row in rows:
        gaps[row["is_tail"]].append(row["confidence"] - (row["label"] == row["predicted"]))
    both = all(gaps.values())
    return {
        "accuracy": accuracy,
        "tail_head_gap": sum(gaps[True]) / len(gaps[True]) - sum(gaps[False]) / len(gaps[False]) if both else math.nan,
        "macro_recall": sum(recalls.values()) / len(recalls),
        "rare_recall": sum(tail) / len(tail) if tail else math.nan,
        "confidence": confidence,
        "gap": confidence - accuracy,
        "ece": ece(stored, correct),
        "ece_width": ece(stored, correct, scheme="width"),
        "nll": -sum(math.log(r["p_label"]) for r in rows) / n,
        "brier": sum(
            sum((p - (label == r["label"])) ** 2 for p, label in zip(r["probabilities"], LABELS, strict=True))
            for r in rows
        )
        / n,
        "entropy": sum(r["entropy"] for r in rows) / n,
    }


def test_every_metric_against_a_loop() -> None:
    rows = _predictions({"test": 120, "rare": 60, "atypical": 40, "adversarial": 50})
    found = _metrics(rows)
    groups = {
        "test": lambda r: r["slice"] == "test",
        "test_tail": lambda r: r["slice"] == "test" and r["is_tail"],
        "test_head": lambda r: r["slice"] == "test" and not r["is_tail"],
        "rare": lambda r: r["slice"] == "rare",
        "atypical": lambda r: r["slice"] == "atypical",
        "adversarial": lambda r: r["slice"] == "adversarial",
    }
    checked = 0
    for replicate in (0, 3):
        for name, belongs in groups.items():
            for domain in ("*", "email", "json"):
                own = [r for r in rows if belongs(r) and r["replicate"] == replicate and domain in ("*", r["domain"])]
                by_domain = name in ("test", "test_tail", "rare")
                for metric, expected in _by_loop(own).items():
                    key = (replicate, name, domain, metric)
                    if domain != "*" and not by_domain:
                        assert key not in found
                        continue
                    value, n = found[key]
                    tail = sum(r["is_tail"] for r in own)
                    rests_on = {"rare_recall": tail, "tail_head_gap": min(tail, len(own) - tail)}
                    assert n == rests_on.get(metric, len(own))
                    if math.isnan(expected):
                        assert value is None
                    else:
                        assert value == pytest.approx(expected, abs=1e-6), key
                    checked += 1
    assert checked == 2 * len(METRICS) * (6 + 3 * 2)


def test_against_scikit_learn() -> None:
    rows = [r for r in _predictions({"test": 200}) if r["replicate"] == 3]
    found = _metrics(rows)
    true, predicted = [r["label"] for r in rows], [r["predicted"] for r in rows]
    probabilities = np.array([r["probabilities"] for r in rows])
    assert found[3, "test", "*", "accuracy"][0] == pytest.approx(accuracy_score(true, predicted))
    assert found[3, "test", "*", "macro_recall"][0] == pytest.approx(balanced_accuracy_score(true, predicted))
    rare = recall_score(true, predicted, labels=sorted(TAIL), average="macro")
    assert found[3, "test", "*", "rare_recall"][0] == pytest.approx(rare)
    assert found[3, "test", "*", "nll"][0] == pytest.approx(log_loss(true, probabilities, labels=LABELS), abs=1e-6)
    brier = brier_score_loss(true, probabilities, labels=LABELS, scale_by_half=False)
    assert found[3, "test", "*", "brier"][0] == pytest.approx(brier, abs=1e-6)


def test_schema_budget_and_null_band() -> None:
    rows = _predictions({"test": 120, "rare": 30, "atypical": 30, "adversarial": 30})
    table = arm_metrics(_table(rows), ARM, BUDGET, Evaluation(null_draws=50), 1, "v1")
    assert table.schema == ARM_METRICS.schema
    assert set(table["anchors"].to_pylist()) == {"v1"}
    assert set(table["arm"].to_pylist()) == {"templated@40"}
    assert set(table["share"].to_pylist()) == {0.4}
    found = _metrics(rows)
    for replicate in (0, 3):
        for name, value in BUDGET.items():
            assert found[replicate, "train", "*", name] == (value, 76800)
    for metric in ("ece", "ece_width"):
        bands = [key for key in found if key[3] == f"{metric}_null_low"]
        assert len(bands) == 2 * 6
        assert {key[2] for key in bands} == {"*"}
        for key in bands:
            assert 0 < found[key][0] < found[(*key[:3], f"{metric}_null_high")][0] < 1
            own = [r for r in rows if r["replicate"] == key[0] and r["slice"] == "test"]
            if key[1] == "test":
                band = null_band(
                    np.array([r["confidence"] for r in own], dtype=np.float32), bins=15, draws=50, seed=1,
                    key=(key[0], "test"), scheme="mass" if metric == "ece" else "width",
                )  # fmt: skip
                assert (found[key][0], found[(*key[:3], f"{metric}_null_high")][0]) == band


def test_every_estimate_has_its_interval() -> None:
    rows = _predictions({"test": 120, "rare": 60, "atypical": 40, "adversarial": 50})
    table = arm_metrics(_table(rows), ARM, BUDGET, Evaluation(null_draws=20), 1, "v1", level=0.9)
    for row in table.to_pylist():
        exact = row["slice"] == "train" or "_null_" in row["metric"]
        if exact or row["value"] is None:
            assert (row["low"], row["high"]) == (None, None), row
        else:
            assert row["low"] <= row["value"] <= row["high"], row
    wider = arm_metrics(_table(rows), ARM, BUDGET, Evaluation(null_draws=20), 1, "v1", level=0.99)
    width = [np.nanmean(one["high"].to_numpy() - one["low"].to_numpy()) for one in (table, wider)]
    assert width[1] > 1.3 * width[0]


def test_row_order_and_other_replicates_change_nothing() -> None:
    rows = _predictions({"test": 90, "rare": 30})
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert _metrics(shuffled) == _metrics(rows)
    alone = _metrics([r for r in rows if r["replicate"] == 3])
    found = _metrics(rows)
    assert all(alone[key] == found[key] for key in alone)


def test_empty_slice_and_absent_label() -> None:
    # no atypical rows at all, and no row of one tail label
    rows = [r for r in _predictions({"test": 80, "rare": 20}) if r["label"] != "json.tool"]
    found = _metrics(rows)
    for metric in (*METRICS, "ece_null_low", "ece_null_high", "ece_width_null_low", "ece_width_null_high"):
        assert found[0, "atypical", "*", metric] == (None, 0)
    own = [r for r in rows if r["slice"] == "test" and r["replicate"] == 0]
    assert found[0, "test", "*", "macro_recall"][0] == pytest.approx(_by_loop(own)["macro_recall"])
    policy = [r["predicted"] == r["label"] for r in own if r["label"] == "email.policy"]
    assert found[0, "test", "*", "rare_recall"] == (pytest.approx(np.mean(policy)), len(policy))
    assert found[0, "test_tail", "json", "accuracy"] == (None, 0)
    assert found[0, "test", "json", "rare_recall"] == (None, 0)
    # heads without a tail to compare with, and the other way round
    assert found[0, "test", "json", "tail_head_gap"] == (None, 0)
    assert found[0, "test_tail", "*", "tail_head_gap"] == (None, 0)


def test_one_row_and_certainty() -> None:
    (row,) = _predictions({"test": 1}, (0,))
    row |= {"predicted": row["label"], "confidence": 1.0, "p_label": 1.0, "sum_p2": 1.0, "entropy": 0.0}
    found = _metrics([row])
    expected = {"accuracy": 1, "macro_recall": 1, "confidence": 1, "gap": 0, "ece": 0, "ece_width": 0, "nll": 0}
    for metric, value in (expected | {"brier": 0, "entropy": 0}).items():
        assert found[0, "test", "*", metric] == (value, 1)
    row |= {"predicted": "json.decoder" if row["label"] != "json.decoder" else "json.tool", "p_label": 0.0}
    found = _metrics([row])
    assert found[0, "test", "*", "gap"] == (1.0, 1)
    assert found[0, "test", "*", "ece"] == (1.0, 1)
    assert found[0, "test", "*", "brier"] == (2.0, 1)
    assert found[0, "test", "*", "nll"][0] == pytest.approx(87.3, abs=0.1)


def test_predictions_of_another_arm_are_refused() -> None:
    rows = _predictions({"test": 5})
    with pytest.raises(StaleInputError, match="where those of `templated@40` were due"):
        arm_metrics(_table([r | {"arm": "drop@40"} for r in rows]), ARM, BUDGET, Evaluation(), 1, "v1")
    with pytest.raises(StaleInputError):
        arm_metrics(_table([]), ARM, BUDGET, Evaluation(), 1, "v1")
