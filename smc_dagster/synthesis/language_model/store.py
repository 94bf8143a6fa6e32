"""Where the lake keeps the generations of the language model.

What belongs here: a generation's place and what errors call it. What does not: how a folder is kept (model_folders.py),
making it.
"""

from __future__ import annotations

from pathlib import Path

from smc_dagster import model_folders, weight_files
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake


def publish(lake: Lake, generation: int, folder: Path, fingerprint: Fingerprint) -> str:
    """Make a local folder the generation's content; returns its place in the lake; raises like `model_folders`."""
    return model_folders.publish(lake, weight_files.of_generation(generation), folder, fingerprint)


def digest(lake: Lake, generation: int) -> str | None:
    """Digest of what the stored generation was made from; None where it is missing or not readable."""
    return model_folders.digest(lake, weight_files.of_generation(generation))


def fetch(lake: Lake, generation: int, expect: str, work: Path) -> Path:
    """A local folder of the generation; see `model_folders.fetch`."""
    named, again = (
        f"generator_model, generation {generation},",
        "materialise generator_model first, or run `smc study run`",
    )
    return model_folders.fetch(lake, weight_files.of_generation(generation), expect, work, named, again)
