"""The event log whose connections stay open: what it holds, who else reads it, and that it lets go."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log

from smc_dagster.defs.event_log import keep_connections

CHECKS = 12
# a process of Dagster's own, without ours
READER = """
import sys
import dagster as dg
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    (run,) = instance.get_runs()
    events = [one.dagster_event.event_type_value for one in instance.all_logs(run.run_id) if one.is_dagster_event]
    print(events.count("ASSET_CHECK_EVALUATION"), run.status.value)
"""


@dg.multi_asset(
    specs=[dg.AssetSpec("one")], check_specs=[dg.AssetCheckSpec(f"check_{at}", asset="one") for at in range(CHECKS)]
)
def judged() -> Iterator[dg.MaterializeResult]:
    checks = [dg.AssetCheckResult(check_name=f"check_{at}", passed=True) for at in range(CHECKS)]
    yield dg.MaterializeResult(asset_key="one", check_results=checks)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    keep_connections()
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return tmp_path


def test_a_run_opens_each_file_a_few_times_and_others_read_it_meanwhile(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    engine = sqlite_event_log.create_engine
    monkeypatch.setattr(
        "smc_dagster.defs.event_log.create_engine", lambda url, **how: made.append(url) or engine(url, **how)
    )
    with dg.DagsterInstance.from_config(str(home)) as instance:
        result = dg.materialize([judged], instance=instance)
        assert result.success
        # one to make the file, one that stays; of the run and of the index
        assert len(made) <= 4, made
        done = subprocess.run([sys.executable, "-c", READER, str(home)], capture_output=True, text=True, timeout=120)
        assert done.stdout.split() == [str(CHECKS), "SUCCESS"], done.stderr
        key = dg.AssetCheckKey(dg.AssetKey("one"), "check_3")
        assert len(instance.event_log_storage.get_asset_check_execution_history(key, limit=5)) == 1
    # all of it is in the files themselves, and nothing is open
    files = sorted((home / "history" / "runs").iterdir())
    assert [one.suffix for one in files] == [".db", ".db"], files
    with sqlite3.connect(home / "history" / "runs" / f"{result.run_id}.db") as opened:
        held = opened.execute("select count(*) from event_logs where dagster_event_type = 'ASSET_CHECK_EVALUATION'")
        assert held.fetchone() == (CHECKS,)


def test_threads_take_turns_and_a_run_that_was_wiped_is_made_anew(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        failed: list[BaseException] = []

        def look() -> None:
            try:
                for _ in range(20):
                    instance.get_latest_materialization_event(dg.AssetKey("one"))
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for one in threads:
            one.start()
        first = dg.materialize([judged], instance=instance)
        for one in threads:
            one.join()
        assert not failed
        instance.event_log_storage.wipe()
        assert instance.get_latest_materialization_event(dg.AssetKey("one")) is None
        assert instance.all_logs(first.run_id) == []
        assert dg.materialize([judged], instance=instance).success
        assert instance.get_latest_materialization_event(dg.AssetKey("one")) is not None
