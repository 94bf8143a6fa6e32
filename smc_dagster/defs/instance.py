"""The Dagster instance that holds a study's runs.

What belongs here: making DAGSTER_HOME ready, for SQLite or Postgres, and tidying after a process that was killed. What
does not: running, and whether the database answers (postgres.py).
"""

from __future__ import annotations

import os
import time
from importlib import resources
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.storage.tags import MAX_RETRIES_TAG

from smc_dagster import places, postgres
from smc_dagster.defs.processes import here, is_gone
from smc_dagster.errors import SmcError

PID_TAG = "smc/process"
CONFIG = "dagster.yaml"
STUDY_CURSOR = "smc/study"


def process_mark() -> str:
    """This process, as a run's tag."""
    return f"{here()}:{os.getpid()}"


def run_tags(study: str) -> dict[str, str]:
    """Tags of a run that this process executes itself: they say which it is, and that no daemon can run it again."""
    return {PID_TAG: process_mark(), "smc/study": study, MAX_RETRIES_TAG: "0"}


def ready_home(study: str) -> Path:
    """Make a study's DAGSTER_HOME where it is missing, and set the variable.

    Where SMC_POSTGRES_URL is set, its instance keeps runs, events and schedules in that database, which is then this
    study's; else in SQLite below DAGSTER_HOME. One that was made for the other is left as it is.

    Raises:
        SmcError: the place cannot be written; it was made for another database than the environment names; the
            database does not answer, or is another study's.
    """
    home = places.dagster_home(study).absolute()
    url = postgres.url()
    if url is not None:
        postgres.server_version(url)
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / CONFIG
        if not config.is_file():
            text = _shipped("instance.yaml") + (_shipped("postgres.yaml") if url is not None else "")
            config.write_text(text, encoding="utf-8")
        named = _names_the_variable(config)
    except OSError as error:
        raise SmcError(f"DAGSTER_HOME {home} cannot be made: {error}", "set DAGSTER_HOME or SMC_DATA") from error
    if url is None and named:
        raise SmcError(
            f"{home / CONFIG} keeps runs in the database of {postgres.VARIABLE}, which is not set",
            f"set {postgres.VARIABLE}, or another DAGSTER_HOME",
        )
    if url is not None and not named:
        raise SmcError(
            f"{postgres.VARIABLE} is set, but {home / CONFIG} does not name it: runs would be kept elsewhere",
            f"unset it; or move {CONFIG} away, so that `smc init` writes one for Postgres: runs recorded so far stay "
            "where they are and are not shown, tables are made again",
        )
    os.environ["DAGSTER_HOME"] = str(home)
    if url is not None:
        _claim(home, study)
    return home


def ready_instance(study: str) -> tuple[Path, list[str]]:
    """`ready_home`, for services that are about to start: besides, orphaned runs are failed and future ticks forgotten.

    Returns:
        DAGSTER_HOME, and the sensors whose last tick lay in the future.

    Raises:
        SmcError: as `ready_home`.
    """
    home = ready_home(study)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        fail_orphans(instance)
        return home, forget_future_ticks(instance)


def _shipped(name: str) -> str:
    return (resources.files("smc_dagster.defs") / name).read_text(encoding="utf-8")


def _names_the_variable(config: Path) -> bool:
    """Whether the storage of a dagster.yaml is that of SMC_POSTGRES_URL.

    Raises:
        SmcError: it is no YAML.
    """
    try:
        held = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
        return postgres.VARIABLE in str(held.get("storage") or "")
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        raise SmcError(f"{config} cannot be read: {error}", "mend it, or move it away and run `smc init`") from error


def _claim(home: Path, study: str) -> None:
    """Mark the database as this study's, or check that it is: asset keys are the same in all studies."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        held = instance.run_storage.get_cursor_values({STUDY_CURSOR}).get(STUDY_CURSOR)
        if held is None:
            instance.run_storage.set_cursor_values({STUDY_CURSOR: study})
        elif held != study:
            raise SmcError(
                f"the database of {postgres.VARIABLE} holds the runs of study `{held}`, not of `{study}`",
                f"create a database for `{study}`, and name that",
            )


def fail_orphans(instance: dg.DagsterInstance) -> int:
    """Mark runs as failed whose process on this machine is gone, and free their pool slots; returns how many."""
    begun = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    orphans = 0
    for run in instance.get_runs(begun):
        mark, _, pid = run.tags.get(PID_TAG, "").rpartition(":")
        if mark and is_gone(mark, int(pid)):
            instance.report_run_failed(run, "the process that ran it is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            orphans += 1
    return orphans


def forget_future_ticks(instance: dg.DagsterInstance) -> list[str]:
    """Let sensors tick whose last tick lies in the future; returns their names.

    Where a clock was ahead and was set right, Dagster waits until that time has come.
    """
    now = time.time()
    mended = []
    for state in instance.all_instigator_state():
        held = state.instigator_data
        if not isinstance(held, SensorInstigatorData):
            continue
        times = {name: getattr(held, name) for name in SensorInstigatorData._fields if name.endswith("_timestamp")}
        future: dict[str, Any] = {name: now for name, at in times.items() if at is not None and at > now + 60}
        if future:
            instance.update_instigator_state(state.with_data(held._replace(**future)))
            mended.append(state.name)
    return mended
