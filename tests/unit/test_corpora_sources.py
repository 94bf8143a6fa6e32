"""A day from source and landing folder to the lake: what is written, what is refused, and what a bad day leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from docstring_text import docstrings

from smc_dagster.corpora import blocks, contract, whole_day
from smc_dagster.corpora.ingest import Ingested
from smc_dagster.corpora.ingest import ingest as ingest_day
from smc_dagster.corpora.sources import signature
from smc_dagster.corpora.text import doc_id
from smc_dagster.errors import CorpusError
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Study, load_study, shipped_studies
from smc_dagster.study.sources import Columns, FilesSource
from smc_dagster.tables import FAILED_QUARANTINE, QUARANTINE, RAW_DOCUMENTS, TableSpec

pytestmark = pytest.mark.unit

DAY = "2026-01-05"
ROWS = docstrings()[:60]


def jsonl(path: Path, rows: list[tuple[str, str, str]] | tuple[tuple[str, str, str], ...]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"domain": d, "label": lab, "text": t}) + "\n" for d, lab, t in rows))
    return path


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study over a file of its own."""
    jsonl(tmp_path / "corpus" / "own.jsonl", ROWS)
    raw = yaml.safe_load(shipped_studies()["tiny"].read_text())
    raw["corpus"] = {"source": {"kind": "files", "path": str(tmp_path / "corpus" / "own.jsonl")}, "min_words": 3}
    return Study.model_validate(raw)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", "tiny")


def ingest(study: Study, lake: Lake, landing: Path | None = None, day: str = DAY) -> Ingested:
    lineage = Lineage(study, lake, caps="", strictness={}, mixture_code="", encoder="")
    return ingest_day(study, day, landing, lake, lineage)


def raw(lake: Lake, day: str = DAY) -> list[dict]:
    return lake.read(RAW_DOCUMENTS, day).to_pylist()


def quarantine(lake: Lake, day: str = DAY) -> list[dict]:
    return lake.read(QUARANTINE, day).to_pylist()


def test_a_day_without_landing(study: Study, lake: Lake, tmp_path: Path) -> None:
    got = ingest(study, lake, tmp_path / "landing")
    assert got.rows_in == got.documents == len(ROWS)
    assert quarantine(lake) == []
    for row, (domain, label, text) in zip(raw(lake), ROWS, strict=True):
        assert row["doc_id"] == doc_id(domain, label, text)
        assert (row["domain"], row["label"], row["text"]) == (domain, label, text)
        assert (row["day"], row["source"], row["file"], row["provenance"]) == (DAY, "files", "own.jsonl", "human")
    assert list((tmp_path / "lake" / ".ingest").iterdir()) == []


