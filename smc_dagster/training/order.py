"""What each training step of an arm sees, from its mixture.

What belongs here: checking a mixture, and its documents and labels in the order of batches. What does not: the order
itself (batches.py), what is computed on them (heads.py, full/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.study import Training
from smc_dagster.training.batches import batch_rows

Rows = Callable[[pa.ChunkedArray], np.ndarray]


@dataclass(frozen=True)
class ArmBatches:
    """What each step of an arm sees.

    Attributes:
        arm: arm key.
        replicates: [R] numbers, ascending.
        rows: [steps, R, batch] documents, as the caller counts them, int64.
        codes: [steps, R, batch] label codes, int64.
    """

    arm: str
    replicates: list[int]
    rows: np.ndarray
    codes: np.ndarray


def arm_batches(
    mixture: pa.Table, rows_of: Rows, labels: list[str], training: Training, seed: int, replicates: int
) -> ArmBatches:
    """The batches of every replicate together; arguments and errors as of `batch_orders`."""
    arm, numbers = arm_of(mixture, replicates)
    orders = batch_orders(mixture, rows_of, labels, training, seed, replicates)
    rows, codes = (np.stack(side, axis=1) for side in zip(*orders, strict=True))
    return ArmBatches(arm, numbers, rows, codes)


def arm_of(mixture: pa.Table, replicates: int) -> tuple[str, list[int]]:
    """The arm that a mixture is of, and the numbers of its replicates, ascending.

    Args:
        replicates: how many it must hold.

    Raises:
        StaleInputError: it is not of one arm, or holds more or fewer replicates.
    """
    names = pc.unique(mixture["arm"]).to_pylist()
    if len(names) != 1:
        raise StaleInputError(f"a mixture of one arm was due, this one holds {names}", "materialise mixture_documents")
    numbers = sorted(pc.unique(mixture["replicate"]).to_pylist())
    if len(numbers) != replicates:
        raise StaleInputError(
            f"mixture of arm `{names[0]}` holds {len(numbers)} replicates, the study asks for {replicates}",
            "materialise mixture_documents again",
        )
    return str(names[0]), numbers


def batch_orders(
    mixture: pa.Table, rows_of: Rows, labels: list[str], training: Training, seed: int, replicates: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Documents and label codes of each batch, replicate by replicate; both [steps, batch] int64.

    Args:
        mixture: MIXTURE_DOCUMENTS of one arm.
        rows_of: doc_ids to numbers of documents, as the caller counts them.
        labels: outputs of the network, in order.
        training: steps and batch.
        seed: the study's.
        replicates: how many the mixture must hold.

    Raises:
        StaleInputError: see `arm_of`; or a label is unknown, or a slot is filled twice.
    """
    arm, numbers = arm_of(mixture, replicates)
    for replicate in numbers:
        yield _order(mixture, rows_of, labels, training, seed, replicate, arm)


def _order(
    mixture: pa.Table, rows_of: Rows, labels: list[str], training: Training, seed: int, replicate: int, arm: str
) -> tuple[np.ndarray, np.ndarray]:
    rows = mixture.filter(pc.equal(mixture["replicate"], replicate)).sort_by(
        [("domain", "ascending"), ("slot", "ascending"), ("doc_id", "ascending")]
    )
    domains = pc.unique(rows["domain"]).sort()
    domain = pc.index_in(rows["domain"], value_set=domains).to_numpy().astype(np.int64)
    slot = rows["slot"].to_numpy().astype(np.int64)
    if len(slot) > 1 and bool(((np.diff(domain) == 0) & (np.diff(slot) == 0)).any()):
        raise StaleInputError(
            f"mixture of arm `{arm}`, replicate {replicate}: a slot is filled twice",
            "materialise mixture_documents again",
        )
    codes = pc.index_in(rows["label"], value_set=pa.array(labels, pa.string()))
    if codes.null_count:
        unknown = rows["label"].filter(pc.is_null(codes))[0].as_py()
        raise StaleInputError(
            f"mixture of arm `{arm}`: label `{unknown}` is not among the {len(labels)} labels of real_documents",
            "materialise real_documents and mixture_documents again",
        )
    order = batch_rows(
        domain, slot, domains.to_pylist(), steps=training.steps, batch=training.batch, seed=seed, replicate=replicate
    )
    return rows_of(rows["doc_id"])[order], codes.to_numpy().astype(np.int64)[order]
