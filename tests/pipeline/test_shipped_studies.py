"""The series of the studies that ship, on the corpus of the tiny study: all of them in one run."""

from __future__ import annotations

import shutil
from collections import defaultdict

import pytest
import yaml
from conftest import ROOT, Site

from smc_dagster.lake import Lake
from smc_dagster.study import Study, load_study, shipped_studies
from smc_dagster.tables import MIXTURE_COMPOSITION, MIXTURE_DOCUMENTS, REALITY_ANCHORS

SHIPPED = ("full", "mitigations", "provenance")
CAPPED = "networkx"
SHARES = [0, 0.4]


def combined() -> dict:
    """Pools and series of those studies, on the tiny study's corpus at two shares."""
    raw = {name: yaml.safe_load(shipped_studies()[name].read_text()) for name in (*SHIPPED, "tiny")}
    pools = {name: pool for one in SHIPPED for name, pool in raw[one]["pools"].items()}
    pools["templated"] = raw["mitigations"]["pools"]["templated"]
    series = {one["name"]: one for name in SHIPPED for one in raw[name]["series"]}
    changes = {"name": "shipped", "pools": pools, "series": list(series.values()), "shares": SHARES}
    changes |= {name: raw["provenance"][name] for name in ("synthetic_from",)}
    changes["findings"] = raw["tiny"]["findings"] | raw["provenance"]["findings"]
    return raw["tiny"] | changes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Study]:
    folder = tmp_path_factory.mktemp("shipped")
    project = folder / "dbt_project"
    shutil.copytree(ROOT / "dbt_project", project)
    with (project / "seeds" / "caps.csv").open("a") as file:
        file.write(f"shipped,{CAPPED},0.2,planted\n")
    path = folder / "shipped.yaml"
    path.write_text(yaml.safe_dump(combined()))
    one = Site(folder, "shipped")
    done = one.smc("study", "run", "--study", str(path), SMC_DBT_PROJECT=str(project))
    assert done.returncode == 0, done.stderr
    return one, load_study(str(path))


def composition(site: tuple[Site, Study], series: str) -> list[dict]:
    arm = next(one for one in site[1].arms if one.series.name == series and one.share == SHARES[-1])
    return Lake(site[0].lake, "shipped").read(MIXTURE_COMPOSITION, arm.key).to_pylist()


def test_every_series_is_judged(site: tuple[Site, Study]) -> None:
    shown = site[0].json("findings", "--study", str(site[0].folder / "shipped.yaml"))
    assert len(shown["arms"]["counted"]) == len(site[1].arms)
    assert {row["series"] for row in shown["headline"]} == {one.name for one in site[1].series}
    assert shown["budget"]["equal_for_all_arms"] is True
    assert (site[0].lake / "report" / "index.html").is_file()


def test_mitigations_have_one_share_over_all_domains(site: tuple[Site, Study]) -> None:
    for series in ("none", "caps", "anchors", "filter", "all"):
        given, budget = defaultdict(int), defaultdict(int)
        for row in composition(site, series):
            given[row["replicate"]] += row["rows_synthetic"]
            budget[row["replicate"]] += row["budget"]
        for replicate, rows in given.items():
            # a rounding a domain
            assert abs(rows - SHARES[-1] * budget[replicate]) <= 1.5, series
    capped = [row for row in composition(site, "caps") if row["domain"] == CAPPED]
    assert all(row["rows_synthetic"] <= 0.2 * row["budget"] < row["rows_asked"] for row in capped)
    assert any(row["rows_taken_over"] for row in composition(site, "caps"))
    assert not any(row["rows_taken_over"] for row in composition(site, "none"))


def test_anchored_series_hold_the_anchors_and_others_need_not(site: tuple[Site, Study]) -> None:
    lake = Lake(site[0].lake, "shipped")
    anchors = {
        row["doc_id"]
        for row in lake.read(REALITY_ANCHORS, "v1", columns=["doc_id", "slice"]).to_pylist()
        if row["slice"] == "anchor_train"
    }
    kept = {}
    for series in ("anchors", "all", "none"):
        key = next(one.key for one in site[1].arms if one.series.name == series and one.share == SHARES[-1])
        held = defaultdict(set)
        for row in lake.read(MIXTURE_DOCUMENTS, key, columns=["replicate", "doc_id"]).to_pylist():
            held[row["replicate"]].add(row["doc_id"])
        kept[series] = {len(anchors & ids) for ids in held.values()}
    assert kept["anchors"] == kept["all"] == {len(anchors)}
    assert max(kept["none"]) < len(anchors)


def test_anchored_and_free_arms_start_from_the_same_mixture(site: tuple[Site, Study]) -> None:
    """At 0 % they differ in nothing, so that what differs later is due to the anchors."""
    lake = Lake(site[0].lake, "shipped")
    one, other = (lake.read(MIXTURE_DOCUMENTS, f"{name}@00").drop(["arm"]).to_pylist() for name in ("anchors", "none"))
    assert one == other
