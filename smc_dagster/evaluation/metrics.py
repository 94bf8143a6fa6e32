"""The metrics of one arm's predictions by group of rows.

What belongs here: each metric's formula, computed for all groups at once. What does not: which slices and domains are
reported (arm_metrics.py), bins of the calibration error (calibration.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.evaluation.calibration import ece_by_group, equal_mass_bins, equal_width_bins
from smc_dagster.evaluation.intervals import student, variance_of_mean, wilson

METRICS = (
    "accuracy", "macro_recall", "rare_recall", "confidence", "gap", "tail_head_gap", "ece", "ece_width", "nll", "brier",
    "entropy",
)  # fmt: skip
# the least normal float32: probabilities are stored as float32, so NLL is at most 87.3
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Outcomes:
    """Predictions as arrays, [n] each, in the order (replicate, slice, doc_id).

    Attributes:
        replicate, domain, label, slice: codes into `replicates`, `domains`, `labels`, `slices` (each sorted).
        is_tail: whether the label is a tail label.
        correct: whether the predicted label is the true one.
        confidence: top-1 probability, float32.
        nll: -ln p(label), nats.
        brier: 1 - 2 p(label) + sum of squared probabilities (Brier 1950: 0 to 2).
        entropy: of the predicted distribution, nats.
    """

    replicates: list[int]
    domains: list[str]
    labels: list[str]
    slices: list[str]
    replicate: np.ndarray
    domain: np.ndarray
    label: np.ndarray
    slice: np.ndarray
    is_tail: np.ndarray
    correct: np.ndarray
    confidence: np.ndarray
    nll: np.ndarray
    brier: np.ndarray
    entropy: np.ndarray

    def where(self, keep: np.ndarray) -> Outcomes:
        """The rows of a mask; codes and names stay."""
        arrays = {name: value[keep] for name, value in self.__dict__.items() if isinstance(value, np.ndarray)}
        return Outcomes(**{**self.__dict__, **arrays})


@dataclass(frozen=True)
class Measured:
    """One metric of every group, [groups] each.

    Attributes:
        value: NaN where undefined.
        n: rows it rests on.
        low, high: interval over documents (intervals.py); NaN where undefined.
    """

    value: np.ndarray
    n: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def exact(cls, value: np.ndarray, n: np.ndarray) -> Measured:
        """What is no estimate and has no interval."""
        nothing = np.full(len(value), np.nan)
        return cls(value, n, nothing, nothing)


def outcomes(predictions: pa.Table) -> Outcomes:
    """Arrays from PREDICTIONS; rows are sorted, so that sums do not depend on the order in which they came."""
    table = predictions.sort_by([("replicate", "ascending"), ("slice", "ascending"), ("doc_id", "ascending")])
    codes: dict[str, np.ndarray] = {}
    names: dict[str, list] = {}
    for column in ("replicate", "domain", "label", "slice"):
        distinct = pc.unique(table[column]).sort()
        names[column] = distinct.to_pylist()
        codes[column] = pc.index_in(table[column], distinct).to_numpy().astype(np.int64)
    p_label = table["p_label"].to_numpy().astype(np.float64)
    return Outcomes(
        replicates=names["replicate"],
        domains=names["domain"],
        labels=names["label"],
        slices=names["slice"],
        **codes,
        is_tail=table["is_tail"].to_numpy().astype(bool),
        correct=pc.equal(table["label"], table["predicted"]).to_numpy().astype(bool),
        confidence=table["confidence"].to_numpy(),
        nll=-np.log(np.maximum(p_label, LEAST_PROBABILITY)),
        brier=1.0 - 2.0 * p_label + table["sum_p2"].to_numpy().astype(np.float64),
        entropy=table["entropy"].to_numpy().astype(np.float64),
    )


def measure(rows: Outcomes, group: np.ndarray, groups: int, bins: int, level: float) -> dict[str, Measured]:
    """Every metric of `METRICS` for every group, each with its interval over documents.

    - accuracy, confidence, nll, brier, entropy: means over the group's rows.
    - gap: mean confidence - accuracy; positive where the model is surer than it is right.
    - tail_head_gap: gap of the tail rows less that of the head rows; its n counts the rarer of the two, and where one
      is missing it is undefined.
    - macro_recall: mean over the labels present in the group of the share of their rows found; a label that is absent
      from the group counts neither way.
    - rare_recall: the same over tail labels; its n counts tail rows.
    - ece, ece_width: see calibration.py.

    Intervals: Wilson's for accuracy and recalls; for means Student's; for a difference of means Welch's; for ECE
    Student's on the signed gaps, each bin keeping its sign (delta method; Student's, as ECE is then a mean). An ECE is
    too high by its own noise, and so is its interval: read it with the null band.

    Args:
        rows: outcomes.
        group: [n] code of each row's group, 0 to groups - 1.
        groups: number of groups; those without rows get NaN and n = 0.
        bins: of the calibration errors.
        level: coverage of the intervals, 0-1.
    """
    n: np.ndarray = np.bincount(group, minlength=groups)
    confidence, correct = rows.confidence.astype(np.float64), rows.correct.astype(np.float64)
    measured = {
        name: _mean_of(value, group, n, level, least, most)
        for name, value, least, most in (
            ("confidence", confidence, 0.0, 1.0),
            ("gap", confidence - correct, -1.0, 1.0),
            ("nll", rows.nll, 0.0, np.inf),
            ("brier", rows.brier, 0.0, 2.0),
            ("entropy", rows.entropy, 0.0, np.inf),
        )
    }
    accuracy = _mean(correct, group, n)
    measured["accuracy"] = Measured(accuracy, n, *wilson(accuracy, n.astype(np.float64), level))
    measured["macro_recall"] = _macro_recall(rows, group, groups, level)
    tail = rows.is_tail
    measured["rare_recall"] = _macro_recall(rows.where(tail), group[tail], groups, level)
    measured["tail_head_gap"] = _tail_head_gap(confidence - correct, tail, group, groups, level)
    for name, bin_of in (
        ("ece", equal_mass_bins(rows.confidence, bins, group)),
        ("ece_width", equal_width_bins(rows.confidence, bins)),
    ):
        value, variance = ece_by_group(confidence, rows.correct, bin_of, bins, group, groups)
        measured[name] = Measured(value, n, *student(value, variance, n - 1.0, level, 0.0, 1.0))
    return {name: measured[name] for name in METRICS}


def _mean(value: np.ndarray, group: np.ndarray, n: np.ndarray) -> np.ndarray:
    sums = np.bincount(group, weights=value, minlength=len(n))
    return np.asarray(np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0))


def _mean_of(value: np.ndarray, group: np.ndarray, n: np.ndarray, level: float, least: float, most: float) -> Measured:
    mean = _mean(value, group, n)
    variance = variance_of_mean(value, mean, group, n)
    return Measured(mean, n, *student(mean, variance, n - 1.0, level, least, most))


def _tail_head_gap(gap: np.ndarray, tail: np.ndarray, group: np.ndarray, groups: int, level: float) -> Measured:
    n = [np.bincount(group[side], minlength=groups) for side in (tail, ~tail)]
    means = [_mean(gap[side], group[side], count) for side, count in zip((tail, ~tail), n, strict=True)]
    parts = [
        variance_of_mean(gap[side], mean, group[side], count)
        for side, mean, count in zip((tail, ~tail), means, n, strict=True)
    ]
    variance = parts[0] + parts[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        # Welch (1947)
        freedom = variance**2 / (parts[0] ** 2 / (n[0] - 1) + parts[1] ** 2 / (n[1] - 1))
    value = means[0] - means[1]
    return Measured(value, np.minimum(*n), *student(value, variance, freedom, level, -2.0, 2.0))


def _macro_recall(rows: Outcomes, group: np.ndarray, groups: int, level: float) -> Measured:
    labels = len(rows.labels)
    cell = group * labels + rows.label
    there = np.bincount(cell, minlength=groups * labels).reshape(groups, labels)
    found = np.bincount(cell, weights=rows.correct, minlength=groups * labels).reshape(groups, labels)
    recall = np.divide(found, there, out=np.zeros((groups, labels)), where=there > 0)
    inverse = np.divide(1.0, there, out=np.zeros((groups, labels)), where=there > 0).sum(axis=1)
    present = np.count_nonzero(there, axis=1)
    value = np.divide(recall.sum(axis=1), present, out=np.full(groups, np.nan), where=present > 0)
    # each label weighs the same: sum w = 1, sum w^2 = sum over labels of 1 / (present^2 n_label)
    effective = np.divide(present.astype(np.float64) ** 2, inverse, out=np.zeros(groups), where=present > 0)
    return Measured(value, there.sum(axis=1), *wilson(value, effective, level))
