"""What is told of an arm that is trained, whatever was trained of it.

What belongs here: one view of heads (checkpoints.py) and of whole networks (full/store.py). What does not: weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from smc_dagster.errors import LakeError
from smc_dagster.lake import Lake
from smc_dagster.study import Training
from smc_dagster.training import checkpoints
from smc_dagster.training.full import store


@dataclass(frozen=True)
class Described:
    """What is told of an arm.

    Attributes:
        replicates: numbers, ascending.
        labels: outputs, in order.
        budget: of one replicate.
    """

    replicates: list[int]
    labels: list[str]
    budget: dict[str, float]


def described(lake: Lake, training: Training, arm_key: str, expect: str) -> Described:
    """What is told of a stored arm.

    Args:
        expect: digest that it must have been made from.

    Raises:
        StaleInputError, LakeError: it is missing, made from other inputs, or damaged.
    """
    load = store.described if training.is_full else checkpoints.load
    found = load(lake, arm_key, expect)
    return Described(found.replicates, found.labels, found.budget)


def time_taken(lake: Lake, training: Training, arm_key: str) -> tuple[float, float] | None:
    """Seconds of one core that an arm took to train, whatever it was made from, and FLOPs of all its replicates.

    None: it was not trained, or it is not told. A damaged file tells nothing.
    """
    if not training.is_full:
        return checkpoints.time_taken(lake, arm_key)
    try:
        arm = store.described(lake, arm_key, None)
        return arm.seconds, arm.budget["flops"] * len(arm.replicates)
    except (LakeError, KeyError):
        return None
