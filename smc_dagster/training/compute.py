"""What training an arm costs, and whether every arm cost the same.

What belongs here: the budget that a study file asks for, and its comparison with what was counted while training. What
does not: counting (heads.py), costs in time (costs.py).

Arms are compared at one budget, so that what differs between them is what they were trained on. A head learns from
frozen vectors, so its floating-point operations depend on the number of examples alone. Tokens are positions: each
example is a text cut or padded to `training.max_tokens`, whatever its length, as an encoder that is fed in batches
computes on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from smc_dagster.study import Training
from smc_dagster.tables import EMBEDDING_WIDTH
from smc_dagster.training.head_math import training_flops


def budget_due(training: Training, labels: int) -> dict[str, float]:
    """The budget of one replicate of any arm.

    Args:
        labels: outputs of the head.

    Returns:
        steps; examples_seen = steps x batch; tokens_seen = examples x max_tokens; flops, see head_math.training_flops.
    """
    examples = training.steps * training.batch
    return {
        "steps": float(training.steps),
        "examples_seen": float(examples),
        "tokens_seen": float(examples * training.max_tokens),
        "flops": float(
            training_flops(EMBEDDING_WIDTH, training.hidden, labels, steps=training.steps, batch=training.batch)
        ),
    }


def departures(counted: Mapping[str, float], due: Mapping[str, float]) -> list[str]:
    """Where what was counted is not what is due, to the unit: one sentence a measure; none where all agree."""
    return [
        f"{name} {counted[name]:,.0f} instead of {value:,.0f}" if name in counted else f"{name} was not counted"
        for name, value in due.items()
        if counted.get(name) != value
    ]
