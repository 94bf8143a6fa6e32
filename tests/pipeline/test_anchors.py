"""Frozen anchors through real runs: a new day leaves them as they are, and what would change them is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT, Site

from smc_dagster import frozen
from smc_dagster.definitions import build_defs
from smc_dagster.defs.partitions import DAYS
from smc_dagster.lake import Lake
from smc_dagster.tables import ARM_METRICS, PREDICTIONS, REAL_DOCUMENTS, TRAINING_SPLITS
from smc_dagster.workbench import open_workbench

TINY = ROOT / "smc_dagster" / "studies" / "tiny.yaml"


def altered(tmp_path: Path, **anchors: object) -> str:
    study = yaml.safe_load(TINY.read_text())
    study["anchors"] |= anchors
    path = tmp_path / "altered.yaml"
    path.write_text(yaml.safe_dump(study))
    return str(path)


def enter(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process one that works on the site."""
    for name, value in site.environment.items():
        if name.startswith("SMC_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(site.home))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_predictions_and_metrics_are_of_the_frozen_version(tiny: Site) -> None:
    lake = Lake(tiny.lake, "tiny")
    version = frozen.versions(lake)[0]
    assert version.version == "v1"
    rows = frozen.read(lake, version)
    for arm in lake.partitions(PREDICTIONS):
        predicted = lake.read(PREDICTIONS, arm)
        assert set(lake.read(ARM_METRICS, arm)["anchors"].to_pylist()) == {"v1"}
        for name in ("rare", "atypical", "adversarial"):
            of_slice = predicted.filter(pc.equal(predicted["slice"], name))["doc_id"].to_pylist()
            due = rows.filter(pc.equal(rows["slice"], name))["doc_id"].to_pylist()
            assert sorted(set(of_slice)) == sorted(due), (arm, name)
            assert due


def test_smc_anchors_lists_and_shows(tiny: Site) -> None:
    (listed,) = tiny.json("anchors")
    assert listed["in_force"] is True
    assert listed["rows"] == sum(listed[name] for name in ("anchor_train", "rare", "atypical", "adversarial"))
    shown = tiny.json("anchors", "show", "v1", "--slice", "adversarial", "--top", "5")
    assert len(shown) == 5
    assert all(row["edit"] and row["parent_doc_id"] for row in shown)
    lost = tiny.smc("anchors", "show", "v9")
    assert lost.returncode == 2
    assert "versions are v1" in lost.stderr


def test_a_new_day_leaves_the_anchors_and_keeps_their_text_held_out(
    tiny_copy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tiny_copy.lake, "tiny")
    before = {path: digest(path) for path in (tiny_copy.lake / "reality_anchors").rglob("*") if path.is_file()}
    real = lake.read(REAL_DOCUMENTS).to_pylist()
    held = [row for row in real if row["split"] == "anchor_eval"][:40]
    # near-copies of frozen text, among them ids that sort before their originals and so redraw the cluster's split
    landing = tiny_copy.folder / "landing" / "tiny" / "real" / "2027-01-02"
    landing.mkdir(parents=True)
    lines = [
        json.dumps({name: row[name] for name in ("domain", "label")} | {"text": f"{row['text']} {word}"})
        for row in held
        for word in ("again", "too", "indeed")
    ]
    (landing / "more.jsonl").write_text("\n".join(lines) + "\n")
    enter(tiny_copy, monkeypatch)
    defs = build_defs("tiny", str(tiny_copy.lake))
    with dg.DagsterInstance.from_config(str(tiny_copy.home)) as instance:
        instance.add_dynamic_partitions(str(DAYS.name), ["2027-01-02"])
        for job, key in (("ingest", "2027-01-02"), ("corpus", None)):
            assert defs.resolve_job_def(job).execute_in_process(instance=instance, partition_key=key).success
    assert {path: digest(path) for path in before} == before
    stored = lake.fingerprint(REAL_DOCUMENTS)
    assert stored is not None
    assert "anchors[v1]" in stored.inputs
    after = {row["doc_id"]: row for row in lake.read(REAL_DOCUMENTS).to_pylist()}
    assert {row["doc_id"] for row in real} != set(after)
    anchors = frozen.read(lake, frozen.versions(lake)[0]).to_pylist()
    clusters = set()
    for row in anchors:
        for one in (row["doc_id"], row["parent_doc_id"]):
            if row["slice"] != "anchor_train" and one in after:
                assert after[one]["split"] == "anchor_eval"
                clusters.add(after[one]["cluster_id"])
    mates = [row for row in after.values() if row["cluster_id"] in clusters]
    assert any(row["day"] == "2027-01-02" for row in mates)
    assert not [row for row in mates if row["split"] in TRAINING_SPLITS]


def test_a_second_version_is_frozen_beside_the_first_and_makes_stale_what_is_judged_by_it(
    tiny_copy: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: digest(path) for path in (tiny_copy.lake / "reality_anchors").rglob("*") if path.is_file()}
    study = altered(tmp_path, version="v2", adversarial=25)
    enter(tiny_copy, monkeypatch)
    first = frozen.read(Lake(tiny_copy.lake, "tiny"), frozen.versions(Lake(tiny_copy.lake, "tiny"))[0])
    # the corpus is the one that the second version is chosen from: only what is of a version is due
    bench = open_workbench(study, str(tiny_copy.lake))
    assert bench.lineage.is_fresh("real_documents")
    assert not bench.lineage.is_fresh("reality_anchors")
    with dg.DagsterInstance.from_config(str(tiny_copy.home)) as instance:
        result = (
            build_defs(study, str(tiny_copy.lake))
            .resolve_job_def("corpus")
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey("reality_anchors"), dg.AssetKey("anchor_embeddings")],
            )
        )
        assert result.success
    assert {path: digest(path) for path in before} == before
    bench = open_workbench(study, str(tiny_copy.lake))
    assert [one.version for one in frozen.versions(bench.lake)] == ["v1", "v2"]
    second = bench.read("reality_anchors")
    assert set(second["version"].to_pylist()) == {"v2"}
    edits = second.filter(pc.equal(second["slice"], "adversarial"))
    assert edits.num_rows == 25 < first.filter(pc.equal(first["slice"], "adversarial")).num_rows
    # as another set of the same kind: its ids, texts and vectors are of the same corpus
    assert set(edits["doc_id"].to_pylist()) <= set(first["doc_id"].to_pylist())
    assert set(bench.read("anchor_embeddings")["doc_id"].to_pylist()) == set(second["doc_id"].to_pylist())
    arm, pool = bench.study.arms[-1].key, next(iter(bench.study.pools))
    assert bench.lineage.is_fresh("real_documents")
    assert bench.lineage.is_fresh("synthetic_documents", pool)
    assert not bench.lineage.is_fresh("synthetic_scores", pool)
    assert not bench.lineage.is_fresh("arm_metrics", arm)
    # the study that names the first version is as it was
    old = open_workbench("tiny", str(tiny_copy.lake))
    assert old.read("reality_anchors").equals(first)
    assert [one.key for one in old.fresh_arms()] == [one.key for one in old.study.arms]


def test_tampering_stops_the_run(tiny_copy: Site) -> None:
    path = tiny_copy.lake / "reality_anchors" / "version=v1" / "data.parquet"
    table = pq.read_table(path)
    labels = pa.array(table["label"].to_pylist()[::-1], pa.string())
    field = table.schema.field("label")
    pq.write_table(table.set_column(table.column_names.index("label"), field, labels), path)
    done = tiny_copy.smc("study", "run")
    assert done.returncode == 2
    for part in ("version=v1/data.parquet", "expected", "found", "anchors.version"):
        assert part in done.stderr.replace("\n", "")


def test_other_settings_under_a_frozen_version_are_refused(tiny_copy: Site, tmp_path: Path) -> None:
    done = tiny_copy.smc("study", "run", "--study", altered(tmp_path, neighbours=4))
    assert done.returncode == 2
    assert "version `v1` was frozen" in done.stderr
    assert "anchors.version" in done.stderr
