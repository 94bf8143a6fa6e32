"""An arm's predictions on real held-out documents.

What belongs here: heads and vectors to PREDICTIONS, and what predictions of any network share. What does not: which
documents are held out, whole networks (full/predict.py), metrics (evaluation).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.hardware import one_torch_thread
from smc_dagster.tables import EMBEDDING_WIDTH, PREDICTIONS
from smc_dagster.training.checkpoints import Checkpoint
from smc_dagster.training.head_math import logits
from smc_dagster.training.vectors import Vectors

# documents at a time; the last chunk is filled up, as a matrix product of another height may round differently
CHUNK = 512
DESCRIBED = ("doc_id", "slice", "domain", "label", "is_tail")
FIGURES = ("confidence", "p_label", "sum_p2", "entropy")


def predict(checkpoint: Checkpoint, eval_docs: pa.Table, vectors: Vectors, arm_key: str) -> pa.Table:
    """PREDICTIONS of an arm, by replicate, slice and doc_id.

    A document's prediction does not depend on the others or their order; in two slices it has the same one. A label of
    a frozen anchor that the heads have no output for, as it left the corpus, has probability 0: a miss.

    Args:
        checkpoint: the arm's heads.
        eval_docs: `doc_id`, `slice`, `domain`, `label`, `is_tail`.
        vectors: of every document.
        arm_key: written to `arm`.

    Raises:
        StaleInputError: a document has no vector, or one of the slice `test` a label that the heads have no output for.
    """
    docs, label_set, target = targets(eval_docs, checkpoint.labels, arm_key)
    distinct, row_of = np.unique(vectors.rows(docs["doc_id"]), return_inverse=True)
    # the label is part of what a doc_id is made from, so one target a vector is enough
    target_of = np.zeros(len(distinct), dtype=np.int64)
    target_of[row_of] = target
    with one_torch_thread():
        found = _outcomes(checkpoint, vectors.matrix[distinct], target_of)
    return pa.concat_tables(
        prediction_table(
            docs, label_set, {name: value[place][row_of] for name, value in found.items()}, arm_key, replicate
        )
        for place, replicate in enumerate(checkpoint.replicates)
    )


def targets(eval_docs: pa.Table, labels: list[str], arm_key: str) -> tuple[pa.Table, pa.Array, np.ndarray]:
    """The documents by slice and doc_id, the labels as an array, and the code of each document's label, -1: no output.

    Args:
        eval_docs: `doc_id`, `slice`, `domain`, `label`, `is_tail`.
        labels: outputs, in order.
        arm_key: for what an error says.

    Raises:
        StaleInputError: a document of the slice `test` has a label that there is no output for.
    """
    docs = eval_docs.select(list(DESCRIBED)).sort_by([("slice", "ascending"), ("doc_id", "ascending")])
    label_set = pa.array(labels, pa.string())
    codes = pc.index_in(docs["label"], value_set=label_set)
    lost = pc.and_(pc.is_null(codes), pc.equal(docs["slice"], "test"))
    if pc.any(lost).as_py():
        unknown = docs["label"].filter(lost)[0].as_py()
        raise StaleInputError(
            f"checkpoints[{arm_key}] has no output for label `{unknown}` of an evaluation document",
            "materialise checkpoints again",
        )
    return docs, label_set, pc.fill_null(codes, -1).to_numpy().astype(np.int64)


def prediction_table(
    docs: pa.Table, label_set: pa.Array, found: dict[str, np.ndarray], arm_key: str, replicate: int
) -> pa.Table:
    """PREDICTIONS of one replicate from the figures of each document, see `figures`."""
    constants = [pa.array([arm_key] * docs.num_rows, pa.string()), pa.array([replicate] * docs.num_rows, pa.int32())]
    predicted = label_set.take(pa.array(found["predicted"]))
    values = [pa.array(found[name]) for name in FIGURES]
    described = [docs[name].combine_chunks() for name in DESCRIBED]
    return pa.table([*constants, *described, predicted, *values], schema=PREDICTIONS.schema)


def figures(z: Any, target: Any) -> dict[str, Any]:
    """Figures of softmax by name, and `predicted`: of equal probabilities the first label.

    Args:
        z: logits [..., labels].
        target: codes [...], or -1 for a label that has no output: its probability is 0.
    """
    import torch

    log_p = torch.log_softmax(z, dim=-1)
    p = log_p.exp()
    confidence, predicted = p.max(dim=-1)
    of_label = p.gather(-1, target.clamp(min=0).unsqueeze(-1)).squeeze(-1) * (target >= 0)
    return {
        "confidence": confidence,
        "predicted": predicted,
        "p_label": of_label,
        "sum_p2": p.square().sum(dim=-1),
        "entropy": -(p * log_p).sum(dim=-1),
    }


def _outcomes(checkpoint: Checkpoint, matrix: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """See `figures`: each [R, n] float32, `predicted` int64."""
    import torch

    replicates, n = len(checkpoint.replicates), len(matrix)
    out = {name: np.empty((replicates, n), dtype=np.float32) for name in FIGURES}
    out["predicted"] = np.empty((replicates, n), dtype=np.int64)
    # copied: weights that were read from a file lie in memory that may not be written to, which torch warns of
    parameters = {name: torch.tensor(value) for name, value in checkpoint.weights.items()}
    for first in range(0, n, CHUNK):
        width = min(CHUNK, n - first)
        chunk = slice(first, first + width)
        inputs = np.zeros((CHUNK, EMBEDDING_WIDTH), dtype=np.float32)
        inputs[:width] = matrix[chunk]
        codes = np.zeros(CHUNK, dtype=np.int64)
        codes[:width] = target[chunk]
        with torch.inference_mode():
            _, z = logits(parameters, torch.from_numpy(inputs).expand(replicates, -1, -1))
            found = figures(z, torch.from_numpy(codes).expand(replicates, -1))
        for name, value in found.items():
            out[name][:, chunk] = value[:, :width].numpy()
    return out
