"""The run launcher of this machine: Dagster's own, which also tells whether a run's process is still there.

What belongs here: the health of run workers, which run monitoring asks for. What does not: what becomes of a run whose
worker is gone (run monitoring and run retries of the instance).

Dagster's own launcher leaves that to the code server that started the worker. Where both die at once, as they do when
the machine goes down, the run would be `started` for ever and keep its slots.
"""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from filelock import FileLock

from smc_dagster.defs.instance import PID_TAG
from smc_dagster.defs.processes import here, is_gone

# which run, and from which machine: a run that is retried takes the tags of the one before
LAUNCHED_TAG = "smc/launched"
LOCAL = ("localhost", "127.0.0.1")


class LocalRunLauncher(DefaultRunLauncher):
    """Launches runs through the code server, and knows their processes where they are of this machine."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run, marked with the machine it is launched from; one that is launched already is left alone.

        Two daemons may take the same run from the queue. Dagster reports that there are two, and launches it twice.
        """
        run_id = context.dagster_run.run_id
        with FileLock(Path(self._instance.root_directory) / ".launching"):
            run = self._instance.get_run_by_id(run_id)
            if run is None or run.tags.get(LAUNCHED_TAG, "").startswith(f"{run_id}@"):
                return
            self._instance.add_run_tags(run_id, {LAUNCHED_TAG: f"{run_id}@{here()}"})
        try:
            super().launch_run(context)
        except Exception:
            # the queue may try again
            self._instance.add_run_tags(run_id, {LAUNCHED_TAG: ""})
            raise

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It does."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED where the process is of this machine and gone; RUNNING where it is there or cannot be told."""
        mark, _, pid = run.tags.get(PID_TAG, "").rpartition(":")
        if not mark:
            served = json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("host")
            launched, _, mark = run.tags.get(LAUNCHED_TAG, "").partition("@")
            if launched != run.run_id or served not in LOCAL:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            pid = self._worker(run)
        slack = self._instance.run_monitoring_start_timeout_seconds
        if not pid or not is_gone(mark, int(pid), slack):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"the process that ran it ({pid}) is gone")

    def _worker(self, run: dg.DagsterRun) -> str:
        """The process of a launched run; empty where it did not say."""
        # the worker's first word is its own process
        for entry in self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
            event = entry.dagster_event
            found = event.engine_event_data.metadata.get("pid") if event is not None else None
            if found is not None:
                return str(found.value)
        return ""
