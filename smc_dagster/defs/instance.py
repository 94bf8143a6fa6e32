"""The Dagster instance that holds a study's runs.

What belongs here: making DAGSTER_HOME ready, and tidying after a process that was killed. What does not: running.
"""

from __future__ import annotations

import os
import shutil
import socket
from importlib import resources
from pathlib import Path

import dagster as dg

from smc_dagster import places
from smc_dagster.errors import SmcError

PID_TAG = "smc/process"


def process_mark() -> str:
    """This process, as a run's tag."""
    return f"{socket.gethostname()}:{os.getpid()}"


def ready_home(study: str) -> Path:
    """Make a study's DAGSTER_HOME where it is missing, and set the variable.

    Raises:
        SmcError: the place cannot be written.
    """
    home = places.dagster_home(study).absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").is_file():
            with resources.as_file(resources.files("smc_dagster.defs") / "instance.yaml") as template:
                shutil.copy(template, home / "dagster.yaml")
    except OSError as error:
        raise SmcError(f"DAGSTER_HOME {home} cannot be made: {error}", "set DAGSTER_HOME or SMC_DATA") from error
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def fail_orphans(instance: dg.DagsterInstance) -> int:
    """Mark runs as failed whose process on this machine is gone, and free their pool slots; returns how many."""
    host, _, _ = process_mark().rpartition(":")
    open_runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]))
    orphans = 0
    for run in open_runs:
        owner, _, pid = run.tags.get(PID_TAG, "").rpartition(":")
        if owner == host and not _alive(int(pid)):
            instance.report_run_failed(run, "the process that ran it is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            orphans += 1
    return orphans


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
