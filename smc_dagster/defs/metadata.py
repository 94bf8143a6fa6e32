"""Metadata of a materialisation: what a person sees beside an asset in the UI.

What belongs here: row counts, schemas, fingerprints, links and plots as Dagster metadata values. What does not:
computing any.
"""

from __future__ import annotations

import base64
import os
from typing import Any

import dagster as dg
import pyarrow as pa

from smc_dagster.tables import TABLES
from smc_dagster.workbench import Workbench

OWNERS = ["team:data"]
# the table that an asset shows, where it has another name
_SHOWN = {"drift_report": "drift", "checkpoints": "training_curves", "generator_model": "generator_curves"}


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """An Arrow schema as Dagster shows it."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(one.name, str(one.type), constraints=dg.TableColumnConstraints(nullable=one.nullable))
            for one in schema
        ]
    )


def declared(asset: str) -> dict[str, Any]:
    """The schema of an asset's table, which is there to see before the table is; nothing where it has none."""
    spec = TABLES.get(_SHOWN.get(asset, asset))
    return {} if spec is None else {"dagster/column_schema": column_schema(spec.schema)}


def of_table(bench: Workbench, table: str, partition: str | None = None) -> dict[str, Any]:
    """Row count, schema, fingerprint and place of a table in the lake."""
    spec, partition = TABLES[table], bench.lineage.partition(table, partition)
    stored = bench.lake.fingerprint(spec, partition)
    return {
        "dagster/row_count": bench.lake.rows(spec, partition),
        "dagster/column_schema": column_schema(spec.schema),
        "fingerprint": stored.digest if stored else "none",
        "path": dg.MetadataValue.path(bench.lake.table_path(spec, partition)),
    }


def link(relative: str) -> dg.UrlMetadataValue:
    """Link to a file of the lake, as `make dev` serves it: a browser follows no file:// link from Dagster's pages."""
    return dg.MetadataValue.url(f"{os.environ.get('SMC_FILES_URL', 'http://127.0.0.1:3001')}/{relative}")


def plot(png: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """A PNG inside a markdown value, so that it needs no file server."""
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")


def records(rows: list[dict[str, Any]]) -> dg.TableMetadataValue:
    """A small table: every row has the same keys; numbers are rounded, missing values shown as an empty string."""
    shown = [{key: _cell(value) for key, value in row.items()} for row in rows]
    columns = [dg.TableColumn(name, _kind(shown, name)) for name in (rows[0] if rows else {})]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in shown], dg.TableSchema(columns))


def version(bench: Workbench, table: str) -> dg.DataVersion:
    """The fingerprint of an unpartitioned table as Dagster's data version, so that staleness follows content."""
    stored = bench.lake.fingerprint(TABLES[table], bench.lineage.partition(table))
    return dg.DataVersion(stored.digest if stored else "none")


def _cell(value: Any) -> str | int | float | bool:
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return str(value)[:200]


def _kind(rows: list[dict[str, Any]], name: str) -> str:
    kinds = {type(row[name]) for row in rows}
    return "string" if str in kinds or not kinds else "float" if float in kinds else kinds.pop().__name__
