"""How fast the heads of a study train, beside transformers.Trainer training the same ones one after the other.

Seven shares x five replicates of the series `templated` of the default study, which is run first (`--data` names a data
folder where it was). Both sides have the same starts, batches, steps, schedule, optimiser and weight decay; Trainer has
no logs, saves, clipping or evaluation, and one torch thread or all, whichever was faster on a first arm. It is timed
twice: as most would write it, with a data set of rows and the collator that it comes with, which is the target's peer;
and once more with a data set and a collator that hand it whole batches, the least that loading can cost it. Its time is
that of `train()` alone, ours that of everything from the mixtures on. Target: at least 3 times as fast, and for every
share the mean rare-case recalls of the two within the spread of the replicates. Exit status 1 where one is missed. Run
it on a machine at rest: other work slows Trainer's threads more than ours.

    python -m bench.heads
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from smc_dagster.defs.evaluation import evaluation_documents
from smc_dagster.defs.training import arm_vectors, label_list
from smc_dagster.evaluation.metrics import measure, outcomes
from smc_dagster.hardware import cores
from smc_dagster.study import Training
from smc_dagster.tables import EMBEDDING_WIDTH
from smc_dagster.training.arms import train_arms
from smc_dagster.training.checkpoints import Checkpoint
from smc_dagster.training.head_math import initial_parameters, rate_factor
from smc_dagster.training.heads import TrainedArm
from smc_dagster.training.order import arm_batches
from smc_dagster.training.predict import predict
from smc_dagster.training.vectors import Vectors
from smc_dagster.workbench import Workbench, open_workbench

STUDY, SERIES, TIMES = "default", "templated", 3.0
# how Trainer gets its batches: row by row, put together by its own collator, or whole
ROWS, WHOLE = "rows", "whole batches"


@dataclass(frozen=True)
class Task:
    """What both sides train: mixtures by arm, their vectors and labels, and how."""

    mixtures: dict[str, pa.Table]
    vectors: Vectors
    labels: list[str]
    training: Training
    seed: int
    replicates: int


def ours(task: Task) -> tuple[dict[str, TrainedArm], float]:
    """Heads by arm as the asset `checkpoints` trains them, and seconds."""
    found: dict[str, TrainedArm] = {}
    started = time.perf_counter()
    train_arms(
        task.mixtures.items(),
        vectors=task.vectors,
        labels=task.labels,
        training=task.training,
        seed=task.seed,
        replicates=task.replicates,
        on_done=found.__setitem__,
    )
    return found, time.perf_counter() - started


def theirs(task: Task, feed: str) -> tuple[dict[str, TrainedArm], float]:
    """The same heads by transformers.Trainer, and seconds within its `train()`.

    Args:
        feed: how it gets its batches, `ROWS` or `WHOLE`.
    """
    found, taken = {}, 0.0
    for key, mixture in task.mixtures.items():
        batches = arm_batches(mixture, task.vectors.rows, task.labels, task.training, task.seed, task.replicates)
        weights = []
        for place, number in enumerate(batches.replicates):
            head, seconds = _trained(task, batches.rows[:, place], batches.codes[:, place], number, feed)
            weights.append(head)
            taken += seconds
        stacked = {name: np.stack([one[name] for one in weights]) for name in weights[0]}
        found[key] = TrainedArm(stacked, batches.replicates, [], {})
    return found, taken


def _trained(
    task: Task, rows: np.ndarray, codes: np.ndarray, replicate: int, feed: str
) -> tuple[dict[str, np.ndarray], float]:
    """One head, from its batches: both [steps, batch]."""
    import torch
    from torch import nn
    from transformers import PrinterCallback, Trainer, TrainingArguments

    training, outputs = task.training, len(task.labels)

    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(EMBEDDING_WIDTH, training.hidden)
            self.output = nn.Linear(training.hidden, outputs)

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = self.output(torch.relu(self.hidden(x)))
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    class Documents(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.matrix = torch.from_numpy(task.vectors.matrix)
            self.codes = torch.zeros(len(self.matrix), dtype=torch.int64)
            self.codes[rows.ravel()] = torch.from_numpy(codes.ravel())

        def __len__(self) -> int:
            return len(self.codes)

        def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
            return {"x": self.matrix[place], "labels": self.codes[place]}

    class Whole(Documents):
        """A batch is fetched at once."""

        def __getitems__(self, places: list[int]) -> dict[str, torch.Tensor]:
            at = torch.tensor(places)
            return {"x": self.matrix[at], "labels": self.codes[at]}

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> list[int]:
            return rows.ravel().tolist()

    head = Head()
    start = initial_parameters(EMBEDDING_WIDTH, training.hidden, outputs, seed=task.seed, replicate=replicate)
    with torch.no_grad():
        for layer in ("hidden", "output"):
            getattr(head, layer).weight.copy_(torch.from_numpy(start[f"{layer}.weight"]).T)
            getattr(head, layer).bias.copy_(torch.from_numpy(start[f"{layer}.bias"])[0])
    groups = [
        {"params": [head.hidden.weight, head.output.weight], "weight_decay": training.weight_decay},
        {"params": [head.hidden.bias, head.output.bias], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate_factor(min(step, training.steps - 1), training.steps, training.warmup)
    )
    feeds: dict[str, dict[str, Any]] = {
        ROWS: {"train_dataset": Documents()},
        WHOLE: {"train_dataset": Whole(), "data_collator": lambda batch: batch},
    }
    with tempfile.TemporaryDirectory() as folder:
        trainer = InOrder(
            model=head,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=training.steps,
                per_device_train_batch_size=training.batch,
                max_grad_norm=0.0,
                logging_strategy="no",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
                remove_unused_columns=feed == ROWS,
            ),
            optimizers=(optimiser, schedule),
            **feeds[feed],
        )
        trainer.remove_callback(PrinterCallback)
        started = time.perf_counter()
        trainer.train()
        taken = time.perf_counter() - started
    weights = {
        f"{layer}.{kind}": value
        for layer in ("hidden", "output")
        for kind, value in (
            ("weight", getattr(head, layer).weight.detach().numpy().T.copy()),
            ("bias", getattr(head, layer).bias.detach().numpy()[None].copy()),
        )
    }
    return weights, taken


def fastest(task: Task, feed: str) -> int:
    """Leave torch with the number of threads, one or all, with which Trainer takes less; returns it."""
    import torch

    taken = {}
    for threads in (1, cores(), 1, cores()):
        torch.set_num_threads(threads)
        # the second time counts: the first one loads what is loaded on first use
        taken[threads] = theirs(task, feed)[1]
    best = min(taken, key=lambda one: taken[one])
    torch.set_num_threads(best)
    return best


def recalls(bench: Workbench, key: str, trained: TrainedArm, task: Task, seen: Vectors) -> np.ndarray:
    """Rare-case recall of each replicate, [replicates], on the slice `rare`."""
    checkpoint = Checkpoint(
        arm=key,
        weights=trained.weights,
        replicates=trained.replicates,
        labels=task.labels,
        encoder="",
        training=task.training,
        budget={},
        fingerprint=bench.lineage.due("checkpoints", key),
    )
    rows = outcomes(predict(checkpoint, evaluation_documents(bench), seen, key))
    rare = rows.where(rows.slice == rows.slices.index("rare"))
    found = measure(rare, rare.replicate, len(rows.replicates), bench.study.evaluation.ece_bins, 0.95)
    return np.asarray(found["rare_recall"].value)


def main() -> int:
    """Run both sides; exit status 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="data folder in which the study was run")
    parser.add_argument("--steps", type=int, help="fewer than the study's, for a quick look")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SMC_DATA"] = str(chosen.data or folder)
        smc = str(Path(sys.executable).with_name("smc"))
        subprocess.run([smc, "study", "run", "--study", STUDY, "--arms", f"{SERIES}@*", "--json"], check=True)
        return compare(chosen.steps)


