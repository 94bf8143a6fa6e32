"""A team's own synthetic text: which files are a pool's, which rows belong to it, and why the others do not."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from smc_dagster.corpora.batches import Batch
from smc_dagster.errors import CorpusError, StudyError
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Study, load_study
from smc_dagster.synthesis import files
from smc_dagster.synthesis.files import FilesSettings
from smc_dagster.synthesis.registry import Place, Pool, check_pools, files_signature, make_pool

pytestmark = pytest.mark.unit

DAY = "2026-02-01"
LABELS = {"greet": "talk", "leave": "talk", "pay": "bank"}


def study(settings: dict[str, Any] | None = None, more: dict[str, Any] | None = None, **changes: Any) -> Study:
    corpus = {"source": {"kind": "docstrings", "packages": ["python"]}, "max_quarantine_share": 1.0}
    return Study(
        name="own",
        title="Own",
        question="What of ours is fit?",
        seed=3,
        corpus=corpus | changes.pop("corpus", {}),
        pools={"ours": {"generator": "files", "settings": settings or {}}} | (more or {}),
        series=[{"name": "none", "composition": "drop"}],
        shares=[0.0, 0.5],
        **changes,
    )


def real() -> pa.Table:
    """Four documents a label, the last of each held out."""
    rows = [
        {"doc_id": f"{label}-{n}", "domain": LABELS[label], "label": label, "text": f"{label} text number {n}"}
        | {"split": "test" if n == 3 else "train"}
        for label in LABELS
        for n in range(4)
    ]
    return pa.Table.from_pylist(rows)


def row(text: str = "a sentence of four words", label: str = "greet", **more: Any) -> dict[str, Any]:
    return {"domain": LABELS.get(label, "talk"), "label": label, "text": text} | more


def write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows))
    return path


def make(study: Study, tmp_path: Path) -> Pool:
    return make_pool(study, "ours", real(), Place(tmp_path / "work", landing=tmp_path / "synthetic"))


def reasons(pool: Pool) -> dict[tuple[str, int], str]:
    return {(one["file"], one["line"]): f"{one['field']}: {one['reason']}" for one in pool.refused.to_pylist()}


def test_rows_that_break_a_rule_are_refused_with_the_reason_and_none_is_lost(tmp_path: Path) -> None:
    marked = {"columns": {"provenance": "how", "parent_doc_id": "of", "id": "key"}}
    path = write(
        tmp_path / "in" / "a.jsonl",
        row(how="rewritten", of="greet-1", key="1"),
        row("too short"),
        row(label="unheard of"),
        row(label="pay") | {"domain": "talk"},
        row(how="human"),
        row(how="invented"),
        row(how="edited", of="greet-0"),
        row(of="greet-3"),
        row("a NUL \0 in here"),
        "{broken",
        row("another text for the id", key="1"),
        row(key="1"),
        row("  white   space is kept inside  ", label="leave"),
    )
    pool = make(study(marked | {"path": str(path)}), tmp_path)
    assert pool.made.rows_in == 13
    assert pool.adds_up
    name = "a.jsonl"
    assert reasons(pool) == {
        (name, 2): "text: fewer than 3 words",
        (name, 3): "label: the corpus has no training document of this label",
        (name, 4): "domain: the label belongs to domain bank",
        (name, 5): "provenance: `human` text is no synthetic text",
        (name, 6): "provenance: not on the scale human < edited < rewritten < templated < generated < recursive",
        (name, 1): "provenance: `rewritten` text counts as real in this study (synthetic_from: templated)",
        (name, 7): "provenance: `edited` text counts as real in this study (synthetic_from: templated)",
        # a held-out document's child must not be trained on
        (name, 8): "parent_doc_id: no training document has this doc_id",
        (name, 9): "text: holds a NUL byte",
        (name, 10): "None: not valid JSON: Expecting property name enclosed in double quotes",
        (name, 12): f"id: the id stands for another document, first in {name}, line 11",
    }
    kept = pool.documents.select(["domain", "label", "text", "provenance", "generator"]).to_pylist()
    assert [one["text"] for one in kept] == ["another text for the id", "white   space is kept inside"]
    assert {one["provenance"] for one in kept} == {"generated"}
    assert {one["generator"] for one in kept} == {"files"}
    assert json.loads(pool.refused.filter(pc.equal(pool.refused["line"], 4))["row"][0].as_py())["label"] == "pay"


def test_grades_and_parents_are_kept_where_the_study_allows(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", row(how="edited", of="greet-0"), row("one more for the pool"))
    settings = {"path": str(path), "columns": {"provenance": "how", "parent_doc_id": "of"}}
    made = make(study(settings, synthetic_from="edited"), tmp_path).documents
    assert Counter(zip(made["provenance"].to_pylist(), made["parent_doc_id"].to_pylist(), strict=True)) == {
        ("edited", "greet-0"): 1,
        ("generated", None): 1,
    }


def test_the_domain_need_not_be_told(tmp_path: Path) -> None:
    rows = [{"label": "pay", "text": "money goes over there"}, {"label": "nothing", "text": "who knows this one"}]
    path = write(tmp_path / "in.jsonl", *rows)
    pool = make(study({"path": str(path), "columns": {"domain": None}}), tmp_path)
    assert pool.documents["domain"].to_pylist() == ["bank"]
    assert reasons(pool) == {("in.jsonl", 2): "label: the corpus has no training document of this label"}
    told = make(study({"path": str(path), "domain": "bank"}), tmp_path)
    assert told.documents["domain"].to_pylist() == ["bank"]


def test_every_format_and_packing_gives_the_same_pool(tmp_path: Path) -> None:
    rows = [row(f"text number {n} of the pool", label) for n in range(5) for label in LABELS]
    table = pa.Table.from_pylist(rows)
    plain = write(tmp_path / "a" / "in.jsonl", *rows)
    packed = tmp_path / "b" / "in.jsonl.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as pq

    (tmp_path / "c").mkdir()
    arrow_csv.write_csv(table, tmp_path / "c" / "in.csv")
    (tmp_path / "d").mkdir()
    pq.write_table(table, tmp_path / "d" / "in.parquet")
    made = [make(study({"path": str(tmp_path / one)}), tmp_path).documents for one in "abcd"]
    assert made[0].num_rows == len(rows)
    assert all(one.equals(made[0]) for one in made[1:])


def test_a_label_does_not_depend_on_other_rows_or_their_order(tmp_path: Path) -> None:
    rows = [row(f"text number {n} of the pool", label) for n in range(6) for label in LABELS]
    whole = make(study({"path": str(write(tmp_path / "a.jsonl", *rows))}), tmp_path).documents
    for label in LABELS:
        own = [one for one in rows if one["label"] == label]
        alone = make(study({"path": str(write(tmp_path / "b.jsonl", *own))}), tmp_path).documents
        assert alone.equals(whole.filter(pc.equal(whole["label"], label)))
    shuffled = [rows[at] for at in np.random.default_rng(1).permutation(len(rows))]
    mixed = make(study({"path": str(write(tmp_path / "c.jsonl", *shuffled))}), tmp_path).documents
    assert set(mixed["doc_id"].to_pylist()) == set(whole["doc_id"].to_pylist())


def test_too_many_refused_rows_fail_and_can_be_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", row(), row("short"), row("one more for the pool"))
    strict = study({"path": str(path)}, corpus={"max_quarantine_share": 0.2})
    with pytest.raises(CorpusError, match=r"pool `ours`: 1 of 3 rows were refused \(33\.3%; at most 20\.0% may be\)"):
        make(strict, tmp_path)
    (shown,) = (tmp_path / "work" / "refused.jsonl").read_text().splitlines()
    assert json.loads(shown) == {
        "file": "in.jsonl", "line": 2, "field": "text", "reason": "fewer than 3 words", "row": json.dumps(row("short")),
    }  # fmt: skip


def test_a_row_lost_on_the_way_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"path": str(write(tmp_path / "in.jsonl", row(), row("one more for the pool")))}
    read = files.files.read

    def lossy(*words: Any) -> Any:
        for batch in read(*words):
            yield Batch(batch.records.slice(1), batch.refused, batch.rows, batch.original, batch.files)

    assert make(study(settings), tmp_path).adds_up
    monkeypatch.setattr(files.files, "read", lossy)
    assert not make(study(settings), tmp_path).adds_up


# ---------------------------------------------------------------------- which files


def test_the_landing_folder_feeds_the_pool_of_its_name_over_all_days(tmp_path: Path) -> None:
    landing = tmp_path / "synthetic"
    write(landing / DAY / "ours" / "deep" / "a.jsonl", row("first text for the pool"))
    write(landing / "2026-02-02" / "b.jsonl", row("second text for the pool"))
    write(landing / "no day" / "c.jsonl", row("third text for the pool"))
    write(landing / DAY / "_half.jsonl", row("fourth text for the pool"))
    made = make(study(), tmp_path)
    assert sorted(made.documents["text"].to_pylist()) == ["first text for the pool", "second text for the pool"]
    two = study(more={"theirs": {"generator": "files"}})
    with pytest.raises(StudyError, match=r"synthetic/2026-02-02/b\.jsonl may belong to any of the pools ours, theirs"):
        make(two, tmp_path)
    (landing / "2026-02-02" / "b.jsonl").unlink()
    write(landing / "2026-02-02" / "theirs" / "b.jsonl", row("theirs and not ours at all"))
    assert make(two, tmp_path).documents["text"].to_pylist() == ["first text for the pool"]
    with pytest.raises(StudyError, match="synthetic/2026-02-02/theirs is no pool that it feeds; those are ours"):
        make(study(), tmp_path)


def test_nothing_there_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"no files in the landing folder for it\n  remedy: put files into synthetic/"
    ):
        make(study(), tmp_path)
    (tmp_path / "synthetic" / DAY / "ours").mkdir(parents=True)
    with pytest.raises(CorpusError, match="no files in the landing folder"):
        make(study(), tmp_path)
    with pytest.raises(CorpusError, match="no file or folder at"):
        make(study({"path": str(tmp_path / "nowhere")}), tmp_path)
    with pytest.raises(CorpusError, match="its files hold no rows"):
        make(study({"path": str(write(tmp_path / "empty.jsonl"))}), tmp_path)


def test_paths_are_relative_to_the_study_file(tmp_path: Path) -> None:
    write(tmp_path / "data" / "in.jsonl", row())
    content = study({"path": "data/in.jsonl"}).model_dump(mode="json")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    loaded = load_study(str(tmp_path / "own.yaml"))
    assert loaded.pools["ours"].settings["path"] == str(tmp_path / "data" / "in.jsonl")
    assert make(loaded, tmp_path).documents.num_rows == 1


def test_new_files_make_a_pool_stale_and_a_copy_of_them_does_not(tmp_path: Path) -> None:
    def due(settings: dict[str, Any], **changes: Any) -> str:
        asked = study(settings, **changes)
        lineage = Lineage(
            asked, Lake(tmp_path / "lake", "own"), caps="c", strictness={}, mixture_code="m", encoder="e",
            pool_files=lambda pool: files_signature(asked, pool, tmp_path / "synthetic"),
        )  # fmt: skip
        return lineage.due("synthetic_documents", "ours").digest

    first = write(tmp_path / "one" / "in.jsonl", row())
    write(tmp_path / "two" / "in.jsonl", row())
    one, two = {"path": str(tmp_path / "one")}, {"path": str(tmp_path / "two")}
    before = due(one)
    assert due(two) == before
    assert due(one | {"provenance": "templated"}) != before
    assert due(one, synthetic_from="generated") != before
    assert due(one, corpus={"min_words": 2}) != before
    write(first, row(), row("one more for the pool"))
    assert due(one) != before
    write(first, row())
    assert due(one) == before
    write(first.with_name("more.jsonl"))
    assert due(one) != before
    assert files_signature(study(more={"t": {"generator": "template"}}), "t", tmp_path) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"where": "x"}, "`where`: unknown setting"),
        ({"provenance": "human"}, "`human` text is no synthetic text"),
        ({"provenance": "edited"}, "makes `edited` text, which counts as real where synthetic_from is `templated`"),
        ({"columns": {"body": "x"}}, "`columns.body`: unknown setting"),
        ({"columns": {"domain": "d"}, "domain": "talk"}, "give either `domain`"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError) as refused:
        check_pools(study(settings))
    assert said in str(refused.value)


def test_settings_have_defaults() -> None:
    check_pools(study())
    assert FilesSettings().place("x").fields() == {"domain": "domain", "label": "label", "text": "text"}
