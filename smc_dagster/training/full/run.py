"""Running a job: every replicate of its arms, each from its last checkpoint on.

What belongs here: which replicates are trained together, and what a failure of one means for the others. What does not:
training them (replicates.py), several processes (spread.py), the trained folders (outputs.py), the lake (store.py).

An arm that fails leaves the others alone; its checkpoints stay, and the next run goes on from them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from smc_dagster.errors import DeviceError, ModelError
from smc_dagster.fit.gradients import LANES
from smc_dagster.hardware import cores, device, free_gpu_memory, free_memory
from smc_dagster.training.full import outputs
from smc_dagster.training.full.job import ArmJob, Job
from smc_dagster.training.full.network import can_stack
from smc_dagster.training.full.replicates import Replicate, train_one, train_stack
from smc_dagster.training.full.spread import ALONE, Part, Progress

# of what is free, the part that a stack may take; the rest is for texts, for sums of gradients, and for others
_SHARE = 0.5
# bytes of a parameter: weight, gradient, and both moments of AdamW, float32; on disk the trained weight beside a
# checkpoint of weight and moments; in memory the network beside what a checkpoint holds
_BYTES = 16


def run(
    job: Job,
    work: Path,
    out: Path,
    *,
    on_arm: Callable[[ArmJob], None] | None = None,
    workers: int | None = None,
    stack: int | None = None,
    progress: Progress | None = None,
    part: Part = ALONE,
) -> None:
    """Train what is not done.

    On a GPU replicates are stacked where the network can be, else they go one after the other; on a CPU they go beside
    each other where there are cores.

    Args:
        work: checkpoints are below it.
        out: trained networks are below it.
        on_arm: called in the calling thread with each arm that is done, as soon as it is.
        workers: replicates beside each other, not stacked; without it, one for each two cores, or one on a GPU.
        stack: replicates of a stack; without it and `workers`, as many as memory holds on a GPU, and 1 on a CPU.
        progress: called with (arm key, replicate, steps done, steps), in the workers' threads.
        part: which of the replicates are this process's.

    Raises:
        DeviceError: the device is gone; nothing further was tried.
        ModelError: arms failed, all of them named; the others are done.
        WeightsError, LakeError: base or job are not readable.
    """
    place = device()
    due = part.of([(arm, number) for arm in job.arms for number in job.replicates])
    for arm in job.arms:
        outputs.clear(out, job, arm, [number for one, number in due if one == arm])
    own = [
        Replicate(
            job,
            arm,
            number,
            work / arm.slug / f"replicate={number}",
            outputs.place_of(out, arm, number),
        )
        for arm, number in due
    ]
    course = _Course(own, on_arm)
    left = [one for one in own if not course.was_done(one)]
    size = 1 if workers or not left else _together(left[0], work, stack, place)
    if size > 1:
        for group in course.groups(left, size):
            for one, error in zip(group, train_stack(group, place, progress), strict=True):
                course.ended(one, error)
    else:
        at_once = workers or (1 if place.type == "cuda" else max(1, cores() // LANES))
        _beside(left, at_once, lambda one: train_one(one, place, progress), course)
    course.close(len(job.arms))


class _Course:
    """Which arms are done, and which failed."""

    def __init__(self, own: Sequence[Replicate], on_arm: Callable[[ArmJob], None] | None) -> None:
        self._left: dict[str, set[int]] = {}
        for one in own:
            self._left.setdefault(one.arm.key, set()).add(one.number)
        self._on_arm = on_arm
        self.failed: dict[str, ModelError] = {}

    def was_done(self, one: Replicate) -> bool:
        """Whether an earlier run has trained it; told as an end of this one where it has."""
        done = outputs.is_done(one.target, one.arm)
        if done:
            self.ended(one, None)
        return done

    def ended(self, one: Replicate, error: ModelError | None) -> None:
        """A replicate is trained, or failed."""
        key = one.arm.key
        if error is not None:
            self.failed.setdefault(key, error)
            return
        self._left[key].discard(one.number)
        if not self._left[key] and self._on_arm is not None:
            self._on_arm(one.arm)

    def groups(self, left: Sequence[Replicate], size: int) -> Iterable[list[Replicate]]:
        """Stacks of at most `size`, of arms that have not failed by the time."""
        waiting = list(left)
        while waiting := [one for one in waiting if one.arm.key not in self.failed]:
            yield waiting[:size]
            del waiting[:size]

    def close(self, arms: int) -> None:
        """Raise where arms failed."""
        if self.failed:
            said = "; ".join(f"{error.problem} ({error.remedy})" for error in self.failed.values())
            raise ModelError(
                f"{len(self.failed)} of {arms} arms failed, the others are done: {said}",
                "mend what is named and run again: each goes on from its last checkpoint",
            )


def _beside(left: Sequence[Replicate], at_once: int, train: Callable[[Replicate], None], course: _Course) -> None:
    """Replicates by themselves, so many at a time."""
    waiting = iter(left)
    running: dict[Future[None], Replicate] = {}

    def start_next() -> None:
        for one in waiting:
            if one.arm.key not in course.failed:
                running[pool.submit(train, one)] = one
                return

    with ThreadPoolExecutor(at_once, thread_name_prefix="train") as pool:
        for _ in range(at_once):
            start_next()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                one = running.pop(future)
                try:
                    future.result()
                except DeviceError:
                    raise
                except ModelError as error:
                    course.ended(one, error)
                else:
                    course.ended(one, None)
                start_next()


def _together(one: Replicate, work: Path, asked: int | None, place: Any) -> int:
    """Replicates of a stack: as asked, else what GPU, memory and disk hold; 1 where the network cannot be stacked."""
    if asked == 1 or (asked is None and place.type == "cpu"):
        return 1
    model = one.begin()
    if not can_stack(model, one.job.settings.max_tokens):
        return 1
    work.mkdir(parents=True, exist_ok=True)
    room = min(free_gpu_memory(place), free_memory(), shutil.disk_usage(work).free) if asked is None else 0
    size = sum(one.numel() for one in model.parameters())
    return asked or max(1, int(room * _SHARE) // (_BYTES * size))
