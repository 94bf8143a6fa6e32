"""The lake: where every table lies, how it is written whole or not at all, and how it is read back.

What belongs here: paths, atomic writes, the marker that says whose lake it is. What does not: what a table means
(tables/), what a file carries (fingerprints.py), or which fingerprint is due (lineage.py).

A table is `<root>/<table>/data.parquet`, or one `<root>/<table>/<column>=<slug>/data.parquet` a partition. A file
goes to a temporary name beside its place and is renamed over it, so that a crash leaves the old table or the new
one; on an object store the upload itself is atomic.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from smc_dagster.credentials import REMEDY, holds_secret, masked
from smc_dagster.errors import LakeError, StaleInputError
from smc_dagster.fingerprints import METADATA_KEY, Fingerprint, writing_parquet
from smc_dagster.full_disks import FULL, writing_to
from smc_dagster.tables import TableSpec

MARKER = "lake.json"
POINTER = "current.json"
VERSION_PREFIX = "v-"
FORMAT = 1


def slug(name: str) -> str:
    """A name that is safe in a path: unchanged where it is plain, else a slug plus a hash of the whole name."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_.@-]{0,80}", name) and ".." not in name:
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x"
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


class Lake:
    """The tables of one study under one root (a local path or any fsspec URL)."""

    def __init__(self, root: str | Path, study: str) -> None:
        self.root = str(root).rstrip("/")
        if holds_secret(self.root):
            raise LakeError(f"SMC_LAKE or --lake, {masked(self.root)}: the URL holds a password or a query", REMEDY)
        self.study = study
        self.fs, self._base = fsspec.core.url_to_fs(self.root)
        self.is_local = "file" in ([self.fs.protocol] if isinstance(self.fs.protocol, str) else self.fs.protocol)

    # ------------------------------------------------------------------ whose lake

    def is_claimed(self) -> bool:
        """Whether there is anything here that `claim` would check."""
        return bool(self.fs.exists(self._base))

    def claim(self) -> None:
        """Mark the lake as this study's, or check that it is.

        Raises:
            LakeError: another study wrote it, the marker is unreadable, or the place cannot be written.
        """
        path = self.place(MARKER)
        if not self.fs.exists(path):
            if self.fs.exists(self._base) and self.fs.ls(self._base):
                names = [Path(one).name for one in self.fs.ls(self._base, detail=False)]
                if any(not name.startswith(".") for name in names):
                    raise LakeError(
                        f"{self.root} holds files ({', '.join(sorted(names)[:3])}) but no {MARKER}: it is not a lake",
                        "point SMC_LAKE at an empty folder or at this study's lake",
                    )
            self.write_bytes(MARKER, json.dumps({"format": FORMAT, "study": self.study}).encode() + b"\n")
            return
        try:
            marker = json.loads(self.fs.cat_file(path))
            owner, written = marker["study"], marker["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise LakeError(f"{path} is not readable: {error}", "restore it, or use another lake") from error
        if written != FORMAT:
            raise LakeError(f"{path}: lake format {written}, this code reads {FORMAT}", "use another lake")
        if owner != self.study:
            raise LakeError(
                f"the lake at {self.root} was written by study `{owner}`, not `{self.study}`; nothing was changed",
                "set SMC_LAKE to another folder, or run that study",
            )

    # ------------------------------------------------------------------ places

    def place(self, *parts: str) -> str:
        """Path inside the lake's file system."""
        return "/".join([self._base, *parts])

    def table_path(self, spec: TableSpec, partition: str | None = None) -> str:
        """Path of a table's file, or of one of its partitions."""
        if (spec.partition is None) != (partition is None):
            raise ValueError(
                f"{spec.name}: partition {partition!r} does not fit a table partitioned by {spec.partition}"
            )
        if spec.partition is None or partition is None:
            return self.place(spec.name, "data.parquet")
        return self.place(spec.name, f"{spec.partition}={slug(partition)}", POINTER if spec.folder else "data.parquet")

    def partitions(self, spec: TableSpec) -> list[str]:
        """Slugs of the partitions that are there, sorted."""
        prefix = f"{spec.partition}="
        found = self.fs.glob(self.place(spec.name, f"{prefix}*", POINTER if spec.folder else "data.parquet"))
        return sorted(Path(one).parent.name.removeprefix(prefix) for one in found)

    # ------------------------------------------------------------------ writing

    @contextmanager
    def writing(self, *parts: str) -> Iterator[BinaryIO]:
        """A file object whose content appears under its name only when the block ends without an error."""
        path = self.place(*parts)
        if not self.is_local:
            with self.fs.open(path, "wb") as file:
                yield file
            return
        target = Path(path)
        with writing_to(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            file = open(temporary, "wb")  # noqa: SIM115 - closed below, where its own errors are told from the block's
        try:
            # what the block reads may be forbidden too, so of what it raises only this is sure to be ours
            with writing_to(target.parent, (*FULL, errno.EROFS)), file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            with writing_to(target.parent):
                os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def write_bytes(self, relative: str, content: bytes) -> str:
        """Write a file that is no table (HTML, JSON); returns its path."""
        with self.writing(*relative.split("/")) as file:
            file.write(content)
        return self.place(relative)

    def write(self, spec: TableSpec, table: pa.Table, fingerprint: Fingerprint, partition: str | None = None) -> str:
        """Write a table whole, with its fingerprint; returns its path.

        Raises:
            LakeError: columns or types differ from the contract, or a required value is null.
        """
        with self.writing_batches(spec, fingerprint, partition) as append:
            append(table)
        return self.table_path(spec, partition)

    @contextmanager
    def writing_batches(self, spec: TableSpec, fingerprint: Fingerprint, partition: str | None = None) -> Iterator[Any]:
        """Like `write`, for a table that comes in pieces: yields `append(table)`."""
        relative = self.table_path(spec, partition).removeprefix(self._base + "/")
        with self.writing(*relative.split("/")) as file, writing_parquet(file, spec, fingerprint) as append:
            yield append

    def adopt(self, spec: TableSpec, file: Path, partition: str | None = None) -> str:
        """Make a file that `writing_parquet` wrote the content of a table, whole or not at all; returns its place.

        The file is gone afterwards where it lies on the lake's own disk; else it is copied.
        """
        path = self.table_path(spec, partition)
        if self.is_local:
            target = Path(path)
            with writing_to(target.parent):
                target.parent.mkdir(parents=True, exist_ok=True)
            if target.parent.stat().st_dev == file.stat().st_dev:
                with file.open("rb") as content:
                    os.fsync(content.fileno())
                os.replace(file, target)
                return path
        with file.open("rb") as content, self.writing(*path.removeprefix(self._base + "/").split("/")) as place:
            shutil.copyfileobj(content, place, 1 << 22)
        return path

    def publish_folder(self, spec: TableSpec, folder: Path, fingerprint: Fingerprint, partition: str) -> str:
        """Make a local folder of Parquet files the content of a partition; returns the published folder's path.

        The files go to a version folder of their own; the pointer that names it is replaced last, so a crash before
        that leaves the old version in force. Versions no longer pointed at are removed.
        """
        pointer = self.table_path(spec, partition)
        parent = pointer.rsplit("/", 1)[0]
        version = f"{VERSION_PREFIX}{fingerprint.digest}-{uuid.uuid4().hex[:8]}"
        files = {str(one.relative_to(folder)): one.stat().st_size for one in sorted(folder.rglob("*.parquet"))}
        rows = sum(pq.read_metadata(folder / one).num_rows for one in files)
        if self.is_local:
            with writing_to(parent):
                Path(parent).mkdir(parents=True, exist_ok=True)
                shutil.move(str(folder), f"{parent}/{version}")
        else:
            self.fs.put(f"{folder}/", f"{parent}/{version}/", recursive=True)
        content = {"version": version, "rows": rows, "files": files, "fingerprint": json.loads(fingerprint.to_json())}
        self.write_bytes(pointer.removeprefix(self._base + "/"), json.dumps(content, indent=1).encode() + b"\n")
        for old in self.fs.glob(f"{parent}/{VERSION_PREFIX}*"):
            if Path(old).name != version:
                self.fs.rm(old, recursive=True)
        return f"{parent}/{version}"

    # ------------------------------------------------------------------ reading

    def _pointer(self, spec: TableSpec, partition: str | None) -> dict[str, Any]:
        content = json.loads(self.fs.cat_file(self.table_path(spec, partition)))
        if not isinstance(content, dict):
            raise ValueError("not a mapping")
        return content

    def _version(self, spec: TableSpec, partition: str | None, pointer: dict[str, Any]) -> str:
        """The folder that a pointer names."""
        return f"{self.table_path(spec, partition).rsplit('/', 1)[0]}/{pointer['version']}"

    def check_sizes(self, folder: str, sizes: dict[str, int]) -> None:
        """Check that files are there, below a folder of the lake's file system, and not cut.

        Raises:
            ValueError: one is missing, or of another size.
        """
        # one listing: of an object store each question is a request
        listed = self.fs.find(folder, detail=True).items()
        held = {path.rsplit(f"/{Path(folder).name}/", 1)[-1]: info["size"] for path, info in listed}
        for name, size in sizes.items():
            if held.get(name) != size:
                raise ValueError(f"{folder}/{name} has {held.get(name, 'no')} bytes, due are {size}")

    def fingerprint(self, spec: TableSpec, partition: str | None = None) -> Fingerprint | None:
        """What the stored table was made from; None where it is missing, not whole or not readable."""
        try:
            if spec.folder:
                pointer = self._pointer(spec, partition)
                self.check_sizes(self._version(spec, partition, pointer), pointer["files"])
                return Fingerprint(**pointer["fingerprint"])
            with self.fs.open(self.table_path(spec, partition), "rb") as file:
                metadata = pq.read_schema(file).metadata or {}
            return Fingerprint.from_json(metadata[METADATA_KEY].decode())
        except (FileNotFoundError, KeyError, ValueError, TypeError, AttributeError, pa.ArrowInvalid):
            return None

    def rows(self, spec: TableSpec, partition: str | None = None) -> int:
        """Number of rows, from the footer."""
        if spec.folder:
            return int(self._pointer(spec, partition)["rows"])
        with self.fs.open(self.table_path(spec, partition), "rb") as file:
            return int(pq.read_metadata(file).num_rows)

    def read(
        self,
        spec: TableSpec,
        partition: str | None = None,
        columns: list[str] | None = None,
        expect: str | None = None,
    ) -> pa.Table:
        """Read a table or one partition.

        Args:
            expect: digest that the stored fingerprint must have.

        Raises:
            StaleInputError: the table is missing, or its fingerprint is another.
            LakeError: the file is damaged.
        """
        path = self._checked(spec, partition, expect)
        try:
            if spec.folder:
                return self._read_folder(spec, partition, columns)
            return self._parquet(path, columns)
        except (pa.ArrowInvalid, OSError, ValueError, KeyError) as error:
            raise LakeError(f"{path} is damaged: {error}", f"materialise {spec.name} again") from error

    def batches(
        self, spec: TableSpec, partition: str | None = None, *, columns: list[str], expect: str
    ) -> Iterator[pa.RecordBatch]:
        """Read a table of one file, or one partition, piece by piece; arguments and errors as of `read`."""
        path = self._checked(spec, partition, expect)
        try:
            with self._source(path) as file:
                yield from pq.ParquetFile(file).iter_batches(columns=columns, use_threads=self.is_local)
        except (pa.ArrowInvalid, OSError, ValueError, KeyError) as error:
            raise LakeError(f"{path} is damaged: {error}", f"materialise {spec.name} again") from error

    def _source(self, path: str) -> Any:
        """A file of the lake, open for Arrow.

        Of a Python file Arrow's threads let go when they like, and where the interpreter is ending by then the process
        is aborted: local files are Arrow's own, and others are read without threads.
        """
        return pa.OSFile(path, "rb") if self.is_local else self.fs.open(path, "rb")

    def _parquet(self, path: str, columns: list[str] | None) -> pa.Table:
        with self._source(path) as file:
            return pq.read_table(file, columns=columns, use_threads=self.is_local, pre_buffer=self.is_local)

    def _checked(self, spec: TableSpec, partition: str | None, expect: str | None) -> str:
        """Path of a table that is there and, where a digest is expected, was made from that."""
        path = self.table_path(spec, partition)
        named = f"{spec.name}[{partition}]" if partition else spec.name
        if not self.fs.exists(path):
            raise StaleInputError(f"{named} is not in the lake", f"materialise {spec.name} first")
        if expect is not None:
            stored = self.fingerprint(spec, partition)
            if stored is None or stored.digest != expect:
                has = stored.digest if stored else "none that can be read"
                raise StaleInputError(
                    f"{named} was made from other inputs than the study now asks for (fingerprint {has}, due {expect})",
                    f"materialise {spec.name} first, or run `smc study run`",
                )
        return path

    def _read_folder(self, spec: TableSpec, partition: str | None, columns: list[str] | None) -> pa.Table:
        pointer = self._pointer(spec, partition)
        version = self._version(spec, partition, pointer)
        names = spec.schema.names if columns is None else columns
        wanted = list(dict.fromkeys([*names, *spec.order]))
        schema = pa.schema([spec.schema.field(name) for name in wanted])
        parts = [schema.empty_table()]
        for name in pointer["files"]:
            # DuckDB marks a column without nulls as required, and such parts do not join with others
            parts.append(self._parquet(f"{version}/{name}", wanted).cast(schema))
        whole = pa.concat_tables(parts)
        if spec.order:
            # DuckDB sorts as it writes at a third more time: rows are put in order here instead
            whole = whole.sort_by([(name, "ascending") for name in spec.order])
        return whole.select(names)

    def count_values(self, spec: TableSpec, partition: str | None, column: str) -> dict[str, int]:
        """How often each value of a text column occurs, file by file, so that no more than one is in memory.

        Raises:
            StaleInputError: the table is missing.
            LakeError: a file is damaged.
        """
        path = self.table_path(spec, partition)
        if not self.fs.exists(path):
            raise StaleInputError(f"{spec.name}[{partition}] is not in the lake", f"materialise {spec.name} first")
        counts: Counter[str] = Counter()
        try:
            files = [path]
            if spec.folder:
                pointer = self._pointer(spec, partition)
                version = self._version(spec, partition, pointer)
                files = [f"{version}/{name}" for name in pointer["files"]]
            for name in files:
                for one in self._parquet(name, [column])[column].value_counts().to_pylist():
                    counts[str(one["values"])] += one["counts"]
        except (pa.ArrowInvalid, OSError, ValueError, KeyError) as error:
            raise LakeError(f"{path} is damaged: {error}", f"materialise {spec.name} again") from error
        return dict(counts)

    def read_many(self, spec: TableSpec, partitions: Iterable[str], columns: list[str] | None = None) -> pa.Table:
        """Read several partitions as one table, in the order given."""
        tables = [self.read(spec, one, columns) for one in partitions]
        return pa.concat_tables(tables) if tables else spec.schema.empty_table()