def compare(steps: int | None) -> int:
    """Both sides on the study that SMC_DATA holds."""
    bench = open_workbench(STUDY)
    study = bench.study
    keys = [arm.key for arm in study.select_arms(f"{SERIES}@*")]
    task = Task(
        {key: bench.read("mixture_documents", key) for key in keys},
        arm_vectors(bench, keys),
        label_list(bench),
        study.training.model_copy(update={"steps": steps or study.training.steps}),
        study.seed,
        study.replicates,
    )
    seen = Vectors.build([bench.read("real_embeddings"), bench.read("anchor_embeddings")])
    # what is loaded on first use is not counted
    brief = replace(task, training=task.training.model_copy(update={"steps": 50}))
    ours(brief)
    mine, seconds = ours(task)
    print(f"ours: {len(keys) * study.replicates} heads of {task.training.steps} steps in {seconds:.1f} s", flush=True)
    peers, times = {}, {}
    for feed in (ROWS, WHOLE):
        threads = fastest(replace(brief, mixtures={keys[0]: task.mixtures[keys[0]]}), feed)
        peers[feed], taken = theirs(task, feed)
        times[feed] = taken / seconds
        print(f"transformers.Trainer, {feed}, torch threads {threads}: {taken:.1f} s", flush=True)
    within = True
    for key in keys:
        own, other = (recalls(bench, key, one[key], task, seen) for one in (mine, peers[ROWS]))
        spread = float(np.std(own, ddof=1))
        close = abs(own.mean() - other.mean()) <= spread
        within &= bool(close)
        print(f"{key}: rare recall {own.mean():.4f} and {other.mean():.4f}, spread of replicates {spread:.4f}")
    fast = times[ROWS] >= TIMES
    print(f"{times[ROWS]:.2f} times as fast (target: at least {TIMES:g}) {'met' if fast else 'MISSED'}; "
          f"{times[WHOLE]:.2f} times where Trainer gets {WHOLE}")  # fmt: skip
    print(f"rare recall within the spread of the replicates: {'met' if within else 'MISSED'}")
    return 0 if fast and within else 1


if __name__ == "__main__":
    sys.exit(main())
