"""What the findings are drawn from: the metrics and predictions of the arms that are there and not stale.

What belongs here: reading, freshness, and laying predictions out as replicates x documents in one shared document
order. What does not: any statistic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from smc_dagster.errors import LakeError, StaleInputError
from smc_dagster.evaluation.intervals import over_replicates
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Arm, Composition, Study
from smc_dagster.tables import ALL_DOMAINS, ARM_METRICS, MIXTURE_COMPOSITION, PREDICTIONS, TableSpec

SLICES = ("rare", "test")
_COLUMNS = ["replicate", "doc_id", "slice", "domain", "label", "is_tail", "predicted", "confidence"]


@dataclass(frozen=True)
class Documents:
    """The evaluation documents of a slice, sorted by doc_id; all arrays are [n]."""

    doc_id: NDArray[np.object_]
    domain: NDArray[np.object_]
    label: NDArray[np.object_]
    is_tail: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.doc_id)


@dataclass(frozen=True)
class Outcome:
    """What an arm answered on a slice, [replicates, documents] in the order of `Documents`.

    Attributes:
        replicates: [replicates] their numbers, ascending.
        correct: whether the prediction is the label.
        confidence: top-1 probability, 0-1.
    """

    replicates: NDArray[np.int64]
    correct: NDArray[np.bool_]
    confidence: NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """Everything the findings may use.

    Attributes:
        arms: the arms that count, series by series in the study's order, shares ascending.
        metrics: ARM_METRICS of those arms.
        documents: by slice.
        outcomes: by (arm key, slice).
        composition: MIXTURE_COMPOSITION of those arms, as far as it is there.
        missing, stale: keys of the study's arms that do not count, and why.
        notes: what a reader must know about all this.
    """

    arms: list[Arm]
    metrics: pa.Table
    documents: dict[str, Documents]
    outcomes: dict[tuple[str, str], Outcome]
    composition: pa.Table
    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of_series(self, name: str) -> list[Arm]:
        """Arms of a series that count, shares ascending."""
        return sorted((arm for arm in self.arms if arm.series.name == name), key=lambda arm: arm.share)

    def largest(self, name: str) -> Arm | None:
        """The arm of the largest share of a series that has its 0 % arm and one more, else None."""
        arms = self.of_series(name)
        return arms[-1] if len(arms) > 1 and arms[0].share == 0 else None

    def metric(
        self, metric: str, slice_name: str, domain: str = ALL_DOMAINS
    ) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Values of a metric by arm key: replicate numbers, ascending, and values."""
        table = self.metrics.filter(
            (pc.field("metric") == metric) & (pc.field("slice") == slice_name) & (pc.field("domain") == domain)
        ).sort_by([("arm", "ascending"), ("replicate", "ascending")])
        keys = table["arm"].to_numpy(zero_copy_only=False)
        replicates = table["replicate"].to_numpy(zero_copy_only=False)
        values = table["value"].to_numpy(zero_copy_only=False)
        return {
            arm.key: (replicates[keys == arm.key], values[keys == arm.key])
            for arm in self.arms
            if (keys == arm.key).any()
        }

    def mean_of(
        self, metric: str, slice_name: str, key: str, level: float
    ) -> tuple[float | None, float | None, float | None]:
        """Mean over replicates of a metric of one arm over all domains, with its limits; None where undefined.

        Args:
            level: coverage, as that of the limits in `metrics`.
        """
        own = self.metrics.filter(
            (pc.field("arm") == key)
            & (pc.field("metric") == metric)
            & (pc.field("slice") == slice_name)
            & (pc.field("domain") == ALL_DOMAINS)
        )
        value, low, high = (own[side].to_numpy(zero_copy_only=False).astype(float) for side in ("value", "low", "high"))
        mean, below, above = (None if math.isnan(one) else one for one in over_replicates(value, low, high, level))
        return mean, below, above

    def realised_shares(self) -> Mapping[str, float]:
        """Share that each arm really reached, by key, 0-1: under that asked where caps, pool or anchors held it.

        Of the budget displaced; of an `add` mixture, which displaces nothing, synthetic.
        """
        if self.composition.num_rows == 0:
            return {arm.key: arm.share for arm in self.arms}
        columns = ("rows_displaced", "rows_synthetic", "budget")
        total = self.composition.group_by(["arm", "composition"]).aggregate([(name, "sum") for name in columns])
        displaced, synthetic, budget = (total[f"{name}_sum"].to_numpy() for name in columns)
        on_top = synthetic * pc.equal(total["composition"], Composition.ADD.value).to_numpy(zero_copy_only=False)
        ratio = (displaced + on_top) / np.maximum(budget + on_top, 1)
        found = dict(zip(total["arm"].to_pylist(), ratio.tolist(), strict=True))
        return {arm.key: float(found.get(arm.key, arm.share)) for arm in self.arms}


