"""Versions of the reality anchors that are frozen: written once, checked whenever they are read.

What belongs here: the marker beside a version's table, its content hash, and reading a version back. What does not:
choosing anchors (corpora/anchors.py), what depends on them (lineage.py).

The marker `frozen.json` is written after the table: a crash between the two leaves a table that is not frozen, and is
made again. When it was frozen stands in the marker and in no fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import LakeError, StudyError
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake, slug
from smc_dagster.study import Anchors, digest_of
from smc_dagster.tables import ANCHOR_EVAL_SLICES, ANCHOR_TRAIN, REALITY_ANCHORS

MARKER = "frozen.json"


@dataclass(frozen=True)
class Frozen:
    """A frozen version.

    Attributes:
        version: its name.
        settings: digest of the anchor settings that it was chosen under.
        made_from: digest of the real_documents that it was chosen from.
        content: sha256 over its rows.
        rows: how many there are.
        frozen_at: UTC, ISO 8601.
    """

    version: str
    settings: str
    made_from: str
    content: str
    rows: int
    frozen_at: str

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the content alone: neither code nor corpus makes a frozen version stale."""
        return Fingerprint(REALITY_ANCHORS.name, self.content, "frozen")


def settings_digest(anchors: Anchors) -> str:
    """Digest of the settings that choose the anchors."""
    return digest_of(anchors.model_dump(mode="json"))


def content_digest(table: pa.Table) -> str:
    """sha256 over the rows in their order, as JSON; the file format does not count."""
    state = hashlib.sha256()
    names = REALITY_ANCHORS.schema.names
    for batch in table.select(names).to_batches(max_chunksize=10_000):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            state.update(json.dumps(row).encode() + b"\n")
    return state.hexdigest()


def find(lake: Lake, anchors: Anchors) -> Frozen | None:
    """The marker of the version that a study names; None where it is not frozen yet.

    Raises:
        StudyError: it was frozen under other anchor settings.
        LakeError: the marker is damaged.
    """
    frozen = marker(lake, anchors.version)
    if frozen is not None and frozen.settings != settings_digest(anchors):
        raise StudyError(
            f"anchors: version `{anchors.version}` was frozen on {frozen.frozen_at[:10]} under other settings "
            f"(digest {frozen.settings}, the study now gives {settings_digest(anchors)}); a frozen version does not "
            "change",
            "give anchors.version a new name in the study file, or take the change of the other keys of `anchors` back",
        )
    return frozen


def marker(lake: Lake, version: str) -> Frozen | None:
    """The marker of a version; None where there is none.

    Raises:
        LakeError: it is damaged.
    """
    path = lake.place(*_marker(version))
    if not lake.fs.exists(path):
        return None
    try:
        found = Frozen(**json.loads(lake.fs.cat_file(path)))
        if found.version != version or not isinstance(found.rows, int):
            raise ValueError(f"it speaks of version {found.version!r} with {found.rows!r} rows")
    except (ValueError, TypeError) as error:
        raise LakeError(
            f"{path} is damaged: {error}", "restore it from a copy, or name a new anchors.version in the study file"
        ) from error
    return found


def versions(lake: Lake) -> list[Frozen]:
    """Every frozen version, by name.

    Raises:
        LakeError: a marker is damaged.
    """
    names = sorted(
        Path(one).parent.name.removeprefix("version=")
        for one in lake.fs.glob(lake.place(REALITY_ANCHORS.name, "version=*", MARKER))
    )
    return [one for one in (marker(lake, name) for name in names) if one is not None]


def freeze(lake: Lake, table: pa.Table, anchors: Anchors, made_from: str) -> Frozen:
    """Write a version and freeze it.

    Args:
        table: schema REALITY_ANCHORS, of that version.
        made_from: digest of the real_documents it was chosen from.

    Raises:
        LakeError: the version is frozen already.
    """
    if marker(lake, anchors.version) is not None:
        raise LakeError(f"anchors: version `{anchors.version}` is frozen already", "name a new anchors.version")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    frozen = Frozen(anchors.version, settings_digest(anchors), made_from, content_digest(table), table.num_rows, now)
    lake.write(REALITY_ANCHORS, table, frozen.fingerprint, anchors.version)
    lake.write_bytes("/".join(_marker(anchors.version)), json.dumps(asdict(frozen), indent=1).encode() + b"\n")
    return frozen


def restore(lake: Lake, frozen: Frozen, table: pa.Table) -> None:
    """Write the rows of a frozen version again where they are the ones that were frozen; else leave all as it is."""
    if content_digest(table) == frozen.content:
        lake.write(REALITY_ANCHORS, table, frozen.fingerprint, frozen.version)


def read(lake: Lake, frozen: Frozen) -> pa.Table:
    """The rows of a frozen version, schema REALITY_ANCHORS.

    Raises:
        LakeError: the table is gone, damaged, or holds other rows than were frozen.
    """
    path = lake.table_path(REALITY_ANCHORS, frozen.version)
    remedy = (
        f"restore {path} from a copy; if there is none, name a new anchors.version in the study file: what was "
        f"measured on `{frozen.version}` cannot be measured again"
    )
    if not lake.fs.exists(path):
        raise LakeError(f"{path} is gone, though version `{frozen.version}` is frozen", remedy)
    try:
        table = lake.read(REALITY_ANCHORS, frozen.version)
        found = content_digest(table)
    except (LakeError, KeyError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise LakeError(f"{path} is damaged, though version `{frozen.version}` is frozen: {error}", remedy) from error
    if found != frozen.content:
        raise LakeError(
            f"{path} holds other rows than were frozen as `{frozen.version}` on {frozen.frozen_at}: sha256 expected "
            f"{frozen.content}, found {found}",
            remedy,
        )
    return table


def slice_counts(lake: Lake, frozen: Frozen) -> dict[str, int]:
    """Rows of a version by slice; raises like `read`."""
    found = read(lake, frozen)["slice"].value_counts().to_pylist()
    counts = {one["values"]: one["counts"] for one in found}
    return {name: counts.get(name, 0) for name in (ANCHOR_TRAIN, *ANCHOR_EVAL_SLICES)}


def show(lake: Lake, version: str, slice_name: str | None, most: int) -> list[dict[str, Any]]:
    """The first rows of a version, of one slice or of all, in the order they were frozen in.

    Raises:
        StudyError: no such version, or no such slice.
        LakeError: see `read`.
    """
    known = [one.version for one in versions(lake)]
    if version not in known:
        raise StudyError(f"no anchors are frozen as `{version}`", f"versions are {', '.join(known) or 'none yet'}")
    slices = (ANCHOR_TRAIN, *ANCHOR_EVAL_SLICES)
    if slice_name is not None and slice_name not in slices:
        raise StudyError(f"anchors have no slice `{slice_name}`", f"slices are {', '.join(slices)}")
    held = marker(lake, version)
    table = REALITY_ANCHORS.schema.empty_table() if held is None else read(lake, held)
    if slice_name is not None:
        table = table.filter(pc.equal(table["slice"], slice_name))
    found: list[dict[str, Any]] = table.slice(0, most).to_pylist()
    return found


def _marker(version: str) -> tuple[str, str, str]:
    return REALITY_ANCHORS.name, f"version={slug(version)}", MARKER
