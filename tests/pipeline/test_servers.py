"""The real webserver, daemon and code server: one arm launched as the UI launches it, and a file that lands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from conftest import Site
from servers import Server, dagster_dev, wait_for

from smc_dagster.study import load_study

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
