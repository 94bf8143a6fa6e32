"""The state of a training run on disk: whole or not there, and no file that could run code when read.

What belongs here: writing and finding checkpoints. What does not: what a step does.

A checkpoint is a folder `step-<n>`: weights and optimiser moments as safetensors, the rest as JSON. It is written under
another name and renamed when every byte is on disk; older ones go after that, so that one is always left. Which texts a
step takes follows from the seed and the step, and no step draws a random number, so the step is the state of both.
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
        losses: of each step so far, nats.
        counts: what was counted so far, by name.
        halvings: how often the micro-batch was halved for want of memory.
        weights: by parameter name.
        moments: `<moment>/<parameter name>` of AdamW.
    """

    step: int
    losses: list[float]
    counts: dict[str, int]
    halvings: int
    weights: dict[str, Any]
    moments: dict[str, Any]


def save(folder: Path, key: str, state: State) -> None:
    """Write a checkpoint of the run named `key`, then remove older ones.

    Raises:
        ModelError: the disk is full or not writable; the last good checkpoint stays.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    hidden = folder / f".{_PREFIX}{state.step}.{uuid.uuid4().hex}"
    said = {
        "key": key,
        "step": state.step,
        "losses": state.losses,
        "counts": state.counts,
        "halvings": state.halvings,
    }
    try:
        hidden.mkdir(parents=True)
        save_file(state.weights, hidden / WEIGHTS)
        save_file(state.moments, hidden / OPTIMISER)
        (hidden / STATE).write_text(json.dumps(said))
        for name in (WEIGHTS, OPTIMISER, STATE):
            with open(hidden / name, "rb+") as file:
                os.fsync(file.fileno())
        target = folder / f"{_PREFIX}{state.step:09d}"
        shutil.rmtree(target, ignore_errors=True)
        os.rename(hidden, target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(hidden, ignore_errors=True)
        raise ModelError(
            f"{folder}: the checkpoint of step {state.step} could not be written: "
            f"{getattr(error, 'strerror', None) or error}",
            "free some space and run again: training goes on from the last checkpoint that was written",
        ) from error
    for old in [*folder.glob(f"{_PREFIX}*"), *folder.glob(f".{_PREFIX}*")]:
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


def latest(folder: Path, key: str) -> State | None:
    """The newest checkpoint of the run named `key`; None where there is none that is whole."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for found in sorted(folder.glob(f"{_PREFIX}*"), reverse=True):
        try:
            said = json.loads((found / STATE).read_text())
            if said["key"] != key:
                continue
            weights, moments = (load_file(found / name) for name in (WEIGHTS, OPTIMISER))
            losses = [float(loss) for loss in said["losses"]]
            counts = {str(name): int(count) for name, count in said["counts"].items()}
            return State(int(said["step"]), losses, counts, int(said["halvings"]), weights, moments)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
            continue
    return None
