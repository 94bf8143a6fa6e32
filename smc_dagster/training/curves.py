"""The table of training curves.

What belongs here: its long form. What does not: training.
"""

from __future__ import annotations

import pyarrow as pa

from smc_dagster.tables import TRAINING_CURVES
from smc_dagster.training.heads import TrainedArm


def curve_table(arm_key: str, trained: TrainedArm) -> pa.Table:
    """TRAINING_CURVES of one arm, by replicate and step."""
    replicate, step, loss = (list(column) for column in zip(*trained.curve, strict=True))
    return pa.table([[arm_key] * len(step), replicate, step, loss], schema=TRAINING_CURVES.schema)
