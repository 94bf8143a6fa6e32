"""The table of one arm's metrics, by replicate, slice and domain.

What belongs here: which slices, domains and budget figures are reported, and the long form. What does not: formulas
(metrics.py, calibration.py), comparisons between arms (findings).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.evaluation.calibration import null_band
from smc_dagster.evaluation.metrics import Measured, Outcomes, measure, outcomes
from smc_dagster.study import Arm, Evaluation
from smc_dagster.tables import ALL_DOMAINS, ARM_METRICS

# slice reported -> (slice of the predictions, tail labels only / head labels only / both)
SLICES: dict[str, tuple[str, bool | None]] = {
    "test": ("test", None),
    "test_tail": ("test", True),
    "test_head": ("test", False),
    "rare": ("rare", None),
    "atypical": ("atypical", None),
    "adversarial": ("adversarial", None),
}
BY_DOMAIN = ("test", "test_tail", "rare")
TRAIN_SLICE = "train"
_ESTIMATE = ("value", "low", "high")


def arm_metrics(
    predictions: pa.Table,
    arm: Arm,
    budget: dict[str, float],
    evaluation: Evaluation,
    seed: int,
    anchors: str,
    *,
    level: float = 0.95,
) -> pa.Table:
    """ARM_METRICS of one arm.

    Every slice has every metric for domain `*`, with the null bands of `ece` and `ece_width` (`ece_null_low`,
    `ece_null_high`, ...); the slices of `BY_DOMAIN` have every metric but the bands for each domain of the predictions.
    What is undefined (a slice without rows) is null with n = 0. `low` and `high` are the metric's interval over
    documents, for this replicate's model; bands have none. The budget, which is each replicate's own, stands under
    slice `train` with n = rows trained on (`examples_seen`).

    Args:
        predictions: PREDICTIONS of the arm.
        arm: the arm.
        budget: steps, examples_seen, tokens_seen, flops of one replicate.
        evaluation: bins and draws.
        seed: the study's; the null band of (replicate, slice) draws from the same stream in every arm.
        anchors: version of the anchors that the predictions are about.
        level: coverage of intervals and null bands, 0-1.

    Raises:
        StaleInputError: the predictions are of another arm, or there are none.
    """
    found = pc.unique(predictions["arm"]).to_pylist()
    if found != [arm.key]:
        raise StaleInputError(
            f"predictions of arm {found} where those of `{arm.key}` were due", "materialise predictions"
        )
    rows = outcomes(predictions)
    parts: list[pa.Table] = []
    for name, (stored, tail) in SLICES.items():
        keep = np.zeros(len(rows.slice), dtype=bool)
        if stored in rows.slices:
            keep = rows.slice == rows.slices.index(stored)
        if tail is not None:
            keep &= rows.is_tail == tail
        part = rows.where(keep)
        measured = measure(part, part.replicate, len(rows.replicates), evaluation.ece_bins, level)
        for scheme in ("mass", "width"):
            measured |= _null_bands(part, name, measured["ece"].n, evaluation, seed, level, scheme)
        parts.append(_long(measured, rows.replicates, [ALL_DOMAINS], name))
        if name in BY_DOMAIN:
            group = part.replicate * len(rows.domains) + part.domain
            groups = len(rows.replicates) * len(rows.domains)
            measured = measure(part, group, groups, evaluation.ece_bins, level)
            parts.append(_long(measured, rows.replicates, rows.domains, name))
    parts.append(_budget(budget, rows.replicates))
    long = pa.concat_tables(parts)
    return _with_arm(long, arm, anchors)


def _null_bands(
    rows: Outcomes, slice_name: str, n: np.ndarray, evaluation: Evaluation, seed: int, level: float, scheme: str
) -> dict[str, Measured]:
    bands = [
        null_band(
            rows.confidence[rows.replicate == code],
            bins=evaluation.ece_bins,
            draws=evaluation.null_draws,
            seed=seed,
            key=(replicate, slice_name),
            level=level,
            scheme=scheme,
        )
        for code, replicate in enumerate(rows.replicates)
    ]
    low, high = (np.array(side) for side in zip(*bands, strict=True))
    of = "ece" if scheme == "mass" else "ece_width"
    return {f"{of}_null_low": Measured.exact(low, n), f"{of}_null_high": Measured.exact(high, n)}


def _long(measured: dict[str, Measured], replicates: list[int], domains: list[str], slice_name: str) -> pa.Table:
    """Rows in the order metric, replicate, domain; groups are replicate x domain."""
    cells, metrics = len(replicates) * len(domains), len(measured)
    columns = {side: np.concatenate([getattr(one, side) for one in measured.values()]) for side in _ESTIMATE}
    return pa.table(
        {
            "replicate": pa.array(np.tile(np.repeat(np.array(replicates, dtype=np.int32), len(domains)), metrics)),
            "domain": pa.array(domains * (len(replicates) * metrics), pa.string()),
            "slice": pa.array([slice_name] * (cells * metrics), pa.string()),
            "metric": pa.array([name for name in measured for _ in range(cells)], pa.string()),
            **{side: pa.array(one, pa.float64(), mask=np.isnan(one)) for side, one in columns.items()},
            "n": pa.array(np.concatenate([one.n for one in measured.values()]).astype(np.int64)),
        }
    )


def _budget(budget: dict[str, float], replicates: list[int]) -> pa.Table:
    n = np.full(len(replicates), int(budget["examples_seen"]), dtype=np.int64)
    measured = {
        name: Measured.exact(np.full(len(replicates), float(value)), n) for name, value in sorted(budget.items())
    }
    return _long(measured, replicates, [ALL_DOMAINS], TRAIN_SLICE)


def _with_arm(long: pa.Table, arm: Arm, anchors: str) -> pa.Table:
    constants = {
        "arm": pa.array([arm.key] * long.num_rows, pa.string()),
        "series": pa.array([arm.series.name] * long.num_rows, pa.string()),
        "share": pa.array([arm.share] * long.num_rows, pa.float64()),
        "anchors": pa.repeat(anchors, long.num_rows),
    }
    columns = [
        constants.get(name, long[name] if name in long.column_names else None) for name in ARM_METRICS.schema.names
    ]
    return pa.table(columns, names=ARM_METRICS.schema.names).cast(ARM_METRICS.schema)
