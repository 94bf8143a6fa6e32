"""What a launch checks before dbt starts, what it writes for it, and what it publishes after."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smc_dagster import frozen
from smc_dagster.errors import CapsError, CorpusError, LakeError, SmcError, StaleInputError, StudyError
from smc_dagster.lake import Lake, slug
from smc_dagster.lineage import Lineage
from smc_dagster.mixing import dbt, folders, launch
from smc_dagster.study import Study
from smc_dagster.tables import (
    MIXTURE_COMPOSITION,
    MIXTURE_DOCUMENTS,
    REAL_DOCUMENTS,
    REALITY_ANCHORS,
    SYNTHETIC_DOCUMENTS,
    SYNTHETIC_SCORES,
    TableSpec,
)

pytestmark = pytest.mark.unit

DOMAINS = ["plain", "../up", "O'Brien"]
TEXT = "Return the canonical path of the specified filename."


def study(**changes: object) -> Study:
    return Study.model_validate(
        {
            "name": "mine",
            "title": "t",
            "question": "q",
            "seed": 3,
            "corpus": {"source": {"kind": "files", "path": "."}},
            "pools": {"made": {"generator": "template"}},
            "series": [{"name": "a", "pool": "made"}, {"name": "gone", "composition": "drop"}],
            "shares": [0, 0.5],
            "replicates": 2,
            **changes,
        }
    )


def lineage_of(one: Study, lake: Lake, caps: str = "caps") -> Lineage:
    levels = dict.fromkeys(("off", "weak", "medium", "strong"), "level")
    return Lineage(one, lake, caps=caps, strictness=levels, mixture_code="sql", encoder="none")


def document(number: int, domain: str, **more: object) -> dict:
    row = {"doc_id": f"{number:032x}", "domain": domain, "label": "l", "text": TEXT, "provenance": "human"}
    return row | {"source": "os.path"} | more


def fill(lake: Lake, lineage: Lineage, split: str = "train", scores: int = 3) -> None:
    def write(spec: TableSpec, pool: str | None, rows: list[dict]) -> None:
        table = pa.Table.from_pylist(rows, schema=spec.schema)
        lake.write(spec, table, lineage.due(spec.name, pool), pool)

    real = [document(i, DOMAINS[i % 3], split=split) for i in range(9)]
    # held-out or synthetic documents make no domain
    real += [document(10, "held out", split="test"), document(11, "made up", split="train", provenance="generated")]
    write(REAL_DOCUMENTS, None, real)
    made = [document(100 + i, DOMAINS[i], pool="made", provenance="templated") for i in range(3)]
    write(SYNTHETIC_DOCUMENTS, "made", made)
    write(SYNTHETIC_SCORES, "made", [{"doc_id": row["doc_id"], "pool": "made"} for row in made[:scores]])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seeds of the test's own."""
    seeds = tmp_path / "project" / "seeds"
    seeds.mkdir(parents=True)
    (seeds / "caps.csv").write_text("study,domain,cap,note\nmine,*,1,\n")
    columns = "strictness,max_contamination,cluster_exponent,template_exponent,max_template_share\n"
    (seeds / "strictness.csv").write_text(columns + "off,,0,0,\nweak,.8,0,0,\nmedium,.8,0,0,\nstrong,.8,0,0,\n")
    monkeypatch.setenv("SMC_DBT_PROJECT", str(tmp_path / "project"))
    return seeds


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", "mine")


