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
    REALITY_ANCHORS,
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


def half_up(value: float) -> int:
    return math.floor(value + 0.5 + 1e-6)


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
        self.anchors = self._anchors(world)
        self.caps = {domain: float(cap) for study, domain, cap in CAPS if study == "mine"}

    def weighted(self, arm: Arm, domain: str) -> list[tuple[dict, float]]:
        """Rows of the pool that the arm's filter leaves."""
        rows = self.pools[str(arm.series.pool)].get(domain, [])
        if arm.series.strictness == "off":
            return [(row, 1.0) for row in rows]
        left = []
        for row in rows:
            score = self.scores[row["doc_id"]]
            limit, exponent = {"weak": (0.8, -0.25), "medium": (0.7, -0.5)}[arm.series.strictness.value]
            if score["contamination"] is None or score["contamination"] >= limit:
                continue
            weight = (score["cluster_size"] * score["exact_copies"]) ** exponent
            if score["template_id"] is not None:
                weight *= score["template_size"] ** exponent
            left.append((row, float(np.float32(weight))))
        return left

    def _anchors(self, world: World) -> dict[str, list[dict]]:
        """Frozen anchors by domain, without those held out by now and those whose label is not trained on any more."""
        held_out = {row["doc_id"] for row in world.read(REAL_DOCUMENTS) if row["split"] != "train"}
        labels = {row["label"] for rows in self.real.values() for row in rows}
        rows = world.read(REALITY_ANCHORS, "v1")
        assert len(rows) > 20
        return by_domain([row for row in rows if row["doc_id"] not in held_out and row["label"] in labels])

    def size(self, domain: str) -> int:
        return half_up(self.study.budget * len(self.real[domain]))

    def level(self, arm: Arm) -> float:
        return arm.share / (1 - arm.share) if arm.series.composition == "add" else arm.share

    def most(self, arm: Arm, domain: str) -> int:
        """Rows that may be displaced in a domain, or come on top."""
        size, on_top = self.size(domain), arm.series.composition == "add"
        cap = self.caps.get(domain, self.caps["*"]) if arm.series.caps else 1
        limits = [10**9] if on_top and cap == 1 else [math.floor((cap / (1 - cap) if on_top else cap) * size + 1e-6)]
        if arm.series.pool is not None:
            limits.append(len(self.weighted(arm, domain)))
        if arm.series.anchors and not on_top:
            limits.append(size - len(self.anchors[domain]))
        return min(limits)

    def given(self, arm: Arm) -> dict[str, int]:
        """Rows displaced, or on top, by domain."""
        level, most = self.level(arm), {domain: self.most(arm, domain) for domain in self.real}
        if arm.series.rebalance:
            # the common level at which all together have what was asked, found by halving
            due, low, high = level * sum(self.size(domain) for domain in self.real), level, 1e6
            for _ in range(200):
                level = (low + high) / 2
                if sum(min(level * self.size(domain), most[domain]) for domain in self.real) < due:
                    low = level
                else:
                    high = level
        return {domain: min(half_up(level * self.size(domain)), most[domain]) for domain in self.real}

    def key(self, row: dict, weight: float, replicate: int) -> float:
        uniform = (hash_of(row["doc_id"], replicate, self.study.seed) + 1) / 2**128
        return -math.log(uniform) / weight

    def places(self, arm: Arm, domain: str, replicate: int) -> list[tuple[int, dict]]:
        """Slot and row of each real row at 0 %, those that stay longest first."""
        size = self.size(domain)
        ranked = sorted(self.real[domain], key=lambda row: hash_of(row["doc_id"], replicate, self.study.seed))
        if not arm.series.anchors:
            return list(enumerate(ranked[:size]))
        anchors = {row["doc_id"]: row for row in self.anchors[domain]}
        slots = dict(enumerate(ranked[:size]))
        within = {row["doc_id"] for row in slots.values()}
        beyond = [row for row in ranked[size:] if row["doc_id"] in anchors]
        known = {row["doc_id"] for row in ranked}
        beyond += [anchors[one] for one in sorted(anchors.keys() - known)]
        assert not within & {row["doc_id"] for row in beyond}
        common = [slot for slot in sorted(slots, reverse=True) if slots[slot]["doc_id"] not in anchors]
        staying = [(slot, row) for slot, row in slots.items() if row["doc_id"] in anchors]
        staying += list(zip(common, beyond, strict=False))
        return staying + [(slot, slots[slot]) for slot in reversed(common[len(beyond) :])]

    def rows(self, arm: Arm) -> dict[Row, float]:
        found, given = {}, self.given(arm)
        for replicate in range(self.study.replicates):
            for domain in self.real:
                places, size = self.places(arm, domain, replicate), self.size(domain)
                assert len(places) == size
                count, on_top = given[domain], arm.series.composition == "add"
                kept = places if on_top else places[: size - count]
                taken = [(slot, row, 1.0) for slot, row in kept]
                if arm.series.composition == "repeat" and kept:
                    taken += [(places[size - 1 - j][0], kept[j % len(kept)][1], 1.0) for j in range(count)]
                if arm.series.pool is not None:
                    keyed = sorted(self.weighted(arm, domain), key=lambda one: self.key(*one, replicate))
                    for j, (row, weight) in enumerate(keyed[:count]):
                        taken.append((size + j if on_top else places[size - 1 - j][0], row, weight))
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
    assert {row["why"] for row in rows} == {None, "cap", "pool", "anchors"}
    assert {row["series"] for row in rows if row["rows_taken_over"]} == {"shared_out", "everything", "added_shared_out"}
    assert {row["series"] for row in rows if row["rows_repeated"]} == {"repeated", "anchored_repeat"}
    free = {one.name for one in built.world.study.series if not one.caps}
    for row in rows:
        assert row["cap"] == (0.29 if "Brien" in row["domain"] else 0.9) or row["series"] in free
        if row["why"] == "anchors":
            assert row["rows_real"] == row["rows_anchor"] > row["budget"] - row["rows_asked"]
        if row["why"] == "pool" and row["composition"] == "add":
            assert row["rows_synthetic"] == row["pool_available"] < row["rows_asked"]
        elif row["why"] == "pool":
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
        assert summary.rows_real + summary.rows_synthetic + summary.rows_repeated == summary.rows
        for table in (MIXTURE_DOCUMENTS, MIXTURE_COMPOSITION):
            assert world.lineage.is_fresh(table.name, arm.key)
    assert built.published["capped@80"].domains_capped == 1
    assert built.published["filtered@80"].domains_short_of_pool >= 1
    assert built.published["dropped@50"].rows_synthetic == 0
    assert built.published["anchored_drop@80"].domains_held_by_anchors >= 1
    whole = built.published["repeated@00"]
    assert built.published["repeated@50"].rows == whole.rows == built.published["anchored@80"].rows
    assert built.published["added@25"].rows_real == whole.rows


def test_rows_do_not_depend_on_order_threads_or_company(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(tmp_path / "project")
    profile = (project / "profiles.yml").read_text()
    assert profile.count("threads: 2") == 2
    (project / "profiles.yml").write_text(profile.replace("threads: 2", "threads: 1"))
    monkeypatch.setenv("SMC_DBT_PROJECT", str(project))
    other = make_world(tmp_path, reverse=True)
    arms = other.study.select_arms(
        "filtered@25,filtered@80,capped@50,dropped@80,anchored_repeat@80,everything@50,added_shared_out@25"
    )
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
    dropped = [one for one in world.study.series if one.name == "dropped"]
    small = world.study.model_copy(update={"budget": 0.001, "series": dropped})
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
