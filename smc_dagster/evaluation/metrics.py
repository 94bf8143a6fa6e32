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

METRICS = (
    "accuracy", "macro_recall", "rare_recall", "confidence", "gap", "ece", "ece_width", "nll", "brier", "entropy"
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
    """One metric of every group: `value` [groups] (NaN where undefined) and `n` [groups] rows it rests on."""

    value: np.ndarray
    n: np.ndarray


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


def measure(rows: Outcomes, group: np.ndarray, groups: int, bins: int) -> dict[str, Measured]:
    """Every metric of `METRICS` for every group.

    - accuracy, confidence, nll, brier, entropy: means over the group's rows.
    - gap: mean confidence - accuracy; positive where the model is surer than it is right.
    - macro_recall: mean over the labels present in the group of the share of their rows found; a label that is absent
      from the group counts neither way.
    - rare_recall: the same over tail labels; its n counts tail rows.
    - ece, ece_width: see calibration.py.

    Args:
        rows: outcomes.
        group: [n] code of each row's group, 0 to groups - 1.
        groups: number of groups; those without rows get NaN and n = 0.
        bins: of the calibration errors.
    """
    n = np.bincount(group, minlength=groups)
    confidence = rows.confidence.astype(np.float64)
    values = {
        name: _mean(value, group, n)
        for name, value in (
            ("accuracy", rows.correct.astype(np.float64)),
            ("confidence", confidence),
            ("nll", rows.nll),
            ("brier", rows.brier),
            ("entropy", rows.entropy),
        )
    }
    values["gap"] = values["confidence"] - values["accuracy"]
    values["macro_recall"] = _macro_recall(rows, group, groups)
    mass = equal_mass_bins(rows.confidence, bins, group)
    width = equal_width_bins(rows.confidence, bins)
    values["ece"] = ece_by_group(confidence, rows.correct, mass, bins, group, groups)
    values["ece_width"] = ece_by_group(confidence, rows.correct, width, bins, group, groups)
    measured = {name: Measured(value, n) for name, value in values.items()}
    tail, tail_group = rows.where(rows.is_tail), group[rows.is_tail]
    tail_n = np.bincount(tail_group, minlength=groups)
    measured["rare_recall"] = Measured(_macro_recall(tail, tail_group, groups), tail_n)
    return {name: measured[name] for name in METRICS}


def _mean(value: np.ndarray, group: np.ndarray, n: np.ndarray) -> np.ndarray:
    sums = np.bincount(group, weights=value, minlength=len(n))
    return np.asarray(np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0))


def _macro_recall(rows: Outcomes, group: np.ndarray, groups: int) -> np.ndarray:
    labels = len(rows.labels)
    cell = group * labels + rows.label
    there = np.bincount(cell, minlength=groups * labels)
    found = np.bincount(cell, weights=rows.correct, minlength=groups * labels)
    recall = np.divide(found, there, out=np.zeros(groups * labels), where=there > 0).reshape(groups, labels)
    present = np.count_nonzero(there.reshape(groups, labels), axis=1)
    return np.asarray(np.divide(recall.sum(axis=1), present, out=np.full(groups, np.nan), where=present > 0))
