"""What runs without being asked: the daily schedule, the landing sensor, findings that follow their arms, and what
new data ask for (retraining.py).

What belongs here: when jobs run. What does not: what they do.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from smc_dagster.corpora.landing import Landed, arrivals
from smc_dagster.defs import refusals, retraining
from smc_dagster.defs.corpora import landing_of
from smc_dagster.defs.jobs import INGEST, POOLS
from smc_dagster.defs.partitions import DAYS
from smc_dagster.study import Study, digest_of

Digests = dict[str, str]
# partitions to run, each with the state that asks for it, and partitions to add before
Asked = tuple[Digests, list[dg.AddDynamicPartitionsRequest]]


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
    """The landing folder, findings that follow, and what new data ask for."""

    pools = [name for name, pool in study.pools.items() if pool.generator == "files"]

    def days(now: Digests, changed: list[str]) -> Asked:
        return {day: now[day] for day in changed}, [DAYS.build_add_request(changed)]

    def files_pools(now: Digests, changed: list[str]) -> Asked:
        return dict.fromkeys(pools, digest_of(now)), []

    landed = _landing_sensor(
        study,
        Landed.real,
        "landing_folder",
        INGEST,
        "Ingests a day when files arrive in the landing folder, below real/<day>/.",
        days,
    )
    landed_synthetic = _landing_sensor(
        study,
        Landed.synthetic,
        "synthetic_landing_folder",
        POOLS,
        "Makes the pools that are files when files arrive in the landing folder, below synthetic/<day>/.",
        files_pools,
    )
    follow = dg.AutomationConditionSensorDefinition(
        "findings_follow",
        target=dg.AssetSelection.groups("findings"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Draws the findings again when an arm was measured again.",
    )
    return [landed, *([landed_synthetic] if pools else []), follow, *retraining.sensors()]


def _landing_sensor(
    study: Study,
    kind: Landed,
    name: str,
    job: str,
    description: str,
    ask: Callable[[Digests, list[str]], Asked],
) -> dg.SensorDefinition:
    """A sensor of one side of the landing folder; `ask` says what is due, given all digests and the changed days."""

    @dg.sensor(
        name=name,
        job_name=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def landing(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        seen = _seen(context.cursor)
        there, waiting, odd = arrivals(landing_of(study), datetime.now(UTC), kind)
        now = {**seen, **there}
        changed = [day for day, digest in there.items() if seen.get(day) != digest]
        due, added = ask(now, changed) if changed else ({}, [])
        reasons = [f"{one}: still being written" for one in waiting] + odd
        if there:
            reasons += refusals.standing(context.instance, job, ask(now, list(there))[0])
        if not due:
            return dg.SkipReason("; ".join([f"{landing_of(study).name}/{kind}: nothing new", *reasons]))
        # a tick that asks for runs has no reason of its own: what else there is to say goes to its log
        for one in reasons:
            context.log.info(one)
        return dg.SensorResult(
            dynamic_partitions_requests=added,
            # what is in the folder is part of the key, so that the daemon does not take a run for one that was
            run_requests=[dg.RunRequest(run_key=f"{key}:{state}", partition_key=key) for key, state in due.items()],
            cursor=json.dumps(now),
        )

    return landing


def _seen(cursor: str | None) -> Digests:
    """Digests by day that runs were asked for; none where the cursor is of another time: at worst a day is read again,
    and found fresh."""
    try:
        return dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        return {}
