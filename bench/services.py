"""A study on a data folder of its own, with the real webserver and daemon as two services, for trials under faults.

What belongs here: starting and ending them, asking for runs as the UI does, and what the tables hold. What does not:
faults, targets.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pyarrow as pa
from dagster._core.events import DagsterEventType

from smc_dagster import places
from smc_dagster.lake import Lake
from smc_dagster.study import load_study
from smc_dagster.tables import TABLES

SCRIPTS = Path(sys.executable).parent
LOCATION = {"repositoryLocationName": "smc_dagster", "repositoryName": "__repository__"}
ARM_TABLES = (
    "mixture_documents",
    "mixture_composition",
    "checkpoints",
    "training_curves",
    "predictions",
    "arm_metrics",
)
MEASURED = ("checkpoints", "predictions", "arm_metrics")
LAUNCH = """
mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message stack } } }
"""
LAUNCH_MANY = """
mutation ($params: [ExecutionParams!]!) { launchMultipleRuns(executionParamsList: $params) {
  ... on LaunchMultipleRunsResult { launchMultipleRunsResult {
    __typename ... on LaunchRunSuccess { run { runId } } } }
  ... on PythonError { message stack } } }
"""
BACKFILL = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message stack } } }
"""
NODES = """
query ($job: PipelineSelector!) { assetNodes(pipeline: $job) { assetKey { path } } }
"""
SENSORS = """
query ($repository: RepositorySelector!) { sensorsOrError(repositorySelector: $repository) {
  ... on Sensors { results { name sensorState { id } } } } }
"""
STOP = "mutation ($id: String) { stopSensor(id: $id) { __typename } }"


