"""Folders of models in the lake: published whole, told what they were made from, got back.

What belongs here: any folder as transformers reads it, or of such folders. What does not: what is in it
(synthesis/language_model/store.py, training/full/store.py).

`<place>/<version>/` is the folder; `current.json` beside it names the version in force, its files with their sizes and
its fingerprint, and is replaced last, so that a crash leaves the old model or the new one.
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from smc_dagster.errors import LakeError, StaleInputError
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import POINTER, VERSION_PREFIX, Lake

Parts = tuple[str, ...]


def publish(lake: Lake, parts: Parts, folder: Path, fingerprint: Fingerprint) -> str:
    """Make a local folder the content of a place in the lake; returns the published folder. The local one stays.

    Raises:
        LakeError: the lake cannot be written; what was there stays.
    """
    version = f"{VERSION_PREFIX}{fingerprint.digest}-{uuid.uuid4().hex[:8]}"
    found = sorted(one for one in folder.rglob("*") if one.is_file())
    files = {one.relative_to(folder).as_posix(): one.stat().st_size for one in found}
    said = {"version": version, "files": files, "fingerprint": json.loads(fingerprint.to_json())}
    try:
        for name in files:
            with lake.writing(*parts, version, *name.split("/")) as file, open(folder / name, "rb") as source:
                shutil.copyfileobj(source, file)
        lake.write_bytes("/".join((*parts, POINTER)), json.dumps(said, indent=1).encode() + b"\n")
    except OSError as error:
        raise LakeError(
            f"{lake.place(*parts)}: the model could not be written: {error}",
            "free some space and run again: the training itself is not repeated",
        ) from error
    for old in lake.fs.glob(lake.place(*parts, f"{VERSION_PREFIX}*")):
        if Path(old).name != version:
            lake.fs.rm(old, recursive=True)
    return lake.place(*parts, version)


def digest(lake: Lake, parts: Parts) -> str | None:
    """Digest of what the stored folder was made from; None where it is missing, not whole or not readable."""
    try:
        said = _pointer(lake, parts)
        lake.check_sizes(lake.place(*parts, said["version"]), said["files"])
        return Fingerprint(**said["fingerprint"]).digest
    except (FileNotFoundError, KeyError, ValueError, TypeError, AttributeError):
        return None


def place(lake: Lake, parts: Parts, expect: str | None, named: str, remedy: str) -> str:
    """The published folder, in the lake's file system.

    Args:
        expect: digest that its fingerprint must have; None: whatever it has.
        named: what an error calls it.

    Raises:
        StaleInputError: it is missing, not whole, or was made from other inputs.
    """
    found = digest(lake, parts)
    if found is None or (expect is not None and found != expect):
        raise StaleInputError(
            f"{named} is missing, not whole, or was made from other inputs than the study now asks for "
            f"(fingerprint {found}, due {expect})",
            remedy,
        )
    return lake.place(*parts, _pointer(lake, parts)["version"])


def fetch(lake: Lake, parts: Parts, expect: str, work: Path, named: str, remedy: str) -> Path:
    """A local folder of it: the lake's own where it is local, else a copy below `work`; raises like `place`."""
    there = place(lake, parts, expect, named, remedy)
    if lake.is_local:
        return Path(there)
    folder = work / there.rsplit("/", 1)[1]
    for name in _pointer(lake, parts)["files"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(lake.fs.cat_file(f"{there}/{name}"))
    return folder


def _pointer(lake: Lake, parts: Parts) -> dict[str, Any]:
    said = json.loads(lake.fs.cat_file(lake.place(*parts, POINTER)))
    if not isinstance(said, dict):
        raise ValueError("not a mapping")
    return said