def test_inputs_say_what_is_asked(project: Path, lake: Lake, tmp_path: Path) -> None:
    one = study()
    fill(lake, lineage_of(one, lake))
    ready = launch.prepare(one, lake, one.arms, lineage_of(one, lake), tmp_path / "launch")
    arms = pq.read_table(tmp_path / "launch" / "arms.parquet").to_pylist()
    assert [row["arm"] for row in arms] == ["a@00", "a@50", "gone@00", "gone@50"]
    assert [row["arm_no"] for row in arms] == [0, 1, 2, 3]
    assert [row["pool"] for row in arms] == ["made", "made", None, None]
    assert {(row["seed"], row["replicates"], row["budget"], row["study"]) for row in arms} == {(3, 2, 1.0, "mine")}
    domains = pq.read_table(tmp_path / "launch" / "domains.parquet").to_pylist()
    assert [row["domain"] for row in domains] == sorted(DOMAINS)
    assert all(row["domain_slug"] == slug(row["domain"]) and "/" not in row["domain_slug"] for row in domains)
    rows = pq.read_table(tmp_path / "launch" / "provenance.parquet").to_pylist()
    scale = {row["provenance"]: row["is_synthetic"] for row in rows}
    assert scale == {
        "human": False, "edited": False, "rewritten": False, "templated": True, "generated": True, "recursive": True,
    }  # fmt: skip
    assert ready.env["SMC_LAKE"] == str(tmp_path / "lake")
    assert ready.env["SMC_MIXING"] == str(tmp_path / "launch")
    command = ready.command("build", "--select", "x")
    assert command[command.index("--target-path") + 1].startswith(str(tmp_path / "launch"))
    assert command[command.index("--profiles-dir") + 1] == str(project.parent)


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (
            lambda lake: lake.fs.rm(lake.table_path(REAL_DOCUMENTS)),
            StaleInputError,
            "real_documents is not in the lake",
        ),
        (
            lambda lake: lake.fs.rm(lake.table_path(SYNTHETIC_SCORES, "made")),
            StaleInputError,
            r"synthetic_scores\[made\] is not in the lake",
        ),
        (lambda lake: fill(lake, lineage_of(study(seed=4), lake)), StaleInputError, "made from other inputs"),
        (lambda lake: fill(lake, lineage_of(study(), lake), scores=2), LakeError, "3 documents but 2 scores"),
        (lambda lake: fill(lake, lineage_of(study(), lake), split="test"), CorpusError, "no real training document"),
    ],
    ids=["no corpus", "no scores", "another seed", "scores missing", "nothing to train on"],
)
def test_what_is_missing_or_stale_stops_the_launch(
    project: Path, lake: Lake, tmp_path: Path, spoil: Callable[[Lake], None], error: type[Exception], said: str
) -> None:
    one = study()
    fill(lake, lineage_of(one, lake))
    spoil(lake)
    with pytest.raises(error, match=said):
        launch.prepare(one, lake, one.arms, lineage_of(one, lake), tmp_path / "launch")
    assert not (tmp_path / "launch" / "arms.parquet").exists()


def test_pools_that_no_arm_draws_from_are_not_needed(project: Path, lake: Lake, tmp_path: Path) -> None:
    one = study()
    fill(lake, lineage_of(one, lake))
    lake.fs.rm(lake.table_path(SYNTHETIC_SCORES, "made"))
    launch.prepare(one, lake, one.select_arms("gone@*"), lineage_of(one, lake), tmp_path / "launch")


def freeze(lake: Lake, lineage: Lineage, anchors: list[dict]) -> None:
    rows = [
        {name: row.get(name) for name in REALITY_ANCHORS.schema.names} | {"version": "v1", "is_tail": False}
        for row in anchors
    ]
    table = pa.Table.from_pylist(rows, schema=REALITY_ANCHORS.schema)
    frozen.freeze(lake, table, lineage.study.anchors, lineage.due(REAL_DOCUMENTS.name).digest)
    lineage.forget()


ANCHORED = [{"name": "a", "pool": "made", "anchors": True}, {"name": "free", "pool": "made"}]


def test_frozen_anchors_come_along(project: Path, lake: Lake, tmp_path: Path) -> None:
    one = study(series=ANCHORED)
    lineage = lineage_of(one, lake)
    slices = [document(0, DOMAINS[0], slice="anchor_train"), document(10, "held out", slice="atypical")]
    freeze(lake, lineage, slices)
    fill(lake, lineage)
    launch.prepare(one, lake, one.arms, lineage, tmp_path / "launch")
    found = pq.read_table(tmp_path / "launch" / "anchors.parquet").to_pylist()
    assert [(row["doc_id"], row["domain"], row["slice"]) for row in found] == [
        (f"{0:032x}", "plain", "anchor_train"),
        (f"{10:032x}", "held out", "atypical"),
    ]
    arms = pq.read_table(tmp_path / "launch" / "arms.parquet").to_pylist()
    assert [row["anchored"] for row in arms] == [True, True, False, False]


