"""The sensors of the landing folder: what they ask for, once, and what they say when they ask for nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml

from smc_dagster.defs import retries
from smc_dagster.defs.automation import sensors
from smc_dagster.defs.partitions import DAYS
from smc_dagster.errors import CorpusError
from smc_dagster.study import Study, load_study, shipped_studies


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMC_LANDING", str(tmp_path / "landing"))
    return tmp_path / "landing"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    content = yaml.safe_load(shipped_studies()["tiny"].read_text())
    content["pools"]["ours"] = {"generator": "files"}
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_study(str(path))


def tick(
    study: Study, name: str, cursor: str | None = None, instance: dg.DagsterInstance | None = None
) -> dg.SensorResult | dg.SkipReason:
    (sensor,) = [one for one in sensors(study) if one.name == name]
    with dg.build_sensor_context(instance or dg.DagsterInstance.ephemeral(), cursor) as context:
        return sensor(context)  # type: ignore[return-value]


def drop(folder: Path, name: str, *, settled: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text('{"domain": "a", "label": "a.b", "text": "some text of ours"}\n')
    if settled:
        os.utime(path, (time.time() - 60, time.time() - 60))
    return path


@pytest.mark.parametrize(
    ("kind", "sensor", "asked"),
    [("real", "landing_folder", "2026-03-04"), ("synthetic", "synthetic_landing_folder", "ours")],
)
def test_a_file_is_asked_for_once(study: Study, landing: Path, kind: str, sensor: str, asked: str) -> None:
    assert isinstance(tick(study, sensor), dg.SkipReason)
    day = landing / kind / "2026-03-04"
    drop(day, "one.jsonl")
    first = tick(study, sensor)
    assert isinstance(first, dg.SensorResult)
    assert [request.partition_key for request in first.run_requests or []] == [asked]
    again = tick(study, sensor, first.cursor)
    assert isinstance(again, dg.SkipReason)
    drop(day / "ours", "two.jsonl")
    more = tick(study, sensor, first.cursor)
    assert isinstance(more, dg.SensorResult)
    # another key, so that the daemon does not take it for the run that was
    assert [one.run_key for one in more.run_requests or []] != [one.run_key for one in first.run_requests or []]


@pytest.mark.parametrize(("kind", "sensor"), [("real", "landing_folder"), ("synthetic", "synthetic_landing_folder")])
def test_what_is_not_asked_for_is_told(study: Study, landing: Path, kind: str, sensor: str) -> None:
    drop(landing / kind / "2026-03-05", "growing.jsonl", settled=False)
    drop(landing / kind / "yesterday", "lost.jsonl")
    (landing / kind / "2026-03-06").mkdir()
    (landing / kind / "2026-03-07").mkdir()
    (landing / kind / "2026-03-07" / "gone.jsonl").symlink_to(landing / "nowhere")
    said = tick(study, sensor)
    assert isinstance(said, dg.SkipReason)
    assert "2026-03-05: still being written" in str(said.skip_message)
    assert "yesterday: not a day" in str(said.skip_message)
    assert "2026-03-06: no files in it" in str(said.skip_message)
    assert "2026-03-07: a file vanished" in str(said.skip_message)


def test_what_was_refused_is_told_until_it_is_mended(study: Study, landing: Path) -> None:
    day, other = "2026-03-04", "2026-03-05"
    faults: dict[str, Exception | int] = {day: CorpusError("notes.docx: not a kind of file", "use .jsonl"), other: 2}

    @dg.asset(partitions_def=DAYS)
    def raw_documents(context) -> dg.MaterializeResult:  # type: ignore[no-untyped-def]
        fault = faults[context.partition_key]
        if isinstance(fault, Exception):
            raise fault
        return dg.MaterializeResult(metadata={"files_quarantined": fault})

    retries.retried(raw_documents.op)
    defs = dg.Definitions([raw_documents], jobs=[dg.define_asset_job("ingest", [raw_documents])])
    with dg.DagsterInstance.ephemeral() as instance:

        def ingest(key: str) -> bool:
            job = defs.resolve_job_def("ingest")
            return job.execute_in_process(instance=instance, partition_key=key, raise_on_error=False).success

        def said(cursor: str | None) -> str:
            found = tick(study, "landing_folder", cursor, instance)
            assert isinstance(found, dg.SkipReason)
            return str(found.skip_message)

        instance.add_dynamic_partitions(str(DAYS.name), [day, other])
        for key in (day, other):
            drop(landing / "real" / key, "one.jsonl")
        asked = tick(study, "landing_folder", None, instance)
        assert isinstance(asked, dg.SensorResult)
        assert "refused" not in said(asked.cursor)
        assert not ingest(day)
        assert ingest(other)
        told = said(asked.cursor)
        assert f"{day}: refused by run" in told
        assert "notes.docx: not a kind of file remedy: use .jsonl" in told
        assert f"{other}: 2 files refused" in told
        drop(landing / "real" / day, "two.jsonl")
        again = tick(study, "landing_folder", asked.cursor, instance)
        assert isinstance(again, dg.SensorResult)
        assert [one.partition_key for one in again.run_requests or []] == [day]
        faults |= {day: 0, other: 0}
        assert ingest(day)
        assert ingest(other)
        assert "refused" not in said(again.cursor)


def test_a_cursor_of_another_time_is_no_crash(study: Study, landing: Path) -> None:
    drop(landing / "real" / "2026-03-04", "one.jsonl")
    for cursor in ("not json", json.dumps([1, 2]), json.dumps({"2026-03-04": 7})):
        assert isinstance(tick(study, "landing_folder", cursor), dg.SensorResult)


def test_no_pool_of_files_no_sensor() -> None:
    assert "synthetic_landing_folder" not in {one.name for one in sensors(load_study("tiny"))}