def test_landed_files_come_on_top_for_their_day_only(study: Study, lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    dropped = [*docstrings()[60:70], ("json", "json.decoder", "too short")]
    jsonl(landing / "real" / DAY / "more.jsonl", dropped)
    plain = signature(study, landing, "2026-01-06")
    assert plain == signature(study, None, DAY)
    assert plain != signature(study, landing, DAY)
    assert ingest(study, lake, landing).rows_in == len(ROWS) + 11
    landed = [row for row in raw(lake) if row["source"] == "landing"]
    assert [row["text"] for row in landed] == [text for _, _, text in dropped[:10]]
    assert {row["file"] for row in landed} == {f"real/{DAY}/more.jsonl"}
    (refused,) = quarantine(lake)
    assert refused["day"] == DAY
    assert (refused["file"], refused["line"]) == (f"real/{DAY}/more.jsonl", 11)
    assert "too short" in refused["row"]
    assert str(tmp_path) not in str([raw(lake), quarantine(lake)])
    assert ingest(study, lake, landing, "2026-01-06").rows_in == len(ROWS)


def test_landed_files_may_have_columns_of_their_own(study: Study, lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "landing" / "real" / DAY / "own.csv"
    path.parent.mkdir(parents=True)
    path.write_text("team,kind,said,hand\njson,json.decoder,Decode what they sent.,edited\n")
    columns = Columns(domain="team", label="kind", text="said", provenance="hand")
    changed = study.model_copy(update={"corpus": study.corpus.model_copy(update={"landing": columns})})
    ingest(changed, lake, tmp_path / "landing")
    (row,) = [row for row in raw(lake) if row["source"] == "landing"]
    assert (row["domain"], row["label"], row["text"]) == ("json", "json.decoder", "Decode what they sent.")
    assert row["provenance"] == "edited"


def test_a_label_of_two_domains_stays_with_the_larger_whatever_the_order(
    study: Study, lake: Lake, tmp_path: Path
) -> None:
    rows = [("json", "a", "Decode one document."), ("http", "a", "Serve one request."), ("json", "a", "Encode a list.")]
    rows += [("http", "b", "Serve a file."), ("json", "b", "Decode a file.")]  # equals: the first by name
    loose = study.model_copy(update={"corpus": study.corpus.model_copy(update={"max_quarantine_share": 0.5})})
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 4, 0, 3, 2]):
        jsonl(tmp_path / "corpus" / "own.jsonl", [rows[one] for one in order])
        got = ingest(loose, lake)
        assert (got.rows_in, got.documents, got.refused) == (5, 3, 2)
        assert {(row["domain"], row["label"]) for row in raw(lake)} == {("json", "a"), ("http", "b")}
        assert sorted((json.loads(row["row"])["text"], row["reason"]) for row in quarantine(lake)) == [
            ("Decode a file.", "the label belongs to domain http"),
            ("Serve one request.", "the label belongs to domain json"),
        ]


def with_ids(study: Study, path: Path, rows: list[tuple[str, str, str, object]]) -> Study:
    path.write_text(
        "".join(json.dumps({"domain": d, "label": lab, "text": t, "id": i}) + "\n" for d, lab, t, i in rows)
    )
    source = FilesSource(kind="files", path=str(path.parent), columns=Columns(id="id"))
    corpus = study.corpus.model_copy(update={"source": source, "max_quarantine_share": 0.6})
    return study.model_copy(update={"corpus": corpus})