def until(what: str, probe: Callable[[], Any], seconds: float = 240, pause: float = 0.5) -> Any:
    """Call `probe` until it gives something true, and return that.

    Raises:
        TimeoutError: it did not within `seconds`.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(pause)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")


class Services:
    """One study, one data folder, one instance."""

    def __init__(self, folder: Path, study: str = "tiny", **environment: str) -> None:
        self.folder, self.study = folder, load_study(study)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SMC_", "DAGSTER_"))}
        home = environment.get("DAGSTER_HOME") or str(folder / "dagster_home" / self.study.name)
        self.environment = kept | {
            "SMC_DATA": str(folder),
            "SMC_STUDY": study,
            "DAGSTER_HOME": home,
            "PATH": f"{SCRIPTS}{os.pathsep}{kept['PATH']}",
            "PYTHONPATH": str(places.CHECKOUT),
            "COLUMNS": "400",
            "DAGSTER_GRPC_TIMEOUT_SECONDS": "300",
            **environment,
        }
        os.environ.update({key: value for key, value in environment.items() if key.startswith("SMC_")})
        self.home = Path(home)
        self.lake = Lake(folder / "lake" / self.study.name, self.study.name)
        self.started: list[subprocess.Popen[bytes]] = []
        self.port = 0

    # ------------------------------------------------------------------ processes

    def smc(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `smc` to its end."""
        command = [str(SCRIPTS / "smc"), *words]
        given = self.environment | environment
        return subprocess.run(command, cwd=places.CHECKOUT, env=given, capture_output=True, text=True, timeout=1800)

    def start(self, program: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a service in a process group of its own; its output goes to a file below the folder."""
        with (self.folder / f"{program}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(SCRIPTS / program), *words],
                cwd=places.CHECKOUT,
                env=self.environment | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def daemon(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start a daemon."""
        return self.start("dagster-daemon", "run", "-w", "workspace.yaml", **environment)

    def webserver(self) -> None:
        """Start the webserver, and wait until it has loaded the definitions."""
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
            self.port = opened.getsockname()[1]
        self.start("dagster-webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(self.port))
        until("the webserver loads", self._loaded)

    def _loaded(self) -> bool:
        try:
            return bool(self.graphql("{ assetNodes { id } }")["assetNodes"])
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def end(self, process: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> None:
        """End a service and all it started."""
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for one in [process, *(below if how == signal.SIGKILL else [])]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                one.send_signal(how)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        _, alive = psutil.wait_procs(below, 30)
        for one in alive:
            one.kill()

    def end_daemons(self) -> None:
        """End every daemon."""
        for process in self.started:
            if process.poll() is None and "dagster-daemon" in str(process.args):
                self.end(process)

    def close(self) -> None:
        """End every service."""
        for process in self.started:
            if process.poll() is None:
                self.end(process)

    # ------------------------------------------------------------------ asking, as the UI does

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask the webserver."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                payload = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            # what is wrong with the question is in the body
            raise RuntimeError(f"{error}: {error.read().decode(errors='replace')[:2000]}") from error
        if "errors" in payload:
            raise RuntimeError(str(payload["errors"]))
        return dict(payload["data"])

    def launch(self, job: str, partition: str | None, assets: Sequence[str] = ()) -> str:
        """Launch a run of a job, or of some of its assets; returns its id."""
        selector = {**LOCATION, "pipelineName": job}
        if assets:
            selector |= {"assetSelection": [{"path": [one]} for one in assets], "assetCheckSelection": []}
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        params = {"selector": selector, "executionMetadata": {"tags": tags}, "mode": "default"}
        data = self.graphql(LAUNCH, params=params)["launchPipelineExecution"]
        return str(data["run"]["runId"])

    def backfill_assets(self, job: str, partitions: Sequence[str]) -> str:
        """Ask for all assets of a job as the UI's asset graph does: their policy says into how many runs it is cut."""
        nodes = self.graphql(NODES, job={**LOCATION, "pipelineName": job})["assetNodes"]
        assets = [node["assetKey"] for node in nodes]
        params = {"assetSelection": [{"path": one["path"]} for one in assets], "partitionNames": list(partitions)}
        return str(self.graphql(BACKFILL, params=params)["launchPartitionBackfill"]["backfillId"])

    def backfill_job(self, job: str, partitions: Sequence[str]) -> str:
        """Ask for a job as its page in the UI does: the policy of its assets says into how many runs it is cut."""
        selector = {"partitionSetName": f"{job}_partition_set", "repositorySelector": LOCATION}
        params = {"selector": selector, "partitionNames": list(partitions)}
        return str(self.graphql(BACKFILL, params=params)["launchPartitionBackfill"]["backfillId"])

    def launch_many(self, job: str, partitions: Sequence[str]) -> str:
        """Ask for one run a partition, all in one question; returns the tag that they carry as of a backfill."""
        mark = uuid.uuid4().hex[:8]
        params = [
            {
                "selector": {**LOCATION, "pipelineName": job},
                "executionMetadata": {
                    "tags": [
                        {"key": "dagster/partition", "value": partition},
                        {"key": "dagster/backfill", "value": mark},
                    ]
                },
                "mode": "default",
            }
            for partition in partitions
        ]
        launched = self.graphql(LAUNCH_MANY, params=params)["launchMultipleRuns"]["launchMultipleRunsResult"]
        assert [one["__typename"] for one in launched] == ["LaunchRunSuccess"] * len(partitions), launched
        return mark

    def backfill_from_terminal(self, job: str, partitions: Sequence[str]) -> str:
        """Ask for a job as `dagster job backfill` does: one run a partition."""
        asked = ["-w", "workspace.yaml", "-l", "smc_dagster", "-j", job, "--partitions", ",".join(partitions)]
        done = subprocess.run(
            [str(SCRIPTS / "dagster"), "job", "backfill", *asked, "--noprompt"],
            cwd=places.CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        found = re.search(r"Launched backfill job `(\w+)`", done.stdout)
        assert found, done.stdout[-1000:] + done.stderr[-2000:]
        return found[1]

    def stop_sensors(self) -> None:
        """Stop all sensors, so that nothing runs but what is asked for."""
        for one in self.graphql(SENSORS, repository=LOCATION)["sensorsOrError"]["results"]:
            self.graphql(STOP, id=one["sensorState"]["id"])

    # ------------------------------------------------------------------ looking

    def instance(self) -> dg.DagsterInstance:
        """The instance, for a `with`."""
        return dg.DagsterInstance.from_config(str(self.home))

    def ended(self, run_id: str, seconds: float = 300) -> dg.DagsterRun:
        """The run once it has ended; of one that is retried by itself, the last attempt."""
        with self.instance() as instance:

            def last() -> dg.DagsterRun | None:
                run = instance.get_run_by_id(run_id)
                while run is not None and (follower := run.tags.get("dagster/auto_retry_run_id")):
                    run = instance.get_run_by_id(follower)
                if run is None or not run.is_finished:
                    return None
                return None if run.tags.get("dagster/will_retry") == "true" else run

            return until(f"run {run_id} ends", last, seconds)

    def said(self, run_id: str) -> str:
        """All that a run's events say."""
        with self.instance() as instance:
            words = []
            for entry in instance.all_logs(run_id):
                words.append(entry.user_message or "")
                event = entry.dagster_event
                if event is not None:
                    words.append(event.message or "")
                    data = event.event_specific_data
                    error = getattr(data, "error", None)
                    words.append(error.to_string() if error is not None else "")
            return "\n".join(words)

    def process_of(self, run_id: str, step: str | None) -> int | None:
        """Process of a run's step once its work began, or of the run itself (None); None where it has none yet."""
        with self.instance() as instance:
            kind = DagsterEventType.STEP_START if step else DagsterEventType.ENGINE_EVENT
            if step and not any(one.dagster_event.step_key == step for one in instance.all_logs(run_id, of_type=kind)):
                return None
            worker = DagsterEventType.STEP_WORKER_STARTED if step else DagsterEventType.ENGINE_EVENT
            for entry in instance.all_logs(run_id, of_type=worker):
                event = entry.dagster_event
                if step is None or event.step_key == step:
                    pid = event.event_specific_data.metadata.get("pid")
                    if pid is not None:
                        return int(str(pid.value))
        return None

    def remove(self, arm: str, tables: Sequence[str] = ARM_TABLES) -> None:
        """Remove an arm's tables, so that a run has to make them."""
        for name in tables:
            shutil.rmtree(self.lake.place(name, f"arm={arm}"), ignore_errors=True)

    def contents(self) -> dict[str, str]:
        """Digest of rows and fingerprint of each table and of the weights of each checkpoint, by name and partition."""
        found = {}
        for spec in TABLES.values():
            partitions = [None] if spec.partition is None else self.lake.partitions(spec)
            for partition in partitions:
                if not self.lake.fs.exists(self.lake.table_path(spec, partition)):
                    continue
                stored = self.lake.fingerprint(spec, partition)
                rows = self.lake.read(spec, partition).replace_schema_metadata(None).combine_chunks()
                digest = hashlib.sha256(stored.digest.encode() if stored else b"none")
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, rows.schema) as writer:
                    writer.write_table(rows)
                digest.update(memoryview(sink.getvalue()))
                found[f"{spec.name}[{partition or ''}]"] = digest.hexdigest()
        for path in sorted(Path(self.lake.place("checkpoints")).glob("*/data.safetensors")):
            content = path.read_bytes()
            # behind the header, which also tells how long training took
            start = 8 + int.from_bytes(content[:8], "little")
            found[f"checkpoints[{path.parent.name}]"] = hashlib.sha256(content[start:]).hexdigest()
        return found
