"""Datasets with a form of their own: CLINC150's JSON, and Hugging Face datasets on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from smc_dagster.corpora import clinc, huggingface
from smc_dagster.corpora.batches import Batch
from smc_dagster.errors import CorpusError
from smc_dagster.study import load_study
from smc_dagster.study.sources import ClincSource, Columns, HuggingFaceSource

ROOT = Path(__file__).resolve().parents[2]
CLINC = Path(os.environ.get("SMC_CLINC150") or ROOT.parent / "shared" / "data" / "clinc150")


def kept(batches: list[Batch]) -> list[dict]:
    return [row for one in batches for row in one.records.to_pylist()]


def refused(batches: list[Batch]) -> list[dict]:
    return [row for one in batches for row in one.refused.to_pylist()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "domains.json").write_text(json.dumps({"banking": ["balance", "transfer"], "travel": ["visa"]}))
    content = {
        "train": [["how much have i got", "balance"], ["do i need a visa", "visa"], ["what is this", "unknown"]],
        "val": [["send money home", "transfer"], ["only one"], [7, "visa"]],
        "test": [["move money please", "transfer"]],
        "oos_train": [["tell me a joke", "oos"]], "oos_val": [], "oos_test": [["sing a song", "oos"]],
    }  # fmt: skip
    (tmp_path / "data_full.json").write_text(json.dumps(content))
    return tmp_path


def test_clinc_rows_and_what_is_refused(folder: Path) -> None:
    source = ClincSource(kind="clinc150", path=str(folder))
    batches = list(clinc.read(source))
    assert [(row["domain"], row["label"], row["file"], row["line"], row["source_split"]) for row in kept(batches)] == [
        ("banking", "balance", "data_full.json#train", 1, None),
        ("travel", "visa", "data_full.json#train", 2, None),
        ("banking", "transfer", "data_full.json#val", 1, None),
        ("banking", "transfer", "data_full.json#test", 1, None),
    ]
    assert [(row["line"], row["field"], row["reason"]) for row in refused(batches)] == [
        (3, "label", "the intent is in no domain of domains.json"),
        (2, None, "not a pair of text and intent"),
        (3, "text", "int where text is expected"),
    ]
    assert sum(one.rows for one in batches) == 7


def test_clinc_out_of_scope_and_own_splits(folder: Path) -> None:
    source = ClincSource(kind="clinc150", path=str(folder), out_of_scope=True, own_splits=True, splits=["test", "val"])
    found = kept(list(clinc.read(source)))
    assert [(row["domain"], row["label"], row["source_split"]) for row in found] == [
        ("banking", "transfer", "test"), ("oos", "oos", "test"), ("banking", "transfer", "validation"),
    ]  # fmt: skip


def test_the_validation_set_may_serve_as_anchors(folder: Path) -> None:
    clinc_source = ClincSource(kind="clinc150", path=str(folder), own_splits=True, validation="anchor_eval")
    assert [row["source_split"] for row in kept(list(clinc.read(clinc_source)))] == [
        "train", "train", "anchor_eval", "test",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data_full.json", None, "data_full.json cannot be read"),
        ("data_full.json", "{", "not readable as JSON"),
        ("data_full.json", "[]", "no list `train`"),
        ("domains.json", '{"a": 1}', "a mapping of domains"),
    ],
)
def test_clinc_files_that_are_none(folder: Path, name: str, content: str | None, said: str) -> None:
    before = clinc.signature(ClincSource(kind="clinc150", path=str(folder)))
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    source = ClincSource(kind="clinc150", path=str(folder))
    with pytest.raises(CorpusError, match=said) as caught:
        list(clinc.read(source))
    assert caught.value.remedy
    if content is not None:
        assert clinc.signature(source) != before


@pytest.mark.skipif(not CLINC.is_dir(), reason="CLINC150 is not there: set SMC_CLINC150")
@pytest.mark.parametrize(("variant", "train"), [("data_full", 15000), ("data_imbalanced", 10525)])
def test_clinc_itself(variant: str, train: int) -> None:
    batches = list(clinc.read(ClincSource(kind="clinc150", path=str(CLINC), variant=variant, own_splits=True)))
    found = kept(batches)
    assert not refused(batches)
    sizes = {split: sum(row["source_split"] == split for row in found) for split in ("train", "validation", "test")}
    assert sizes == {"train": train, "validation": 3000, "test": 4500}
    assert len({row["label"] for row in found}) == 150
    assert len({row["domain"] for row in found}) == 10


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    features = datasets.Features(
        {
            "intent": datasets.ClassLabel(names=["balance", "visa"]),
            "said": datasets.Value("string"),
            "n": datasets.Value("int64"),
        }
    )
    for split, codes in {"train": [0, 1, -1], "test": [1], "validation": [0]}.items():
        rows = {
            "intent": codes,
            "said": [f"{split} text number {at}" for at in range(len(codes))],
            "n": [7] * len(codes),
        }
        made = datasets.Dataset.from_dict(rows, features=features)
        (tmp_path / "made").mkdir(exist_ok=True)
        made.to_parquet(tmp_path / "made" / f"{split}.parquet")
    return tmp_path / "made"


def source(dataset: Path, **changes: object) -> HuggingFaceSource:
    columns = Columns.model_validate({"label": "intent", "text": "said"} | changes.pop("columns", {}))  # type: ignore[operator]
    fields = {"kind": "huggingface", "name": str(dataset), "domain": "bank", "columns": columns}
    return HuggingFaceSource.model_validate(fields | changes)


def test_class_labels_give_their_names(dataset: Path) -> None:
    both = source(dataset, splits=["train", "test"], own_splits=True)
    batches = list(huggingface.read(both))
    assert [(row["domain"], row["label"], row["text"], row["file"], row["line"]) for row in kept(batches)] == [
        ("bank", "balance", "train text number 0", "train", 1),
        ("bank", "visa", "train text number 1", "train", 2),
        ("bank", None, "train text number 2", "train", 3),
        ("bank", "visa", "test text number 0", "test", 1),
    ]
    assert [row["source_split"] for row in kept(batches)] == ["train", "train", "train", "test"]
    assert sum(one.rows for one in batches) == 4
    anchored = source(dataset, splits=["test", "validation"], own_splits=True, validation="anchor_eval")
    assert [row["source_split"] for row in kept(list(huggingface.read(anchored)))] == ["test", "anchor_eval"]
    assert huggingface.signature(both) == huggingface.signature(both)
    assert huggingface.signature(both) != huggingface.signature(source(dataset))


def test_the_shipped_study_reads_the_form_that_the_hub_has(dataset: Path) -> None:
    """A folder with the hub's configs, columns and splits: one config of several, `oos` as one more intent."""
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "intent": datasets.ClassLabel(names=["balance", "oos"])}
    )
    for split in ("train", "validation", "test"):
        rows = {"text": [f"{split} one", f"{split} two"], "intent": [0, 1]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(dataset / "imbalanced" / f"{split}-0.parquet")
    files = [{"split": one, "path": f"imbalanced/{one}-*"} for one in ("train", "validation", "test")]
    configs = [{"config_name": "imbalanced", "data_files": files}, {"config_name": "plus", "data_files": "*.parquet"}]
    (dataset / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    corpus = load_study("clinc150").corpus
    assert isinstance(corpus.source, HuggingFaceSource)
    found = kept(list(huggingface.read(corpus.source.model_copy(update={"name": str(dataset)}))))
    assert [(row["source_split"], row["label"], row["domain"]) for row in found] == [
        (split, label, "clinc150") for split in ("train", "anchor_eval", "test") for label in ("balance", "oos")
    ]
    assert corpus.exclude_labels == ["oos"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"columns": {"text": "nosuch"}}, "no column named `nosuch`"),
        ({"columns": {"text": "n"}}, "column `n` is int64"),
        ({"splits": ["nosuch"]}, "cannot be loaded"),
        ({"name": "no/such-dataset"}, "cannot be loaded"),
    ],
)
def test_a_dataset_that_cannot_be_read_is_named(dataset: Path, changes: dict, said: str) -> None:
    with pytest.raises(CorpusError, match=said) as caught:
        list(huggingface.read(source(dataset, **changes)))
    assert caught.value.remedy
