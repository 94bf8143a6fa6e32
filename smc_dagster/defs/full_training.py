"""Arms whose whole networks are trained: the job from the lake, and what was trained back into it.

What belongs here: the part of the asset `checkpoints` for `tuning: full`, and of `predictions`. What does not: the
assets (training.py, evaluation.py), training (training/full/).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from smc_dagster import places, progress
from smc_dagster.errors import LakeError
from smc_dagster.hardware import gpus
from smc_dagster.study import Series
from smc_dagster.tables import TABLES, TRAINING_CURVES
from smc_dagster.training.curves import curve_table
from smc_dagster.training.full import store
from smc_dagster.training.full.job import ArmJob, Job
from smc_dagster.training.full.predict import predict
from smc_dagster.training.full.prepare import prepare
from smc_dagster.training.full.run import run
from smc_dagster.training.full.spread import launch
from smc_dagster.training.full.store import TunedArm
from smc_dagster.workbench import Workbench

Kept = Callable[[str, TunedArm, str], None]


def work_folder(bench: Workbench) -> Path:
    """Where unfinished training lies; what is in the lake is removed from it."""
    return places.work_folder(bench.study.name) / "training"


def train_full(bench: Workbench, keys: list[str], labels: list[str], on_done: Kept) -> None:
    """Train the networks of arms; what the lake holds already, as an arm beside it failed in an earlier run, is kept.

    Args:
        on_done: called with (arm key, what is told of it, its place in the lake), arm by arm.

    Raises:
        SmcError: see `run.run`. Arms that were done by then are in the lake.
    """
    left = []
    for key in keys:
        there = _intact(bench, key)
        if there is None:
            left.append(key)
        else:
            on_done(key, there, bench.lake.place("checkpoints"))
    if not left:
        return
    work = work_folder(bench)
    job = pack(bench, left, labels, work / "job")

    def keep(arm: ArmJob) -> None:
        trained, place = adopt(bench, job, arm, work / "out" / arm.slug)
        shutil.rmtree(work / "out" / arm.slug, ignore_errors=True)
        on_done(arm.key, trained, place)

    steps: dict[tuple[str, int], int] = {}

    def tell(key: str, replicate: int, done: int, total: int) -> None:
        steps[key, replicate] = done
        progress.report("train steps", sum(steps.values()), total * len(left) * bench.study.replicates)

    if gpus() > 1:
        launch(job, work / "steps", work / "out", gpus(), on_arm=keep, progress=tell)
    else:
        run(job, work / "steps", work / "out", on_arm=keep, progress=tell)
    shutil.rmtree(work / "job", ignore_errors=True)


def pack(bench: Workbench, keys: list[str], labels: list[str], folder: Path) -> Job:
    """Write the job of some arms; raises like `prepare.prepare`."""
    mixtures = (
        (key, bench.lineage.due("checkpoints", key).digest, bench.read("mixture_documents", key)) for key in keys
    )
    series = [bench.study.arm(key).series for key in keys]
    return prepare(folder, bench.study, labels, _tokens(bench, series), mixtures)


def adopt(bench: Workbench, job: Job, arm: ArmJob, folder: Path) -> tuple[TunedArm, str]:
    """Put an arm's trained networks into the lake; returns what is told of it, and its place. The folder stays.

    Raises:
        LakeError: it was trained on other inputs than the study now asks for, or the lake cannot be written.
    """
    due = bench.lineage.due("checkpoints", arm.key)
    if due.digest != arm.digest:
        raise LakeError(
            f"{folder}: arm `{arm.key}` was trained on other inputs than the study now asks for "
            f"(fingerprint {arm.digest}, due {due.digest})",
            "pack and train it again",
        )
    trained = store.gather(folder, job.labels)
    place = store.publish(bench.lake, arm.key, folder, due)
    # the curves are written last: they tell that the checkpoint is whole
    bench.lake.write(TRAINING_CURVES, curve_table(arm.key, trained), due, arm.key)
    return trained, place


def predict_full(bench: Workbench, key: str, documents: pa.Table, tokens: pa.Table) -> pa.Table:
    """PREDICTIONS of an arm; raises like `predict.predict`."""
    due = bench.lineage.due("checkpoints", key).digest
    folder = store.fetch(bench.lake, key, due, work_folder(bench) / "fetched")
    return predict(folder, store.described(bench.lake, key, due), documents, tokens, key)


def _intact(bench: Workbench, key: str) -> TunedArm | None:
    if not bench.lineage.is_fresh("checkpoints", key):
        return None
    try:
        return store.described(bench.lake, key, bench.lineage.due("checkpoints", key).digest)
    except LakeError:
        return None


def _tokens(bench: Workbench, series: Iterable[Series]) -> Iterator[pa.RecordBatch]:
    """Tokens of the corpus, of the pools that the arms draw on, and of anchors, which may have left the corpus."""
    series = list(series)
    pools = sorted({one.pool for one in series if one.pool is not None})
    tables: list[tuple[str, str | None]] = [("real_tokens", None), *(("synthetic_tokens", pool) for pool in pools)]
    if any(one.anchors for one in series):
        tables.append(("anchor_tokens", None))
    for name, key in tables:
        due = bench.lineage.due(name, key).digest
        place = bench.lineage.partition(name, key)
        yield from bench.lake.batches(TABLES[name], place, columns=["doc_id", "tokens"], expect=due)
