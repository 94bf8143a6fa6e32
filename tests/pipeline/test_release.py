"""The gate and the release: each rule refuses by figure and limit, and what is in force stays until another passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from conftest import Site

from smc_dagster.definitions import build_defs
from smc_dagster.errors import GateError
from smc_dagster.lake import Lake
from smc_dagster.mixing.seeds import Cap, Caps
from smc_dagster.release import store
from smc_dagster.release.audit import Audit, audit
from smc_dagster.release.choice import named_or_best, next_lower
from smc_dagster.study import shipped_studies
from smc_dagster.tables import ARM_METRICS, PREDICTIONS, SYNTHETIC_SCORES, TableSpec
from smc_dagster.workbench import Workbench, open_workbench

ZERO, LOWER, ARM = "templated@00", "templated@30", "templated@60"
Edit = Callable[[pa.Table], pa.Table]


def limits(folder: Path, gap: float = 0.9, ece: float = 0.9, margin: float = 0.9) -> str:
    """The tiny study with other limits, which make none of its results stale; by default all of its arms pass."""
    content = yaml.safe_load(shipped_studies()["tiny"].read_text())
    content["gates"] = {"gap": gap, "ece": ece}
    content["findings"]["margin"] = margin
    path = folder / f"tiny_{gap}_{ece}_{margin}.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture(scope="module")
def site(tiny: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("release")
    shutil.copytree(tiny.folder, folder / "data")
    return Site(folder / "data", "tiny")


@pytest.fixture
def bench(site: Site) -> Workbench:
    return open_workbench(limits(site.folder), str(site.lake))


def judged(instance: dg.DagsterInstance) -> list[tuple[str | None, bool]]:
    """Arm and outcome of every result of the check `confidence_audit`, oldest first."""
    key = dg.AssetCheckKey(dg.AssetKey("arm_audit"), "confidence_audit")
    found = instance.event_log_storage.get_asset_check_execution_history(key, limit=50)
    events = [one.event.dagster_event for one in reversed(found) if one.event is not None]
    return [(one.asset_check_evaluation_data.partition, one.asset_check_evaluation_data.passed) for one in events]


def run(site: Site, study: str, job: str, **how: object) -> tuple[dg.ExecuteInProcessResult, list]:
    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        before = len(judged(instance))
        definition = build_defs(study, str(site.lake)).resolve_job_def(job)
        done = definition.execute_in_process(instance=instance, raise_on_error=False, **how)
        return done, judged(instance)[before:]


def asked(arm: str) -> dict:
    return {"ops": {"released_model": {"config": {"arm": arm}}}}


def put(metric: str, value: float | None, slice_name: str = "rare") -> Edit:
    """The metric of a slice, in every replicate and domain."""

    def edit(table: pa.Table) -> pa.Table:
        mask = pc.and_(pc.equal(table["metric"], metric), pc.equal(table["slice"], slice_name))
        assert pc.any(mask).as_py()
        planted = pc.if_else(mask, pa.scalar(value, pa.float64()), table["value"])
        return table.set_column(table.column_names.index("value"), "value", planted)

    return edit


def constant(column: str, value: str) -> Edit:
    return lambda table: table.set_column(table.column_names.index(column), column, pa.repeat(value, table.num_rows))


def all_right(table: pa.Table) -> pa.Table:
    return table.set_column(table.column_names.index("predicted"), "predicted", table["label"])


FAULTS: dict[str, tuple[list[tuple[TableSpec, str, Edit]], tuple[str, str], str]] = {
    "overconfident": ([(ARM_METRICS, ARM, put("gap", 0.95))], ("gap", "rare"), "`rare` is +0.950, the limit 0.900"),
    "miscalibrated": (
        [(ARM_METRICS, ARM, put("ece", 0.91, "test_tail"))],
        ("ece", "test_tail"),
        "ECE on slice `test_tail` is +0.910, the limit 0.900",
    ),
    "no figure": ([(ARM_METRICS, ARM, put("gap", None))], ("gap", "rare"), "is not defined; the limit is 0.900"),
    "lost its tail": (
        [(ARM_METRICS, ZERO, put("rare_recall", 1.0)), (PREDICTIONS, ZERO, all_right)],
        ("rare_recall", "rare"),
        "the limit is -0.900",
    ),
    "contaminated": (
        [(SYNTHETIC_SCORES, "templated", constant("contamination_kind", "near_duplicate"))],
        ("contamination", ""),
        "share of contaminated synthetic rows is +1.000, the limit 0.000",
    ),
    "other anchors": ([(ARM_METRICS, ARM, constant("anchors", "v0"))], ("anchors", ""), "the study asks for `v1`"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_its_own_rule(bench: Workbench, fault: str) -> None:
    edits, rule, said = FAULTS[fault]
    assert audit(bench, bench.study.arm(ARM)).passed
    held: list[tuple[TableSpec, str, pa.Table]] = []
    try:
        for spec, key, edit in edits:
            held.append((spec, key, bench.lake.read(spec, key)))
            bench.lake.write(spec, edit(held[-1][2]), bench.lineage.due(spec.name, key), key)
        found = audit(bench, bench.study.arm(ARM))
    finally:
        for spec, key, table in held:
            bench.lake.write(spec, table, bench.lineage.due(spec.name, key), key)
    assert [(one.rule, one.where) for one in found.rulings if not one.passed] == [rule]
    assert said in found.refusal


def test_caps_bind_an_arm_whatever_its_series_obeys(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    capped = Caps(Path("caps.csv"), (Cap("tiny", "*", 0.3, "", 2), Cap("other", "*", 0.0, "", 3)))
    monkeypatch.setattr("smc_dagster.release.audit.read_caps", lambda: capped)
    found = audit(bench, bench.study.arm(ARM))
    assert [one.rule for one in found.rulings if not one.passed] == ["cap"]
    assert "has a synthetic share of 0.60" in found.refusal
    loose = Caps(Path("caps.csv"), (Cap("tiny", "*", 0.61, "", 2),))
    monkeypatch.setattr("smc_dagster.release.audit.read_caps", lambda: loose)
    assert audit(bench, bench.study.arm(ARM)).passed


def test_what_chance_makes_of_ece_is_not_held_against_an_arm(site: Site) -> None:
    bench = open_workbench(limits(site.folder, ece=0.01), str(site.lake))
    metrics = bench.read("arm_metrics", ARM).to_pylist()
    band = [one["value"] for one in metrics if (one["slice"], one["metric"]) == ("rare", "ece_null_high")]
    (ruling,) = [one for one in audit(bench, bench.study.arm(ARM)).rulings if (one.rule, one.where) == ("ece", "rare")]
    assert ruling.limit == pytest.approx(sum(band) / len(band))
    assert "a calibrated model shows up to" in ruling.said


def test_an_arm_that_passes_is_released_whole_and_one_that_fails_leaves_it(site: Site) -> None:
    wide = limits(site.folder)
    done, checked = run(site, wide, "release", run_config=asked(LOWER))
    assert done.success
    assert checked == [(LOWER, True)]
    from transformers import pipeline

    lake = Lake(site.lake, "tiny")
    first = store.released(lake)
    assert first is not None
    bench = open_workbench(wide, str(site.lake))
    assert (first.arm, first.fingerprint) == (LOWER, bench.lineage.due("released_model", LOWER).digest)
    assert all(one["passed"] for one in first.audit)
    model = site.lake / "released_model" / first.version / "model"
    assert bench.lineage.due("checkpoints", LOWER).digest in (model / "README.md").read_text()
    real = bench.read("real_documents", columns=["text", "label"])
    classify = pipeline("text-classification", str(model), truncation=True, device="cpu")
    answers = classify(real["text"].slice(0, 3).to_pylist())
    assert {one["label"] for one in answers} <= set(real["label"].to_pylist())
    refused = site.smc("release", ARM, SMC_STUDY=limits(site.folder, gap=0.01))
    assert refused.returncode == 2, refused.stdout
    assert "confidence gap on slice `rare` is +" in refused.stderr
    assert "the limit 0.010" in refused.stderr
    assert f"`{LOWER}` stays in force" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert store.released(lake) == first
    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        assert judged(instance)[-1] == (ARM, False)


def test_a_crash_before_the_end_leaves_the_release_before(
    site: Site, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = [bench.study.arm(key) for key in (LOWER, ARM)]
    before = store.publish(bench, arms[0], audit(bench, arms[0]))
    written = Lake.write_bytes

    def full(lake: Lake, relative: str, content: bytes) -> str:
        if relative.endswith("current.json"):
            raise OSError(28, "No space left on device")
        return written(lake, relative, content)

    with monkeypatch.context() as planted:
        planted.setattr(Lake, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            store.publish(bench, arms[1], audit(bench, arms[1]))
    assert store.released(bench.lake) == before
    assert (site.lake / "released_model" / before.version / "release.json").is_file()
    after = store.publish(bench, arms[1], audit(bench, arms[1]))
    assert store.released(bench.lake) == after
    # neither the release before nor what the crash left
    assert [one.name for one in (site.lake / "released_model").glob("v-*")] == [after.version]


def test_without_a_name_the_largest_share_that_passes(
    site: Site, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing: set[str] = set()

    def planted(opened: Workbench, arm: object) -> Audit:
        found = audit(opened, arm)
        bad = [one.__class__("gap", "rare", 1.0, 0.1, False, "gap") for one in found.rulings[:1]]
        return Audit(found.arm, found.fingerprint, bad if found.arm in failing else found.rulings, found.recall)

    monkeypatch.setattr("smc_dagster.release.choice.audit", planted)
    assert named_or_best(bench, "")[0].key == ARM
    assert next_lower(bench, ARM)[0].key == LOWER
    failing |= {ARM, LOWER}
    # a control is never chosen, though all of its arms pass
    assert named_or_best(bench, "")[0].key == ZERO
    assert next_lower(bench, ARM)[0].key == ZERO
    failing.add(ZERO)
    assert next_lower(bench, ARM) is None
    with pytest.raises(GateError, match="none of the 3 arms with results passes"):
        named_or_best(bench, "")


def test_the_check_blocks_in_dagster_by_arm(site: Site) -> None:
    """All arms of a series in one run, of which one fails: each has its result, and the run stops."""
    bench = open_workbench(limits(site.folder), str(site.lake))
    gaps = {key: audit(bench, bench.study.arm(key)).rulings for key in (ZERO, LOWER, ARM)}
    worst = {key: max(one.figure for one in rulings if one.rule == "gap") for key, rulings in gaps.items()}
    ordered = sorted(worst, key=lambda key: worst[key])
    between = round((worst[ordered[1]] + worst[ordered[2]]) / 2, 6)
    tags = {"dagster/asset_partition_range_start": ZERO, "dagster/asset_partition_range_end": ARM}
    done, checked = run(site, limits(site.folder, gap=between), "audit", tags=tags)
    assert not done.success
    assert dict(checked) == {key: key != ordered[2] for key in worst}
    stored = site.json("audit", "--arms", "templated@*", SMC_STUDY=limits(site.folder, gap=between))
    assert {row["arm"]: row["audit"] for row in stored} == {
        key: "fails" if key == ordered[2] else "passes" for key in worst
    }
    assert json.dumps(stored)
