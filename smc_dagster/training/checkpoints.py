"""Trained heads in the lake.

What belongs here: writing and reading the file of an arm. What does not: training, predicting.

`checkpoints/arm=<slug>/data.safetensors` holds the parameters of all replicates, stacked, and in its metadata what is
needed to use them: labels, encoder, the training section, the budget, the fingerprint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from smc_dagster import weight_files
from smc_dagster.errors import LakeError, StaleInputError
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.study import Training
from smc_dagster.training.encoder import encoder_digest
from smc_dagster.training.head_math import PARAMETERS
from smc_dagster.training.heads import TrainedArm

FORMAT = "1"


@dataclass(frozen=True)
class Checkpoint:
    """An arm's heads, as stored.

    Attributes:
        arm: arm key.
        weights: by name, [R, ...] float32; see head_math.py.
        replicates: [R] numbers.
        labels: outputs of the head, in order.
        encoder: digest of the encoder whose vectors the heads take.
        training: the study's training section.
        budget: steps, examples_seen, tokens_seen, flops of one replicate.
        fingerprint: what the checkpoint was made from.
    """

    arm: str
    weights: dict[str, np.ndarray]
    replicates: list[int]
    labels: list[str]
    encoder: str
    training: Training
    budget: dict[str, float]
    fingerprint: Fingerprint


def save(
    lake: Lake, arm_key: str, trained: TrainedArm, labels: list[str], training: Training, fingerprint: Fingerprint
) -> str:
    """Write an arm's heads, whole or not at all; returns the path.

    Raises:
        WeightsError: the encoder's weights are not what they should be.
    """
    from safetensors.numpy import save as to_bytes

    metadata = {
        "format": FORMAT,
        "arm": arm_key,
        "replicates": json.dumps(trained.replicates),
        "labels": json.dumps(labels),
        "encoder": encoder_digest(training.encoder),
        "training": training.model_dump_json(),
        "budget": json.dumps(trained.budget),
        "seconds": json.dumps(trained.seconds),
        "fingerprint": fingerprint.to_json(),
    }
    tensors = {name: np.ascontiguousarray(value) for name, value in trained.weights.items()}
    with lake.writing(*_parts(arm_key)) as file:
        file.write(to_bytes(tensors, metadata=metadata))
    return lake.place(*_parts(arm_key))


def load(lake: Lake, arm_key: str, expect: str | None = None) -> Checkpoint:
    """Read an arm's heads.

    Args:
        expect: digest that the stored fingerprint must have.

    Raises:
        StaleInputError: there is no checkpoint, or its fingerprint is another.
        LakeError: the file is damaged or holds another arm.
    """
    path = lake.place(*_parts(arm_key))
    again = f"materialise checkpoints of `{arm_key}` again"
    if not lake.fs.exists(path):
        raise StaleInputError(f"checkpoints[{arm_key}] is not in the lake", "materialise checkpoints first")
    try:
        found = _parse(lake.fs.cat_file(path))
    # safetensors raises an error class of its own, a plain Exception
    except Exception as error:
        raise LakeError(f"{path} is damaged: {error}", again) from error
    if found.arm != arm_key:
        raise LakeError(f"{path} holds arm `{found.arm}`, not `{arm_key}`", again)
    if expect is not None and found.fingerprint.digest != expect:
        raise StaleInputError(
            f"checkpoints[{arm_key}] was made from other inputs than the study now asks for "
            f"(fingerprint {found.fingerprint.digest}, due {expect})",
            "materialise checkpoints first, or run `smc study run`",
        )
    return found


def time_taken(lake: Lake, arm_key: str) -> tuple[float, float] | None:
    """Seconds that an arm took to train, whatever it was made from, and FLOPs of all its replicates; None: not known.

    The header alone is read; a damaged file tells nothing.
    """
    metadata = weight_files.header_metadata(lake, *_parts(arm_key))
    if metadata is None:
        return None
    try:
        seconds = json.loads(metadata["seconds"])
        flops = json.loads(metadata["budget"])["flops"] * len(json.loads(metadata["replicates"]))
    except (ValueError, KeyError, TypeError):
        return None
    return None if seconds is None else (float(seconds), float(flops))


def _parts(arm_key: str) -> tuple[str, str, str]:
    return *weight_files.of_arm(arm_key), weight_files.HEADS


def _parse(content: bytes) -> Checkpoint:
    from safetensors.numpy import load as from_bytes

    (length,) = weight_files.LENGTH.unpack_from(content)
    header = content[weight_files.LENGTH.size : weight_files.LENGTH.size + length]
    metadata: dict[str, Any] = json.loads(header)["__metadata__"]
    if metadata["format"] != FORMAT:
        raise ValueError(f"checkpoint format {metadata['format']}, this code reads {FORMAT}")
    weights = from_bytes(content)
    labels, replicates = json.loads(metadata["labels"]), json.loads(metadata["replicates"])
    training = Training.model_validate_json(metadata["training"])
    if sorted(weights) != sorted(PARAMETERS):
        raise ValueError(f"its parameters are {sorted(weights)}, due are {sorted(PARAMETERS)}")
    if weights["output.weight"].shape != (len(replicates), training.hidden, len(labels)):
        raise ValueError(f"its output weights are {weights['output.weight'].shape}, which does not fit its labels")
    return Checkpoint(
        arm=metadata["arm"],
        weights=weights,
        replicates=replicates,
        labels=labels,
        encoder=metadata["encoder"],
        training=training,
        budget=json.loads(metadata["budget"]),
        fingerprint=Fingerprint.from_json(metadata["fingerprint"]),
    )
