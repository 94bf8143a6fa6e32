"""Which rows of a mixture each training step sees.

What belongs here: the order of batches, and refusing a mixture that none can be made from. What does not: the training
step (heads.py), which rows a mixture has (mixing).

Arms are compared replicate by replicate, so what they share should come at the same place in each. The order is one of
slots, not of rows: in each pass a slot (domain, place in the domain's budget) has a key drawn from (seed, replicate,
pass, domain), the same in every arm, and the slots that the arm fills come in the order of their keys. A row that two
arms hold has one slot and therefore one place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.study import Training
from smc_dagster.training.vectors import Vectors


@dataclass(frozen=True)
class ArmBatches:
    """What each step of an arm sees.

    Attributes:
        arm: arm key.
        replicates: [R] numbers, ascending.
        rows: [steps, R, batch] rows of the matrix of vectors, int64.
        codes: [steps, R, batch] label codes, int64.
    """

    arm: str
    replicates: list[int]
    rows: np.ndarray
    codes: np.ndarray


def arm_batches(
    mixture: pa.Table, vectors: Vectors, labels: list[str], training: Training, seed: int, replicates: int
) -> ArmBatches:
    """The batches of every replicate of a mixture.

    Args:
        mixture: MIXTURE_DOCUMENTS of one arm.
        vectors: of every document of the mixture.
        labels: names by code.
        training: steps and batch.
        seed: the study's.
        replicates: how many the mixture must hold.

    Raises:
        StaleInputError: replicates, labels or vectors are missing, or a slot is filled twice.
    """
    arm = _arm_of(mixture)
    numbers = sorted(pc.unique(mixture["replicate"]).to_pylist())
    if len(numbers) != replicates:
        raise StaleInputError(
            f"mixture of arm `{arm}` holds {len(numbers)} replicates, the study asks for {replicates}",
            "materialise mixture_documents again",
        )
    orders = [_inputs(mixture, vectors, labels, training, seed, number, arm) for number in numbers]
    rows, codes = (np.stack(side, axis=1) for side in zip(*orders, strict=True))
    return ArmBatches(arm, numbers, rows, codes)


def batch_rows(
    domain: np.ndarray, slot: np.ndarray, domains: list[str], *, steps: int, batch: int, seed: int, replicate: int
) -> np.ndarray:
    """Row numbers of each batch, [steps, batch] int64.

    Each pass holds every row once; passes follow on each other without a gap, so an arm with fewer rows makes more
    passes in the same number of steps.

    Args:
        domain: [n] code of each row's domain, into `domains`.
        slot: [n] place in the domain's budget, from 0; (domain, slot) is unique.
        domains: names, as the keys are drawn by name.
    """
    needed = steps * batch
    passes = -(-needed // len(slot))
    rows_of = [np.flatnonzero(domain == code) for code in range(len(domains))]
    order = np.empty((passes, len(slot)), dtype=np.int64)
    keys = np.empty(len(slot))
    for one in range(passes):
        for name, rows in zip(domains, rows_of, strict=True):
            if len(rows):
                # a stream's start does not depend on how far it is read: slots keep their keys in any budget
                keys[rows] = _generator(seed, replicate, one, name).random(int(slot[rows].max()) + 1)[slot[rows]]
        order[one] = np.argsort(keys, kind="stable")
    return order.ravel()[:needed].reshape(steps, batch)


def _generator(seed: int, replicate: int, one_pass: int, domain: str) -> np.random.Generator:
    text = "\x1f".join(["batch order", str(seed), str(replicate), str(one_pass), domain])
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def _arm_of(mixture: pa.Table) -> str:
    names = pc.unique(mixture["arm"]).to_pylist()
    if len(names) != 1:
        raise StaleInputError(f"a mixture of one arm was due, this one holds {names}", "materialise mixture_documents")
    return str(names[0])


def _inputs(
    mixture: pa.Table, vectors: Vectors, labels: list[str], training: Training, seed: int, replicate: int, arm: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the matrix, and label codes, of each batch of a replicate; both [steps, batch]."""
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
    return vectors.rows(rows["doc_id"])[order], codes.to_numpy().astype(np.int64)[order]
