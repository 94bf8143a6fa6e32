"""What a sensor of the landing folder says of what it asked for before and was refused.

What belongs here: finding what was refused and stands so, and the reason in a line. What does not: asking for runs
(automation.py), refusing (corpora/, synthesis/).

A sensor asks once for what lies in the folder. Where its run then fails, or a file of it is refused, no other tick
would tell: a person who looks at the sensor would see that all is well.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

from smc_dagster.defs.jobs import INGEST, POOLS

# as many failed runs and materialisations are looked at, the latest first
LOOKED_AT = 25
_LONGEST = 400


class _Made(NamedTuple):
    """What a job makes first, and the metadata that counts what was refused of it."""

    asset: dg.AssetKey
    refused: str
    unit: str


# of rows a source may have refused some too, which is no news of the landing folder; a pool comes from there alone
MADE = {
    INGEST: _Made(dg.AssetKey("raw_documents"), "files_quarantined", "files"),
    POOLS: _Made(dg.AssetKey("synthetic_documents"), "rows_quarantined", "rows"),
}


def standing(instance: dg.DagsterInstance, job: str, partitions: Collection[str]) -> list[str]:
    """What of these partitions was refused when they were last run, one line each.

    Args:
        job: `ingest` or `pools`.
        partitions: days or pools that have something in the landing folder.

    Returns:
        partitions whose run failed and that were not made since, with why; then those that were made without some of
        their files or rows, with how many.
    """
    if not partitions:
        return []
    failed = _failed(instance, job, partitions)
    counted = [
        f"{partition}: {count} {MADE[job].unit} refused, which lie in its quarantine with the reason"
        for partition, count in _quarantined(instance, MADE[job], partitions).items()
        if count and partition not in failed
    ]
    return [f"{partition}: {why}" for partition, why in sorted(failed.items())] + sorted(counted)


def _failed(instance: dg.DagsterInstance, job: str, partitions: Collection[str]) -> dict[str, str]:
    failed = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE])
    latest: dict[str, tuple[str, float]] = {}
    for record in instance.get_run_records(failed, limit=LOOKED_AT):
        partition = record.dagster_run.tags.get(PARTITION_NAME_TAG)
        if partition in partitions and record.end_time is not None:
            latest.setdefault(str(partition), (record.dagster_run.run_id, record.end_time))
    found = {}
    for partition, (run_id, ended) in latest.items():
        since = dg.AssetRecordsFilter(MADE[job].asset, asset_partitions=[partition], after_timestamp=ended)
        if not instance.fetch_materializations(since, limit=1).records:
            found[partition] = f"refused by run {run_id[:8]}: {_why(instance, run_id)}"
    return found


def _quarantined(instance: dg.DagsterInstance, made: _Made, partitions: Collection[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in instance.fetch_materializations(made.asset, limit=LOOKED_AT).records:
        seen = record.asset_materialization
        if seen is not None and seen.partition in partitions and made.refused in seen.metadata:
            counts.setdefault(str(seen.partition), int(str(seen.metadata[made.refused].value)))
    return counts


def _why(instance: dg.DagsterInstance, run_id: str) -> str:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        if event is None:
            continue
        data = event.step_failure_data
        if data.user_failure_data is not None and data.user_failure_data.description:
            said = data.user_failure_data.description
        else:
            said = data.error.message if data.error is not None else ""
        if said:
            line = " ".join(said.split())
            return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
    return "its log says why"
