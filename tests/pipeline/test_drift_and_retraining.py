"""New days against those before, the sensors that ask for what follows, and that none of them asks twice."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from conftest import Site
from test_release import ARM, LOWER, ZERO, limits, put

from smc_dagster import places
from smc_dagster.definitions import build_defs
from smc_dagster.defs import retraining
from smc_dagster.defs.partitions import DAYS
from smc_dagster.defs.resources import StudyResource
from smc_dagster.lake import Lake
from smc_dagster.quality import drift_history
from smc_dagster.release import store
from smc_dagster.release.audit import audit
from smc_dagster.tables import DAY_DRIFT, RAW_DOCUMENTS, TABLES
from smc_dagster.workbench import Workbench, open_workbench

LIKE, UNLIKE = "2027-01-02", "2027-01-03"


def tick(site: Site, name: str, cursor: str | None, study: str = "tiny") -> dg.SensorResult | dg.SkipReason:
    (sensor,) = [one for one in retraining.sensors() if one.name == name]
    resource = StudyResource(study=study, lake=str(site.lake))
    with dg.build_sensor_context(cursor=cursor, resources={"smc": resource}) as context:
        return sensor(context)  # type: ignore[return-value]


def land(site: Site, day: str, rows: list[dict]) -> None:
    folder = site.folder / "landing" / "tiny" / "real" / day
    folder.mkdir(parents=True)
    (folder / "new.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")


def test_a_day_that_drifts_warns_and_asks_for_the_study_once(tiny_copy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMC_DATA", str(tiny_copy.folder))
    lake = Lake(tiny_copy.lake, "tiny")
    (first,) = lake.partitions(RAW_DOCUMENTS)
    known = lake.read(RAW_DOCUMENTS, first).sort_by("doc_id").to_pylist()[::4]
    # the words of the corpus, a last word changed: new documents, like the old
    texts = [row["text"].split() for row in known]
    lasts = [words[-1] for words in texts[1:] + texts[:1]]
    like = [
        {"domain": row["domain"], "label": row["label"], "text": " ".join([*words[:-1], last])}
        for row, words, last in zip(known, texts, lasts, strict=True)
    ]
    label = max(known, key=lambda row: sum(one["label"] == row["label"] for one in known))
    unlike = [
        {"domain": label["domain"], "label": label["label"], "text": f"Ticket {at}: the printer is out of paper again"}
        for at in range(200)
    ]
    land(tiny_copy, LIKE, like)
    land(tiny_copy, UNLIKE, unlike)
    checked: dict[str | None, bool] = {}
    with dg.DagsterInstance.from_config(str(tiny_copy.home)) as instance:
        job = build_defs("tiny", str(tiny_copy.lake)).resolve_job_def("ingest")
        instance.add_dynamic_partitions(str(DAYS.name), [LIKE, UNLIKE])
        for day in (LIKE, UNLIKE):
            done = job.execute_in_process(instance=instance, partition_key=day)
            assert done.success
            checked |= {
                one.partition: one.passed
                for one in done.get_asset_check_evaluations()
                if one.check_name == "like_the_days_before"
            }
        shown = instance.get_latest_materialization_event(dg.AssetKey("day_drift"))
    assert checked == {LIKE: True, UNLIKE: False}, lake.read(DAY_DRIFT, LIKE).to_pylist()
    rows = lake.read(DAY_DRIFT, UNLIKE).to_pylist()
    assert {row["column"] for row in rows if row["drifted"]} == {"label", "domain", "words", "characters", "embedding"}
    assert {row["n"] for row in rows} == {200}
    assert lake.read(DAY_DRIFT, first).num_rows == 0
    assert shown is not None
    metadata = shown.asset_materialization.metadata
    assert str(metadata["report"].value).endswith(f"day_drift/day={UNLIKE}/index.html")
    assert "data:image/png" in str(metadata["drift_by_column"].value)

    asked = tick(tiny_copy, "study_on_drift", None)
    assert isinstance(asked, dg.SensorResult)
    assert [one.tags["smc/asked_by"] for one in asked.run_requests or []] == [f"drift of {UNLIKE}"]
    assert isinstance(tick(tiny_copy, "study_on_drift", asked.cursor), dg.SkipReason)

    from evidently.ui.workspace import Workspace

    workspace = Workspace(str(places.evidently_workspace("tiny")))
    project = drift_history.project_id("tiny")
    runs = [workspace.get_run(project, one) for one in workspace.list_runs(project)]
    assert sorted(one.name for one in runs) == [LIKE, UNLIKE]
    # a day that is compared again has one report
    drift_history.keep(places.evidently_workspace("tiny"), "tiny", "t", LIKE, _snapshot(LIKE))
    assert len(workspace.list_runs(project)) == 2


def test_the_job_of_a_study_makes_what_is_stale(tiny_copy: Site) -> None:
    (tiny_copy.lake / "report" / "findings.json").unlink()
    with dg.DagsterInstance.from_config(str(tiny_copy.home)) as instance:
        job = build_defs("tiny", str(tiny_copy.lake)).resolve_job_def("study")
        done = job.execute_in_process(instance=instance)
        assert done.success
        (inner, *_) = instance.get_runs(limit=1, filters=dg.RunsFilter(job_name="refresh_findings"))
        assert inner.status is dg.DagsterRunStatus.SUCCESS
    assert (tiny_copy.lake / "report" / "findings.json").is_file()


def _snapshot(day: str) -> object:
    from evidently import Report
    from evidently.metrics import RowCount

    frame = pa.table({"x": [1]}).to_pandas()
    return Report([RowCount()]).run(current_data=frame, name=day, tags=[day])


def made_again(bench: Workbench) -> None:
    """Put a new day into the lake, and the arms of `templated` under the fingerprints that are due then."""
    spent = [(name, key) for name in ("arm_metrics", "predictions") for key in (ZERO, LOWER, ARM)]
    spent += [("mixture_composition", key) for key in (ZERO, LOWER, ARM)] + [("synthetic_scores", "templated")]
    held = {one: bench.lake.read(TABLES[one[0]], one[1]) for one in spent}
    (day,) = bench.lake.partitions(RAW_DOCUMENTS)
    raw = bench.lake.read(RAW_DOCUMENTS, day).slice(0, 50)
    bench.lake.write(RAW_DOCUMENTS, raw, bench.lineage.raw_documents("new"), UNLIKE)
    bench.lineage.forget()
    for (name, key), table in held.items():
        bench.write(name, table, key)
    for key in (ZERO, LOWER, ARM):
        pointer = Path(bench.lake.table_path(TABLES["mixture_documents"], key))
        content = json.loads(pointer.read_text())
        content["fingerprint"] = json.loads(bench.lineage.due("mixture_documents", key).to_json())
        pointer.write_text(json.dumps(content))


def test_a_release_that_fails_on_new_data_asks_for_a_lower_share_once_a_day(
    tiny_copy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = limits(tiny_copy.folder)
    bench = open_workbench(study, str(tiny_copy.lake))

    def look(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        return tick(tiny_copy, "retrain", cursor, study)

    def plant(gap: float, *keys: str) -> None:
        for key in keys:
            bench.write("arm_metrics", put("gap", gap)(bench.read("arm_metrics", key)), key)

    assert "nothing is released" in str(look(None).skip_message)
    arm = bench.study.arm(ARM)
    store.publish(bench, arm, audit(bench, arm))
    calm = look(None)
    assert isinstance(calm, dg.SensorResult)
    assert not calm.run_requests
    assert "was audited on these results" in str(look(calm.cursor).skip_message)

    made_again(bench)
    plant(0.95, ARM)
    first = look(calm.cursor)
    assert isinstance(first, dg.SensorResult)
    (request,) = first.run_requests or []
    assert request.run_config == {"ops": {"released_model": {"config": {"arm": LOWER}}}}
    (event,) = first.asset_events
    assert (event.partition, event.passed) == (ARM, False)
    assert event.metadata["asked_for"].value == f"release of `{LOWER}`"
    # neither the same results nor, on the same day, other ones ask again
    assert isinstance(look(first.cursor), dg.SkipReason)
    same_day = json.dumps(json.loads(first.cursor or "") | {"results": "others"})
    assert "for today already" in str(look(same_day).skip_message)
    # on another day: the same results are not asked about again, new ones are; and where no lower share passes, caps
    yesterday = json.loads(first.cursor or "") | {"asked_on": "2026-01-01"}
    assert "was audited on these results" in str(look(json.dumps(yesterday)).skip_message)
    plant(0.95, LOWER, ZERO)
    monkeypatch.setattr(
        "smc_dagster.defs.retraining.domain_answers",
        lambda *given: [
            {"domain": "net<x>", "safe_share": 0.2, "cap": 1.0},
            {"domain": "*", "safe_share": 0, "cap": 1},
        ],
    )
    last = look(json.dumps(yesterday | {"results": "others"}))
    assert isinstance(last, dg.SensorResult)
    assert not last.run_requests
    assert "caps to accept with `smc caps accept`: `net<x>` 0.2" in str(last.skip_reason)
