"""Jobs to measure full fine-tuning on, and transformers' Trainer on the same job.

What belongs here: a job without a lake, and the peer. What does not: what is measured (full_tuning.py, gpu_tuning.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from smc_dagster.training.full.job import BASE, ArmJob, Job, Settings, Tokens, write_job, write_order, write_tokens


def made_job(
    folder: Path,
    parts: Iterable[tuple[np.ndarray, np.ndarray]],
    orders: Callable[[int], Iterable[tuple[np.ndarray, np.ndarray]]],
    *,
    labels: list[str],
    max_tokens: int,
    learning_rate: float = 1e-4,
    checkpoint_every: int | None = None,
    label_smoothing: float = 0.0,
) -> Job:
    """A job of one arm on the default network.

    Args:
        parts: see `job.write_tokens`.
        orders: called with the number of documents; documents and label codes of each batch of each replicate.
        checkpoint_every: steps; None: at the end alone.
    """
    from smc_dagster.study.training import ENCODER, Network
    from smc_dagster.training.full.base import copy_base

    folder.mkdir(parents=True)
    copy_base(Network(name=ENCODER), folder / BASE)
    documents = write_tokens(folder, parts, 2)
    arm, replicates = ArmJob("arm@00", "arm@00", "bench"), 0
    for rows, codes in orders(documents):
        write_order(folder, arm, replicates, rows, codes)
        steps, batch = rows.shape
        replicates += 1
    every = checkpoint_every or steps
    settings = Settings(1, False, 0, max_tokens, steps, batch, learning_rate, 0.01, 0.1, every, label_smoothing)
    job = Job(folder, "bench", labels, settings, 2, list(range(replicates)), [arm])
    write_job(job)
    return job


def drawn(steps: int, batch: int, labels: int) -> Callable[[int], Iterable[tuple[np.ndarray, np.ndarray]]]:
    """Orders for `made_job`: documents drawn at random, and labels as well."""

    def orders(documents: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        random = np.random.default_rng(5)
        return [(random.integers(0, documents, (steps, batch)), random.integers(0, labels, (steps, batch)))]

    return orders


def trainer(job: Job, arm: ArmJob, replicate: int, out: Path, *, sampling: str, bf16: bool) -> list[float]:
    """Train a replicate with transformers' Trainer, from the same weights and with the same schedule and batches.

    Args:
        sampling: `sequential` takes the job's batches; `group_by_length` lets Trainer make its own.

    Returns:
        seconds since the start at the end of each step.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    from smc_dagster.training.full import network

    settings = job.settings
    model = network.begin(job.folder / BASE, job.labels, 1, scratch=settings.scratch, padding=settings.padding)
    rows, codes = job.order(arm, replicate)
    texts = Tokens(job).take(np.asarray(rows).ravel())
    data = [
        {"input_ids": text.tolist(), "attention_mask": [1] * len(text), "labels": int(code)}
        for text, code in zip(texts, np.asarray(codes).ravel(), strict=True)
    ]
    ends: list[float] = []
    started = time.perf_counter()

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *given: Any, **named: Any) -> None:
            ends.append(time.perf_counter() - started)

    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=settings.batch,
        num_train_epochs=1,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * settings.steps),
        train_sampling_strategy=sampling,
        bf16=bf16,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    collator = DataCollatorWithPadding(AutoTokenizer.from_pretrained(job.folder / BASE, local_files_only=True))
    Trainer(model, arguments, data_collator=collator, train_dataset=data, callbacks=[Clock()]).train()
    return ends


def text_tokens(job: Job, arm: ArmJob, replicate: int) -> list[int]:
    """Tokens of the texts of each step, without padding."""
    tokens = Tokens(job)
    rows, _ = job.order(arm, replicate)
    return [sum(map(len, tokens.take(np.asarray(one)))) for one in rows]
