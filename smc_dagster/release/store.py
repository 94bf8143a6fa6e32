"""The release in force: written whole or not at all, and read back.

What belongs here: the folder of a release, what lies in it, and the pointer to the one in force. What does not: whether
an arm may be released (audit.py).

`released_model/v-<fingerprint>-<random>/` holds `model/`, the folder of `smc export`, and `release.json`: arm,
fingerprint, audit. `released_model/current.json` names that folder and is replaced last, so that a crash before leaves
the release before in force. Folders that are no longer named are removed after that.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from smc_dagster.errors import LakeError
from smc_dagster.export.folder import export_arm
from smc_dagster.lake import POINTER, VERSION_PREFIX, Lake
from smc_dagster.release.audit import Audit
from smc_dagster.study import Arm
from smc_dagster.workbench import Workbench

FOLDER = "released_model"
RECORD = "release.json"


@dataclass(frozen=True)
class Release:
    """A release.

    Attributes:
        arm: key of the arm.
        study: name of the study.
        fingerprint: digest of its checkpoint and its audit, limits included.
        made_from: digest of each input of that fingerprint, by name.
        anchors: version of the anchors that it was judged on.
        audit: the rulings, all passed, as plain values.
        released_at: UTC, ISO 8601; in no fingerprint.
        version: name of its folder.
    """

    arm: str
    study: str
    fingerprint: str
    made_from: dict[str, str]
    anchors: str
    audit: list[dict[str, Any]]
    released_at: str
    version: str


def publish(bench: Workbench, arm: Arm, audited: Audit) -> Release:
    """Put an arm in force; what was in force before stays until all of it is written.

    Raises:
        ValueError: the audit is another arm's, or did not pass: a programming error.
        StaleInputError, LakeError, ExportError: see `model_files`.
    """
    if audited.arm != arm.key or not audited.passed:
        raise ValueError(f"{arm.key}: published without an audit that it passed")
    lake, due = bench.lake, bench.lineage.due("released_model", arm.key)
    version = f"{VERSION_PREFIX}{due.digest}-{uuid.uuid4().hex[:8]}"
    release = Release(
        arm=arm.key,
        study=bench.study.name,
        fingerprint=due.digest,
        made_from=due.inputs,
        anchors=bench.study.anchors.version,
        audit=audited.rows(),
        released_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=version,
    )
    for name, content in model_files(bench, arm).items():
        lake.write_bytes(f"{FOLDER}/{version}/model/{name}", content)
    lake.write_bytes(f"{FOLDER}/{version}/{RECORD}", json.dumps(asdict(release), indent=1).encode() + b"\n")
    lake.write_bytes(f"{FOLDER}/{POINTER}", json.dumps({"version": version}).encode() + b"\n")
    for old in lake.fs.glob(lake.place(FOLDER, f"{VERSION_PREFIX}*")):
        if Path(old).name != version:
            lake.fs.rm(old, recursive=True)
    return release


def model_files(bench: Workbench, arm: Arm) -> dict[str, bytes]:
    """What is released of an arm, by name below `model/`: the folder that `smc export` would write.

    Raises:
        StaleInputError, LakeError: the arm is not built, stale, or damaged.
        ExportError: see `export_arm`.
    """
    with TemporaryDirectory(prefix="smc-release-") as work:
        folder = export_arm(bench, arm.key, Path(work) / "model").path
        return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def released(lake: Lake) -> Release | None:
    """The release in force; None before the first.

    Raises:
        LakeError: its pointer or its record is damaged.
    """
    pointer = lake.place(FOLDER, POINTER)
    if not lake.fs.exists(pointer):
        return None
    try:
        version = json.loads(lake.fs.cat_file(pointer))["version"]
        found = Release(**json.loads(lake.fs.cat_file(lake.place(FOLDER, version, RECORD))))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LakeError(f"{pointer}, or what it names, is damaged: {error}", "release an arm again") from error
    return found
