"""What training an arm costs, and whether every arm cost the same.

What belongs here: the budget that a study file asks for, and its comparison with what was counted while training. What
does not: counting (heads.py, full/run.py), formulas (head_math.py, full/flops.py), costs in time (costs.py).

Arms are compared at one budget, so that what differs between them is what they were trained on: the same steps and
examples, and as many tokens and floating-point operations as these can cost. Tokens are positions: each example is
charged as a text cut or padded to `training.max_tokens`, whatever its length. A head learns from frozen vectors, so its
operations depend on the number of examples alone. A whole network that leaves out padding spends less than it is
charged; what it spent is counted beside the budget, and differs between arms as the lengths of their texts do.
"""

from __future__ import annotations

from collections.abc import Mapping

from smc_dagster.study import Training
from smc_dagster.tables import EMBEDDING_WIDTH
from smc_dagster.training.head_math import training_flops


def budget_due(training: Training, labels: int) -> dict[str, float]:
    """The budget of one replicate of any arm.

    Args:
        labels: outputs of the network.

    Returns:
        steps; examples_seen = steps x batch; tokens_seen = examples x max_tokens; flops, see head_math.training_flops
        and full/flops.py.

    Raises:
        WeightsError: the config of the network that is trained in full is not readable.
    """
    examples = training.steps * training.batch
    return {
        "steps": float(training.steps),
        "examples_seen": float(examples),
        "tokens_seen": float(examples * training.max_tokens),
        "flops": float(_flops(training, labels, examples)),
    }


def _flops(training: Training, labels: int, examples: int) -> int:
    if training.is_full:
        from smc_dagster.training.full.base import replicate_flops

        return replicate_flops(training.model, labels, texts=examples, length=training.max_tokens)
    return training_flops(EMBEDDING_WIDTH, training.hidden, labels, steps=training.steps, batch=training.batch)


def departures(counted: Mapping[str, float], due: Mapping[str, float]) -> list[str]:
    """Where what was counted is not what is due, to the unit: one sentence a measure; none where all agree."""
    return [
        f"{name} {counted[name]:,.0f} instead of {value:,.0f}" if name in counted else f"{name} was not counted"
        for name, value in due.items()
        if counted.get(name) != value
    ]
