"""The tiny study through a real Dagster instance: all there, all reused, the same again, and what a change reruns."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Site

from smc_dagster.definitions import build_defs
from smc_dagster.lake import Lake
from smc_dagster.study import load_study
from smc_dagster.tables import ARM_METRICS, MIXTURE_COMPOSITION, MIXTURE_DOCUMENTS, REAL_DOCUMENTS

STUDY = load_study("tiny")


@pytest.fixture(scope="module")
def instance(tiny: Site):
    with dg.DagsterInstance.from_config(str(tiny.home)) as opened:
        yield opened


@pytest.fixture(scope="module")
def defs(tiny: Site) -> dg.Definitions:
    return build_defs("tiny", str(tiny.lake))


def test_every_asset_and_partition_is_materialised(instance: dg.DagsterInstance, defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    # an arm is audited and released where a person asks for it
    for key in graph.materializable_asset_keys - {dg.AssetKey("arm_audit"), dg.AssetKey("released_model")}:
        partitions = graph.get(key).partitions_def
        if partitions is None:
            assert instance.get_latest_materialization_event(key), key
        else:
            wanted = set(partitions.get_partition_keys(dynamic_partitions_store=instance))
            assert set(instance.get_materialized_partitions(key)) == wanted, key


def test_every_check_has_a_result_and_passes(instance: dg.DagsterInstance, defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    due = {key for key in graph.asset_check_keys if key.name != "confidence_audit"}
    summaries = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(due))
    assert set(summaries) == due
    failed = [str(key) for key, one in summaries.items() if one.status.value not in ("SUCCEEDED",)]
    blocking = [key for key in failed if "warn" not in key]
    assert not blocking, failed


def test_assets_carry_what_a_person_needs(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.group_name, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.code_version, spec.key


def test_checkpoints_tell_how_training_went(instance: dg.DagsterInstance) -> None:
    key = STUDY.arms[0].key
    of_arm = dg.AssetRecordsFilter(asset_key=dg.AssetKey("checkpoints"), asset_partitions=[key])
    (record,) = instance.fetch_materializations(of_arm, limit=1).records
    shown = {name: one.value for name, one in record.asset_materialization.metadata.items()}
    assert shown["loss_curve"].startswith("![loss by step](data:image/png;base64,")
    examples = STUDY.training.steps * STUDY.training.batch * STUDY.replicates
    assert shown["examples_per_second"] == pytest.approx(examples / shown["seconds"])
    assert (shown["budget_used"], shown["device"]) == (1.0, "CPU, one thread")
    assert 10**8 < shown["memory_peak_bytes"] < 10**11
    told = [one.user_message for one in instance.all_logs(record.run_id) if " trained (" in one.user_message]
    assert len(told) == len(STUDY.arms)
    assert f"({len(STUDY.arms)} of {len(STUDY.arms)}): loss " in told[-1]
    assert told[-1].endswith("about 0 s left")


def test_a_second_run_makes_nothing(tiny: Site) -> None:
    outcome = tiny.json("study", "run")
    assert sum(outcome["made"].values()) == 0
    assert outcome["reused"]["arm_metrics"] == len(STUDY.arms)
    assert outcome["runs"] == []


def test_findings_say_first_what_each_domain_can_take(tiny: Site) -> None:
    answers = tiny.json("findings")["domain_answer"]
    shown = tiny.smc("findings", COLUMNS="250").stdout
    _, _, rest = shown.partition("How much synthetic text each domain can take")
    by_domain, _, others = rest.partition("Headline")
    assert others
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in by_domain.splitlines() if "│" in line]
    found = {row[0]: row for row in rows if row[0]}
    assert answers[0]["domain"] == "*"
    assert found.keys() == {"all domains", *(row["domain"] for row in answers[1:])}
    for row in answers[1:]:
        assert found[row["domain"]][2] == f"{row['share_in_use'] * 100:.3g} %"


def test_arms_show_what_is_built_and_what_it_costs(tiny: Site, tmp_path: Path) -> None:
    shown = tiny.json("arms")
    assert [row["arm"] for row in shown] == [arm.key for arm in STUDY.arms]
    examples = STUDY.training.steps * STUDY.training.batch * STUDY.replicates
    for row in shown:
        assert {row[stage] for stage in ("mixture", "checkpoints", "predictions", "metrics")} == {"built"}
        assert (row["examples"], row["tokens"]) == (examples, examples * STUDY.training.max_tokens)
        assert row["seconds"] > 0
        assert row["seconds_from"] == "measured"
    # an arm's heads cost what the checkpoint says it cost
    metrics = Lake(tiny.lake, "tiny").read(ARM_METRICS, STUDY.arms[0].key).to_pylist()
    counted = {row["metric"]: row["value"] for row in metrics if row["slice"] == "train" and row["replicate"] == 0}
    assert shown[0]["flops"] == counted["flops"] * STUDY.replicates
    assert shown[0]["tokens"] == counted["tokens_seen"] * STUDY.replicates
    empty = Site(tmp_path / "none", "tiny").json("arms", "--arms", "templated@30")
    assert [(row["mixture"], row["flops"], row["seconds"], row["seconds_from"]) for row in empty] == [
        ("missing", None, None, "unknown")
    ]


def test_what_other_caps_make_stale_arms_say(tiny: Site, tmp_path: Path) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(ROOT / "dbt_project", project)
    with (project / "seeds" / "caps.csv").open("a") as file:
        file.write("tiny,*,0.1,planted\n")
    shown = tiny.json("arms", SMC_DBT_PROJECT=str(project))
    assert {row["mixture"] for row in shown} == {row["metrics"] for row in shown} == {"stale"}
    printed = tiny.smc("arms", SMC_DBT_PROJECT=str(project)).stdout
    assert "6 to train" in printed
    assert "of one core" in printed


def rows(lake: Path) -> dict[str, list[dict]]:
    """Mixtures and metrics of every arm, as rows."""
    opened = Lake(lake, "tiny")
    return {
        f"{spec.name} {arm.key}": opened.read(spec, arm.key).to_pylist()
        for spec in (MIXTURE_DOCUMENTS, MIXTURE_COMPOSITION, ARM_METRICS)
        for arm in STUDY.arms
    }


def test_the_same_study_twice_from_an_empty_lake(tiny: Site, tmp_path: Path) -> None:
    again = Site(tmp_path / "again", "tiny")
    done = again.smc("study", "run")
    assert done.returncode == 0, done.stderr
    assert rows(again.lake) == rows(tiny.lake)


def test_one_arm_alone_is_the_same_arm(tiny: Site, tiny_copy: Site) -> None:
    key = STUDY.arms[1].key
    for table in ("mixture_documents", "checkpoints", "training_curves", "predictions", "arm_metrics"):
        shutil.rmtree(tiny_copy.lake / table / f"arm={key}")
    outcome = tiny_copy.json("study", "run", "--arms", key)
    assert outcome["made"]["checkpoints"] == 1
    assert rows(tiny_copy.lake) == rows(tiny.lake)


def test_an_accepted_cap_makes_mixtures_stale_and_the_next_ones_obey(tiny_copy: Site, tmp_path: Path) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(ROOT / "dbt_project", project)
    domain = pq.read_table(tiny_copy.lake / "real_documents" / "data.parquet")["domain"].to_pylist()[0]
    place = {"SMC_DBT_PROJECT": str(project)}
    before = (project / "seeds" / "caps.csv").read_text()
    # so small a study proves nothing safe, and a domain without a safe share is not accepted by its name alone
    refused = tiny_copy.smc("caps", "accept", "--domain", domain, "--reason", "x", "--yes", **place)
    assert refused.returncode == 2, refused.stdout
    assert "no measured safe share" in refused.stderr
    assert (project / "seeds" / "caps.csv").read_text() == before
    told = tiny_copy.json(
        "caps", "accept", "--cap", f"{domain}=0.1", "--reason", 'for "now", at least', "--yes", **place
    )
    assert [row["accepted"] for row in told["accepted"]] == [0.1]
    assert {row["mixture"] for row in tiny_copy.json("arms", **place)} == {"stale"}
    assert tiny_copy.json("caps", "recommend", **place)["fresh"] is True
    outcome = tiny_copy.json("study", "run", **place)
    assert outcome["made"]["mixture_documents"] == len(STUDY.arms)
    for asset in ("raw_documents", "real_documents", "real_embeddings", "synthetic_documents", "synthetic_embeddings"):
        assert outcome["made"][asset] == 0, asset
    lake = Lake(tiny_copy.lake, "tiny")
    capped = 0
    for arm in STUDY.arms:
        for row in lake.read(MIXTURE_COMPOSITION, arm.key).to_pylist():
            if row["domain"] == domain:
                assert row["rows_displaced"] <= 0.1 * row["budget"]
                capped += row["why"] == "cap"
    assert capped
    (shown,) = [row for row in tiny_copy.json("caps", **place) if row["domain"] == domain]
    assert (shown["cap"], shown["largest_share"] <= 0.1) == (0.1, True)
    assert shown["note"].endswith('for "now", at least')
    (row,) = [row for row in tiny_copy.json("caps", "recommend", **place)["domains"] if row["domain"] == domain]
    assert (row["cap"], row["share_in_use"] <= 0.1, row["recommended"]) == (0.1, True, None)


def test_one_arm_made_again_makes_findings_follow(tiny_copy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The automation condition asks for findings once an arm's metrics are newer, and for nothing else."""
    monkeypatch.setenv("DAGSTER_HOME", str(tiny_copy.home))
    defs = build_defs("tiny", str(tiny_copy.lake))
    with dg.DagsterInstance.from_config(str(tiny_copy.home)) as instance:
        first = dg.evaluate_automation_conditions(defs, instance)
        assert first.total_requested == 0
        result = defs.resolve_job_def("arms").execute_in_process(
            instance=instance, partition_key=STUDY.arms[0].key, asset_selection=[dg.AssetKey("arm_metrics")]
        )
        assert result.success
        second = dg.evaluate_automation_conditions(defs, instance, cursor=first.cursor)
        assert second.get_num_requested(dg.AssetKey("headline")) == 1


