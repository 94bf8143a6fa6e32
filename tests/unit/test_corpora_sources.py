"""A day's documents: source plus landing folder, and the signature that says whether to read again."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pytest
import yaml
from docstring_text import docstrings

from smc_dagster.corpora.sources import ingest, signature
from smc_dagster.corpora.text import doc_id
from smc_dagster.errors import CorpusError
from smc_dagster.study import Study, load_study, shipped_studies
from smc_dagster.tables import QUARANTINE, RAW_DOCUMENTS

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


def test_a_day_without_landing(study: Study, tmp_path: Path) -> None:
    got = ingest(study, DAY, tmp_path / "landing")
    assert got.raw.schema == RAW_DOCUMENTS.schema
    assert got.quarantine.schema == QUARANTINE.schema
    assert got.rows_in == got.raw.num_rows + got.quarantine.num_rows == len(ROWS)
    for row, (domain, label, text) in zip(got.raw.to_pylist(), ROWS, strict=True):
        assert row["doc_id"] == doc_id(domain, label, text)
        assert (row["domain"], row["label"], row["text"]) == (domain, label, text)
        assert (row["day"], row["source"], row["file"], row["provenance"]) == (DAY, "files", "own.jsonl", "human")
    assert got.signature == signature(study.corpus.source, None, DAY)


def test_landed_files_come_on_top_for_their_day_only(study: Study, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    dropped = [*docstrings()[60:70], ("json", "json.decoder", "too short")]
    jsonl(landing / "real" / DAY / "more.jsonl", dropped)
    plain = signature(study.corpus.source, landing, "2026-01-06")
    assert plain == signature(study.corpus.source, None, DAY)
    assert plain != signature(study.corpus.source, landing, DAY)
    got = ingest(study, DAY, landing)
    assert got.rows_in == len(ROWS) + 11
    landed = got.raw.filter(pc.equal(got.raw["source"], "landing")).to_pylist()
    assert [row["text"] for row in landed] == [text for _, _, text in dropped[:10]]
    assert {row["file"] for row in landed} == {f"real/{DAY}/more.jsonl"}
    (refused,) = got.quarantine.to_pylist()
    assert refused["day"] == DAY
    assert (refused["file"], refused["line"]) == (f"real/{DAY}/more.jsonl", 11)
    assert "too short" in refused["row"]
    assert str(tmp_path) not in got.raw.to_string() + got.quarantine.to_string()
    assert ingest(study, "2026-01-06", landing).rows_in == len(ROWS)


def test_a_landed_row_cannot_move_a_label_to_another_domain(study: Study, tmp_path: Path) -> None:
    domain, label, _ = ROWS[0]
    jsonl(tmp_path / "landing" / "real" / DAY / "a.jsonl", [("elsewhere", label, "Three words here.")])
    got = ingest(study, DAY, tmp_path / "landing")
    assert set(got.raw.filter(pc.equal(got.raw["label"], label))["domain"].to_pylist()) == {domain}
    (refused,) = got.quarantine.to_pylist()
    assert refused["reason"] == f"the label belongs to domain {domain}"
    assert got.rows_in == len(ROWS) + 1


@pytest.mark.parametrize("day", ["../../etc", "2026-1-5", "20260105", "2026-02-30", ""])
def test_a_day_is_a_date(study: Study, tmp_path: Path, day: str) -> None:
    with pytest.raises(CorpusError, match="is no date"):
        ingest(study, day, tmp_path)


def test_a_source_without_rows(study: Study, tmp_path: Path) -> None:
    jsonl(tmp_path / "corpus" / "own.jsonl", [])
    with pytest.raises(CorpusError, match="holds no rows"):
        ingest(study, DAY, None)


def test_a_bad_day_is_refused_whole(study: Study, tmp_path: Path) -> None:
    jsonl(tmp_path / "landing" / "real" / DAY / "bad.jsonl", [("d", "a", "short")] * 40)
    with pytest.raises(CorpusError, match="40 of 100 rows"):
        ingest(study, DAY, tmp_path / "landing")


@pytest.mark.parametrize("name", ["default", "tiny"])
def test_the_studies_that_ship_are_valid(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert signature(study.corpus.source, None, DAY)
    assert len({one.key for one in study.arms}) == len(study.series) * len(study.shares)
