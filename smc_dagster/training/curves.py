"""Training curves.

What belongs here: the points of a curve, and the table of them. What does not: training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from smc_dagster.tables import TRAINING_CURVES

if TYPE_CHECKING:
    from smc_dagster.training.full.store import TunedArm
    from smc_dagster.training.heads import TrainedArm

# steps over which the loss of the curve is averaged
CURVE_STEPS = 10


def curve_table(arm_key: str, trained: TrainedArm | TunedArm) -> pa.Table:
    """TRAINING_CURVES of one arm, by replicate and step."""
    replicate, step, loss = (list(column) for column in zip(*trained.curve, strict=True))
    return pa.table([[arm_key] * len(step), replicate, step, loss], schema=TRAINING_CURVES.schema)


def curve_points(losses: np.ndarray, numbers: list[int]) -> list[tuple[int, int, float]]:
    """(replicate, step, mean loss over the steps since the last point) of losses [steps, R], nats."""
    starts = np.arange(0, len(losses), CURVE_STEPS)
    ends = np.minimum(starts + CURVE_STEPS, len(losses))
    means = np.add.reduceat(losses, starts, axis=0) / (ends - starts)[:, None]
    return [
        (number, int(end), float(mean))
        for place, number in enumerate(numbers)
        for end, mean in zip(ends, means[:, place], strict=True)
    ]
