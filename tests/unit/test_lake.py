"""The lake: whole or not at all, whose it is, and the fingerprint that readers check."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smc_dagster.errors import LakeError, StaleInputError
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake, slug
from smc_dagster.tables import ARM_METRICS, HEADLINE, MIXTURE_DOCUMENTS, TableSpec

ONE = Fingerprint("kept", "part", "1", {"real_documents": "abc"}, 7)
TWO = Fingerprint("kept", "part", "2", {"real_documents": "abc"}, 7)
ROWS = pa.table({"version": ["v1"], "doc_id": ["a"], "slice": ["rare"], "distance": pa.array([0.5], pa.float32())})
KEPT = TableSpec("kept", ROWS.schema)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", "one")


def test_what_is_written_is_read_back_with_its_fingerprint(lake: Lake) -> None:
    lake.write(KEPT, ROWS, ONE)
    assert lake.read(KEPT, expect=ONE.digest).to_pylist() == ROWS.to_pylist()
    assert lake.fingerprint(KEPT) == ONE


def test_another_fingerprint_is_refused(lake: Lake) -> None:
    lake.write(KEPT, ROWS, ONE)
    with pytest.raises(StaleInputError, match=TWO.digest):
        lake.read(KEPT, expect=TWO.digest)


def test_a_missing_table_names_itself(lake: Lake) -> None:
    with pytest.raises(StaleInputError, match="headline is not in the lake"):
        lake.read(HEADLINE)


def test_an_error_while_writing_leaves_the_old_table(lake: Lake) -> None:
    lake.write(KEPT, ROWS, ONE)

    def two_pieces() -> None:
        with lake.writing_batches(KEPT, TWO) as append:
            append(ROWS)
            append(ROWS.drop(["slice"]))

    with pytest.raises(LakeError, match="columns missing"):
        two_pieces()
    assert lake.fingerprint(KEPT) == ONE
    assert [path.name for path in Path(lake.root).rglob("*") if path.is_file()] == ["data.parquet"]


def test_a_null_where_a_value_is_required(lake: Lake) -> None:
    from smc_dagster.tables import SYNTHETIC_PROFILE

    row = {"pool": None, "domain": "*", "measure": "m", "value": 1.0, "reference": 1.0, "n": 1}
    with pytest.raises(LakeError, match="'pool' with null"):
        lake.write(SYNTHETIC_PROFILE, pa.Table.from_pylist([row], schema=SYNTHETIC_PROFILE.schema), ONE, "p")


def test_a_damaged_file_is_named(lake: Lake) -> None:
    path = Path(lake.write(KEPT, ROWS, ONE))
    path.write_bytes(path.read_bytes()[:50])
    assert lake.fingerprint(KEPT) is None
    with pytest.raises(LakeError, match="damaged"):
        lake.read(KEPT)


def test_a_lake_belongs_to_one_study(lake: Lake) -> None:
    lake.claim()
    lake.claim()
    with pytest.raises(LakeError, match="written by study `one`, not `two`"):
        Lake(lake.root, "two").claim()


def test_a_folder_with_other_files_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(LakeError, match="not a lake"):
        Lake(tmp_path, "one").claim()
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_published_folder_replaces_the_old_one_by_its_pointer(lake: Lake, tmp_path: Path) -> None:
    def folder(name: str, rows: int) -> Path:
        where = tmp_path / name / "domain=x"
        where.mkdir(parents=True)
        table = pa.Table.from_pylist([{"doc_id": str(i)} for i in range(rows)], schema=MIXTURE_DOCUMENTS.schema)
        pq.write_table(table, where / "data_0.parquet")
        return tmp_path / name

    lake.publish_folder(MIXTURE_DOCUMENTS, folder("first", 2), ONE, "arm@00")
    assert lake.rows(MIXTURE_DOCUMENTS, "arm@00") == 2
    lake.publish_folder(MIXTURE_DOCUMENTS, folder("second", 3), TWO, "arm@00")
    assert lake.read(MIXTURE_DOCUMENTS, "arm@00", columns=["doc_id"]).num_rows == 3
    assert lake.fingerprint(MIXTURE_DOCUMENTS, "arm@00") == TWO
    assert len(list(Path(lake.root).rglob("*.parquet"))) == 1
    assert lake.partitions(MIXTURE_DOCUMENTS) == ["arm@00"]


@pytest.mark.parametrize("root", ["{}/lake", "memory://lake-cut"])
def test_a_published_folder_of_which_a_file_is_cut_or_lost_counts_as_missing(tmp_path: Path, root: str) -> None:
    lake = Lake(root.format(tmp_path), "one")
    for name in ("x", "y"):
        where = tmp_path / "made" / f"domain={name}"
        where.mkdir(parents=True)
        rows = pa.Table.from_pylist([{"doc_id": name}], schema=MIXTURE_DOCUMENTS.schema)
        pq.write_table(rows, where / "data_0.parquet")
    published = lake.publish_folder(MIXTURE_DOCUMENTS, tmp_path / "made", ONE, "arm@00")
    assert lake.fingerprint(MIXTURE_DOCUMENTS, "arm@00") == ONE
    file = f"{published}/domain=y/data_0.parquet"
    whole = lake.fs.cat_file(file)
    lake.fs.pipe_file(file, whole[:-1])
    assert lake.fingerprint(MIXTURE_DOCUMENTS, "arm@00") is None
    with pytest.raises(StaleInputError, match="none that can be read"):
        lake.read(MIXTURE_DOCUMENTS, "arm@00", expect=ONE.digest)
    lake.fs.pipe_file(file, whole)
    assert lake.fingerprint(MIXTURE_DOCUMENTS, "arm@00") == ONE
    lake.fs.rm(file)
    assert lake.fingerprint(MIXTURE_DOCUMENTS, "arm@00") is None


@pytest.mark.parametrize("name", ["../../etc", "'; drop table x", "a/b", "", "Ünïcode 🎉", "..", "A" * 300])
def test_hostile_names_stay_inside_the_lake(lake: Lake, name: str) -> None:
    assert "/" not in slug(name)
    assert ".." not in slug(name)
    row = {"arm": name, "metric": "m", "value": 1.0}
    path = lake.write(ARM_METRICS, pa.Table.from_pylist([row], schema=ARM_METRICS.schema), ONE, name)
    assert Path(path).resolve().is_relative_to(Path(lake.root).resolve())
    assert lake.read(ARM_METRICS, name)["arm"].to_pylist() == [name]


def test_slugs_of_different_names_differ() -> None:
    names = ["a b", "a-b", "a_b", "A b", "a  b"]
    assert len({slug(name) for name in names}) == len(names)


def test_another_file_system(tmp_path: Path) -> None:
    lake = Lake("memory://lake-test", "one")
    lake.claim()
    lake.write(KEPT, ROWS, ONE)
    assert lake.read(KEPT, expect=ONE.digest).num_rows == 1
    with pytest.raises(LakeError, match="not `two`"):
        Lake("memory://lake-test", "two").claim()


def test_a_place_that_takes_no_more_is_named_and_left_as_it_was(lake: Lake) -> None:
    lake.write(KEPT, ROWS, ONE)
    many = (
        pa.concat_tables([ROWS] * 2)
        .take(pa.array([0, 1] * 5000))
        .set_column(1, "doc_id", pa.array([f"{i * 2654435761 % 2**32:x}" for i in range(10_000)]))
    )
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, allowed[1]))
    try:
        with pytest.raises(LakeError, match=r"kept cannot take more: File too large") as refused:
            lake.write(KEPT, many, TWO)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert "free some space" in refused.value.remedy
    assert lake.read(KEPT, expect=ONE.digest).to_pylist() == ROWS.to_pylist()
    assert [one.name for one in Path(lake.place("kept")).iterdir()] == ["data.parquet"]


def test_an_error_of_what_is_read_meanwhile_stays_itself(lake: Lake) -> None:
    with pytest.raises(PermissionError), lake.writing("kept", "data.parquet"):
        raise PermissionError(errno.EACCES, "another file's")
