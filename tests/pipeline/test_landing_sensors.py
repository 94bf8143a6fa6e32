"""The sensors of the landing folder: what they ask for, once, and what they say when they ask for nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml

from smc_dagster.defs.automation import sensors
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


def tick(study: Study, name: str, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    (sensor,) = [one for one in sensors(study) if one.name == name]
    with dg.build_sensor_context(cursor=cursor) as context:
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


def test_a_cursor_of_another_time_is_no_crash(study: Study, landing: Path) -> None:
    drop(landing / "real" / "2026-03-04", "one.jsonl")
    for cursor in ("not json", json.dumps([1, 2]), json.dumps({"2026-03-04": 7})):
        assert isinstance(tick(study, "landing_folder", cursor), dg.SensorResult)


def test_no_pool_of_files_no_sensor() -> None:
    assert "synthetic_landing_folder" not in {one.name for one in sensors(load_study("tiny"))}
