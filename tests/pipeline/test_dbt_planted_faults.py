"""Each data test of the dbt project fails on what it is there for, and passes on what the project built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dbt_world import Built, built_once, copy_project

from smc_dagster.tables import REAL_DOCUMENTS, REALITY_ANCHORS, SYNTHETIC_DOCUMENTS, SYNTHETIC_SCORES

pytestmark = pytest.mark.pipeline

Rows = list[dict]

# one process for all faults: starting dbt costs more than judging them
JUDGE = """
import json, os, sys
from dbt.cli.main import dbtRunner
runner, found = dbtRunner(), {}
for case, (mixing, project) in json.loads(sys.argv[1]).items():
    os.environ["SMC_MIXING"] = mixing
    done = runner.invoke([
        "--quiet", "build", "--select", "resource_type:seed", "path:models/staging", "path:models/written",
        "--exclude-resource-type", "unit_test", "--project-dir", project, "--profiles-dir", project,
        "--target-path", sys.argv[2], "--log-path", sys.argv[2]])
    assert done.exception is None, done.exception
    found[case] = {one.node.name: str(one.status) for one in done.result.results}
print("JUDGED " + json.dumps(found))
"""


class Mixtures:
    """The files of a launch, opened for planting a fault."""

    def __init__(self, built: Built, folder: Path) -> None:
        shutil.copytree(built.kept, folder)
        self.folder = folder
        self.arms = [arm.key for arm in built.launch.arms]
        self.world = built.world

    def files(self, arm: str, table: str = "mixture_documents") -> list[Path]:
        return sorted((self.folder / table / f"arm_no={self.arms.index(arm)}").rglob("*.parquet"))

    def edit(self, arm: str, change: Callable[[Rows], None], table: str = "mixture_documents") -> None:
        """Change the rows of one file of an arm; they must come out changed."""
        path = next(path for path in self.files(arm, table) if pq.read_metadata(path).num_rows > 20 or "comp" in table)
        before = pq.read_table(path, partitioning=None)
        rows = before.to_pylist()
        change(rows)
        after = pa.Table.from_pylist(rows, schema=before.schema)
        assert not after.equals(before)
        pq.write_table(after, path)

    def real(self, split: str) -> Rows:
        return [row for row in self.world.read(REAL_DOCUMENTS) if row["split"] == split]


def is_real(row: dict) -> bool:
    return row["provenance"] == "human"


def capped_arm_takes_an_uncapped_arms_rows(it: Mixtures) -> None:
    for path, other in zip(it.files("capped@50"), it.files("free@50"), strict=True):
        rows = [row | {"arm": "capped@50"} for row in pq.read_table(other, partitioning=None).to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)


def dropped_arm_loses_more_than_its_cap(it: Mixtures) -> None:
    for path in it.files("dropped@80"):
        table = pq.read_table(path, partitioning=None)
        pq.write_table(table.slice(0, table.num_rows // 20), path)


def slot_is_filled_twice(it: Mixtures) -> None:
    it.edit("free@25", lambda rows: rows[0].update(slot=rows[1]["slot"]))


def row_is_missing(it: Mixtures) -> None:
    it.edit("free@25", lambda rows: rows.pop())


def domain_is_missing(it: Mixtures) -> None:
    it.files("dropped@25")[0].unlink()


def row_has_a_replicate_too_many(it: Mixtures) -> None:
    it.edit("free@25", lambda rows: rows.append(rows[0] | {"replicate": 7}))


def composition_says_one_more(it: Mixtures) -> None:
    it.edit("free@25", lambda rows: rows[0].update(rows_synthetic=rows[0]["rows_synthetic"] + 1), "mixture_composition")


def composition_blames_nothing(it: Mixtures) -> None:
    def change(rows: Rows) -> None:
        next(row for row in rows if row["why"] == "cap").update(why=None)

    it.edit("capped@50", change, "mixture_composition")


def composition_asks_for_another_share(it: Mixtures) -> None:
    it.edit("free@25", lambda rows: rows[0].update(rows_asked=rows[0]["rows_asked"] + 1), "mixture_composition")


def held_out_document_is_trained_on(it: Mixtures) -> None:
    it.edit("free@00", lambda rows: rows[3].update(doc_id=it.real("test")[0]["doc_id"]))


def anchor_document_is_trained_on(it: Mixtures) -> None:
    it.edit("dropped@25", lambda rows: rows[3].update(doc_id=it.real("anchor_eval")[0]["doc_id"]))


def frozen_anchor_is_trained_on(it: Mixtures) -> None:
    rows = pq.read_table(it.files("free@00")[0], partitioning=None).slice(0, 1).to_pylist()
    path = it.folder / "anchors.parquet"
    known = pq.read_table(path)
    more = pa.Table.from_pylist([{"doc_id": rows[0]["doc_id"], "slice": "rare"}], schema=known.schema)
    pq.write_table(pa.concat_tables([known, more]), path)


def near_duplicate_is_trained_on(it: Mixtures) -> None:
    scores = {row["doc_id"]: row["contamination"] for row in it.world.read(SYNTHETIC_SCORES, "worn")}

    def change(rows: Rows) -> None:
        bad = {
            (row["domain"], row["label"]): row
            for row in it.world.read(SYNTHETIC_DOCUMENTS, "worn")
            if (scores[row["doc_id"]] or 0) >= 0.8
        }
        row = next(row for row in rows if not is_real(row) and (row["domain"], row["label"]) in bad)
        row.update(doc_id=bad[row["domain"], row["label"]]["doc_id"])

    it.edit("filtered@50", change)


def row_of_another_pool(it: Mixtures) -> None:
    def change(rows: Rows) -> None:
        others = {(row["domain"], row["label"]): row for row in it.world.read(SYNTHETIC_DOCUMENTS, "worn")}
        row = next(row for row in rows if not is_real(row))
        row.update(doc_id=others[row["domain"], row["label"]]["doc_id"])

    it.edit("free@80", change)


def label_is_another(it: Mixtures) -> None:
    it.edit("free@00", lambda rows: rows[0].update(label="another"))


def real_rows_are_drawn_anew(it: Mixtures) -> None:
    """A real row that the lower shares do not have, in the place of one they have."""

    def change(rows: Rows) -> None:
        of_zero = [row for path in it.files("free@00") for row in pq.read_table(path, partitioning=None).to_pylist()]
        mine = {row["doc_id"] for row in of_zero if row["replicate"] == 0}
        row = next(row for row in rows if is_real(row) and row["replicate"] == 0)
        fresh = next(one for one in it.real("train") if one["doc_id"] not in mine and one["domain"] == row["domain"])
        row.update(doc_id=fresh["doc_id"], label=fresh["label"])

    it.edit("free@80", change)


def synthetic_rows_are_drawn_anew(it: Mixtures) -> None:
    """Two synthetic rows change places: the same rows, but one no longer keeps its slot."""

    def change(rows: Rows) -> None:
        first, second = [row for row in rows if not is_real(row) and row["replicate"] == 0][:2]
        first["slot"], second["slot"] = second["slot"], first["slot"]

    it.edit("free@25", change)


def one_series_has_real_rows_of_its_own(it: Mixtures) -> None:
    """All arms of one series swap the slots of two rows: nested as ever, but no longer paired with other series."""

    def swap(rows: Rows) -> None:
        first, second = sorted((row for row in rows if row["replicate"] == 0), key=lambda row: row["slot"])[:2]
        first["slot"], second["slot"] = second["slot"], first["slot"]

    for share in ("00", "25", "50", "80"):
        it.edit(f"dropped@{share}", swap)


def anchor_is_lost(it: Mixtures) -> None:
    """A training anchor makes room for a row that is none."""
    anchors = {row["doc_id"] for row in it.world.read(REALITY_ANCHORS, "v1")}

    def change(rows: Rows) -> None:
        mine = {row["doc_id"] for row in rows if row["replicate"] == 0}
        row = next(row for row in rows if row["doc_id"] in anchors and row["replicate"] == 0)
        fresh = next(
            one for one in it.real("train") if one["doc_id"] not in mine | anchors and one["domain"] == row["domain"]
        )
        row.update(doc_id=fresh["doc_id"], label=fresh["label"])

    it.edit("anchored@80", change)


def one_row_has_all_the_copies(it: Mixtures) -> None:
    """Two copies of other rows become copies of one that has one already."""

    def change(rows: Rows) -> None:
        cell = sorted((row for row in rows if row["replicate"] == 0), key=lambda row: row["slot"])
        for row in cell[-2:]:
            row.update(doc_id=cell[2]["doc_id"], label=cell[2]["label"])

    it.edit("repeated@50", change)


def row_is_repeated_where_none_may_be(it: Mixtures) -> None:
    def change(rows: Rows) -> None:
        cell = sorted((row for row in rows if row["replicate"] == 0 and is_real(row)), key=lambda row: row["slot"])
        cell[-1].update(doc_id=cell[0]["doc_id"], label=cell[0]["label"])

    it.edit("added@25", change)


def caps_lower_the_share_of_all(it: Mixtures) -> None:
    """What caps hold back, nobody takes: the mixture of the series that does not share it out."""
    for table in ("mixture_documents", "mixture_composition"):
        for path, other in zip(it.files("shared_out@50", table), it.files("capped@50", table), strict=True):
            renamed = {"arm": "shared_out@50"} | ({"series": "shared_out"} if "comp" in table else {})
            rows = [row | renamed for row in pq.read_table(other, partitioning=None).to_pylist()]
            pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)


def more_on_top_than_the_cap_allows(it: Mixtures) -> None:
    """The rows of the higher share, in a domain that its cap holds at the lower one."""
    capped = [path for path in it.files("added@25") if "argparse" not in str(path)]
    for path in capped:
        rows = pq.read_table(path, partitioning=None).to_pylist()
        known = {row["doc_id"] for row in rows}
        first = 1 + max(row["slot"] for row in rows)
        more = [
            row
            for row in it.world.read(SYNTHETIC_DOCUMENTS, "plain")
            if row["doc_id"] not in known and row["domain"] == rows[0]["domain"] and row["provenance"] == "templated"
        ]
        made = next(row for row in rows if not is_real(row))
        fields = ("doc_id", "label")
        rows += [made | {n: one[n] for n in fields} | {"slot": first + at} for at, one in enumerate(more)]
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)


# what is planted, and exactly the tests that must see it
FAULTS: dict[Callable[[Mixtures], None], set[str]] = {
    capped_arm_takes_an_uncapped_arms_rows: {"cap_obeyed", "composition_agrees", "samples_nested"},
    dropped_arm_loses_more_than_its_cap: {"cap_obeyed", "budget_met", "composition_agrees"},
    slot_is_filled_twice: {"budget_met", "samples_nested"},
    row_is_missing: {"budget_met", "composition_agrees"},
    domain_is_missing: {"budget_met", "composition_agrees", "samples_nested"},
    row_has_a_replicate_too_many: {"budget_met", "samples_nested"},
    composition_says_one_more: {"composition_agrees"},
    composition_blames_nothing: {"composition_agrees"},
    composition_asks_for_another_share: {"composition_agrees"},
    held_out_document_is_trained_on: {"no_evaluation_document", "rows_have_an_origin"},
    anchor_document_is_trained_on: {"no_evaluation_document", "rows_have_an_origin"},
    frozen_anchor_is_trained_on: {"no_evaluation_document"},
    near_duplicate_is_trained_on: {"no_contaminated_document"},
    row_of_another_pool: {"rows_have_an_origin"},
    label_is_another: {"rows_have_an_origin"},
    real_rows_are_drawn_anew: {"samples_nested"},
    synthetic_rows_are_drawn_anew: {"samples_nested"},
    one_series_has_real_rows_of_its_own: {"samples_paired"},
    anchor_is_lost: {"anchors_kept"},
    one_row_has_all_the_copies: {"repeats_even"},
    row_is_repeated_where_none_may_be: {"repeats_even", "composition_agrees"},
    caps_lower_the_share_of_all: {"share_rebalanced"},
    more_on_top_than_the_cap_allows: {"cap_obeyed", "budget_met", "composition_agrees"},
}
# a swap or a stray row also breaks what compares it with other arms; only these may fail besides
ALSO = {"samples_nested", "samples_paired", "cap_obeyed"}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Status of each test, by the fault planted."""
    built = built_once(tmp_path_factory)
    root = tmp_path_factory.mktemp("faults")
    cases = {"none": (str(built.kept), str(built.project))}
    for plant in FAULTS:
        plant(Mixtures(built, root / plant.__name__))
        cases[plant.__name__] = (str(root / plant.__name__), str(built.project))
    # a seed that `smc` would refuse, reached by running dbt alone
    project = copy_project(
        root / "project", [("mine", "*", "1.5"), ("mine", "argparse", ""), ("mine", "argparse", "1")]
    )
    cases["seeds"] = (str(built.kept), str(project))
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, json.dumps(cases), str(root / "target")],
        env=os.environ | built.launch.env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("JUDGED ")]
    assert said, done.stdout + done.stderr
    found: dict[str, dict[str, str]] = json.loads(said[0].removeprefix("JUDGED "))
    return found


def failed(statuses: dict[str, str]) -> set[str]:
    return {name for name, status in statuses.items() if status == "fail"}


def test_every_test_passes_on_what_was_built(judged: dict[str, dict[str, str]]) -> None:
    assert set(judged["none"].values()) == {"success", "pass"}
    assert set().union(*FAULTS.values()) <= judged["none"].keys()


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_the_fault_is_seen(judged: dict[str, dict[str, str]], plant: Callable[[Mixtures], None]) -> None:
    statuses = judged[plant.__name__]
    assert "error" not in statuses.values()
    assert FAULTS[plant] <= failed(statuses) <= FAULTS[plant] | ALSO


def test_bad_seeds_are_seen_by_dbt_too(judged: dict[str, dict[str, str]]) -> None:
    seen = failed(judged["seeds"])
    assert {"in_range_caps_cap__1__0", "not_null_caps_cap", "unique_together_caps_study__domain"} <= seen
