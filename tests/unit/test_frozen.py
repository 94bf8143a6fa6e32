"""Frozen versions of the anchors: checked when read, never changed, and what they fix in a later corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smc_dagster import frozen
from smc_dagster.errors import LakeError, StudyError
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Anchors, Study, load_study
from smc_dagster.tables import RAW_DOCUMENTS, REALITY_ANCHORS

pytestmark = pytest.mark.unit
STUDY = load_study("tiny")


def rows(version: str = "v1") -> pa.Table:
    same = {"version": version, "domain": "d", "label": "l", "is_tail": True, "provenance": "human"}
    return pa.Table.from_pylist(
        [
            same | {"slice": "anchor_train", "doc_id": "t", "text": "<b>train</b> é", "distance": 0.1},
            same | {"slice": "rare", "doc_id": "r", "text": "rare", "distance": 0.7},
            same | {"slice": "adversarial", "doc_id": "a", "text": "rrae", "parent_doc_id": "r", "edit": "typo"},
        ],
        schema=REALITY_ANCHORS.schema,
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", "tiny")


def lineage(lake: Lake, study: Study = STUDY) -> Lineage:
    return Lineage(study, lake, caps="c", strictness={"medium": "1"}, mixture_code="m", encoder="e")


def day(lake: Lake, name: str) -> None:
    lake.write(RAW_DOCUMENTS, RAW_DOCUMENTS.schema.empty_table(), Fingerprint("raw_documents", name, "1"), name)


def with_anchors(**changes: object) -> Study:
    return STUDY.model_copy(update={"anchors": STUDY.anchors.model_copy(update=changes)})


def test_a_version_is_read_back_and_listed(lake: Lake) -> None:
    made = frozen.freeze(lake, rows(), STUDY.anchors, "from")
    assert frozen.find(lake, STUDY.anchors) == made
    assert frozen.read(lake, made).equals(rows())
    other = frozen.freeze(lake, rows("v2"), Anchors(version="v2"), "later")
    assert frozen.versions(lake) == [made, other]
    assert frozen.read(lake, made).equals(rows())
    with pytest.raises(LakeError, match="frozen already"):
        frozen.freeze(lake, rows(), STUDY.anchors, "from")


def test_when_it_was_frozen_is_in_no_fingerprint(lake: Lake) -> None:
    made = frozen.freeze(lake, rows(), STUDY.anchors, "from")
    stored = lake.fingerprint(REALITY_ANCHORS, "v1")
    assert stored == made.fingerprint == Fingerprint("reality_anchors", made.content, "frozen")
    assert "frozen_at" not in stored.to_json()


def test_tampering_is_told_with_what_was_expected(lake: Lake) -> None:
    made = frozen.freeze(lake, rows(), STUDY.anchors, "from")
    path = lake.table_path(REALITY_ANCHORS, "v1")
    changed = pq.read_table(path).to_pylist()
    changed[1]["label"] = "another"
    table = pa.Table.from_pylist(changed, schema=REALITY_ANCHORS.schema)
    lake.write(REALITY_ANCHORS, table, made.fingerprint, "v1")
    with pytest.raises(LakeError) as error:
        frozen.read(lake, made)
    for part in (path, made.content, frozen.content_digest(table), "v1", "anchors.version"):
        assert part in str(error.value)


@pytest.mark.parametrize("fault", ["gone", "broken"])
def test_a_lost_table_is_told(lake: Lake, fault: str) -> None:
    made = frozen.freeze(lake, rows(), STUDY.anchors, "from")
    path = Path(lake.table_path(REALITY_ANCHORS, "v1"))
    path.unlink() if fault == "gone" else path.write_bytes(b"PAR1")
    with pytest.raises(LakeError, match="though version `v1` is frozen"):
        frozen.read(lake, made)


def test_lost_rows_are_written_again_where_they_are_the_same(lake: Lake) -> None:
    made = frozen.freeze(lake, rows(), STUDY.anchors, "from")
    path = Path(lake.table_path(REALITY_ANCHORS, "v1"))
    path.write_bytes(b"PAR1")
    frozen.restore(lake, made, rows().slice(1))
    assert path.read_bytes() == b"PAR1"
    frozen.restore(lake, made, rows())
    assert frozen.read(lake, made).equals(rows())
    assert lake.fingerprint(REALITY_ANCHORS, "v1") == made.fingerprint


@pytest.mark.parametrize("content", ["", "{}", '{"version": 1}', "[]"])
def test_a_damaged_marker_is_told(lake: Lake, content: str) -> None:
    frozen.freeze(lake, rows(), STUDY.anchors, "from")
    Path(lake.place("reality_anchors", "version=v1", frozen.MARKER)).write_text(content)
    with pytest.raises(LakeError, match=r"frozen\.json is damaged"):
        frozen.find(lake, STUDY.anchors)


def test_a_table_without_marker_is_not_frozen(lake: Lake) -> None:
    lake.write(REALITY_ANCHORS, rows(), Fingerprint("reality_anchors", "p", "1"), "v1")
    assert frozen.find(lake, STUDY.anchors) is None
    assert frozen.freeze(lake, rows(), STUDY.anchors, "from").rows == 3


def test_changed_settings_need_a_new_version(lake: Lake) -> None:
    frozen.freeze(lake, rows(), STUDY.anchors, "from")
    for changes in ({"neighbours": 4}, {"train_share": 0.1}, {"adversarial": 9}):
        with pytest.raises(StudyError, match=r"version `v1` was frozen") as error:
            lineage(lake, with_anchors(**changes)).due("real_documents")
        assert "give anchors.version a new name" in error.value.remedy
    assert lineage(lake, with_anchors(neighbours=4, version="v2")).frozen_anchors() is None


def test_freezing_leaves_the_corpus_it_came_from_fresh(lake: Lake) -> None:
    day(lake, "2026-01-01")
    before = lineage(lake).due("real_documents")
    made = frozen.freeze(lake, rows(), STUDY.anchors, before.digest)
    after = lineage(lake)
    assert after.pinned_anchors() is None
    assert after.due("real_documents") == before
    assert after.due("reality_anchors") == made.fingerprint
    assert after.is_fresh("reality_anchors")


def test_a_new_day_pins_the_splits_and_leaves_the_anchors(lake: Lake) -> None:
    day(lake, "2026-01-01")
    made = frozen.freeze(lake, rows(), STUDY.anchors, lineage(lake).due("real_documents").digest)
    embeddings = lineage(lake).due("anchor_embeddings")
    day(lake, "2026-01-02")
    after = lineage(lake)
    assert after.pinned_anchors() == made
    assert after.due("real_documents").inputs["anchors[v1]"] == made.content
    assert after.due("reality_anchors") == made.fingerprint
    assert after.due("anchor_embeddings") == embeddings
    # another version starts from the corpus as it would be without pins
    other = lineage(lake, with_anchors(version="v2"))
    assert not any(name.startswith("anchors") for name in other.due("real_documents").inputs)


def test_lost_anchors_are_to_restore_where_their_corpus_is_the_one_due(lake: Lake) -> None:
    day(lake, "2026-01-01")
    assert not lineage(lake).anchors_are_to_restore()
    frozen.freeze(lake, rows(), STUDY.anchors, lineage(lake).due("real_documents").digest)
    assert not lineage(lake).anchors_are_to_restore()
    Path(lake.table_path(REALITY_ANCHORS, "v1")).unlink()
    assert lineage(lake).anchors_are_to_restore()
    day(lake, "2026-01-02")
    assert not lineage(lake).anchors_are_to_restore()


def test_another_order_or_value_is_another_content() -> None:
    digest = frozen.content_digest(rows())
    assert frozen.content_digest(pa.concat_tables([rows().slice(0, 1), rows().slice(1)])) == digest
    assert frozen.content_digest(rows().take([1, 0, 2])) != digest
    assert json.dumps(digest)
