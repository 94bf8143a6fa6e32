"""Trained replicates on disk: written whole, told done from not done, removed when they are not due any more.

What belongs here: the folder of a trained replicate, as transformers reads it, with `training.json` beside the weights.
What does not: training (replicates.py), which replicates are trained (run.py), the lake (store.py).
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from smc_dagster.errors import ModelError
from smc_dagster.training.full.job import BASE, ArmJob, Job

RECORD = "training.json"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def place_of(out: Path, arm: ArmJob, replicate: int) -> Path:
    """Folder of a trained replicate."""
    return out / arm.slug / f"replicate={replicate}"


def write(model: Any, job: Job, target: Path, record: dict[str, Any]) -> None:
    """Write a trained replicate, whole or not at all.

    Raises:
        ModelError: the disk is full or not writable.
    """
    from safetensors import SafetensorError

    hidden = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        model.cpu().save_pretrained(hidden, safe_serialization=True)
        for name in _TOKENIZER:
            if (job.folder / BASE / name).is_file():
                shutil.copyfile(job.folder / BASE / name, hidden / name)
        (hidden / RECORD).write_text(json.dumps(record), encoding="utf-8")
        for one in hidden.iterdir():
            with open(one, "rb+") as file:
                os.fsync(file.fileno())
        shutil.rmtree(target, ignore_errors=True)
        os.rename(hidden, target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(hidden, ignore_errors=True)
        said = getattr(error, "strerror", None) or error
        raise ModelError(
            f"{target}: the trained network could not be written: {said}",
            "free some space and run again: the training itself is not repeated",
        ) from error
    for old in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(old, ignore_errors=True)


def is_done(target: Path, arm: ArmJob) -> bool:
    """Whether a replicate's folder holds what its arm is due now."""
    try:
        return bool(json.loads((target / RECORD).read_text(encoding="utf-8"))["digest"] == arm.digest)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_whole(out: Path, job: Job, arm: ArmJob) -> bool:
    """Whether every replicate that an arm is due now is trained."""
    return all(is_done(place_of(out, arm, number), arm) for number in job.replicates)


def clear(out: Path, job: Job, arm: ArmJob, own: Iterable[int]) -> None:
    """Remove what an earlier form of an arm left, so that its folder holds the replicates that are due alone.

    Args:
        own: replicates that this process trains; those of other processes are left to them.
    """
    mine, others = set(own), set(job.replicates) - set(own)
    folder = out / arm.slug
    for found in folder.iterdir() if folder.is_dir() else ():
        # a folder that is being written has a dot before and a random part after
        name = found.name.removeprefix(".").partition(".")[0]
        if name in {f"replicate={number}" for number in others}:
            continue
        if found.name not in {f"replicate={number}" for number in mine} or not is_done(found, arm):
            shutil.rmtree(found, ignore_errors=True)
