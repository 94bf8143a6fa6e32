"""A job from the lake: tokens and orders of the arms that are to be trained.

What belongs here: turning tables into a job folder. What does not: the folder's form (job.py), tokenising (tokens.py).
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import LakeError, StaleInputError
from smc_dagster.lake import slug
from smc_dagster.study import Study
from smc_dagster.training.full.base import copy_base, padding_of, tokenizer_of
from smc_dagster.training.full.job import BASE, ArmJob, Job, Settings, read_job, write_job, write_order, write_tokens
from smc_dagster.training.order import arm_of, batch_orders

_NARROW = 1 << 16


def prepare(
    folder: Path,
    study: Study,
    labels: list[str],
    tokens: Iterable[pa.RecordBatch],
    mixtures: Iterable[tuple[str, str, pa.Table]],
) -> Job:
    """Write a job, whole or not at all; what was trained or begun in a folder of that name stays.

    Args:
        folder: the job's; its parent is made.
        labels: outputs of the networks, in order.
        tokens: batches of the token tables of every document that the arms hold; an id may occur twice.
        mixtures: (arm key, digest that its checkpoints are due, MIXTURE_DOCUMENTS), read one at a time.

    Raises:
        StaleInputError: a document has no tokens, or see `order.batch_orders`.
        WeightsError: see `base.base_folder`.
        LakeError: the folder cannot be written.
    """
    hidden = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        hidden.mkdir(parents=True)
        _write(hidden, study, labels, tokens, mixtures)
        for kept in ("work", "out"):
            if (folder / kept).is_dir():
                os.rename(folder / kept, hidden / kept)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(hidden, folder)
    except OSError as error:
        raise LakeError(f"{folder}: the job could not be written: {error}", "free some space, or mend it") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return read_job(folder)


def _write(
    folder: Path,
    study: Study,
    labels: list[str],
    tokens: Iterable[pa.RecordBatch],
    mixtures: Iterable[tuple[str, str, pa.Table]],
) -> None:
    training = study.training
    copy_base(training.model, folder / BASE)
    tokenizer = tokenizer_of(training.model)
    width = 2 if len(tokenizer) <= _NARROW else 4
    ids: list[pa.Array] = []
    write_tokens(folder, _pieces(tokens, ids), width)
    known = pa.concat_arrays(ids) if ids else pa.array([], pa.string())

    def rows_of(doc_ids: pa.ChunkedArray) -> np.ndarray:
        found = pc.index_in(doc_ids, value_set=known)
        if found.null_count:
            missing = doc_ids.filter(pc.is_null(found))[0].as_py()
            raise StaleInputError(
                f"{found.null_count} of {len(doc_ids)} documents have no tokens, the first is {missing}",
                "materialise real_tokens and synthetic_tokens again",
            )
        return np.asarray(found.to_numpy(), dtype=np.int64)

    arms = []
    numbers: list[int] = []
    for key, digest, mixture in mixtures:
        arm = ArmJob(key, slug(key), digest)
        _, numbers = arm_of(mixture, study.replicates)
        orders = batch_orders(mixture, rows_of, labels, training, study.seed, study.replicates)
        for replicate, (rows, codes) in zip(numbers, orders, strict=True):
            write_order(folder, arm, replicate, rows, codes)
        arms.append(arm)
    settings = Settings(
        seed=study.seed,
        scratch=training.model.config is not None,
        padding=padding_of(tokenizer),
        **training.model_dump(
            include={
                "max_tokens",
                "steps",
                "batch",
                "learning_rate",
                "weight_decay",
                "warmup",
                "checkpoint_every",
                "label_smoothing",
            }
        ),
    )
    write_job(Job(folder, study.name, labels, settings, width, numbers, arms))


def _pieces(batches: Iterable[pa.RecordBatch], ids: list[pa.Array]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tokens and their numbers by document, batch by batch; ids are put aside on the way."""
    for batch in batches:
        ids.append(batch.column("doc_id"))
        tokens = batch.column("tokens")
        # flatten heeds the batch's offset, which `values` would not
        yield tokens.flatten().to_numpy(), pc.list_value_length(tokens).to_numpy()
