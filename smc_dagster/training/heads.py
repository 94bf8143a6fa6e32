"""Training a head on frozen vectors at a fixed budget, and the heads of an arm together.

What belongs here: batches to a trained head, heads to a trained arm. What does not: the arithmetic of a step
(head_math.py), the order of rows (order.py), several heads at once (arms.py), storing (checkpoints.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from smc_dagster.errors import SmcError
from smc_dagster.hardware import one_torch_thread
from smc_dagster.study import Training
from smc_dagster.tables import EMBEDDING_WIDTH
from smc_dagster.training.curves import curve_points
from smc_dagster.training.head_math import PARAMETERS, gradients, initial_parameters, rate_factor, training_flops
from smc_dagster.training.order import ArmBatches


@dataclass(frozen=True)
class TrainedArm:
    """The heads of an arm.

    Attributes:
        weights: by name (head_math.PARAMETERS), float32, stacked over replicates: [R, ...].
        replicates: [R] numbers of the replicates, ascending.
        curve: (replicate, step, loss): mean loss over the 10 steps that end with `step` (from 1), nats.
        budget: of each replicate, as counted: `steps`, `examples_seen` (rows, repeats counted), `tokens_seen`
            (positions, see compute.py), `flops`.
        seconds: how long training took, of one core, all replicates together.
    """

    weights: dict[str, np.ndarray]
    replicates: list[int]
    curve: list[tuple[int, int, float]] = field(repr=False)
    budget: dict[str, float]
    seconds: float | None = None


@dataclass(frozen=True)
class Head:
    """One trained head.

    Attributes:
        weights: by name, see head_math.PARAMETERS.
        losses: [steps] of each batch, nats.
        examples: rows seen, repeats counted.
        seconds: how long training took; it had one core.
    """

    weights: dict[str, np.ndarray]
    losses: np.ndarray
    examples: int
    seconds: float


def train_head(
    batches: ArmBatches,
    place: int,
    vectors: np.ndarray,
    labels: int,
    training: Training,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Head:
    """Train one replicate of an arm: AdamW (Loshchilov & Hutter 2019), exactly `steps` batches of `batch` rows each.

    The numbers depend on the replicate's batches, the seed and the replicate's number; not on threads, or on what
    trains beside it. A row's `weight` has done its work in sampling and does not enter the loss. Weight decay spares
    the biases.

    Args:
        batches: of the arm.
        place: of the replicate among those of the arm.
        vectors: [n, width] of the documents that the batches count.
        labels: how many outputs.
        training: sizes, budget, schedule.
        seed: the study's.
        progress: called with (steps done, steps).

    Raises:
        SmcError: the loss is not a number.
    """
    import torch

    started = time.perf_counter()
    number = batches.replicates[place]
    rows, codes = (torch.from_numpy(side[:, place]) for side in (batches.rows, batches.codes))
    start = initial_parameters(EMBEDDING_WIDTH, training.hidden, labels, seed=seed, replicate=number)
    parameters = {name: torch.from_numpy(start[name]) for name in PARAMETERS}
    slopes = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for name, value in parameters.items():
        value.grad = slopes[name]
    groups = [
        {"params": [v for k, v in parameters.items() if k.endswith("weight")], "weight_decay": training.weight_decay},
        {"params": [v for k, v in parameters.items() if k.endswith("bias")], "weight_decay": 0.0},
    ]
    # fused: one pass over the parameters a step, which is bound by memory
    optimiser = torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)
    matrix = torch.from_numpy(vectors)
    losses = torch.empty(training.steps)
    examples = 0
    with one_torch_thread(), torch.no_grad():
        for step in range(training.steps):
            x = matrix.index_select(0, rows[step])
            losses[step] = gradients(parameters, x, codes[step], slopes)
            for group in optimiser.param_groups:
                group["lr"] = training.learning_rate * rate_factor(step, training.steps, training.warmup)
            optimiser.step()
            examples += len(x)
            if progress is not None and ((step + 1) % 50 == 0 or step + 1 == training.steps):
                progress(step + 1, training.steps)
    weights = {name: value.numpy() for name, value in parameters.items()}
    _check_finite(losses.numpy(), weights, f"arm `{batches.arm}`, replicate {number}", training)
    return Head(weights, losses.numpy(), examples, time.perf_counter() - started)


def joined(heads: list[Head], replicates: list[int], max_tokens: int) -> TrainedArm:
    """The heads of an arm, in the order of its replicates.

    Args:
        max_tokens: what an example is charged as, see compute.py.
    """
    weights = {name: np.stack([head.weights[name] for head in heads]) for name in PARAMETERS}
    losses = np.stack([head.losses for head in heads], axis=1)
    steps, examples = len(losses), heads[0].examples
    return TrainedArm(
        weights=weights,
        replicates=replicates,
        curve=curve_points(losses, replicates),
        budget={
            "steps": float(steps),
            "examples_seen": float(examples),
            "tokens_seen": float(examples * max_tokens),
            "flops": float(training_flops(*_sizes(weights), steps=1, batch=examples)),
        },
        seconds=sum(head.seconds for head in heads),
    )


def _sizes(weights: dict[str, np.ndarray]) -> tuple[int, int, int]:
    """Inputs, hidden units and outputs of the heads that were trained."""
    width, hidden = weights["hidden.weight"].shape[1:]
    return int(width), int(hidden), int(weights["output.weight"].shape[2])


def _check_finite(losses: np.ndarray, weights: dict[str, np.ndarray], named: str, training: Training) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad) or not all(np.isfinite(value).all() for value in weights.values()):
        step = int(bad[0]) + 1 if len(bad) else training.steps
        raise SmcError(
            f"training of {named}: the loss is not a finite number from step {step} on",
            f"lower training.learning_rate (it is {training.learning_rate:g}), and check the embeddings",
        )
