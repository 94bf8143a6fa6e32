"""Training the heads of one arm: every replicate, on frozen vectors, at a fixed budget.

What belongs here: a mixture to trained heads. What does not: the arithmetic of a step (head_math.py), the order of rows
(order.py), several arms at once (arms.py), storing (checkpoints.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from smc_dagster.errors import SmcError
from smc_dagster.hardware import one_torch_thread
from smc_dagster.study import Training
from smc_dagster.tables import EMBEDDING_WIDTH
from smc_dagster.training.curves import curve_points
from smc_dagster.training.head_math import PARAMETERS, gradients, initial_parameters, rate_factor, training_flops
from smc_dagster.training.order import ArmBatches, arm_batches
from smc_dagster.training.vectors import Vectors


@dataclass(frozen=True)
class TrainedArm:
    """The heads of an arm.

    Attributes:
        weights: by name (head_math.PARAMETERS), float32, stacked over replicates: [R, ...].
        replicates: [R] numbers of the replicates, ascending.
        curve: (replicate, step, loss): mean loss over the 10 steps that end with `step` (from 1), nats.
        budget: of each replicate, as counted: `steps`, `examples_seen` (rows, repeats counted), `tokens_seen`
            (positions, see compute.py), `flops`.
        seconds: how long training took; it had one core.
    """

    weights: dict[str, np.ndarray]
    replicates: list[int]
    curve: list[tuple[int, int, float]] = field(repr=False)
    budget: dict[str, float]
    seconds: float | None = None


def train_arm(
    mixture: pa.Table,
    vectors: Vectors,
    labels: list[str],
    training: Training,
    seed: int,
    replicates: int,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedArm:
    """Train every replicate of an arm: AdamW (Loshchilov & Hutter 2019), exactly `steps` batches of `batch` rows each.

    The numbers depend on the arm's rows, the seed and the replicates' numbers; not on the order of rows, on threads, or
    on what trains beside it. A row's `weight` has done its work in sampling and does not enter the loss. Weight decay
    spares the biases.

    Args:
        mixture: MIXTURE_DOCUMENTS of one arm.
        vectors: of every document of the mixture.
        labels: the head's outputs, in order.
        training: sizes, budget, schedule.
        seed: the study's.
        replicates: how many the mixture must hold.
        progress: called with (steps done, steps).

    Raises:
        StaleInputError: replicates, labels or vectors are missing, or a slot is filled twice.
        SmcError: the loss is not a number.
    """
    started = time.perf_counter()
    batches = arm_batches(mixture, vectors.rows, labels, training, seed, replicates)
    with one_torch_thread():
        trained = _train(batches, vectors.matrix, len(labels), training, seed, progress)
    return replace(trained, seconds=time.perf_counter() - started)


def _train(
    batches: ArmBatches,
    vectors: np.ndarray,
    labels: int,
    training: Training,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> TrainedArm:
    import torch

    numbers = batches.replicates
    rows, targets = torch.from_numpy(batches.rows), torch.from_numpy(batches.codes)
    starts = [
        initial_parameters(EMBEDDING_WIDTH, training.hidden, labels, seed=seed, replicate=number) for number in numbers
    ]
    parameters = {name: torch.from_numpy(np.stack([start[name] for start in starts])) for name in PARAMETERS}
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
    losses = torch.empty((training.steps, len(numbers)))
    steps = examples = 0
    shape = (len(numbers), training.batch, EMBEDDING_WIDTH)
    with torch.no_grad():
        for step in range(training.steps):
            x = matrix.index_select(0, rows[step].reshape(-1)).view(shape)
            losses[step] = gradients(parameters, x, targets[step], slopes)
            for group in optimiser.param_groups:
                group["lr"] = training.learning_rate * rate_factor(step, training.steps, training.warmup)
            optimiser.step()
            steps, examples = steps + 1, examples + x.shape[1]
            if progress is not None and ((step + 1) % 50 == 0 or step + 1 == training.steps):
                progress(step + 1, training.steps)
    weights = {name: value.numpy() for name, value in parameters.items()}
    _check_finite(losses.numpy(), weights, batches, training)
    return TrainedArm(
        weights=weights,
        replicates=numbers,
        curve=curve_points(losses.numpy(), numbers),
        budget={
            "steps": float(steps),
            "examples_seen": float(examples),
            "tokens_seen": float(examples * training.max_tokens),
            "flops": float(training_flops(*_sizes(weights), steps=1, batch=examples)),
        },
    )


def _sizes(weights: dict[str, np.ndarray]) -> tuple[int, int, int]:
    """Inputs, hidden units and outputs of the heads that were trained."""
    width, hidden = weights["hidden.weight"].shape[1:]
    return int(width), int(hidden), int(weights["output.weight"].shape[2])


def _check_finite(losses: np.ndarray, weights: dict[str, np.ndarray], batches: ArmBatches, training: Training) -> None:
    for place, number in enumerate(batches.replicates):
        bad = np.flatnonzero(~np.isfinite(losses[:, place]))
        if len(bad) or not all(np.isfinite(value[place]).all() for value in weights.values()):
            step = int(bad[0]) + 1 if len(bad) else training.steps
            raise SmcError(
                f"training of arm `{batches.arm}`, replicate {number}: "
                f"the loss is not a finite number from step {step} on",
                f"lower training.learning_rate (it is {training.learning_rate:g}), and check the embeddings",
            )
