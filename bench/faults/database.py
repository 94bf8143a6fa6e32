"""The Postgres server of the instance, restarted during a backfill."""

from __future__ import annotations

import os
import time

import dagster as dg
from dagster_postgres.utils import DagsterPostgresException

from bench.faults.trial import SUCCESS, LeftOutError, Trial
from bench.postgres_server import postgres_server
from bench.services import Services, until
from smc_dagster import postgres


def postgres_restarted(trial: Trial) -> str:
    """The Postgres server of the instance is restarted twice during a backfill of three arms, a run each.

    A backfill is cut into one run for each stretch of arms that lie side by side: these do not.
    """
    if postgres.programs() is None:
        raise LeftOutError("initdb and pg_ctl are missing; Debian: apt-get install postgresql")
    with postgres_server() as server:
        environment = {postgres.VARIABLE: server.url, "DAGSTER_HOME": str(trial.site.folder / "postgres_home")}
        site = Services(trial.site.folder, **environment)
        arms = [arm.key for arm in site.study.arms[-5::2]]
        try:
            assert site.smc("init").returncode == 0
            site.webserver()
            site.stop_sensors()
            site.daemon()
            for arm in arms:
                site.remove(arm)
            backfill = site.backfill_job("arms", arms)
            for seconds in (2, 15):
                until("a run is in progress", lambda: _in_progress(site), pause=0.2)
                server.stop()
                time.sleep(seconds)
                server.start()
                time.sleep(5)
            with site.instance() as instance:
                mine = dg.RunsFilter(tags={"dagster/backfill": backfill})
                until("the backfill ends", lambda: _over(instance, backfill), 400)
                runs = instance.get_runs(mine)
            first = [run for run in runs if run.parent_run_id is None]
            assert len(first) == len(arms), f"{len(first)} runs"
            ended = [site.ended(run.run_id) for run in first]
            assert all(run.status is SUCCESS for run in ended), [run.status for run in ended]
            retried = sum(run.parent_run_id is not None for run in ended)
        finally:
            site.close()
            os.environ.pop(postgres.VARIABLE, None)
    return f"(down for 2 s and for 15 s: all 3 runs ended well, {retried} of them as a retry)"


def _over(instance: dg.DagsterInstance, backfill: str) -> bool:
    try:
        found = instance.get_backfill(backfill)
    except DagsterPostgresException:
        return False
    return found is not None and found.status.value not in ("REQUESTED", "COMPLETED_REQUESTED")


def _in_progress(site: Services) -> bool:
    with site.instance() as instance:
        return bool(instance.get_run_ids(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])))
