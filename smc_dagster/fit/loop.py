"""Training a network step by step, in a way that a killed run can repeat.

What belongs here: the loop for one network, what is done about errors. What does not: which texts a step takes and what
its loss is (the callers), the gradient of a step (gradients.py), the optimiser (optimiser.py), what a checkpoint is
(checkpoint.py), several networks as one (stack.py).

Weights come out the same, bit for bit, whatever number of threads there is and however often the run was cut. That
holds on CPUs of one kind; another kind, or a GPU, rounds differently. Dropout is off: a step draws no random number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_dagster.errors import ModelError
from smc_dagster.fit import checkpoint
from smc_dagster.fit.checkpoint import State
from smc_dagster.fit.faults import is_lost_device, is_out_of_memory, lost_device, no_memory_for_one
from smc_dagster.fit.gradients import LANES, Work, gradients
from smc_dagster.fit.optimiser import MOMENTS, Schedule, adamw, owned_by, restore, start_of
from smc_dagster.hardware import cores, on_current_stream, one_torch_thread, release_memory


@dataclass(frozen=True)
class Fitted:
    """What a run did, over all its parts.

    Attributes:
        losses: of each step, nats.
        counts: see `Work` and `StackWork`, over all steps.
        halvings: how often the micro-batch was halved for want of memory.
        resumed: steps that were done before this part of the run.
    """

    losses: list[float]
    counts: dict[str, int]
    halvings: int
    resumed: int


def fit(
    model: Any,
    work: Callable[[int, int], Work],
    loss_of: Callable[[Any], Any],
    schedule: Schedule,
    folder: Path,
    key: str,
    *,
    named: str,
    remedy: str,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Train in place, going on from the newest checkpoint in `folder`.

    Where memory runs out, micro-batches are halved and the step is taken again: the texts of a step stay the same.

    Args:
        model: on its device, in evaluation mode.
        work: called with (step from 0, halvings); must give the same for the same.
        loss_of: a micro-batch's part of the step's loss.
        key: what the run is made from; checkpoints of another key are left alone.
        named: what an error calls the run.
        remedy: what to do about a loss that is no number.
        progress: called with (steps done, steps).

    Raises:
        DeviceError: the device is gone.
        ModelError: the loss is not a number, memory does not suffice for a single text, or a checkpoint could not be
            written. The last checkpoint before that stays.
    """
    import torch

    owned = owned_by(model)
    parameters = list(owned.values())
    place = parameters[0].device
    optimiser = adamw(owned, {name for name, one in owned.items() if one.dim() > 1}, schedule)
    done = checkpoint.latest(folder, key) or start_of(owned)
    with torch.no_grad():
        for name, one in owned.items():
            one.copy_(done.weights[name])
    restore(optimiser, owned, done.step, lambda name: done.moments[name].to(place, copy=True))
    losses, counts, halvings = list(done.losses), Counter(done.counts), done.halvings
    workers = 1 if place.type == "cuda" else min(LANES, cores())
    lanes = ThreadPoolExecutor(workers, thread_name_prefix="fit", initializer=on_current_stream(place))
    with one_torch_thread(), lanes as pool:
        step = done.step
        while step < schedule.steps:
            due, at = work(step, halvings), f"{named}, step {step + 1} of {schedule.steps}"
            try:
                loss, found = gradients(due.lanes, loss_of, parameters, pool)
                # fused AdamW reads weights and gradients by their place in memory
                found = [one.contiguous() for one in found]
            except (MemoryError, RuntimeError) as error:
                if is_out_of_memory(error):
                    if due.finest:
                        raise no_memory_for_one(at) from error
                    halvings += 1
                    release_memory(place)
                    continue
                if is_lost_device(error):
                    raise lost_device(at, place, error) from error
                raise
            if not math.isfinite(loss):
                raise ModelError(f"{named}: the loss is {loss} at step {step + 1} of {schedule.steps}", remedy)
            for parameter, gradient in zip(parameters, found, strict=True):
                parameter.grad = gradient
            torch.nn.utils.clip_grad_norm_(parameters, schedule.clip)
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step)
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss)
            counts.update(due.counts)
            step += 1
            if step % schedule.checkpoint_every == 0 or step == schedule.steps:
                try:
                    state = _state(optimiser, owned, losses, counts, halvings)
                except RuntimeError as error:
                    # what a GPU met in the step is told by the first that reads from it
                    if is_lost_device(error):
                        raise lost_device(at, place, error) from error
                    raise
                checkpoint.save(folder, key, state)
            if progress is not None:
                progress(step, schedule.steps)
    return Fitted(losses, dict(counts), halvings, done.step)


def _state(optimiser: Any, owned: dict[str, Any], losses: list[float], counts: dict[str, int], halvings: int) -> State:
    weights = {name: one.detach().cpu().contiguous() for name, one in owned.items()}
    moments = {
        f"{moment}/{name}": optimiser.state[one][moment].cpu().contiguous()
        for name, one in owned.items()
        for moment in MOMENTS
    }
    return State(len(losses), list(losses), dict(counts), halvings, weights, moments)
