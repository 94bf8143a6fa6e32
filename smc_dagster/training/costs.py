"""How far an arm is built, and what building it costs.

What belongs here: the state of each stage of an arm, its budget over all replicates, and its time by what earlier arms
took. What does not: showing it (cli/arms.py), building (defs/).
"""

from __future__ import annotations

from statistics import median

import pyarrow.compute as pc

from smc_dagster.errors import LakeError
from smc_dagster.lake import Lake
from smc_dagster.lineage import MARKERS, Lineage
from smc_dagster.study import Study
from smc_dagster.tables import REAL_DOCUMENTS, TABLES
from smc_dagster.training.compute import budget_due
from smc_dagster.training.trained import time_taken

# stage as a person calls it -> table whose fingerprint tells
STAGES = {
    "mixture": "mixture_documents",
    "checkpoints": "checkpoints",
    "predictions": "predictions",
    "metrics": "arm_metrics",
}
BUILT, STALE, MISSING = "built", "stale", "missing"
MEASURED, ESTIMATED, UNKNOWN = "measured", "estimated", "unknown"


def stage_states(lineage: Lineage, lake: Lake, arm: str) -> dict[str, str]:
    """State of each stage of an arm: `built` as the study now asks, `stale` (made from other inputs), `missing`."""
    return {stage: _state(lineage, lake, table, arm) for stage, table in STAGES.items()}


def _state(lineage: Lineage, lake: Lake, table: str, arm: str) -> str:
    try:
        if lineage.is_fresh(table, arm):
            return BUILT
        stored = lake.fingerprint(TABLES[MARKERS.get(table, table)], arm)
    except LakeError:
        # what carries no fingerprint is there, and is made again
        return STALE
    return MISSING if stored is None else STALE


def known_labels(lake: Lake) -> int | None:
    """Labels of the corpus in the lake, which are the outputs of a network; None before there is one."""
    if lake.fingerprint(REAL_DOCUMENTS) is None:
        return None
    return len(pc.unique(lake.read(REAL_DOCUMENTS, columns=["label"])["label"]))


class Costs:
    """What the arms of a study cost, all replicates together.

    Every arm has the same budget. Time is that of training alone, in seconds of one core: of an arm trained here,
    what that took, else what is due times the median of what a floating-point operation took in the arms that were.

    Attributes:
        budget: examples, tokens, and flops (None before the labels are known).
    """

    def __init__(self, study: Study, lake: Lake) -> None:
        labels = known_labels(lake)
        due = budget_due(study.training, labels or 1)
        self.budget: dict[str, int | None] = {
            "examples": int(due["examples_seen"]) * study.replicates,
            "tokens": int(due["tokens_seen"]) * study.replicates,
            "flops": None if labels is None else int(due["flops"]) * study.replicates,
        }
        found = {arm.key: time_taken(lake, study.training, arm.key) for arm in study.arms}
        self._taken = {key: one for key, one in found.items() if one is not None}
        rates = [seconds / flops for seconds, flops in self._taken.values() if flops > 0]
        self._rate = median(rates) if rates else None

    def seconds(self, arm: str) -> tuple[float | None, str]:
        """Seconds of one core, and whence: `measured`, `estimated`, or None and `unknown`."""
        flops = self.budget["flops"]
        if arm in self._taken and self._taken[arm][1] == flops:
            return self._taken[arm][0], MEASURED
        if self._rate is None or flops is None:
            return None, UNKNOWN
        return self._rate * flops, ESTIMATED
