"""Training the language model: which texts a step takes, their loss, and the schedule.

What belongs here: what is particular to a causal model of short texts. What does not: the loop (fit/), the order of
texts (batches.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smc_dagster.fit.gradients import LANES, Work
from smc_dagster.fit.loop import fit
from smc_dagster.fit.optimiser import Schedule
from smc_dagster.hardware import bfloat16_pays, device, one_torch_thread
from smc_dagster.study.language_model import LanguageModel
from smc_dagster.synthesis.language_model.batches import IGNORED, Ints, order, padded, steps_of

_CURVE_POINTS = 100


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
        ModelError: see `fit.loop.fit`.
    """
    place = device()
    model.to(place).eval()
    lengths = np.array([len(one) for one in rows])
    each = math.ceil(len(rows) / section.batch)
    steps = steps_of(len(rows), section.batch, section.epochs)
    epochs: dict[int, list[Ints]] = {}

    def due(step: int, halvings: int) -> Work:
        epoch = step // each
        if epoch not in epochs:
            epochs.clear()
            epochs[epoch] = order(lengths, section.batch, seed, epoch)
        batch = [rows[one] for one in epochs[epoch][step % each]]
        count = sum(len(one) - 1 for one in batch)
        # rows of a batch are of like length in ascending order: every other row makes lanes of one size
        lanes = [_pieces(batch[first::LANES], 2**halvings) for first in range(LANES)]
        finest = all(len(piece) == 1 for lane in lanes for piece in lane)
        return Work([[(piece, count) for piece in lane] for lane in lanes], {"tokens": count}, finest)

    def loss_of(part: tuple[list[Ints], int]) -> Any:
        return _loss(model, *padded(part[0], end), place) / part[1]

    done = fit(
        model,
        due,
        loss_of,
        Schedule(
            steps,
            lambda step: section.learning_rate * _rate(step, steps, section.warmup),
            section.weight_decay,
            (0.9, 0.98),
            1.0,
            section.checkpoint_every,
        ),
        work,
        key,
        named="language_model",
        remedy="lower language_model.learning_rate or raise language_model.warmup; the last checkpoint before it is "
        "kept",
        progress=progress,
    )
    every = max(1, steps // _CURVE_POINTS)
    shown = [step for step in range(1, steps + 1) if step % every == 0 or step == steps]
    return Trained(steps, done.counts["tokens"], [(step, done.losses[step - 1]) for step in shown], done.resumed)


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


def _pieces(rows: list[Ints], number: int) -> list[list[Ints]]:
    size = max(1, math.ceil(len(rows) / number))
    return [rows[first : first + size] for first in range(0, len(rows), size)]


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
    # texts lie at the left and what fills them up is no target, so no attention mask is needed
    with torch.autocast(place.type, dtype=torch.bfloat16, enabled=bfloat16_pays(place)):
        logits = model(input_ids=ids, use_cache=False).logits
    flat = wanted.reshape(-1)
    kept = flat != IGNORED
    return torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1])[kept].float(), flat[kept], reduction="sum"
    )
