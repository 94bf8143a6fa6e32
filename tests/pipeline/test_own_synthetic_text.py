"""A pool of the team's own files, through the landing folder, the asset, its blocking count and the checks after it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from conftest import Site

from smc_dagster.definitions import build_defs
from smc_dagster.lake import Lake
from smc_dagster.study import shipped_studies
from smc_dagster.synthesis.registry import Pool, make_pool
from smc_dagster.tables import (
    REAL_DOCUMENTS,
    REALITY_ANCHORS,
    SYNTHETIC_DOCUMENTS,
    SYNTHETIC_QUARANTINE,
    SYNTHETIC_SCORES,
)
from smc_dagster.workbench import open_workbench

COUNTS = "synthetic_rows_in_equal_rows_out"


def run(site: Site, study: Path, monkeypatch: pytest.MonkeyPatch) -> dg.ExecuteInProcessResult:
    for name, value in site.environment.items():
        if name.startswith("SMC_"):
            monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(site.home)) as instance:
        return (
            build_defs(str(study), str(site.lake))
            .resolve_job_def("pools")
            .execute_in_process(instance=instance, partition_key="ours", raise_on_error=False)
        )


@pytest.fixture
def own(tiny_copy: Site, tmp_path: Path) -> tuple[Site, Path, Path]:
    """The tiny study with a pool that the landing folder feeds, and a landed file of good rows and two bad ones."""
    content = yaml.safe_load(shipped_studies()["tiny"].read_text())
    content["pools"]["ours"] = {"generator": "files", "settings": {"columns": {"domain": None}}}
    study = tmp_path / "tiny.yaml"
    study.write_text(yaml.safe_dump(content))
    real = Lake(tiny_copy.lake, "tiny").read(REAL_DOCUMENTS)
    train = real.filter(pc.equal(real["split"], "train"))
    known = set(train["label"].to_pylist())
    rows: list[dict[str, Any]] = [
        {"label": one["label"], "text": f"As a rule: {one['text'][:500]}"} for one in train.to_pylist()
    ]
    # a frozen anchor that is no document of the corpus, as an edit of one is none
    anchors = Lake(tiny_copy.lake, "tiny").read(REALITY_ANCHORS, "v1")
    # short, so that it shares no long run with the document that it is an edit of
    edits = anchors.filter(pc.equal(anchors["edit"], "typo")).to_pylist()
    frozen = next(one for one in edits if one["label"] in known and 6 <= len(one["text"].split()) <= 10)
    rows.append({"label": frozen["label"], "text": frozen["text"]})
    rows += [{"label": "no such label", "text": "<script>alert(1)</script> is mere text here"}, {"label": "x"}]
    landed = tiny_copy.folder / "landing" / "tiny" / "synthetic" / "2026-02-01" / "a.jsonl"
    landed.parent.mkdir(parents=True)
    landed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tiny_copy, study, landed


def test_the_teams_own_text_becomes_a_pool(
    own: tuple[Site, Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site, study, landed = own
    result = run(site, study, monkeypatch)
    assert result.success
    (counted,) = [one for one in result.get_asset_check_evaluations() if one.check_name == COUNTS]
    assert counted.passed
    assert counted.partition == "ours"
    assert counted.blocking
    lake = Lake(site.lake, "tiny")
    pool, quarantine = lake.read(SYNTHETIC_DOCUMENTS, "ours"), lake.read(SYNTHETIC_QUARANTINE, "ours")
    assert [(one["line"], one["field"]) for one in quarantine.sort_by("line").to_pylist()] == [
        (pool.num_rows + 1, "label"),
        (pool.num_rows + 2, "text"),
    ]
    assert quarantine["file"].unique().to_pylist() == ["synthetic/2026-02-01/a.jsonl"]
    # what was refused stays refused: nothing of it is in the pool
    assert not pc.any(pc.match_substring(pool["text"], "<script>")).as_py()

    # a text that was frozen contaminates, though the corpus does not hold it
    anchors = lake.read(REALITY_ANCHORS, "v1")
    texts = dict(zip(anchors["text"].to_pylist(), anchors["doc_id"].to_pylist(), strict=True))
    place = pc.index_in(pool["text"], value_set=pa.array(list(texts)))
    (copied,) = pool.filter(pc.is_valid(place)).to_pylist()
    assert texts[copied["text"]] not in lake.read(REAL_DOCUMENTS)["doc_id"].to_pylist()
    (score,) = lake.read(SYNTHETIC_SCORES, "ours").filter(pc.field("doc_id") == copied["doc_id"]).to_pylist()
    assert score["contamination"] == 1
    assert score["contaminant_doc_id"] == texts[copied["text"]]

    # the same content under a new date leaves the pool fresh; another row does not
    landed.write_bytes(landed.read_bytes())
    assert open_workbench(str(study), str(site.lake)).lineage.is_fresh("synthetic_documents", "ours")
    with landed.open("a") as file:
        file.write(json.dumps({"label": pool["label"][0].as_py(), "text": "one more text of ours"}) + "\n")
    assert not open_workbench(str(study), str(site.lake)).lineage.is_fresh("synthetic_documents", "ours")


def test_a_lost_row_stops_the_pool_and_leaves_its_tables(
    own: tuple[Site, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, study, _ = own

    def losing(*words: Any) -> Pool:
        pool = make_pool(*words)
        return replace(pool, documents=pool.documents.slice(1))

    monkeypatch.setattr("smc_dagster.defs.synthesis.make_pool", losing)
    result = run(site, study, monkeypatch)
    assert not result.success
    (counted,) = [one for one in result.get_asset_check_evaluations() if one.check_name == COUNTS]
    assert not counted.passed
    assert not result.get_asset_materialization_events()
    assert not Lake(site.lake, "tiny").fs.exists(Lake(site.lake, "tiny").table_path(SYNTHETIC_DOCUMENTS, "ours"))
