"""The real webserver, daemon and code server: one arm launched as the UI launches it, and a file that lands."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from conftest import Site
from dagster._core.scheduler.instigation import TickStatus
from servers import Server, dagster_dev, wait_for

from smc_dagster.corpora.real import build_real_documents
from smc_dagster.lake import Lake
from smc_dagster.study import load_study
from smc_dagster.tables import RAW_DOCUMENTS

STUDY = load_study("tiny")
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message stack }
  }
}
"""


@pytest.fixture(scope="module")
def site(tiny: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("servers")
    shutil.copytree(tiny.folder, folder / "data")
    return Site(folder / "data", "tiny")


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with dagster_dev(site, site.folder / "dagster.log") as running:
        yield running


def test_one_arm_from_the_ui_and_findings_follow(server: Server, site: Site) -> None:
    arm = STUDY.arms[-1].key
    data = server.graphql(
        LAUNCH,
        params={
            "selector": {
                "repositoryLocationName": "smc_dagster",
                "repositoryName": "__repository__",
                "pipelineName": "arms",
                "assetSelection": [{"path": [name]} for name in ("predictions", "arm_metrics")],
                "assetCheckSelection": [],
            },
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": arm}]},
            "mode": "default",
        },
    )["launchPipelineExecution"]
    assert data["__typename"] == "LaunchRunSuccess", data
    run_id = data["run"]["runId"]
    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        wait_for("the run ends", lambda: instance.get_run_by_id(run_id).is_finished)
        assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.SUCCESS
        ended = instance.get_run_record_by_id(run_id).end_time

        def followed() -> bool:
            event = instance.get_latest_materialization_event(dg.AssetKey("study_report"))
            return event is not None and event.timestamp > ended

        wait_for("the findings follow", followed)


def test_a_file_that_lands_becomes_a_day(server: Server, site: Site) -> None:
    folder = site.folder / "landing" / "tiny" / "real" / "2026-03-04"
    folder.mkdir(parents=True)
    rows = [
        {"domain": "json", "label": "json.decoder", "text": f"Return the value number {i} of a document."}
        for i in range(20)
    ]
    lines = [json.dumps(row) for row in rows] + ['{"domain": "json", "label": ']
    (folder / "new.jsonl").write_text("\n".join(lines) + "\n")
    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        key = dg.AssetKey("raw_documents")
        wait_for("the day is ingested", lambda: "2026-03-04" in instance.get_materialized_partitions(key))
    quarantine = Path(site.lake) / "quarantine" / "day=2026-03-04" / "data.parquet"
    refused = pq.read_table(quarantine).to_pylist()
    # beside the rows that the source itself had refused
    assert [row["line"] for row in refused if row["file"].endswith("new.jsonl")] == [21]
    kept = pq.read_table(quarantine.parents[2] / "raw_documents" / "day=2026-03-04" / "data.parquet").to_pylist()
    assert sum(row["file"].endswith("new.jsonl") for row in kept) == 20


def land(day: Path, name: str, content: str | bytes) -> Path:
    day.mkdir(parents=True, exist_ok=True)
    (day / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return day / name


@contextmanager
def being_written(path: Path) -> Iterator[None]:
    """Somebody goes on writing a file."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(1):
            os.utime(path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def reason(instance: dg.DagsterInstance, *words: str) -> str | None:
    """Why the sensor's latest tick asked for nothing, once that holds all the words; no tick may have failed."""
    (state,) = [one for one in instance.all_instigator_state() if one.instigator_name == "landing_folder"]
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=100)
    assert [one.error for one in ticks if one.status is TickStatus.FAILURE] == []
    said = ticks[0].skip_reason or ""
    return said if all(one in said for one in words) else None


def test_what_goes_wrong_in_the_landing_folder_is_told_by_the_tick(server: Server, site: Site) -> None:
    real, key = site.folder / "landing" / "tiny" / "real", dg.AssetKey("raw_documents")
    texts = [f"Return the value number {at} of a document." for at in range(20)]
    good = "".join(json.dumps({"domain": "json", "label": "json.decoder", "text": one}) + "\n" for one in texts)
    # one day's file twice; a file that is being written; one that vanishes; a bad one, whole and in part
    land(real / "2026-03-05", "new.jsonl", good)
    land(real / "2026-03-05", "again.jsonl", good)
    growing = land(real / "2026-03-06", "growing.jsonl", good)
    land(real / "2026-03-07", "new.jsonl", good)
    (real / "2026-03-07" / "gone.jsonl").symlink_to(real / "nowhere.jsonl")
    land(real / "2026-03-08", "notes.docx", "no document of ours")
    cut = Path(site.lake, "real_documents", "data.parquet").read_bytes()[:5000]
    land(real / "2026-03-09", "cut.parquet", cut)
    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        with being_written(growing):
            told = wait_for("a tick tells all", lambda: reason(instance, "2026-03-08: refused", "2026-03-09: refused"))
            assert "2026-03-06: still being written" in told
            assert "2026-03-07: a file vanished" in told
            assert "notes.docx: not a kind of file that can be read" in told
            assert "1 of 1 files were refused" in told
            days = instance.get_materialized_partitions(key)
            assert "2026-03-05" in days
            assert not {"2026-03-06", "2026-03-07", "2026-03-08", "2026-03-09"} & days
        # whole at last, the link gone, and one file of the first day written once more, the same
        (real / "2026-03-07" / "gone.jsonl").unlink()
        land(real / "2026-03-05", "again.jsonl", good)
        wait_for(
            "the other days are ingested",
            lambda: {"2026-03-06", "2026-03-07"} <= instance.get_materialized_partitions(key),
        )
        told = wait_for("nothing more is asked", lambda: reason(instance, "nothing new; 2026-03-08: refused"))
        assert not any(f"2026-03-0{one}" in told for one in (5, 6, 7))
    lake = Lake(site.lake, "tiny")
    rows = lake.read_many(RAW_DOCUMENTS, lake.partitions(RAW_DOCUMENTS))
    # not sampled, so that every text is there
    whole = STUDY.model_copy(update={"corpus": STUDY.corpus.model_copy(update={"max_documents": None})})
    kept = [one for one in build_real_documents(rows, whole)["text"].to_pylist() if one in texts]
    assert sorted(kept) == sorted(texts)
