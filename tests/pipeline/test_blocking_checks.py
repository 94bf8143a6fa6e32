"""A failing critical check stops what is downstream, names its rows, and is recorded for its partition."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from conftest import ROOT, Site

from smc_dagster.definitions import build_defs
from smc_dagster.study import Training, load_study
from smc_dagster.synthesis.registry import Pool, make_pool
from smc_dagster.training.heads import train_arm
from smc_dagster.training.predict import predict

STUDY = load_study("tiny")
POOL = next(iter(STUDY.pools))


def changed(table: pa.Table, column: str, values: list) -> pa.Table:
    place = table.column_names.index(column)
    return table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))


def failed_checks(result: dg.ExecuteInProcessResult) -> dict[str, dict]:
    return {one.check_name: one for one in result.get_asset_check_evaluations() if not one.passed}


def made(result: dg.ExecuteInProcessResult) -> set[str]:
    events = result.get_asset_materialization_events()
    return {event.step_materialization_data.materialization.asset_key.to_user_string() for event in events}


def three_arms(site: Site, *assets: str) -> dg.ExecuteInProcessResult:
    """Make these assets for the first three arms in one run, failing or not."""
    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        return (
            build_defs("tiny", str(site.lake))
            .resolve_job_def("arms")
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(asset) for asset in assets],
                tags={
                    "dagster/asset_partition_range_start": STUDY.arms[0].key,
                    "dagster/asset_partition_range_end": STUDY.arms[2].key,
                },
                raise_on_error=False,
            )
        )


def test_a_bad_pool_is_not_embedded(tiny_copy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def tampered(*words: object) -> Pool:
        pool = make_pool(*words)
        labels = ["no such label", *pool.documents["label"].to_pylist()[1:]]
        return replace(pool, documents=changed(pool.documents, "label", labels))

    monkeypatch.setattr("smc_dagster.defs.synthesis.make_pool", tampered)
    with dg.DagsterInstance.from_config(str(tiny_copy.home)) as instance:
        result = (
            build_defs("tiny", str(tiny_copy.lake))
            .resolve_job_def("pools")
            .execute_in_process(instance=instance, partition_key=POOL, raise_on_error=False)
        )
    assert not result.success
    assert made(result) == {"synthetic_documents"}
    failed = failed_checks(result)
    assert {"label_known"} <= set(failed) <= {"label_known", "domain_agrees"}
    one = failed["label_known"]
    assert one.partition == POOL
    assert one.severity is dg.AssetCheckSeverity.ERROR
    assert one.metadata["unexpected"].value == 1
    assert "no such label" in str(one.metadata["sample"].value)


def test_an_arm_that_saw_less_is_not_judged(tiny_copy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One arm is trained for a step less than the others."""
    short = STUDY.arms[1].key

    def tampered(mixture: pa.Table, vectors: object, labels: list[str], training: Training, *rest: object) -> object:
        less = training.model_copy(update={"steps": training.steps - 1})
        return train_arm(mixture, vectors, labels, less if mixture["arm"][0].as_py() == short else training, *rest)

    monkeypatch.setattr("smc_dagster.training.arms.train_arm", tampered)
    result = three_arms(tiny_copy, "checkpoints", "predictions")
    assert not result.success
    assert made(result) == {"checkpoints"}
    judged = {one.partition: one for one in result.get_asset_check_evaluations() if one.check_name == "fixed_compute"}
    assert {key: one.passed for key, one in judged.items()} == {arm.key: arm.key != short for arm in STUDY.arms[:3]}
    assert "steps 59 instead of 60; examples_seen" in str(judged[short].metadata["departures"].value)


def test_bad_predictions_of_one_arm_are_not_measured(tiny_copy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = STUDY.arms[1].key

    def tampered(checkpoint: object, documents: pa.Table, vectors: object, key: str) -> pa.Table:
        found = predict(checkpoint, documents, vectors, key)
        return changed(found, "confidence", [1.5] * found.num_rows) if key == bad else found

    monkeypatch.setattr("smc_dagster.defs.evaluation.predict", tampered)
    result = three_arms(tiny_copy, "predictions", "arm_metrics")
    assert not result.success
    assert made(result) == {"predictions"}
    judged = [one for one in result.get_asset_check_evaluations() if one.check_name == "probabilities_in_range"]
    assert {one.partition: one.passed for one in judged} == {arm.key: arm.key != bad for arm in STUDY.arms[:3]}


def test_a_failing_dbt_test_publishes_nothing(tiny_copy: Site, tmp_path: Path) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(ROOT / "dbt_project", project)
    model = project / "models" / "marts" / "mixture_documents.sql"
    kept = "where not quotas.anchored and ranks.slot < quotas.rows_real"
    assert kept in model.read_text()
    model.write_text(model.read_text().replace(kept, f"{kept} and ranks.slot > 0"))
    pointers = sorted((tiny_copy.lake / "mixture_documents").rglob("current.json"))
    before = [path.read_bytes() for path in pointers]
    done = tiny_copy.smc("study", "run", SMC_DBT_PROJECT=str(project))
    assert done.returncode == 1, done.stderr
    assert "budget_met" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.read_bytes() for path in pointers] == before
    assert list((tiny_copy.lake / ".mixing").iterdir()) == []
    with dg.DagsterInstance.from_config(str(tiny_copy.home)) as instance:
        key = dg.AssetCheckKey(dg.AssetKey("mixture_documents"), "budget_met")
        summary = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert summary.status.value == "FAILED"