def test_a_reader_that_meets_the_wrong_fingerprint_says_so(tiny_copy: Site) -> None:
    """An upstream table of another study's making is refused by what reads it."""
    path = tiny_copy.lake / "real_documents" / "data.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({}), path)
    defs = build_defs("tiny", str(tiny_copy.lake))
    with dg.DagsterInstance.from_config(str(tiny_copy.home)) as instance:
        result = defs.resolve_job_def("pools").execute_in_process(
            instance=instance,
            partition_key=next(iter(STUDY.pools)),
            asset_selection=[dg.AssetKey("synthetic_documents")],
            raise_on_error=False,
        )
        assert not result.success
        event = result.failure_data_for_node("synthetic_documents")
        assert event is not None
        assert "StaleInputError" in event.error.to_string()


def test_the_tail_was_fixed_on_training_documents(tiny: Site) -> None:
    real = Lake(tiny.lake, "tiny").read(REAL_DOCUMENTS)
    frame = real.to_pandas()
    train = frame[frame["split"] == "train"]
    tail = train[train["is_tail"]]
    assert 0 < len(tail) / len(train) <= STUDY.tail.share
    assert tail.groupby("label").size().max() <= train[~train["is_tail"]].groupby("label").size().min()
    assert frame.groupby("cluster_id")["split"].nunique().max() == 1


