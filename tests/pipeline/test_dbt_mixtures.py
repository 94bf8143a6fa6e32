"""The dbt project builds the mixtures that the design describes: recomputed here in plain Python, without its SQL."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from dbt_world import CAPS, Built, World, build, built_once, copy_project, dbt, lineage_of, make_world

from smc_dagster.errors import CapsError, LakeError
from smc_dagster.lake import Lake
from smc_dagster.mixing import launch, seeds
from smc_dagster.study import Arm
from smc_dagster.tables import (
    MIXTURE_COMPOSITION,
    MIXTURE_DOCUMENTS,
    REAL_DOCUMENTS,
    SYNTHETIC_DOCUMENTS,
    SYNTHETIC_SCORES,
)

pytestmark = pytest.mark.pipeline

Row = tuple[str, int, str, int, str, str, str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """All arms of the small study, built and published."""
    return built_once(tmp_path_factory)


def rows_of(world: World, arm: Arm) -> dict[Row, float]:
    """Weight of each row of a published mixture."""
    table = world.lake.read(MIXTURE_DOCUMENTS, arm.key)
    columns = ["arm", "replicate", "domain", "slot", "doc_id", "label", "provenance"]
    keys = list(zip(*(table[name].to_pylist() for name in columns), strict=True))
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, table["weight"].to_pylist(), strict=True))


def hash_of(doc_id: str, replicate: int, seed: int) -> int:
    return int.from_bytes(
        hashlib.md5(f"{doc_id}|{replicate}|{seed}".encode(), usedforsecurity=False).digest(), "little"
    )


def by_domain(rows: list[dict]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        found[row["domain"]].append(row)
    return found


class Expected:
    """The mixtures of a world, recomputed from its documents."""

    def __init__(self, world: World) -> None:
        self.study = world.study
        self.real = by_domain([row for row in world.read(REAL_DOCUMENTS) if row["split"] == "train"])
        self.pools: dict[str, dict[str, list[dict]]] = {}
        for pool in world.study.pools:
            rows = [one for one in world.read(SYNTHETIC_DOCUMENTS, pool) if one["provenance"] != "edited"]
            self.pools[pool] = by_domain(rows)
        self.scores = {row["doc_id"]: row for pool in world.study.pools for row in world.read(SYNTHETIC_SCORES, pool)}
        self.caps = {domain: float(cap) for study, domain, cap in CAPS if study == "mine"}

    def weighted(self, arm: Arm, domain: str) -> list[tuple[dict, float]]:
        """Rows of the pool that the arm's filter leaves."""
        rows = self.pools[str(arm.series.pool)].get(domain, [])
        if arm.series.strictness == "off":
            return [(row, 1.0) for row in rows]
        left = []
        for row in rows:
            score = self.scores[row["doc_id"]]
            if score["contamination"] is None or score["contamination"] >= 0.7:
                continue
            weight = (score["cluster_size"] * score["exact_copies"]) ** -0.5
            if score["template_id"] is not None:
                weight *= score["template_size"] ** -0.5
            left.append((row, float(np.float32(weight))))
        return left

    def displaced(self, arm: Arm, domain: str, size: int) -> int:
        asked = math.floor(arm.share * size + 0.5 + 1e-6)
        cap = self.caps.get(domain, self.caps["*"]) if arm.series.caps else 1
        displaced = min(asked, math.floor(cap * size + 1e-6))
        return displaced if arm.series.pool is None else min(displaced, len(self.weighted(arm, domain)))

    def key(self, row: dict, weight: float, replicate: int) -> float:
        uniform = (hash_of(row["doc_id"], replicate, self.study.seed) + 1) / 2**128
        return -math.log(uniform) / weight

    def rows(self, arm: Arm) -> dict[Row, float]:
        seed, found = self.study.seed, {}
        for replicate in range(self.study.replicates):
            for domain, real in self.real.items():
                size = math.floor(self.study.budget * len(real) + 0.5 + 1e-6)
                displaced = self.displaced(arm, domain, size)
                ranked = sorted(real, key=lambda row: hash_of(row["doc_id"], replicate, seed))
                taken = [(slot, row, 1.0) for slot, row in enumerate(ranked[: size - displaced])]
                if arm.series.composition.value == "replace":
                    keyed = sorted(self.weighted(arm, domain), key=lambda one: self.key(*one, replicate))
                    taken += [(size - 1 - j, row, weight) for j, (row, weight) in enumerate(keyed[:displaced])]
                for slot, row, weight in taken:
                    key = (arm.key, replicate, domain, slot, row["doc_id"], row["label"], row["provenance"])
                    found[key] = weight
        return found


def test_mixtures_are_what_the_design_says(built: Built) -> None:
    expected = Expected(built.world)
    for arm in built.world.study.arms:
        found, due = rows_of(built.world, arm), expected.rows(arm)
        # counted first: pytest takes minutes to explain how two sets of thousands differ
        missing, extra = sorted(due.keys() - found.keys()), sorted(found.keys() - due.keys())
        assert (arm.key, missing[:2], extra[:2]) == (arm.key, [], [])
        wrong = [key for key in due if not math.isclose(found[key], due[key], rel_tol=1e-5)]
        assert (arm.key, wrong[:2]) == (arm.key, [])


