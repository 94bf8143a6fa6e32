"""An arm's predictions on real held-out documents.

What belongs here: heads and vectors to PREDICTIONS. What does not: which documents are held out, metrics (evaluation).
"""

from __future__ import annotations

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
    columns = ["doc_id", "slice", "domain", "label", "is_tail"]
    docs = eval_docs.select(columns).sort_by([("slice", "ascending"), ("doc_id", "ascending")])
    label_set = pa.array(checkpoint.labels, pa.string())
    codes = pc.index_in(docs["label"], value_set=label_set)
    lost = pc.and_(pc.is_null(codes), pc.equal(docs["slice"], "test"))
    if pc.any(lost).as_py():
        unknown = docs["label"].filter(lost)[0].as_py()
        raise StaleInputError(
            f"checkpoints[{arm_key}] has no output for label `{unknown}` of an evaluation document",
            "materialise checkpoints again",
        )
    distinct, row_of = np.unique(vectors.rows(docs["doc_id"]), return_inverse=True)
    target = pc.fill_null(codes, -1).to_numpy().astype(np.int64)
    # the label is part of what a doc_id is made from, so one target a vector is enough
    target_of = np.zeros(len(distinct), dtype=np.int64)
    target_of[row_of] = target
    parts = []
    with one_torch_thread():
        found = _outcomes(checkpoint, vectors.matrix[distinct], target_of)
    for place, replicate in enumerate(checkpoint.replicates):
        constants = [
            pa.array([arm_key] * docs.num_rows, pa.string()),
            pa.array([replicate] * docs.num_rows, pa.int32()),
        ]
        predicted = label_set.take(pa.array(found["predicted"][place][row_of]))
        values = [pa.array(found[name][place][row_of]) for name in ("confidence", "p_label", "sum_p2", "entropy")]
        described = [docs[name].combine_chunks() for name in columns]
        parts.append(pa.table([*constants, *described, predicted, *values], schema=PREDICTIONS.schema))
    return pa.concat_tables(parts)


def _outcomes(checkpoint: Checkpoint, matrix: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of softmax by name, [R, n] float32, and `predicted`: int64 code, of equal probabilities the first.

    `target` is a code, or -1 for a label that has no output.
    """
    import torch

    replicates, n = len(checkpoint.replicates), len(matrix)
    out = {name: np.empty((replicates, n), dtype=np.float32) for name in ("confidence", "p_label", "sum_p2", "entropy")}
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
            log_p = torch.log_softmax(z, dim=2)
            p = log_p.exp()
            confidence, predicted = p.max(dim=2)
            wanted = torch.from_numpy(codes).expand(replicates, -1)
            of_label = p.gather(2, wanted.clamp(min=0).unsqueeze(2)).squeeze(2) * (wanted >= 0)
            figures = {
                "confidence": confidence,
                "predicted": predicted,
                "p_label": of_label,
                "sum_p2": p.square().sum(dim=2),
                "entropy": -(p * log_p).sum(dim=2),
            }
        for name, value in figures.items():
            out[name][:, chunk] = value[:, :width].numpy()
    return out
