"""Networks of arms in the lake.

What belongs here: an arm's trained networks, what is told of them, getting them back. What does not: training them
(run.py), how a folder is kept (model_folders.py), heads (checkpoints.py).

`checkpoints/arm=<slug>/<version>/` holds a folder `replicate=<r>` each, as transformers reads it, and `arm.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smc_dagster import model_folders, weight_files
from smc_dagster.errors import LakeError
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.training.curves import curve_points
from smc_dagster.training.full.outputs import RECORD

ARM = "arm.json"
# of these an arm has that of the replicate with the most
_LARGEST = ("halvings", "memory_peak_bytes", "gpu_memory_peak_bytes")
_AGAIN = "materialise checkpoints first, or run `smc study run`"


@dataclass(frozen=True)
class TunedArm:
    """What is told of an arm's networks.

    Attributes:
        replicates: numbers, ascending.
        labels: outputs, in order.
        curve: (replicate, step, loss), see `curves.curve_points`.
        budget: of each replicate: steps, examples_seen, tokens_seen, flops; and, as means over replicates, text_tokens
            (tokens of the texts, without padding) and flops_spent (padding within micro-batches alone).
        seconds: of one core, or of the GPU, for all replicates.
        facts: device, tokens a second, and the largest of any replicate of how often the micro-batch was halved, and of
            the memory that its process and its GPU held, bytes.
    """

    replicates: list[int]
    labels: list[str]
    curve: list[tuple[int, int, float]]
    budget: dict[str, float]
    seconds: float
    facts: dict[str, float | str]


def gather(folder: Path, labels: list[str]) -> TunedArm:
    """What the replicates below a folder tell together, written to its `arm.json` as well.

    Raises:
        LakeError: a record is missing or not readable.
    """
    records: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"replicate=*/{RECORD}")):
        try:
            records.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise LakeError(f"{path}: {error}", "remove that folder and run again") from error
    records.sort(key=lambda one: int(one["replicate"]))
    losses = np.array([one["losses"] for one in records], dtype=np.float64).T
    numbers = [int(one["replicate"]) for one in records]
    names = list(records[0]["budget"])
    arm = TunedArm(
        replicates=numbers,
        labels=labels,
        curve=curve_points(losses, numbers),
        budget={name: _mean([one["budget"][name] for one in records]) for name in names},
        seconds=float(sum(one["seconds"] * one["threads"] for one in records)),
        facts={
            "device": str(records[0]["device"]),
            **{name: max(int(one.get(name, 0)) for one in records) for name in _LARGEST},
            "tokens_per_second": float(
                sum(one["budget"]["text_tokens"] for one in records) / max(1e-9, sum(one["seconds"] for one in records))
            ),
        },
    )
    (folder / ARM).write_text(json.dumps(asdict(arm)), encoding="utf-8")
    return arm


def publish(lake: Lake, arm_key: str, folder: Path, fingerprint: Fingerprint) -> str:
    """Make a folder that was gathered the arm's checkpoints; returns its place.

    Raises:
        LakeError: the lake cannot be written; what was there stays.
    """
    return model_folders.publish(lake, weight_files.of_arm(arm_key), folder, fingerprint)


def described(lake: Lake, arm_key: str, expect: str | None) -> TunedArm:
    """What is told of the stored arm.

    Args:
        expect: digest that it must have been made from; None: whatever it was made from.

    Raises:
        StaleInputError: it is missing, or was made from other inputs.
        LakeError: a file is missing or damaged.
    """
    place = model_folders.place(lake, weight_files.of_arm(arm_key), expect, f"checkpoints[{arm_key}]", _AGAIN)
    try:
        said = json.loads(lake.fs.cat_file(f"{place}/{ARM}"))
        return TunedArm(**said | {"curve": [(int(r), int(step), float(loss)) for r, step, loss in said["curve"]]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"{place}/{ARM} is damaged: {error}", f"materialise checkpoints of `{arm_key}` again"
        ) from error


def fetch(lake: Lake, arm_key: str, expect: str, work: Path) -> Path:
    """A local folder of the arm: the lake's own where it is local, else a copy below `work`."""
    return model_folders.fetch(lake, weight_files.of_arm(arm_key), expect, work, f"checkpoints[{arm_key}]", _AGAIN)


def _mean(values: list[int]) -> float:
    # of equal numbers beyond 2^53 the mean may be another; where they differ, that shows
    return float(values[0]) if len(set(values)) == 1 else float(np.mean(values))