def test_anchors_that_are_not_frozen_stop_anchored_arms_alone(project: Path, lake: Lake, tmp_path: Path) -> None:
    one = study(series=ANCHORED)
    fill(lake, lineage_of(one, lake))
    with pytest.raises(StaleInputError, match="version `v1` is not frozen yet, and an arm holds it"):
        launch.prepare(one, lake, one.arms, lineage_of(one, lake), tmp_path / "launch")
    launch.prepare(one, lake, one.select_arms("free@*"), lineage_of(one, lake), tmp_path / "launch")


def test_a_budget_below_the_anchors_of_a_domain_is_refused(project: Path, lake: Lake, tmp_path: Path) -> None:
    """Half of three rows is two: two anchors fit, three do not."""
    one = study(series=ANCHORED, budget=0.5)
    lineage = lineage_of(one, lake)
    # rows 1, 4 and 7 are of the second domain
    fits = [document(i, DOMAINS[1], slice="anchor_train") for i in (1, 4)]
    freeze(lake, lineage, fits)
    fill(lake, lineage)
    launch.prepare(one, lake, one.arms, lineage, tmp_path / "launch")
    another = study(series=ANCHORED, budget=0.5, anchors={"version": "v2"})
    lineage = lineage_of(another, lake)
    freeze(lake, lineage, [*fits, document(7, DOMAINS[1], slice="anchor_train")])
    fill(lake, lineage)
    with pytest.raises(
        StudyError, match=r"domain `\.\./up` has 3 training anchors, and `budget` 0\.5 .* 2 of 3 real rows"
    ):
        launch.prepare(another, lake, another.arms, lineage, tmp_path / "launch")


def test_caps_are_checked_against_training_domains(project: Path, lake: Lake, tmp_path: Path) -> None:
    (project / "caps.csv").write_text("study,domain,cap,note\nmine,held out,0.5,\n")
    one = study()
    fill(lake, lineage_of(one, lake))
    with pytest.raises(CapsError, match=r"line 2: study `mine` has no domain `held out`"):
        launch.prepare(one, lake, one.arms, lineage_of(one, lake), tmp_path / "launch")


def test_a_remote_lake_is_copied_beside_the_launch(project: Path, tmp_path: Path) -> None:
    one = study()
    lake = Lake(f"memory://{tmp_path.name}/lake", "mine")
    fill(lake, lineage_of(one, lake))
    ready = launch.prepare(one, lake, one.arms, lineage_of(one, lake), tmp_path / "launch")
    root = Path(ready.env["SMC_LAKE"])
    assert root.is_relative_to(tmp_path / "launch")
    for path in ("real_documents", "synthetic_documents/pool=made", "synthetic_scores/pool=made"):
        assert pq.read_metadata(root / path / "data.parquet").num_rows > 0


def write_output(ready: launch.Launch) -> None:
    """What dbt leaves for arms that hold three real rows."""
    for arm in ready.arms:
        counts = {"rows_real": 3, "rows_synthetic": 0, "rows_asked": 1, "shortfall": 1, "replicate": 0, "why": "cap"}
        composition = pa.Table.from_pylist([counts | {"arm": arm.key, "domain": "plain"}], MIXTURE_COMPOSITION.schema)
        pq.write_table(composition, ready.output(MIXTURE_COMPOSITION, arm) / "data.parquet")
        rows = [{"arm": arm.key, "slot": slot} for slot in range(3)]
        table = pa.Table.from_pylist(rows, MIXTURE_DOCUMENTS.schema)
        pq.write_table(table, ready.output(MIXTURE_DOCUMENTS, arm) / "domain_slug=plain" / "data.parquet")


