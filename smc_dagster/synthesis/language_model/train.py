"""Training the network, step by step, in a way that a killed run can repeat.

What belongs here: the loop, the step, the schedule of the learning rate. What does not: which texts a step takes
(batches.py), what a checkpoint is (checkpoint.py).

Each batch is cut into two shards, each worked on by one thread, and their gradients are added in one order: as fast as
two threads on one batch or faster, and the same weights, bit for bit, whatever number of threads there is. That holds
on CPUs of one kind; another kind, or a GPU, rounds differently. Dropout is off: with it, a run that goes on would need
the state of torch's generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smc_dagster.errors import ModelError
from smc_dagster.hardware import cores, has_bfloat16, one_torch_thread
from smc_dagster.study.language_model import LanguageModel
from smc_dagster.synthesis.language_model import checkpoint
from smc_dagster.synthesis.language_model.batches import IGNORED, Ints, order, padded, steps_of
from smc_dagster.synthesis.language_model.checkpoint import State
from smc_dagster.synthesis.language_model.network import device

_SHARDS = 2
_CLIP = 1.0
_CURVE_POINTS = 100
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Trained:
    """What a run did, over all its parts.

    Attributes:
        steps: of the optimiser.
        tokens: trained on, each as often as it was seen.
        curve: (step, mean loss of a token in nats).
        resumed: the step that this part of the run began at.
    """

    steps: int
    tokens: int
    curve: list[tuple[int, float]]
    resumed: int


def train(
    model: Any,
    rows: Sequence[Ints],
    end: int,
    section: LanguageModel,
    seed: int,
    work: Path,
    key: str,
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train in place, going on from the newest checkpoint below `work`.

    Args:
        rows: token ids of each text, see `batches.sequences`.
        end: id that fills up batches.
        seed: of the order of texts.
        key: what the run is made from; checkpoints of another key are left alone.
        progress: called with (steps done, steps).

    Raises:
        ModelError: the loss is not a number, or a checkpoint could not be written.
    """
    import torch

    place = device()
    model.to(place).eval()
    names = [name for name, one in model.named_parameters() if one.requires_grad]
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": [one for one in parameters if one.dim() > 1], "weight_decay": section.weight_decay},
            {"params": [one for one in parameters if one.dim() < 2], "weight_decay": 0.0},
        ],
        lr=section.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    lengths = np.array([len(one) for one in rows])
    each = math.ceil(len(rows) / section.batch)
    steps = steps_of(len(rows), section.batch, section.epochs)
    start, tokens, curve = 0, 0, []
    found = checkpoint.latest(work, key)
    if found is not None:
        start, tokens, curve = found.step, found.tokens, found.curve
        _restore(model, optimiser, dict(zip(names, parameters, strict=True)), found)
    every = max(1, steps // _CURVE_POINTS)
    workers = 1 if place.type == "cuda" else min(_SHARDS, cores())
    batches: list[Ints] = []
    with one_torch_thread(), ThreadPoolExecutor(workers, thread_name_prefix="train") as pool:
        for step in range(start, steps):
            if not batches or step % each == 0:
                batches = order(lengths, section.batch, seed, step // each)
            batch = [rows[one] for one in batches[step % each]]
            for group in optimiser.param_groups:
                group["lr"] = section.learning_rate * _rate(step, steps, section.warmup)
            loss, count = _step(model, parameters, optimiser, batch, end, pool, place)
            if not math.isfinite(loss):
                raise ModelError(
                    f"language_model: the loss is {loss} at step {step + 1} of {steps}",
                    "lower language_model.learning_rate or raise language_model.warmup; "
                    "the last checkpoint before it is kept",
                )
            tokens += count
            if (step + 1) % every == 0 or step + 1 == steps:
                curve.append((step + 1, loss))
            if (step + 1) % section.checkpoint_every == 0 or step + 1 == steps:
                checkpoint.save(work, key, _state(model, optimiser, names, parameters, step + 1, tokens, curve))
            if progress is not None:
                progress(step + 1, steps)
    return Trained(steps, tokens, curve, start)


def perplexity(model: Any, rows: Sequence[Ints], end: int, batch: int = 64) -> float:
    """exp of the mean loss of a token over texts that it was not trained on."""
    import torch

    place = next(model.parameters()).device
    total, count = 0.0, 0
    with one_torch_thread(), torch.inference_mode():
        for first in range(0, len(rows), batch):
            inputs, targets = padded(rows[first : first + batch], end)
            total += float(_loss(model, inputs, targets, place))
            count += int((targets != IGNORED).sum())
    return math.exp(total / max(1, count))


def _rate(step: int, steps: int, warmup: float) -> float:
    """Linear up over the first `warmup` of the steps, then linear down to a twentieth."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return max(0.05, (steps - step) / max(1, steps - rising))


def _loss(model: Any, inputs: Ints, targets: Ints, place: Any) -> Any:
    """Sum of the losses of all tokens, in nats."""
    import torch

    ids, wanted = torch.from_numpy(inputs).to(place), torch.from_numpy(targets).to(place)
    fast = place.type == "cuda" or has_bfloat16()
    # texts lie at the left and what fills them up is no target, so no attention mask is needed
    with torch.autocast(place.type, dtype=torch.bfloat16, enabled=fast):
        logits = model(input_ids=ids, use_cache=False).logits
    flat = wanted.reshape(-1)
    kept = flat != IGNORED
    return torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1])[kept].float(), flat[kept], reduction="sum"
    )


def _step(
    model: Any, parameters: list[Any], optimiser: Any, batch: list[Ints], end: int, pool: ThreadPoolExecutor, place: Any
) -> tuple[float, int]:
    """One step of the optimiser; returns the mean loss and the number of tokens."""
    import torch

    count = sum(len(one) - 1 for one in batch)
    # rows of a batch are of like length in ascending order: every other row makes shards of one size
    shards = [batch[first::_SHARDS] for first in range(_SHARDS) if batch[first::_SHARDS]]

    def one(shard: list[Ints]) -> tuple[float, tuple[Any, ...]]:
        with one_torch_thread():
            loss = _loss(model, *padded(shard, end), place) / count
            return float(loss.detach()), torch.autograd.grad(loss, parameters)

    results = list(pool.map(one, shards))
    for number, parameter in enumerate(parameters):
        total = results[0][1][number]
        for _, gradients in results[1:]:
            total = total + gradients[number]
        parameter.grad = total
    torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
    optimiser.step()
    return math.fsum(loss for loss, _ in results), count


def _state(
    model: Any, optimiser: Any, names: list[str], parameters: list[Any], step: int, tokens: int, curve: Any
) -> State:
    weights = {name: one.detach().cpu().contiguous() for name, one in zip(names, parameters, strict=True)}
    moments = {
        f"{moment}/{name}": optimiser.state[one][moment].cpu().contiguous()
        for name, one in zip(names, parameters, strict=True)
        for moment in _MOMENTS
    }
    return State(step, curve, tokens, weights, moments)


def _restore(model: Any, optimiser: Any, parameters: dict[str, Any], found: State) -> None:
    import torch

    with torch.no_grad():
        for name, one in parameters.items():
            one.copy_(found.weights[name])
            optimiser.state[one] = {
                "step": torch.tensor(float(found.step), device=one.device),
                **{moment: found.moments[f"{moment}/{name}"].to(one.device) for moment in _MOMENTS},
            }
