"""A built arm as an export needs it, whatever was trained of it.

What belongs here: one view of heads and of whole networks: what is told of them, their predictions, a replicate as a
model of transformers. What does not: that model (model.py), choosing and writing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from smc_dagster.export.model import Classifier, of_heads, of_network
from smc_dagster.study import Training
from smc_dagster.study.training import Network
from smc_dagster.training import checkpoints
from smc_dagster.training import predict as heads
from smc_dagster.training.full import base, store
from smc_dagster.training.full import predict as networks
from smc_dagster.training.vectors import Vectors
from smc_dagster.training.weights import DEFAULT_ENCODER
from smc_dagster.workbench import Workbench

# ours -> the name on the Hugging Face hub
HUB_NAMES = {DEFAULT_ENCODER: f"sentence-transformers/{DEFAULT_ENCODER}"}


@dataclass(frozen=True)
class Origin:
    """What was trained from: how a card calls it, its name on the hub where it has one, and its digest.

    A folder's place on this machine says nothing elsewhere; its digest does.
    """

    said: str
    hub: str | None
    digest: str


@dataclass(frozen=True)
class Trained:
    """A built arm.

    Attributes:
        arm: its key.
        replicates: numbers, ascending.
        training: the study's training section.
        budget: of one replicate.
        origin: encoder, or network, that it was trained from.
        predictions: PREDICTIONS of real documents of the corpus (`doc_id`, `slice`, `domain`, `label`, `is_tail`).
        classifier: a replicate as a model; raises ExportError where no standard architecture holds it.
    """

    arm: str
    replicates: list[int]
    training: Training
    budget: dict[str, float]
    origin: Origin
    predictions: Callable[[pa.Table], pa.Table]
    classifier: Callable[[int], Classifier]


def trained(bench: Workbench, key: str, work: Path) -> Trained:
    """The arm as the lake holds it.

    Args:
        work: folder for a copy, where the lake is not on this machine.

    Raises:
        StaleInputError: the arm is not built, or not as the study now asks for.
        LakeError: it is damaged.
    """
    return _of_networks(bench, key, work) if bench.study.training.is_full else _of_heads(bench, key)


def _of_heads(bench: Workbench, key: str) -> Trained:
    found = checkpoints.load(bench.lake, key, bench.lineage.due("checkpoints", key).digest)

    def predictions(documents: pa.Table) -> pa.Table:
        return heads.predict(found, documents, Vectors.build([bench.read("real_embeddings")]), key)

    hub = HUB_NAMES.get(found.training.encoder)
    return Trained(
        arm=key,
        replicates=found.replicates,
        training=found.training,
        budget=found.budget,
        origin=Origin(hub or "a local folder", hub, found.encoder),
        predictions=predictions,
        classifier=lambda replicate: of_heads(found, replicate),
    )


def _of_networks(bench: Workbench, key: str, work: Path) -> Trained:
    training, due = bench.study.training, bench.lineage.due("checkpoints", key).digest
    found = store.described(bench.lake, key, due)
    folder = store.fetch(bench.lake, key, due, work)

    def predictions(documents: pa.Table) -> pa.Table:
        return networks.predict(folder, found, documents, bench.read("real_tokens"), key)

    return Trained(
        arm=key,
        replicates=found.replicates,
        training=training,
        budget=found.budget,
        origin=_origin(training.model),
        predictions=predictions,
        classifier=lambda replicate: of_network(folder / f"replicate={replicate}", training),
    )


def _origin(network: Network) -> Origin:
    hub = None if network.name is None else HUB_NAMES.get(network.name, network.name)
    said = hub or ("a local folder" if network.config is None else "a local config, its weights begun at random")
    return Origin(said, hub, base.base_digest(network))
