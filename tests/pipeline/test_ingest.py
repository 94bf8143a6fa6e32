"""Ingest by a real Dagster run: a dirty day, a day that is too dirty, a row that goes missing; and `smc ingest`."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT, Site

from smc_dagster.corpora import contract
from smc_dagster.definitions import build_defs
from smc_dagster.defs.partitions import DAYS
from smc_dagster.lake import Lake
from smc_dagster.tables import FAILED_QUARANTINE, QUARANTINE, RAW_DOCUMENTS

DAY = "2026-03-04"
SOUND = [
    {"domain": f"d{at % 3}", "label": f"d{at % 3}.l{at % 6}", "text": f"A sound text, number {at}.", "key": f"k{at}"}
    for at in range(300)
]


def lines(rows: list) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in rows)


def fill(folder: Path) -> dict[tuple[str, int | None], str]:
    """A folder with every fault; returns the reason by file and line."""
    folder.mkdir(parents=True)
    row = SOUND[0] | {"key": None}
    bad = [
        b'{"domain": "d0", "label": ',
        b"[1, 2]",
        row | {"label": 7},
        {"domain": "d0", "label": "d0.l0", "key": None},
        row | {"text": " "},
        row | {"text": "x" * 601},
        b'{"domain": "d0", "label": "d0.l0", "text": "no \xff UTF-8 here"}',
        row | {"text": "holds a \0 byte"},
        row | {"domain": "d1"},
        row | {"hand": "robotic"},
        SOUND[7] | {"text": "The same id for another text."},
        SOUND[8],  # the same id for the same text is no fault
        row | {"text": "too short"},
    ]
    reasons = [
        "not valid JSON", "not a JSON object", "int where text", "missing", "empty", "longer than 600",
        "not valid UTF-8", "holds a NUL byte", "the label belongs to domain d0", "not on the scale",
        "the id stands for another document",
        "", "fewer than 3 words",
    ]  # fmt: skip
    (folder / "a.jsonl").write_bytes(lines(SOUND[:200]))
    (folder / "b.jsonl").write_bytes(lines(bad))
    expected = {("b.jsonl", at): reason for at, reason in enumerate(reasons, 1) if reason}
    packed = gzip.compress(lines([one | {"key": None, "pad": json.dumps(SOUND[at])} for at, one in enumerate(SOUND)]))
    (folder / "c.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    expected["c.jsonl.gz", None] = "the archive is broken from here on"
    pq.write_table(pa.table({"other": ["columns"]}), folder / "d.parquet")
    expected["d.parquet", None] = "no column named `domain`"
    with (folder / "e.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["domain", "label", "text", "key", "hand"])
        writer.writeheader()
        writer.writerows(SOUND[200:250])
        file.write("d0,d0.l0\n")
    expected["e.csv", 52] = "2 fields where the header has 5"
    pq.write_table(pa.Table.from_pylist([one | {"hand": "edited"} for one in SOUND[250:]]), folder / "f.parquet")
    return expected


class World:
    """A study over a folder, its lake and an instance."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.source = folder / "source"
        self.study = folder / "dirty.yaml"
        self.instance = instance
        self.lake = Lake(folder / "lake", "dirty")
        self.limit(0.3)

    def limit(self, share: float) -> None:
        raw = yaml.safe_load((ROOT / "smc_dagster" / "studies" / "tiny.yaml").read_text()) | {"name": "dirty"}
        columns = {"id": "key", "provenance": "hand"}
        source = {"kind": "files", "path": str(self.source), "columns": columns}
        raw["corpus"] = {"source": source, "max_quarantine_share": share}
        self.study.write_text(yaml.safe_dump(raw))

    def run(self) -> dg.ExecuteInProcessResult:
        self.instance.add_dynamic_partitions(str(DAYS.name), [DAY])
        job = build_defs(str(self.study), self.lake.root).resolve_job_def("ingest")
        return job.execute_in_process(instance=self.instance, partition_key=DAY, raise_on_error=False)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("SMC_DATA", str(tmp_path / "data"))
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(tmp_path, instance)