def collect(study: Study, lake: Lake, arms: Iterable[Arm] | None = None, lineage: Lineage | None = None) -> Evidence:
    """Read what is there.

    Args:
        arms: those that may count, by default all of the study's; results of another count as stale.
        lineage: tells which fingerprints are due; without one, every readable table counts as fresh.

    Raises:
        LakeError: a table is damaged, arms were scored on different documents, or a document is scored twice.
    """
    asked = {arm.key for arm in (study.arms if arms is None else arms)}
    kept: list[Arm] = []
    missing: list[str] = []
    stale: list[str] = []
    for arm in study.arms:
        state = _state(lake, arm.key, lineage)
        if state == "fresh" and arm.key not in asked:
            state = "stale"
        if state == "fresh":
            kept.append(arm)
        else:
            (missing if state == "missing" else stale).append(arm.key)
    notes: list[str] = []
    if missing:
        notes.append(f"{len(missing)} of {len(study.arms)} arms have no results yet: {_listed(missing)}")
    if stale:
        notes.append(f"{len(stale)} arms were left out, as they were made from other inputs: {_listed(stale)}")
    documents: dict[str, Documents] = {}
    outcomes: dict[tuple[str, str], Outcome] = {}
    for arm in kept:
        table = lake.read(PREDICTIONS, arm.key, columns=_COLUMNS)
        for slice_name in SLICES:
            found = _lay_out(table.filter(pc.field("slice") == slice_name), arm.key, slice_name)
            if found is None:
                continue
            scored, outcome = found
            known = documents.setdefault(slice_name, scored)
            if not np.array_equal(known.doc_id, scored.doc_id):
                raise LakeError(
                    f"predictions[{arm.key}]: slice `{slice_name}` holds other documents than the arms before it",
                    "materialise predictions for all arms, or run `smc study run`",
                )
            outcomes[arm.key, slice_name] = outcome
    metrics = lake.read_many(ARM_METRICS, [arm.key for arm in kept])
    composed = [arm.key for arm in kept if _readable(lake, MIXTURE_COMPOSITION, arm.key)]
    composition = lake.read_many(MIXTURE_COMPOSITION, composed)
    return Evidence(kept, metrics, documents, outcomes, composition, missing, stale, notes)


def _state(lake: Lake, key: str, lineage: Lineage | None) -> str:
    stored = [lake.fingerprint(spec, key) for spec in (ARM_METRICS, PREDICTIONS)]
    if any(one is None for one in stored):
        return "missing"
    if lineage is None or (lineage.is_fresh("arm_metrics", key) and lineage.is_fresh("predictions", key)):
        return "fresh"
    return "stale"


def _readable(lake: Lake, spec: TableSpec, key: str) -> bool:
    try:
        return lake.fingerprint(spec, key) is not None
    except StaleInputError:
        return False


def _lay_out(table: pa.Table, key: str, slice_name: str) -> tuple[Documents, Outcome] | None:
    """Predictions of one arm and slice as matrices; None where there are none."""
    if table.num_rows == 0:
        return None
    table = table.sort_by([("replicate", "ascending"), ("doc_id", "ascending")])
    replicates = np.unique(table["replicate"].to_numpy())
    rows, count = table.num_rows, len(replicates)
    ids = table["doc_id"].to_numpy(zero_copy_only=False)
    n = rows // count
    grid = ids[: n * count].reshape(count, n)
    if rows % count or (grid != grid[0]).any() or (grid[0][1:] == grid[0][:-1]).any():
        raise LakeError(
            f"predictions[{key}]: slice `{slice_name}` does not hold each document once a replicate",
            "materialise predictions of this arm again",
        )
    first = table.slice(0, n)
    documents = Documents(
        grid[0],
        first["domain"].to_numpy(zero_copy_only=False),
        first["label"].to_numpy(zero_copy_only=False),
        first["is_tail"].to_numpy(zero_copy_only=False).astype(bool),
    )
    correct = pc.equal(table["predicted"], table["label"]).to_numpy(zero_copy_only=False).astype(bool)
    confidence = table["confidence"].to_numpy().astype(np.float32)
    return documents, Outcome(replicates.astype(np.int64), correct.reshape(count, n), confidence.reshape(count, n))


def _listed(keys: list[str], most: int = 8) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more
