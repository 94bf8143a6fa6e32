"""What is retried and what is not, runs whose process is gone, and the instance in a Postgres server that restarts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import pytest
from conftest import Site
from dagster._core.launcher import WorkerStatus

from bench.postgres_server import SECRET, PostgresServer, postgres_server
from smc_dagster import postgres
from smc_dagster.definitions import build_defs
from smc_dagster.defs import retries
from smc_dagster.defs.instance import PID_TAG, process_mark, ready_home, run_tags
from smc_dagster.defs.processes import here
from smc_dagster.defs.retention import forget_old_runs
from smc_dagster.doctor import examine
from smc_dagster.errors import CorpusError, InterruptedWorkError, SmcError
from smc_dagster.lake import Lake
from smc_dagster.study import load_study
from smc_dagster.tables import ARM_METRICS, PREDICTIONS

STUDY = load_study("tiny")
MEASURED = [dg.AssetKey(name) for name in ("checkpoints", "predictions", "arm_metrics")]


# ---------------------------------------------------------------------------------------------------- retries


def test_every_step_has_the_policy() -> None:
    ops = list(build_defs("tiny").resolve_implicit_global_asset_job_def().graph.iterate_op_defs())
    assert len(ops) > 20
    assert [op.name for op in ops if op.retry_policy != retries.POLICY] == []


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (CorpusError("planted", "mend it"), 1),
        (ValueError("planted"), 1),
        (dg.Failure("planted"), 1),
        (ConnectionResetError("planted"), 3),
        (InterruptedWorkError("planted", "again"), 3),
    ],
)
@pytest.mark.parametrize("generator", [True, False])
def test_only_what_can_pass_is_retried(
    monkeypatch: pytest.MonkeyPatch, error: Exception, attempts: int, generator: bool
) -> None:
    monkeypatch.setattr(retries, "POLICY", dg.RetryPolicy(max_retries=2))
    tried = []

    def work() -> None:
        tried.append(1)
        raise error

    @dg.asset(name="failing")
    def failing() -> None:
        work()

    @dg.asset(name="failing")
    def failing_generator() -> Iterator[dg.Output[None]]:
        work()
        yield dg.Output(None)

    asset = failing_generator if generator else failing
    retries.retried(asset.op)
    done = dg.materialize([asset], raise_on_error=False)
    assert not done.success
    assert len(tried) == attempts
    failure = done.failure_data_for_node("failing")
    assert "planted" in failure.error.to_string()
    if isinstance(error, SmcError) and attempts == 1:
        assert failure.error.message.splitlines()[-1].strip() == "remedy: mend it"


# ---------------------------------------------------------------------------------------------------- gone processes


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(postgres.VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return ready_home("tiny")


def test_a_run_whose_process_is_gone_is_known(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:

        def health(mark: str) -> WorkerStatus:
            run = instance.create_run_for_job(PLAIN, tags={**run_tags("tiny"), PID_TAG: mark})
            instance.report_dagster_event(
                dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, PLAIN.name), run_id=run.run_id
            )
            return instance.run_launcher.check_run_worker_health(instance.get_run_by_id(run.run_id)).status

        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        host, boot, seconds = here().split("/")
        assert health(process_mark()) is WorkerStatus.RUNNING
        assert health(f"{here()}:{ended.pid}") is WorkerStatus.FAILED
        # the number of this process, as another had it: before the machine was started again, or an hour ago
        assert health(f"{host}/another/{seconds}:{os.getpid()}") is WorkerStatus.FAILED
        assert health(f"{host}/{boot}/{int(seconds) - 3600}:{os.getpid()}") is WorkerStatus.FAILED
        # of another machine nothing is known
        assert health(f"elsewhere/{boot}/{seconds}:{ended.pid}") is WorkerStatus.RUNNING


def test_runs_are_forgotten_but_for_the_latest_record(home: Path) -> None:
    arms = dg.StaticPartitionsDefinition(["a", "b"])

    @dg.asset(partitions_def=arms)
    def made() -> None:
        pass

    with dg.DagsterInstance.from_config(str(home)) as instance:
        runs = [dg.materialize([made], partition_key=key, instance=instance).run_id for key in ("a", "b", "a")]
        assert forget_old_runs(instance, datetime.now(UTC) - timedelta(days=1)) == []
        assert forget_old_runs(instance, datetime.now(UTC) + timedelta(days=1)) == runs[:1]
        assert {run.run_id for run in instance.get_runs()} == set(runs[1:])
        assert set(instance.get_materialized_partitions(made.key)) == {"a", "b"}


@dg.job
def PLAIN() -> None:  # noqa: N802
    pass


# ---------------------------------------------------------------------------------------------------- Postgres


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    if postgres.programs() is None:
        pytest.skip("initdb and pg_ctl are missing; see `smc doctor`")
    with postgres_server() as running:
        yield running


def test_one_made_for_the_other_storage_is_left_as_it_is(
    home: Path, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (home / "dagster.yaml").read_text()
    monkeypatch.setenv(postgres.VARIABLE, server.url)
    with pytest.raises(SmcError, match="does not name it"):
        ready_home("tiny")
    assert (home / "dagster.yaml").read_text() == before
    monkeypatch.setenv("DAGSTER_HOME", str(home.with_name("other")))
    other = ready_home("another study")
    assert SECRET not in (other / "dagster.yaml").read_text()
    with pytest.raises(SmcError, match="of study `another study`, not of `tiny`"):
        ready_home("tiny")
    with dg.DagsterInstance.from_config(str(other)) as instance:
        instance.run_storage.set_cursor_values({"smc/study": "tiny"})
    monkeypatch.delenv(postgres.VARIABLE)
    with pytest.raises(SmcError, match="is not set"):
        ready_home("tiny")


def test_an_arm_is_made_while_the_server_restarts(
    server: PostgresServer, tiny_copy: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(postgres.VARIABLE, server.url)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    arm, lake = STUDY.arms[0].key, Lake(tiny_copy.lake, "tiny")
    before = {spec.name: lake.read(spec, arm) for spec in (PREDICTIONS, ARM_METRICS)}
    for spec in (PREDICTIONS, ARM_METRICS):
        os.remove(lake.table_path(spec, arm))
    write, starting = Lake.write, []

    def stop_and_write(*args: object, **named: object) -> object:
        # within a step, with no event half written: one that is loses its run, which the daemon then retries
        if not starting:
            server.stop()
            starting.append(threading.Timer(1, server.start))
            starting[0].start()
        return write(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "write", stop_and_write)
    with dg.DagsterInstance.from_config(str(ready_home("tiny"))) as instance:
        done = (
            build_defs("tiny", str(tiny_copy.lake))
            .resolve_job_def("arms")
            .execute_in_process(instance=instance, partition_key=arm, asset_selection=MEASURED, tags=run_tags("tiny"))
        )
        starting[0].join()
        assert done.success
        assert instance.get_run_by_id(done.run_id).status is dg.DagsterRunStatus.SUCCESS
        assert set(instance.get_materialized_partitions(dg.AssetKey("arm_metrics"))) == {arm}
    assert {spec.name: lake.read(spec, arm) for spec in (PREDICTIONS, ARM_METRICS)} == before
    kept = [one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()] + [server.dump()]
    assert done.run_id.encode() in kept[-1]
    assert not [one for one in kept if SECRET.encode() in one or quote(SECRET, safe="").encode() in one]
    (told,) = [row for row in examine("tiny") if postgres.VARIABLE in row.thing]
    assert (told.ok, told.seen.split(",")[0]) == (True, postgres.shown(server.url))