def counted(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    checks = result.get_asset_check_evaluations()
    (check,) = [one for one in checks if one.asset_key == dg.AssetKey("raw_documents")]
    assert check.blocking
    assert check.partition == DAY
    return {name: int(str(value.value)) for name, value in check.metadata.items()} | {"passed": int(check.passed)}


def test_the_good_rows_go_on_and_the_bad_ones_say_why(world: World) -> None:
    expected = fill(world.source)
    result = world.run()
    assert result.success
    raw = world.lake.read(RAW_DOCUMENTS, DAY).to_pylist()
    refused = world.lake.read(QUARANTINE, DAY).to_pylist()
    found = {(row["file"], row["line"]): row["reason"] for row in refused}
    for (file, line), reason in expected.items():
        at = next(
            key for key in found if key == (file, line) or (key[0] == file and file in ("c.jsonl.gz", "d.parquet"))
        )
        assert reason in found.pop(at)
    assert not found
    assert counted(result) == {
        "passed": 1,
        "rows_in": len(raw) + len(refused),
        "documents": len(raw),
        "quarantined": 15,
    }
    assert {row["file"]: row["provenance"] for row in raw} == {
        "a.jsonl": "human", "b.jsonl": "human", "c.jsonl.gz": "human", "e.csv": "human", "f.parquet": "edited",
    }  # fmt: skip
    assert [row["line"] for row in raw if row["file"] == "b.jsonl"] == [12]
    whole = [row["line"] for row in raw if row["file"] == "c.jsonl.gz"]
    assert whole == list(range(1, len(whole) + 1))
    assert len(whole) > 20


def test_a_day_that_is_too_dirty_replaces_nothing_and_shows_its_rows(world: World) -> None:
    fill(world.source)
    assert world.run().success
    before = [Path(world.lake.table_path(spec, DAY)).read_bytes() for spec in (RAW_DOCUMENTS, QUARANTINE)]
    (world.source / "g.jsonl").write_bytes(lines([{"domain": "d0"}] * 400))
    result = world.run()
    assert not result.success
    message = str(result.failure_data_for_node("raw_documents"))
    assert "were refused" in message
    assert "failed_quarantine" in message
    assert [Path(world.lake.table_path(spec, DAY)).read_bytes() for spec in (RAW_DOCUMENTS, QUARANTINE)] == before
    assert world.lake.read(FAILED_QUARANTINE, DAY).num_rows == 415


def test_a_row_that_goes_missing_fails_the_blocking_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world.source)
    assert world.run().success
    before = Path(world.lake.table_path(RAW_DOCUMENTS, DAY)).read_bytes()
    (world.source / "b.jsonl").unlink()
    check = contract.check

    def losing(batch: object, corpus: object) -> tuple[pa.Table, pa.Table]:
        good, bad = check(batch, corpus)
        return good.slice(1), bad

    monkeypatch.setattr(contract, "check", losing)
    result = world.run()
    assert not result.success
    counts = counted(result)
    assert counts["passed"] == 0
    assert counts["rows_in"] > counts["documents"] + counts["quarantined"]
    assert not result.get_asset_materialization_events()
    assert Path(world.lake.table_path(RAW_DOCUMENTS, DAY)).read_bytes() == before


def test_smc_ingest_puts_files_that_the_next_run_reads(tmp_path: Path) -> None:
    site = Site(tmp_path / "data", "tiny")
    given = tmp_path / "given.jsonl"
    given.write_bytes(lines([{key: row[key] for key in ("domain", "label", "text")} for row in SOUND]))
    words = ("ingest", str(given), "--kind", "real", "--day", DAY)
    done = site.json(*words)
    assert (done["put"], done["unchanged"]) == (["given.jsonl"], [])
    landed = site.folder / "landing" / "tiny" / "real" / DAY / "given.jsonl"
    assert Path(done["folder"]) / "given.jsonl" == landed
    assert landed.read_bytes() == given.read_bytes()
    assert site.json(*words)["unchanged"] == ["given.jsonl"]
    assert "smc study run" in site.smc(*words).stdout
    given.write_text("{}\n")
    refused = site.smc(*words)
    assert refused.returncode == 2
    assert "--replace" in refused.stderr
    assert landed.stat().st_size > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.jsonl", "--kind", "real", "--day", DAY], "no file or folder"),
        (["pyproject.toml", "--kind", "real", "--day", DAY], "not a kind of file"),
        (["pyproject.toml", "--kind", "real", "--day", "2026-13-01"], "is no date"),
        (["pyproject.toml", "--kind", "unreal", "--day", DAY], "unreal"),
        (["pyproject.toml", "--kind", "synthetic", "--day", DAY], "generator `files`"),
        (["pyproject.toml", "--kind", "real", "--day", DAY, "--pool", "templated"], "--pool"),
        (["pyproject.toml", "--kind", "real", "--day", DAY, "--study", "nosuch"], "nosuch"),
    ],
)
def test_smc_ingest_refuses_and_writes_nothing(tmp_path: Path, words: list[str], said: str) -> None:
    site = Site(tmp_path / "data", "tiny")
    done = site.smc("ingest", *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not site.folder.exists()
