"""Several arms at once.

What belongs here: workers, order, errors. What does not: training an arm (heads.py).

Workers are threads: torch lets go of the interpreter while it computes. Each trains a whole arm on one torch thread, so
an arm's numbers do not depend on how many there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import pyarrow as pa

from smc_dagster.hardware import one_torch_thread
from smc_dagster.study import Training
from smc_dagster.training.heads import TrainedArm, train_arm
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
        on_done: called in the calling thread with (arm key, heads), in the order in which arms finish.
        workers: arms at a time; without it, as many as there are cores for this process.
        progress: called in the workers' threads with (arm key, steps done, steps).

    Raises:
        StaleInputError, SmcError: see `train_arm`. Arms in training are finished and dropped, no other starts.
    """
    at_once = max(1, workers or len(os.sched_getaffinity(0)))
    source = iter(mixtures)
    running: dict[Future[TrainedArm], str] = {}

    def start_next() -> None:
        for key, mixture in source:
            told = None if progress is None else _tell(progress, key)
            future = pool.submit(train_arm, mixture, vectors, labels, training, seed, replicates, told)
            running[future] = key
            return

    # held here as well, so that the setting does not flicker between arms
    with one_torch_thread(), ThreadPoolExecutor(at_once, thread_name_prefix="train") as pool:
        for _ in range(at_once):
            start_next()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda one: running[one]):
                key = running.pop(future)
                trained = future.result()
                start_next()
                on_done(key, trained)


def _tell(progress: Callable[[str, int, int], None], key: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(key, done, total)
