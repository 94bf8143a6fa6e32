"""The optimiser of a run: what it is told, what it holds, and how that is put back.

What belongs here: AdamW over named tensors, its schedule, its state from a checkpoint. What does not: steps (loop.py,
stack.py), files (checkpoint.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from smc_dagster.fit.checkpoint import State

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Schedule:
    """How a run goes.

    Attributes:
        steps: of the optimiser, AdamW (Loshchilov & Hutter 2019); at least 1.
        rate: learning rate at a step, counted from 0.
        weight_decay: of matrices; vectors are spared.
        betas: of AdamW.
        clip: largest norm of a gradient.
        checkpoint_every: steps that a killed run repeats at most.
    """

    steps: int
    rate: Callable[[int], float]
    weight_decay: float
    betas: tuple[float, float]
    clip: float
    checkpoint_every: int


def owned_by(model: Any) -> dict[str, Any]:
    """What is trained of a network, by name."""
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


def adamw(owned: dict[str, Any], decayed: set[str], schedule: Schedule) -> Any:
    """AdamW over tensors.

    Args:
        decayed: names of those that weight decay is for.
    """
    import torch

    return torch.optim.AdamW(
        [
            {"params": [one for name, one in owned.items() if name in decayed], "weight_decay": schedule.weight_decay},
            {"params": [one for name, one in owned.items() if name not in decayed], "weight_decay": 0.0},
        ],
        lr=schedule.rate(0),
        betas=schedule.betas,
        fused=True,
    )


def start_of(owned: dict[str, Any]) -> State:
    """The state before the first step."""
    import torch

    # one zero seen as many: what goes on from it makes a copy
    moments = {
        f"{moment}/{name}": torch.zeros((), dtype=one.dtype, device=one.device).expand_as(one)
        for name, one in owned.items()
        for moment in MOMENTS
    }
    return State(0, [], {}, 0, {name: one.detach() for name, one in owned.items()}, moments)


def restore(optimiser: Any, owned: dict[str, Any], step: int, moment_of: Callable[[str], Any]) -> None:
    """Make an optimiser go on after `step` steps.

    All that it will ever hold is there from the start, so memory cannot run out within its step.

    Args:
        moment_of: called with `<moment>/<name>`; a tensor of its own for each.
    """
    import torch

    for name, one in owned.items():
        optimiser.state[one] = {
            "step": torch.tensor(float(step), device=one.device),
            **{moment: moment_of(f"{moment}/{name}") for moment in MOMENTS},
        }
