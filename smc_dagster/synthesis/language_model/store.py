"""Where the lake keeps the generations of the language model.

What belongs here: publishing a folder, telling what it was made from, getting it back. What does not: making it.

`generator_model/generation=<i>/<version>/` is a folder as transformers reads it; `current.json` beside it names the
version in force and its fingerprint, and is replaced last, so that a crash leaves the old model or the new one.
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

from smc_dagster.errors import LakeError, StaleInputError
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import POINTER, VERSION_PREFIX, Lake

_AGAIN = "materialise generator_model first, or run `smc study run`"


def publish(lake: Lake, generation: int, folder: Path, fingerprint: Fingerprint) -> str:
    """Make a local folder the generation's content; returns its place in the lake. The local folder stays.

    Raises:
        LakeError: the lake cannot be written; what was there stays.
    """
    version = f"{VERSION_PREFIX}{fingerprint.digest}-{uuid.uuid4().hex[:8]}"
    parts = _parts(generation)
    files = sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
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


def digest(lake: Lake, generation: int) -> str | None:
    """Digest of what the stored generation was made from; None where it is missing or not readable."""
    try:
        said = json.loads(lake.fs.cat_file(lake.place(*_parts(generation), POINTER)))
        return Fingerprint(**said["fingerprint"]).digest
    except (FileNotFoundError, KeyError, ValueError, TypeError):
        return None


def fetch(lake: Lake, generation: int, expect: str, work: Path) -> Path:
    """A local folder of the generation: the lake's own where it is local, else a copy below `work`.

    Args:
        expect: digest that its fingerprint must have.

    Raises:
        StaleInputError: it is missing, or was made from other inputs.
        LakeError: a file of it is missing.
    """
    found = digest(lake, generation)
    if found != expect:
        raise StaleInputError(
            f"generator_model, generation {generation}, is missing or was made from other inputs than the study now "
            f"asks for (fingerprint {found}, due {expect})",
            _AGAIN,
        )
    said = json.loads(lake.fs.cat_file(lake.place(*_parts(generation), POINTER)))
    parts = (*_parts(generation), said["version"])
    folder = Path(lake.place(*parts)) if lake.is_local else work / said["version"]
    for name in said["files"]:
        try:
            if lake.is_local:
                if not (folder / name).is_file():
                    raise FileNotFoundError(name)
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(lake.fs.cat_file(lake.place(*parts, *name.split("/"))))
        except FileNotFoundError as error:
            raise LakeError(f"{folder}: {name} is missing", _AGAIN) from error
    return folder


def _parts(generation: int) -> tuple[str, str]:
    return "generator_model", f"generation={generation}"
