"""What a table was made from, and Parquet files that carry it.

What belongs here: the fingerprint, and writing Parquet under it after the contract of a table. What does not: where a
table lies (lake.py), or which fingerprint it is due (lineage.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smc_dagster.errors import LakeError
from smc_dagster.tables import TableSpec

METADATA_KEY = b"smc"
# neither texts nor ids repeat: a dictionary of them is work for nothing
_WITHOUT_DICTIONARY = ("text", "doc_id", "row")


@dataclass(frozen=True)
class Fingerprint:
    """What a table was made from. Two tables with one digest hold the same rows.

    Attributes:
        table: name of the table.
        part: hash of the part of the study that shaped it.
        code_version: version of the code that makes it.
        inputs: digest of each input table or file, by name.
        seed: the study's seed.
    """

    table: str
    part: str
    code_version: str
    inputs: dict[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def digest(self) -> str:
        """sha256 over all attributes, its first 16 hex digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Canonical JSON of the attributes."""
        return json.dumps(self.__dict__, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """Inverse of `to_json`."""
        return cls(**json.loads(text))


@contextmanager
def writing_parquet(file: Any, spec: TableSpec, fingerprint: Fingerprint) -> Iterator[Any]:
    """Write a table's Parquet, with its fingerprint, to a path or an open file: yields `append(table)`.

    Raises:
        LakeError: columns or types differ from the contract, or a required value is null.
    """
    schema = spec.schema.with_metadata({METADATA_KEY: fingerprint.to_json().encode()})
    repeating = [one.name for one in schema if one.name not in _WITHOUT_DICTIONARY]
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=repeating) as writer:
        yield lambda table: writer.write_table(_conform(spec, table).replace_schema_metadata(schema.metadata))


def _conform(spec: TableSpec, table: pa.Table) -> pa.Table:
    missing = [name for name in spec.schema.names if name not in table.column_names]
    extra = [name for name in table.column_names if name not in spec.schema.names]
    if missing or extra:
        raise LakeError(f"{spec.name}: columns missing {missing}, not in the contract {extra}")
    try:
        # the cast refuses a null where the contract requires a value
        table = table.select(spec.schema.names).cast(spec.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise LakeError(f"{spec.name}: {error}") from error
    return table
