"""Several heads at once, of one arm or of several.

What belongs here: workers, order, errors. What does not: training a head (heads.py).

Workers are threads: torch lets go of the interpreter while it computes. Each trains one replicate of an arm on one
torch thread, so its numbers do not depend on how many there are, and an arm that is trained alone has every core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import pyarrow as pa

from smc_dagster.hardware import cores, one_torch_thread
from smc_dagster.study import Training
from smc_dagster.training.heads import Head, TrainedArm, joined, train_head
from smc_dagster.training.order import ArmBatches, arm_batches
from smc_dagster.training.vectors import Vectors


def train_arms(
    mixtures: Iterable[tuple[str, pa.Table]],
    *,
    vectors: Vectors,
    labels: list[str],
    training: Training,
    seed: int,
    replicates: int,
    on_done: Callable[[str, TrainedArm], None],
    workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Train arms; each is handed over as soon as it is done.

    Args:
        mixtures: (arm key, MIXTURE_DOCUMENTS of that arm), read as workers come free: few are held at a time.
        vectors: of every document of the mixtures.
        labels: the heads' outputs, in order.
        training: sizes, budget, schedule.
        seed: the study's.
        replicates: how many each mixture must hold.
        on_done: called in the calling thread with (arm key, heads), in the order in which arms finish.
        workers: heads at a time; without it, as many as there are cores for this process.
        progress: called in the workers' threads with (arm key and replicate, steps done, steps).

    Raises:
        StaleInputError: replicates, labels or vectors are missing, or a slot is filled twice.
        SmcError: the loss is not a number. Heads in training are finished and dropped, no other starts.
    """
    source = _heads_due(mixtures, vectors, labels, training, seed, replicates)
    running: dict[Future[Head], tuple[str, ArmBatches, int]] = {}
    heads: dict[str, dict[int, Head]] = {}

    def start_next() -> None:
        for key, batches, place in source:
            told = None if progress is None else _tell(progress, f"{key}, replicate {batches.replicates[place]}")
            future = pool.submit(train_head, batches, place, vectors.matrix, len(labels), training, seed, told)
            running[future] = key, batches, place
            return

    # held here as well, so that the setting does not flicker between heads
    at_once = workers or cores()
    with one_torch_thread(), ThreadPoolExecutor(at_once, thread_name_prefix="train") as pool:
        # one more waits, so that no worker does while an arm is handed over
        for _ in range(at_once + 1):
            start_next()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                key, batches, place = running.pop(future)
                own = heads.setdefault(key, {})
                own[place] = future.result()
                if len(own) == replicates:
                    in_order = [own[one] for one in range(replicates)]
                    on_done(key, joined(in_order, batches.replicates, training.max_tokens))
                    del heads[key]
                start_next()


def _heads_due(
    mixtures: Iterable[tuple[str, pa.Table]],
    vectors: Vectors,
    labels: list[str],
    training: Training,
    seed: int,
    replicates: int,
) -> Iterator[tuple[str, ArmBatches, int]]:
    """Arm key, batches and place of each replicate, arm by arm."""
    for key, mixture in mixtures:
        batches = arm_batches(mixture, vectors.rows, labels, training, seed, replicates)
        for place in range(replicates):
            yield key, batches, place


def _tell(progress: Callable[[str, int, int], None], named: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(named, done, total)
