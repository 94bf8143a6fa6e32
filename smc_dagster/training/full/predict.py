"""Predictions of an arm's whole networks on real held-out documents.

What belongs here: networks and tokens to PREDICTIONS. What does not: what predictions of any network share
(training/predict.py), which documents are held out, metrics (evaluation).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.hardware import cores, device, one_torch_thread
from smc_dagster.training.full import network
from smc_dagster.training.full.store import TunedArm
from smc_dagster.training.predict import FIGURES, figures, prediction_table, targets
from smc_dagster.training.shapes import fixed_batches, padded


def predict(
    folder: Path,
    arm: TunedArm,
    eval_docs: pa.Table,
    tokens: pa.Table,
    arm_key: str,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """PREDICTIONS of an arm, by replicate, slice and doc_id; a document's does not depend on the others.

    Args:
        folder: of the arm's networks.
        arm: what is told of them.
        eval_docs: `doc_id`, `slice`, `domain`, `label`, `is_tail`.
        tokens: REAL_TOKENS or ANCHOR_TOKENS rows of every document.
        arm_key: written to `arm`.
        progress: called with (replicates done, replicates).

    Raises:
        StaleInputError: a document has no tokens, or a label of the slice `test` no output.
        WeightsError: a network is not readable.
    """
    docs, label_set, target = targets(eval_docs, arm.labels, arm_key)
    place = pc.index_in(docs["doc_id"], value_set=tokens["doc_id"].combine_chunks())
    if place.null_count:
        missing = docs["doc_id"].filter(pc.is_null(place))[0].as_py()
        raise StaleInputError(
            f"{place.null_count} of {docs.num_rows} documents have no tokens, the first is {missing}",
            "materialise real_tokens and anchor_tokens again",
        )
    distinct, row_of = np.unique(place.to_numpy(), return_inverse=True)
    texts = tokens["tokens"].take(pa.array(distinct)).to_pylist()
    # the label is part of what a doc_id is made from, so one target a text is enough
    target_of = np.zeros(len(distinct), dtype=np.int64)
    target_of[row_of] = target
    parts = []
    for done, replicate in enumerate(arm.replicates, 1):
        model = network.opened(folder / f"replicate={replicate}").to(device())
        found = _outcomes(model, texts, target_of)
        own = {name: value[row_of] for name, value in found.items()}
        parts.append(prediction_table(docs, label_set, own, arm_key, replicate))
        if progress is not None:
            progress(done, len(arm.replicates))
    return pa.concat_tables(parts)


def _outcomes(model: Any, texts: list[list[int]], target: np.ndarray) -> dict[str, np.ndarray]:
    """See `training.predict.figures`: each [texts] float32, `predicted` int64."""
    import torch

    padding = model.config.pad_token_id or 0
    out = {name: np.empty(len(texts), dtype=np.float32) for name in FIGURES}
    out["predicted"] = np.empty(len(texts), dtype=np.int64)

    def run(one: tuple[int, int, np.ndarray]) -> None:
        length, rows, batch = one
        ids, mask = padded([texts[place] for place in batch], rows, length, padding)
        codes = np.zeros(rows, dtype=np.int64)
        codes[: len(batch)] = target[batch]
        with one_torch_thread(), torch.inference_mode():
            z = network.logits(model, ids, mask)
            found = figures(z, torch.from_numpy(codes).to(z.device))
        for name, value in found.items():
            out[name][batch] = value[: len(batch)].cpu().numpy()

    workers = 1 if model.device.type == "cuda" else cores()
    with one_torch_thread(), ThreadPoolExecutor(workers, thread_name_prefix="predict") as pool:
        for _ in pool.map(run, fixed_batches([len(text) for text in texts])):
            pass
    return out
