"""The job `forget_old_runs`: what of old runs nothing needs any more is removed from the instance.

What belongs here: which runs those are, the job, its schedule. What does not: how long ticks are kept, which Dagster
sees to itself (instance.yaml).

Dagster keeps runs and their events for ever. A run may be forgotten once nothing that it made is the latest of its
kind: what is stale, and the checks of a release, are read from the latest records alone.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import DagsterEventType
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from pydantic import Field

FORGET = "forget_old_runs"


class RetentionConfig(dg.Config):
    """What the launchpad asks."""

    days: int = Field(default=90, ge=1, description="Runs that ended longer ago than this many days are looked at.")


def forget_old_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Remove runs that ended before a time and of which nothing is the latest record; returns their ids."""
    ended = dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before)
    old = [run.run_id for run in instance.get_runs(ended) if not _is_needed(instance, run.run_id)]
    for run_id in old:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    return old


def _is_needed(instance: dg.DagsterInstance, run_id: str) -> bool:
    kinds = {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_CHECK_EVALUATION}
    for entry in instance.all_logs(run_id, of_type=kinds):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            found = instance.event_log_storage.get_latest_asset_check_execution_by_key(
                [check.asset_check_key], PartitionKeyFilter(key=check.partition)
            ).get(check.asset_check_key)
            if found is not None and found.run_id == run_id:
                return True
        elif event.asset_key is not None:
            keys = None if event.partition is None else [event.partition]
            latest = instance.fetch_materializations(
                dg.AssetRecordsFilter(event.asset_key, asset_partitions=keys), limit=1
            ).records
            if latest and latest[0].run_id == run_id:
                return True
    return False


def retention_job() -> dg.JobDefinition:
    """The job."""

    @dg.op(name="forget", description="Removes old runs of which nothing is the latest record.")
    def forget(context: dg.OpExecutionContext, config: RetentionConfig) -> None:
        old = forget_old_runs(context.instance, datetime.now(UTC) - timedelta(days=config.days))
        context.add_output_metadata({"runs_forgotten": len(old)})

    @dg.job(name=FORGET, description="Remove old runs and their events from the instance, but no latest record.")
    def forget_job() -> None:
        forget()

    return forget_job


def schedule() -> dg.ScheduleDefinition:
    """Every day, from the start."""
    return dg.ScheduleDefinition(
        name="daily_forgetting",
        job_name=FORGET,
        cron_schedule="30 4 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes what nothing needs of runs that ended over 90 days ago, every day at 04:30 UTC.",
    )
