"""What runs without being asked: the daily schedule, the landing sensor, findings that follow their arms.

What belongs here: when jobs run. What does not: what they do.
"""

import json
from datetime import UTC, datetime

import dagster as dg

from smc_dagster.corpora.landing import Landed, arrivals
from smc_dagster.defs.corpora import landing_of
from smc_dagster.defs.jobs import INGEST, POOLS
from smc_dagster.defs.partitions import DAYS
from smc_dagster.study import Study, digest_of


def schedules() -> list[dg.ScheduleDefinition]:
    """The daily read of the source."""

    @dg.schedule(
        job_name=INGEST,
        cron_schedule="0 5 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Reads the source every day at 05:00 UTC, for what no file drop announces.",
    )
    def daily_ingest(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = context.scheduled_execution_time.strftime("%Y-%m-%d")
        context.instance.add_dynamic_partitions(str(DAYS.name), [day])
        return dg.RunRequest(run_key=day, partition_key=day)

    return [daily_ingest]


def sensors(study: Study) -> list[dg.SensorDefinition]:
    """The landing folder, and findings that follow."""

    @dg.sensor(
        job_name=INGEST,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ingests a day when files arrive in the landing folder, below real/<day>/.",
    )
    def landing_folder(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        now, changed, reason = _news(study, Landed.real, context.cursor)
        if not changed:
            return dg.SkipReason(reason)
        return dg.SensorResult(
            dynamic_partitions_requests=[DAYS.build_add_request(changed)],
            run_requests=[dg.RunRequest(run_key=f"{day}:{now[day]}", partition_key=day) for day in changed],
            cursor=json.dumps(now),
        )

    pools = [name for name, pool in study.pools.items() if pool.generator == "files"]

    @dg.sensor(
        job_name=POOLS,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes the pools that are files when files arrive in the landing folder, below synthetic/<day>/.",
    )
    def synthetic_landing_folder(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        now, changed, reason = _news(study, Landed.synthetic, context.cursor)
        if not changed:
            return dg.SkipReason(reason)
        state = digest_of(now)
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=f"{pool}:{state}", partition_key=pool) for pool in pools],
            cursor=json.dumps(now),
        )

    follow = dg.AutomationConditionSensorDefinition(
        "findings_follow",
        target=dg.AssetSelection.groups("findings"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Draws the findings again when an arm was measured again.",
    )
    return [landing_folder, *([synthetic_landing_folder] if pools else []), follow]


def _news(study: Study, kind: Landed, cursor: str | None) -> tuple[dict[str, str], list[str], str]:
    """Digest by day of what has been seen and what is there, the days that changed, and what to say if none did."""
    landing = landing_of(study)
    try:
        seen = dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        seen = {}  # an older cursor: at worst a day is read again, and found fresh
    now, waiting, odd = arrivals(landing, datetime.now(UTC), kind)
    changed = [day for day, digest in now.items() if seen.get(day) != digest]
    reasons = [f"{landing.name}/{kind}: nothing new", *(f"{one}: still being written" for one in waiting), *odd]
    return {**seen, **now}, changed, "; ".join(reasons)