def test_publishing_moves_each_arm_under_its_fingerprint(project: Path, lake: Lake, tmp_path: Path) -> None:
    one = study()
    lineage = lineage_of(one, lake)
    fill(lake, lineage)
    ready = launch.prepare(one, lake, one.arms, lineage, tmp_path / "launch")
    write_output(ready)
    published = launch.publish(ready, lake, lineage)
    assert list(published) == ["a@00", "a@50", "gone@00", "gone@50"]
    first = published["a@50"]
    assert (first.rows, first.rows_real, first.shortfall, first.domains_capped) == (3, 3, 1, 1)
    assert lake.read(MIXTURE_DOCUMENTS, "a@50")["slot"].to_pylist() == [0, 1, 2]
    assert all(lineage.is_fresh(name, "a@50") for name in ("mixture_documents", "mixture_composition"))
    # other caps make it stale
    assert not lineage_of(one, lake, caps="others").is_fresh("mixture_documents", "a@50")


@pytest.mark.parametrize("extra", [1, -1])
def test_nothing_is_published_where_one_arm_is_wrong(project: Path, lake: Lake, tmp_path: Path, extra: int) -> None:
    one = study()
    lineage = lineage_of(one, lake)
    fill(lake, lineage)
    ready = launch.prepare(one, lake, one.arms, lineage, tmp_path / "launch")
    write_output(ready)
    last = ready.output(MIXTURE_DOCUMENTS, one.arms[-1]) / "domain_slug=plain" / "data.parquet"
    pq.write_table(pq.read_table(last, partitioning=None).slice(0, 2) if extra < 0 else _longer(last), last)
    with pytest.raises(LakeError, match=rf"dbt wrote {3 + extra} rows for arm `gone@50`, its composition says 3"):
        launch.publish(ready, lake, lineage)
    assert lake.partitions(MIXTURE_DOCUMENTS) == []


def _longer(path: Path) -> pa.Table:
    table = pq.read_table(path, partitioning=None)
    return pa.concat_tables([table, table.slice(0, 1)])


def test_an_arm_that_dbt_left_out_is_named(project: Path, lake: Lake, tmp_path: Path) -> None:
    one = study()
    lineage = lineage_of(one, lake)
    fill(lake, lineage)
    ready = launch.prepare(one, lake, one.arms, lineage, tmp_path / "launch")
    with pytest.raises(LakeError, match="no composition for arm `a@00`"):
        launch.publish(ready, lake, lineage)


def test_a_second_launch_in_the_same_folder_starts_clean(project: Path, lake: Lake, tmp_path: Path) -> None:
    one = study()
    lineage = lineage_of(one, lake)
    fill(lake, lineage)
    write_output(launch.prepare(one, lake, one.arms, lineage, tmp_path / "launch"))
    ready = launch.prepare(one, lake, one.arms, lineage, tmp_path / "launch")
    assert not list(ready.folder.glob("mixture_*/**/*.parquet"))


def test_a_disk_that_fills_up_while_a_launch_writes_is_told(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", "mine")
    full = OSError(errno.ENOSPC, "Error writing bytes to file")
    with pytest.raises(LakeError, match=r"\.mixing cannot take more: No space left"), folders.working_folder(lake):
        raise full
    assert list(Path(lake.place(".mixing")).iterdir()) == []


@pytest.mark.parametrize(("status", "error"), [(1, LakeError), (0, SmcError)])
def test_dbt_on_a_full_disk_is_told(tmp_path: Path, status: int, error: type[SmcError]) -> None:
    class Ended(launch.Launch):
        def command(self, *_: str, target: Path | None = None) -> list[str]:
            said = "OSError: [Errno 28] No space left on device"
            return [sys.executable, "-c", f"import sys; print('{said}'); print('more\\n' * 20); sys.exit({status})"]

    lake = Lake(tmp_path / "lake", "mine")
    with pytest.raises(SmcError) as told, folders.working_folder(lake) as folder:
        dbt.build(Ended(folder, {}, ()), lambda line: None)
    assert type(told.value) is error
    assert ("cannot take more: No space left" in str(told.value)) is (status == 1)
