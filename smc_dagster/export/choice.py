"""Which replicate of an arm stands for it.

What belongs here: the rule, and the losses it goes by. What does not: exporting.

The rule: the replicate of lowest mean cross-entropy on the split `validation`, which no arm trains on and no metric is
measured on; of equal ones the lowest number. Without validation documents, the lowest number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import ExportError
from smc_dagster.export.trained import Trained
from smc_dagster.workbench import Workbench


@dataclass(frozen=True)
class Choice:
    """A replicate, and why that one.

    Attributes:
        replicate: its number.
        rule: why, in words.
        losses: mean cross-entropy of each replicate on the validation split, nats; empty without such documents.
        documents: how many there are.
    """

    replicate: int
    rule: str
    losses: dict[int, float]
    documents: int


def choose(bench: Workbench, arm: Trained, wanted: int | None) -> Choice:
    """The replicate wanted, or else that of the rule.

    Raises:
        ExportError: there is no such replicate.
        StaleInputError: the corpus, its vectors or its tokens are not what the study now asks for.
    """
    if wanted is not None and wanted not in arm.replicates:
        known = ", ".join(str(one) for one in arm.replicates)
        raise ExportError(f"--replicate {wanted}: arm `{arm.arm}` has no such replicate", f"replicates are {known}")
    losses, documents = _validation_losses(bench, arm)
    if wanted is not None:
        return Choice(wanted, "asked for", losses, documents)
    if not losses:
        return Choice(min(arm.replicates), "the first, as there are no validation documents", losses, 0)
    return Choice(min(losses, key=lambda one: (losses[one], one)), "the lowest validation loss", losses, documents)


def _validation_losses(bench: Workbench, arm: Trained) -> tuple[dict[int, float], int]:
    real = bench.read("real_documents", columns=["doc_id", "domain", "label", "is_tail", "split"])
    held = real.filter(pc.equal(real["split"], "validation")).drop(["split"])
    if held.num_rows == 0:
        return {}, 0
    held = held.append_column("slice", pa.repeat("validation", held.num_rows))
    rows = arm.predictions(held)
    # a probability that underflowed counts as the smallest float32 above 0
    cost = -np.log(np.maximum(rows["p_label"].to_numpy().astype(np.float64), np.finfo(np.float32).tiny))
    replicate = rows["replicate"].to_numpy()
    return {int(one): float(cost[replicate == one].mean()) for one in arm.replicates}, held.num_rows