def test_the_small_study_meets_every_limit(built: Built) -> None:
    """Without this, the comparison above might never touch a cap, a short pool or a topped-up domain."""
    rows = built.world.lake.read_many(MIXTURE_COMPOSITION, [arm.key for arm in built.world.study.arms]).to_pylist()
    assert {row["why"] for row in rows} == {None, "cap", "pool"}
    for row in rows:
        assert row["cap"] == (0.29 if "Brien" in row["domain"] else 0.9) or row["series"] in ("free", "filtered")
        if row["why"] == "pool":
            assert row["rows_real"] == row["budget"] - row["pool_available"] > row["budget"] - row["rows_asked"]
    assert any(row["weight"] < 1 for row in built.world.lake.read(MIXTURE_DOCUMENTS, "filtered@50").to_pylist())


def test_published_tables_fit_their_contracts(built: Built) -> None:
    world = built.world
    for arm in world.study.arms:
        documents, composition = (world.lake.read(one, arm.key) for one in (MIXTURE_DOCUMENTS, MIXTURE_COMPOSITION))
        # DuckDB marks columns that it knows to hold no null
        assert documents.schema.names == MIXTURE_DOCUMENTS.schema.names
        assert documents.schema.types == MIXTURE_DOCUMENTS.schema.types
        assert composition.schema.equals(MIXTURE_COMPOSITION.schema)
        assert composition.num_rows == 3 * world.study.replicates
        summary = built.published[arm.key]
        assert summary.rows == documents.num_rows == world.lake.rows(MIXTURE_DOCUMENTS, arm.key)
        assert summary.rows_real + summary.rows_synthetic == summary.rows
        for table in (MIXTURE_DOCUMENTS, MIXTURE_COMPOSITION):
            assert world.lineage.is_fresh(table.name, arm.key)
    assert built.published["capped@80"].domains_capped == 1
    assert built.published["filtered@80"].domains_short_of_pool >= 1
    assert built.published["dropped@50"].rows_synthetic == 0


def test_rows_do_not_depend_on_order_threads_or_company(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(tmp_path / "project")
    profile = (project / "profiles.yml").read_text()
    assert profile.count("threads: 2") == 2
    (project / "profiles.yml").write_text(profile.replace("threads: 2", "threads: 1"))
    monkeypatch.setenv("SMC_DBT_PROJECT", str(project))
    other = make_world(tmp_path, reverse=True)
    arms = other.study.select_arms("filtered@25,filtered@80,capped@50,dropped@80")
    ready = build(other, arms, tmp_path / "launch", built.target)
    launch.publish(ready, other.lake, other.lineage)
    for arm in arms:
        differing = rows_of(other, arm).items() ^ rows_of(built.world, arm).items()
        assert (arm.key, sorted(differing)[:2]) == (arm.key, [])


def test_a_launch_without_pools_and_an_arm_without_rows(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pool file is there to read, and nothing is written for an arm that keeps no row."""
    monkeypatch.setenv("SMC_DBT_PROJECT", str(copy_project(tmp_path / "project", [("mine", "*", "1")])))
    world = built.world
    small = world.study.model_copy(update={"budget": 0.001, "name": "mine"})
    lake = Lake(tmp_path / "lake", small.name)
    lineage = lineage_of(small, lake)
    lake.write(REAL_DOCUMENTS, world.lake.read(REAL_DOCUMENTS), lineage.due(REAL_DOCUMENTS.name))
    arms = small.select_arms("dropped@*")
    ready = build(World(lake, lineage, small), arms, tmp_path / "launch", built.target)
    published = launch.publish(ready, lake, lineage)
    assert {one.rows for one in published.values()} == {0}
    assert lake.read(MIXTURE_DOCUMENTS, "dropped@50").num_rows == 0
    assert lake.read(MIXTURE_COMPOSITION, "dropped@50")["budget"].to_pylist() == [0] * 6


def test_caps_of_an_unknown_domain_stop_the_launch(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(tmp_path / "project", [("mine", "argprase", "0.5")])
    monkeypatch.setenv("SMC_DBT_PROJECT", str(project))
    world = built.world
    with pytest.raises(CapsError, match=r"caps\.csv, line 2: study `mine` has no domain `argprase`"):
        launch.prepare(world.study, world.lake, world.study.arms, world.lineage, tmp_path / "launch")
    assert not (tmp_path / "launch" / "arms.parquet").exists()
    assert seeds.caps_digest(world.study) != ""


def test_dbt_refuses_to_run_without_a_launch(tmp_path: Path, built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMC_DBT_PROJECT", str(built.project))
    monkeypatch.delenv("SMC_LAKE", raising=False)
    bare = launch.Launch(tmp_path, {}, ())
    statuses = dbt(bare, built.target, "build", "--select", "stg_arms")
    assert "SMC_MIXING is not set" in statuses["stg_arms"]


def test_nothing_is_published_when_counts_disagree(built: Built) -> None:
    """The launch's documents have moved into the lake, so its compositions now speak of rows that are not there."""
    before = built.world.lake.rows(MIXTURE_DOCUMENTS, "free@00")
    with pytest.raises(LakeError, match=r"dbt wrote 0 rows for arm `free@00`, its composition says \d+"):
        launch.publish(built.launch, built.world.lake, built.world.lineage)
    assert built.world.lake.rows(MIXTURE_DOCUMENTS, "free@00") == before