def test_environment_is_left_alone() -> None:
    assert "DAGSTER_HOME" not in os.environ


def test_the_profile_tells_what_a_pool_knows_by_heart(tiny: Site) -> None:
    rows = {row["measure"]: row for row in tiny.json("profile") if row["domain"] == "*"}
    found = rows["overlap_with_training"]
    assert 0 <= found["value"] <= 1
    assert found["n"] == rows["documents"]["value"]
    worst = tiny.json("profile", "--pool", "templated", "--explain", "--top", "3")
    assert 0 < len(worst) <= 3
    assert all(row["reasons"] for row in worst)


def test_a_refresh_of_fresh_findings_draws_nothing(tiny_copy: Site) -> None:
    page, key = Path(tiny_copy.lake) / "report" / "index.html", dg.AssetKey("collapse_onset")
    drawn = (page.read_bytes(), page.stat().st_mtime_ns)
    job = build_defs("tiny", str(tiny_copy.lake)).resolve_job_def("refresh_findings")
    with dg.DagsterInstance.from_config(str(tiny_copy.home)) as instance:
        before = instance.get_latest_materialization_event(key)
        assert job.execute_in_process(instance=instance).success
        after = instance.get_latest_materialization_event(key)
        assert (page.read_bytes(), page.stat().st_mtime_ns) == drawn
        assert after.run_id != before.run_id
        assert after.asset_materialization.metadata == before.asset_materialization.metadata
        page.unlink()
        assert job.execute_in_process(instance=instance).success
    assert page.read_bytes() == drawn[0]
