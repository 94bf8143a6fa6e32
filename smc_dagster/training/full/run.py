"""Running a job: every replicate of its arms, each from its last checkpoint on.

What belongs here: one replicate's training, and several beside each other. What does not: the loop (fit/), the job's
form (job.py), the lake (store.py).

A replicate that is done lies in `out/` as a folder that transformers reads, with `training.json` beside the weights. An
arm that fails leaves the others alone; its checkpoints stay, and the next run goes on from them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

from smc_dagster.errors import DeviceError, ModelError, SmcError
from smc_dagster.fit.gradients import LANES, Work
from smc_dagster.fit.loop import Fitted, Schedule, fit
from smc_dagster.hardware import cores, device
from smc_dagster.training.full import network
from smc_dagster.training.full.flops import Cost, cost_of
from smc_dagster.training.full.job import BASE, ArmJob, Job, Tokens
from smc_dagster.training.full.pieces import lanes_of
from smc_dagster.training.head_math import rate_factor

RECORD = "training.json"
Progress = Callable[[str, int, int, int], None]
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def run(
    job: Job,
    work: Path,
    out: Path,
    *,
    on_arm: Callable[[ArmJob], None] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Train what is not done; replicates beside each other where there are cores, one after the other on a GPU.

    Args:
        work: checkpoints are below it.
        out: trained networks are below it.
        on_arm: called in the calling thread with each arm that is done, as soon as it is.
        workers: replicates at a time; without it, one for each two cores, or one on a GPU.
        progress: called with (arm key, replicate, steps done, steps), in the workers' threads.

    Raises:
        DeviceError: the device is gone; nothing further was tried.
        ModelError: arms failed, all of them named; the others are done.
        WeightsError, LakeError: base or job are not readable.
    """
    place = device()
    at_once = workers or (1 if place.type == "cuda" else max(1, cores() // LANES))
    left = {arm.key: set(job.replicates) for arm in job.arms}
    failed: dict[str, SmcError] = {}
    waiting = iter([(arm, replicate) for arm in job.arms for replicate in job.replicates])
    running: dict[Future[None], tuple[ArmJob, int]] = {}

    def start_next() -> None:
        for arm, replicate in waiting:
            if arm.key not in failed:
                running[pool.submit(_replicate, job, arm, replicate, work, out, place, progress)] = arm, replicate
                return

    for arm in job.arms:
        _clear(out / arm.slug, job, arm)
    with ThreadPoolExecutor(at_once, thread_name_prefix="train") as pool:
        for _ in range(at_once):
            start_next()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                arm, replicate = running.pop(future)
                try:
                    future.result()
                except DeviceError:
                    raise
                except ModelError as error:
                    failed.setdefault(arm.key, error)
                else:
                    left[arm.key].discard(replicate)
                    if not left[arm.key] and on_arm is not None:
                        on_arm(arm)
                start_next()
    if failed:
        said = "; ".join(f"{error.problem} ({error.remedy})" for error in failed.values())
        raise ModelError(
            f"{len(failed)} of {len(job.arms)} arms failed, the others are done: {said}",
            "mend what is named and run again: each goes on from its last checkpoint",
        )


def _replicate(
    job: Job, arm: ArmJob, replicate: int, work: Path, out: Path, place: Any, progress: Progress | None
) -> None:
    target = out / arm.slug / f"replicate={replicate}"
    if is_done(target, arm):
        return
    started = time.perf_counter()
    settings = job.settings
    seed = _seed(settings.seed, replicate)
    model = network.begin(job.folder / BASE, job.labels, seed, scratch=settings.scratch, padding=settings.padding)
    cost = cost_of(model)
    model.to(place)
    checkpoints = work / arm.slug / f"replicate={replicate}"
    tell = None if progress is None else _teller(progress, arm.key, replicate)
    named = f"training of arm `{arm.key}`, replicate {replicate}"
    fitted = _fit(job, arm, replicate, model, place, checkpoints, named, tell)
    seconds = time.perf_counter() - started
    _check_weights(model, named, settings.learning_rate)
    _write(model, job, target, _record(arm, replicate, fitted, cost, job, place, seconds))
    shutil.rmtree(checkpoints, ignore_errors=True)


def _fit(
    job: Job,
    arm: ArmJob,
    replicate: int,
    model: Any,
    place: Any,
    folder: Path,
    named: str,
    progress: Callable[[int, int], None] | None,
) -> Fitted:
    import torch

    settings, tokens = job.settings, Tokens(job)
    rows, codes = job.order(arm, replicate)

    def due(step: int, halvings: int) -> Work:
        texts, wanted = tokens.take(np.asarray(rows[step])), np.asarray(codes[step], dtype=np.int64)
        lengths = [len(one) for one in texts]
        lanes = lanes_of(lengths, place.type, halvings)
        longest = [(len(piece), max(lengths[at] for at in piece)) for lane in lanes for piece in lane]
        counts = {
            "examples": len(texts),
            "text_tokens": sum(lengths),
            "positions": sum(size * length for size, length in longest),
            "squares": sum(size * length**2 for size, length in longest),
        }
        parts = [[([texts[at] for at in piece], wanted[piece]) for piece in lane] for lane in lanes]
        return Work(parts, counts, all(size == 1 for size, _ in longest))

    def loss_of(part: tuple[list[np.ndarray], np.ndarray]) -> Any:
        texts, wanted = part
        mask = np.arange(max(map(len, texts))) < np.array([len(one) for one in texts])[:, None]
        ids = np.full(mask.shape, settings.padding, dtype=np.int64)
        ids[mask] = np.concatenate(texts)
        found = network.logits(model, ids, mask.astype(np.int64))
        target = torch.from_numpy(wanted).to(place)
        return torch.nn.functional.cross_entropy(found, target, reduction="sum") / settings.batch

    schedule = Schedule(
        settings.steps,
        lambda step: settings.learning_rate * rate_factor(step, settings.steps, settings.warmup),
        settings.weight_decay,
        (0.9, 0.999),
        1.0,
        settings.checkpoint_every,
    )
    remedy = f"lower training.learning_rate (it is {settings.learning_rate:g})"
    return fit(model, due, loss_of, schedule, folder, arm.digest, named=named, remedy=remedy, progress=progress)


def _record(
    arm: ArmJob, replicate: int, fitted: Fitted, cost: Cost, job: Job, place: Any, seconds: float
) -> dict[str, Any]:
    """What is told of a replicate: the budget as charged and as spent, and how it went."""
    counts, steps = fitted.counts, len(fitted.losses)
    examples, longest = counts["examples"], job.settings.max_tokens
    # of a run that was cut, the last part tells the time of a step
    seconds *= steps / max(1, steps - fitted.resumed)
    return {
        "arm": arm.key,
        "digest": arm.digest,
        "replicate": replicate,
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
        "threads": 1 if place.type == "cuda" else min(LANES, cores()),
        "device": str(place),
        "halvings": fitted.halvings,
        "resumed_at_step": fitted.resumed,
    }


def _write(model: Any, job: Job, target: Path, record: dict[str, Any]) -> None:
    hidden = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        model.cpu().save_pretrained(hidden, safe_serialization=True)
        for name in _TOKENIZER:
            if (job.folder / BASE / name).is_file():
                shutil.copyfile(job.folder / BASE / name, hidden / name)
        (hidden / RECORD).write_text(json.dumps(record), encoding="utf-8")
        for one in hidden.iterdir():
            with open(one, "rb+") as file:
                os.fsync(file.fileno())
        shutil.rmtree(target, ignore_errors=True)
        os.rename(hidden, target)
    except OSError as error:
        shutil.rmtree(hidden, ignore_errors=True)
        raise ModelError(
            f"{target}: the trained network could not be written: {error.strerror or error}",
            "free some space and run again: the training itself is not repeated",
        ) from error
    for old in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(old, ignore_errors=True)


def is_done(target: Path, arm: ArmJob) -> bool:
    """Whether a replicate's folder holds what its arm is due now."""
    try:
        return bool(json.loads((target / RECORD).read_text(encoding="utf-8"))["digest"] == arm.digest)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _clear(folder: Path, job: Job, arm: ArmJob) -> None:
    """Remove what an earlier form of the arm left, so that its folder holds the replicates that are due alone."""
    due = {f"replicate={one}" for one in job.replicates}
    for found in folder.iterdir() if folder.is_dir() else ():
        if found.name not in due or not is_done(found, arm):
            shutil.rmtree(found, ignore_errors=True)


def _check_weights(model: Any, named: str, rate: float) -> None:
    import torch

    bad = next((name for name, one in model.named_parameters() if not bool(torch.isfinite(one).all())), None)
    if bad is not None:
        raise ModelError(
            f"{named}: {bad} holds a number that is not finite", f"lower training.learning_rate (it is {rate:g})"
        )


def _seed(seed: int, replicate: int) -> int:
    """Of the initial weights: from (seed, replicate) only, so that every arm starts alike."""
    digest = hashlib.sha256(f"initial network\x1f{seed}\x1f{replicate}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _teller(progress: Progress, key: str, replicate: int) -> Callable[[int, int], None]:
    return lambda done, total: progress(key, replicate, done, total)
