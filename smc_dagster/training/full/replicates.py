"""Training replicates: one by itself, or several as a stack.

What belongs here: what a step takes and what its loss is, for either; what is told of a replicate. What does not: the
loops (fit/), which replicates are trained together (run.py), the job's form (job.py), the trained folder (outputs.py).
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smc_dagster.errors import ModelError
from smc_dagster.fit.gradients import LANES, Work
from smc_dagster.fit.loop import Fitted, fit
from smc_dagster.fit.optimiser import Schedule
from smc_dagster.fit.stack import Member, StackWork, fit_stack
from smc_dagster.hardware import cores, gpu_memory_peak, memory_peak, own_stream, release_memory
from smc_dagster.training.full import network, outputs
from smc_dagster.training.full.flops import Cost, cost_of
from smc_dagster.training.full.job import BASE, ArmJob, Job, Tokens
from smc_dagster.training.full.pieces import lanes_of, stack_pieces
from smc_dagster.training.full.spread import Progress
from smc_dagster.training.head_math import rate_factor

Texts = list[np.ndarray]


@dataclass(frozen=True)
class Replicate:
    """One replicate of an arm of a job.

    Attributes:
        work: folder of its checkpoints.
        target: folder that it is written to when it is trained.
    """

    job: Job
    arm: ArmJob
    number: int
    work: Path
    target: Path

    @property
    def named(self) -> str:
        """What an error calls its training."""
        return f"training of arm `{self.arm.key}`, replicate {self.number}"

    @property
    def remedy(self) -> str:
        """What to do about a loss or weights that are no numbers."""
        return f"lower training.learning_rate (it is {self.job.settings.learning_rate:g})"

    def begin(self) -> Any:
        """The network as it starts: by (study's seed, replicate) only, so every arm starts alike."""
        settings = self.job.settings
        digest = hashlib.sha256(f"initial network\x1f{settings.seed}\x1f{self.number}".encode()).digest()
        seed = int.from_bytes(digest[:8], "little") >> 1
        return network.begin(
            self.job.folder / BASE, self.job.labels, seed, scratch=settings.scratch, padding=settings.padding
        )

    def teller(self, progress: Progress | None) -> Callable[[int, int], None] | None:
        """Its own part of `progress`, called with (steps done, steps)."""
        return None if progress is None else lambda done, total: progress(self.arm.key, self.number, done, total)


def train_one(one: Replicate, place: Any, progress: Progress | None) -> None:
    """Train a replicate by itself and write it; on a GPU on a stream of its own.

    Raises:
        DeviceError, ModelError: see `fit.loop.fit`; or weights are no numbers, or cannot be written.
    """
    started = time.perf_counter()
    model = one.begin()
    cost = cost_of(model)
    with own_stream(place):
        model.to(place)
        fitted = _fit(one, model, place, one.teller(progress))
        _keep(one, model, fitted, cost, place, time.perf_counter() - started, min(LANES, cores()))
    # what was kept for this stream no other could use
    release_memory(place)


def train_stack(group: Sequence[Replicate], place: Any, progress: Progress | None) -> list[ModelError | None]:
    """Train replicates of one job as a stack and write them.

    Returns:
        of each None, or why it failed.

    Raises:
        DeviceError: see `fit.stack.fit_stack`.
    """
    started = time.perf_counter()
    job = group[0].job
    models = [one.begin() for one in group]
    cost, called = cost_of(models[0]), network.StackCall(models[0], place)
    orders = [job.order(one.arm, one.number) for one in group]
    tokens = Tokens(job)

    def due(step: int, halvings: int, numbers: Sequence[int]) -> StackWork:
        texts = [tokens.take(np.asarray(orders[number][0][step])) for number in numbers]
        wanted = [np.asarray(orders[number][1][step], dtype=np.int64) for number in numbers]
        lengths = [[len(text) for text in own] for own in texts]
        pieces = stack_pieces(lengths, place.type, halvings)
        parts = [
            (
                [[own[at] for at in places] for own, places in zip(texts, piece, strict=True)],
                np.stack([own[places] for own, places in zip(wanted, piece, strict=True)]),
            )
            for piece in pieces
        ]
        # all members are filled up to the longest text of any
        longest = [
            (len(piece[0]), max(own[at] for own, places in zip(lengths, piece, strict=True) for at in places))
            for piece in pieces
        ]
        counts = [_counts(own, longest) for own in lengths]
        return StackWork(parts, counts, all(size == 1 for size, _ in longest))

    def loss_of(owned: dict[str, Any], part: tuple[list[Texts], np.ndarray]) -> Any:
        import torch

        texts, wanted = part
        length = max(len(text) for own in texts for text in own)
        filled = [_filled(own, job.settings.padding, length) for own in texts]
        z = called.logits(owned, np.stack([ids for ids, _ in filled]), np.stack([mask for _, mask in filled]))
        target = torch.from_numpy(wanted).to(place)
        each = torch.nn.functional.cross_entropy(
            z.flatten(0, 1), target.flatten(), reduction="none", label_smoothing=job.settings.label_smoothing
        )
        return each.view(target.shape).sum(dim=1) / job.settings.batch

    members = [
        Member(model, one.work, one.arm.digest, one.named, one.remedy, one.teller(progress))
        for one, model in zip(group, models, strict=True)
    ]
    fitted = fit_stack(members, due, loss_of, _schedule(job), place, spared=called.spared)
    seconds = time.perf_counter() - started
    # those that took more of the steps, as they had no checkpoint, have more of the time
    taken = sum(len(result.losses) - result.resumed for result in fitted if isinstance(result, Fitted))
    failed: list[ModelError | None] = []
    for one, model, result in zip(group, models, fitted, strict=True):
        try:
            if isinstance(result, ModelError):
                raise result
            own = seconds * (len(result.losses) - result.resumed) / max(1, taken)
            _keep(one, model, result, cost, place, own, 1)
            failed.append(None)
        except ModelError as error:
            failed.append(error)
    return failed


def _fit(one: Replicate, model: Any, place: Any, progress: Callable[[int, int], None] | None) -> Fitted:
    import torch

    job, tokens = one.job, Tokens(one.job)
    rows, codes = job.order(one.arm, one.number)

    def due(step: int, halvings: int) -> Work:
        texts, wanted = tokens.take(np.asarray(rows[step])), np.asarray(codes[step], dtype=np.int64)
        lengths = [len(text) for text in texts]
        lanes = lanes_of(lengths, place.type, halvings)
        longest = [(len(piece), max(lengths[at] for at in piece)) for lane in lanes for piece in lane]
        parts = [[([texts[at] for at in piece], wanted[piece]) for piece in lane] for lane in lanes]
        return Work(parts, _counts(lengths, longest), all(size == 1 for size, _ in longest))

    def loss_of(part: tuple[Texts, np.ndarray]) -> Any:
        texts, wanted = part
        found = network.logits(model, *_filled(texts, job.settings.padding, max(map(len, texts))))
        target = torch.from_numpy(wanted).to(place)
        total = torch.nn.functional.cross_entropy(
            found, target, reduction="sum", label_smoothing=job.settings.label_smoothing
        )
        return total / job.settings.batch

    return fit(
        model,
        due,
        loss_of,
        _schedule(job),
        one.work,
        one.arm.digest,
        named=one.named,
        remedy=one.remedy,
        progress=progress,
    )


def _schedule(job: Job) -> Schedule:
    settings = job.settings
    return Schedule(
        settings.steps,
        lambda step: settings.learning_rate * rate_factor(step, settings.steps, settings.warmup),
        settings.weight_decay,
        (0.9, 0.999),
        1.0,
        settings.checkpoint_every,
    )


def _counts(lengths: Sequence[int], longest: Sequence[tuple[int, int]]) -> dict[str, int]:
    """What a step counts of texts in micro-batches of (texts, longest)."""
    return {
        "examples": len(lengths),
        "text_tokens": sum(lengths),
        "positions": sum(size * length for size, length in longest),
        "squares": sum(size * length**2 for size, length in longest),
    }


def _filled(texts: Texts, padding: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids filled up to a length, and mask, int64 [texts, length]."""
    mask = np.arange(length) < np.array([len(one) for one in texts])[:, None]
    ids = np.full(mask.shape, padding, dtype=np.int64)
    ids[mask] = np.concatenate(texts)
    return ids, mask.astype(np.int64)


def _keep(one: Replicate, model: Any, fitted: Fitted, cost: Cost, place: Any, seconds: float, threads: int) -> None:
    _check_weights(model, one)
    outputs.write(model, one.job, one.target, _record(one, fitted, cost, place, seconds, threads))
    shutil.rmtree(one.work, ignore_errors=True)


def _record(one: Replicate, fitted: Fitted, cost: Cost, place: Any, seconds: float, threads: int) -> dict[str, Any]:
    """What is told of a replicate: the budget as charged and as spent, and how it went.

    Args:
        seconds: of this part of the run.
        threads: of a CPU, at a time.
    """
    counts, steps = fitted.counts, len(fitted.losses)
    examples, longest = counts["examples"], one.job.settings.max_tokens
    # of a run that was cut, the last part tells the time of a step
    seconds *= steps / max(1, steps - fitted.resumed)
    return {
        "arm": one.arm.key,
        "digest": one.arm.digest,
        "replicate": one.number,
        "losses": fitted.losses,
        "budget": {
            "steps": steps,
            "examples_seen": examples,
            "tokens_seen": examples * longest,
            "flops": cost.training(examples, examples * longest, examples * longest**2),
            "text_tokens": counts["text_tokens"],
            "flops_spent": cost.training(examples, counts["positions"], counts["squares"]),
        },
        "seconds": seconds,
        "threads": 1 if place.type == "cuda" else threads,
        "device": str(place),
        "memory_peak_bytes": memory_peak(),
        "gpu_memory_peak_bytes": gpu_memory_peak(place),
        "halvings": fitted.halvings,
        "resumed_at_step": fitted.resumed,
    }


def _check_weights(model: Any, one: Replicate) -> None:
    import torch

    bad = next((name for name, some in model.named_parameters() if not bool(torch.isfinite(some).all())), None)
    if bad is not None:
        raise ModelError(f"{one.named}: {bad} holds a number that is not finite", one.remedy)
