"""The state of a training run on disk: whole or not there, and no file that could run code when read.

What belongs here: writing and finding checkpoints. What does not: what a step does.

A checkpoint is a folder `step-<n>`: weights and optimiser moments as safetensors, the rest as JSON. It is written under
another name and renamed when every byte is on disk; older ones go after that, so that one is always left.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_dagster.errors import ModelError

WEIGHTS, OPTIMISER, STATE = "model.safetensors", "optimiser.safetensors", "state.json"
_PREFIX = "step-"


@dataclass(frozen=True)
class State:
    """What a run goes on from.

    Attributes:
        step: steps done.
        curve: (step, mean loss of a token in nats) so far.
        tokens: tokens trained on so far.
        weights: by parameter name.
        moments: `<moment>/<parameter name>` of AdamW.
    """

    step: int
    curve: list[tuple[int, float]]
    tokens: int
    weights: dict[str, Any]
    moments: dict[str, Any]


def save(folder: Path, key: str, state: State) -> None:
    """Write a checkpoint of the run named `key`, then remove older ones.

    Raises:
        ModelError: the disk is full or not writable; the last good checkpoint stays.
    """
    from safetensors.torch import save as to_bytes

    hidden = folder / f".{_PREFIX}{state.step}.{uuid.uuid4().hex}"
    said = {"key": key, "step": state.step, "curve": state.curve, "tokens": state.tokens}
    try:
        hidden.mkdir(parents=True)
        for name, content in (
            (WEIGHTS, to_bytes(state.weights)),
            (OPTIMISER, to_bytes(state.moments)),
            (STATE, json.dumps(said).encode()),
        ):
            with open(hidden / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        target = folder / f"{_PREFIX}{state.step:09d}"
        shutil.rmtree(target, ignore_errors=True)
        os.rename(hidden, target)
    except OSError as error:
        shutil.rmtree(hidden, ignore_errors=True)
        raise ModelError(
            f"{folder}: the checkpoint of step {state.step} could not be written: {error.strerror}",
            "free some space and run again: training goes on from the last checkpoint that was written",
        ) from error
    for old in [*folder.glob(f"{_PREFIX}*"), *folder.glob(f".{_PREFIX}*")]:
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


def latest(folder: Path, key: str) -> State | None:
    """The newest checkpoint of the run named `key`; None where there is none that is whole."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    for found in sorted(folder.glob(f"{_PREFIX}*"), reverse=True):
        try:
            said = json.loads((found / STATE).read_text())
            if said["key"] != key:
                continue
            weights, moments = (load((found / name).read_bytes()) for name in (WEIGHTS, OPTIMISER))
            curve = [(int(step), float(loss)) for step, loss in said["curve"]]
            return State(int(said["step"]), curve, int(said["tokens"]), weights, moments)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            continue
    return None
