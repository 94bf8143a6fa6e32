"""What runs without being asked: the daily schedule, the landing sensor, findings that follow their arms.

What belongs here: when jobs run. What does not: what they do.
"""

import json
from datetime import UTC, datetime

import dagster as dg

from smc_dagster.corpora.landing import arrivals
from smc_dagster.defs.corpora import landing_of
from smc_dagster.defs.jobs import INGEST
from smc_dagster.defs.partitions import DAYS
from smc_dagster.study import Study


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
        seen: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        now, waiting, odd = arrivals(landing_of(study), datetime.now(UTC))
        changed = [day for day, digest in now.items() if seen.get(day) != digest]
        if not changed:
            reasons = [f"{landing_of(study).name}: nothing new"]
            reasons += [f"{one}: still being written" for one in waiting] + [f"{one}: not a day" for one in odd]
            return dg.SkipReason("; ".join(reasons))
        return dg.SensorResult(
            dynamic_partitions_requests=[DAYS.build_add_request(changed)],
            run_requests=[dg.RunRequest(run_key=f"{day}:{now[day]}", partition_key=day) for day in changed],
            cursor=json.dumps({**seen, **{day: now[day] for day in changed}}),
        )

    follow = dg.AutomationConditionSensorDefinition(
        "findings_follow",
        target=dg.AssetSelection.groups("findings"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Draws the findings again when an arm was measured again.",
    )
    return [landing_folder, follow]