def test_an_id_of_two_documents_stays_with_the_first(study: Study, lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    first = [
        ("d", "a", "The first of seven.", 7),
        ("d", "a", "Another of eight.", "8"),
        ("d", "a", "the FIRST of  seven.", 7),
        ("d", "a", "No id at all.", None),
        ("d", "a", "No id again here.", ""),
    ]
    with_ids(study, folder / "a.jsonl", first)
    second: list = [
        ("d", "a", "The second of seven.", "7"),
        ("d", "b", "The first of seven.", 7),
        ("d", "b", "Of nine alone.", 9),
    ]
    changed = with_ids(study, folder / "b.jsonl", second)
    got = ingest(changed, lake)
    assert (got.rows_in, got.documents, got.refused) == (8, 6, 2)
    # the same document twice is a duplicate, which is no fault
    assert [(row["file"], row["line"]) for row in raw(lake)] == [
        *(("a.jsonl", at) for at in range(1, 6)),
        ("b.jsonl", 3),
    ]
    found = [
        (row["file"], row["line"], row["field"], row["reason"], json.loads(row["row"])["id"])
        for row in quarantine(lake)
    ]
    reason = "the id stands for another document, first in a.jsonl, line 1"
    assert found == [("b.jsonl", 1, "id", reason, "7"), ("b.jsonl", 2, "id", reason, "7")]
    assert got.reasons == {("id", "the id stands for another document"): 2}


def test_a_row_that_is_refused_for_its_domain_does_not_hold_an_id(study: Study, lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    rows: list = [
        ("x", "a", "Astray with an id.", 1), ("d", "a", "At home with it.", 1), ("d", "a", "One more at home.", 2)
    ]  # fmt: skip
    ingest(with_ids(study, folder / "a.jsonl", rows), lake)
    assert [row["line"] for row in raw(lake)] == [2, 3]
    assert [row["reason"] for row in quarantine(lake)] == ["the label belongs to domain d"]


@pytest.mark.parametrize("day", ["../../etc", "2026-1-5", "20260105", "2026-02-30", ""])
def test_a_day_is_a_date(study: Study, lake: Lake, tmp_path: Path, day: str) -> None:
    with pytest.raises(CorpusError, match="is no date"):
        ingest(study, lake, tmp_path, day)


def test_a_source_without_rows(study: Study, lake: Lake, tmp_path: Path) -> None:
    jsonl(tmp_path / "corpus" / "own.jsonl", [])
    with pytest.raises(CorpusError, match="holds no rows"):
        ingest(study, lake)


def files_of(lake: Lake, spec: TableSpec) -> bytes:
    return Path(lake.table_path(spec, DAY)).read_bytes()


def test_a_bad_day_leaves_the_tables_and_shows_its_rows(study: Study, lake: Lake, tmp_path: Path) -> None:
    bad = jsonl(tmp_path / "landing" / "real" / DAY / "bad.jsonl", [("json", "json.decoder", "short")])
    ingest(study, lake, tmp_path / "landing")
    before = [files_of(lake, RAW_DOCUMENTS), files_of(lake, QUARANTINE)]
    jsonl(bad, [("d", "a", f"short {one}") for one in range(40)])
    with pytest.raises(CorpusError, match="40 of 100 rows") as caught:
        ingest(study, lake, tmp_path / "landing")
    assert lake.table_path(FAILED_QUARANTINE, DAY) in str(caught.value)
    assert [files_of(lake, RAW_DOCUMENTS), files_of(lake, QUARANTINE)] == before
    failed = lake.read(FAILED_QUARANTINE, DAY).to_pylist()
    assert [json.loads(row["row"])["text"] for row in failed] == [f"short {one}" for one in range(40)]
    # a day that passes takes away what an earlier try left
    bad.unlink()
    ingest(study, lake, tmp_path / "landing")
    assert lake.fingerprint(FAILED_QUARANTINE, DAY) is None


def test_files_refused_whole_fail_the_day_beyond_the_share(study: Study, lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "corpus" / "damaged.parquet").write_bytes(b"PAR1 no more")
    source = FilesSource(kind="files", path=str(tmp_path / "corpus"))
    changed = study.model_copy(update={"corpus": study.corpus.model_copy(update={"source": source})})
    with pytest.raises(CorpusError, match="1 of 2 files"):
        ingest(changed, lake)
    loose = changed.corpus.model_copy(update={"max_quarantine_share": 0.5})
    got = ingest(study.model_copy(update={"corpus": loose}), lake)
    assert (got.rows_in, got.documents, got.refused, got.files_in, got.files_refused) == (61, 60, 1, 2, 1)
    (row,) = quarantine(lake)
    assert (row["file"], row["line"]) == ("damaged.parquet", None)


def test_a_row_that_is_lost_is_noticed_and_nothing_published(
    study: Study, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = contract.check
    monkeypatch.setattr(contract, "check", lambda batch, corpus: (check(batch, corpus)[0].slice(1), batch.refused))
    got = ingest(study, lake)
    assert not got.adds_up
    assert (got.rows_in, got.documents) == (60, 59)
    assert lake.fingerprint(RAW_DOCUMENTS, DAY) is None


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_the_size_of_batches_changes_nothing(
    study: Study, lake: Lake, tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = [*docstrings()[:200], ("elsewhere", docstrings()[0][1], "Gone astray, this one.")]
    jsonl(tmp_path / "corpus" / "own.jsonl", content)
    ingest(study, lake)
    whole = [raw(lake), quarantine(lake)]
    monkeypatch.setattr(blocks, "BLOCK_BYTES", rows * 100)
    monkeypatch.setattr(whole_day, "_ROWS", rows)
    ingest(study, lake)
    assert [raw(lake), quarantine(lake)] == whole
    assert len(whole[1]) == 1


@pytest.mark.parametrize("name", ["default", "tiny"])
def test_the_studies_that_ship_are_valid(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert signature(study, None, DAY)
    assert len({one.key for one in study.arms}) == len(study.series) * len(study.shares)
