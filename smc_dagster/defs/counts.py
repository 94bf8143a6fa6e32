"""The check that no row is lost: what was read is kept or in quarantine.

What belongs here: its declaration and its result, for every asset that reads rows from outside. What does not: reading
and counting (corpora/ingest.py, synthesis/).
"""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.metadata import normalize_metadata


def declared(asset: str, name: str, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
    """The check of an asset; it blocks what is downstream."""
    return dg.AssetCheckSpec(
        name,
        asset=asset,
        blocking=True,
        partitions_def=partitions,
        description="Every row read is a document or in quarantine.",
    )


def evaluated(asset: str, name: str, partition: str, passed: bool, counts: dict[str, int]) -> AssetCheckEvaluation:
    """The result for one partition, with the rows that were counted."""
    return AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=name,
        passed=passed,
        metadata=normalize_metadata(counts),
        severity=dg.AssetCheckSeverity.ERROR,
        partition=partition,
        blocking=True,
    )


def finished(asset: str, name: str) -> dg.Output[None]:
    """What a step yields once every partition has its result."""
    return dg.Output(None, output_name=f"{asset}_{name}")
