"""Weights in the lake: where they lie, and whether they are whole.

What belongs here: places, and the header of a safetensors file. What does not: the weights (training/, synthesis/),
folders of models (model_folders.py).

A safetensors file opens with the length of its JSON header, an unsigned 64-bit little-endian number; the header names
where each tensor's bytes begin and end, counted from its own end.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from smc_dagster import model_folders
from smc_dagster.lake import Lake, slug

# the heads of an arm are one file; what is trained in full is a folder of models (model_folders.py)
HEADS = "data.safetensors"
LENGTH = struct.Struct("<Q")
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, MemoryError, OverflowError)


def of_arm(key: str) -> tuple[str, str]:
    """Place of what is trained for an arm."""
    return "checkpoints", f"arm={slug(key)}"


def of_generation(number: int) -> tuple[str, str]:
    """Place of a generation of the language model."""
    return "generator_model", f"generation={number}"


def header_metadata(lake: Lake, *parts: str) -> dict[str, Any] | None:
    """The metadata of a safetensors file; None where it is missing or damaged. The header alone is read."""
    try:
        found = _header(lake, lake.place(*parts))[1]["__metadata__"]
        return found if isinstance(found, dict) else None
    except _BROKEN:
        return None


def heads_are_whole(lake: Lake, key: str) -> bool:
    """Whether the file of an arm's heads is there, and as long as its header says."""
    path = lake.place(*of_arm(key), HEADS)
    try:
        length, header = _header(lake, path)
        end = max(one["data_offsets"][1] for name, one in header.items() if name != "__metadata__")
        return bool(lake.fs.size(path) == LENGTH.size + length + end)
    except _BROKEN:
        return False


def folder_is_whole(lake: Lake, parts: tuple[str, str]) -> bool:
    """Whether a folder of models is there with all its files, each of the size that it was published with."""
    return model_folders.digest(lake, parts) is not None


def _header(lake: Lake, path: str) -> tuple[int, dict[str, Any]]:
    with lake.fs.open(path, "rb") as file:
        (length,) = LENGTH.unpack(file.read(LENGTH.size))
        return length, json.loads(file.read(length))
