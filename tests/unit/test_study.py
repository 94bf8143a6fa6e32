"""The study file: what it may say, what follows from it, and how a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from smc_dagster.errors import StudyError
from smc_dagster.study import Study, arm_key, load_study, shipped_studies

TINY = yaml.safe_load(shipped_studies()["tiny"].read_text())


def write(tmp_path: Path, **changes: object) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(TINY | changes))
    return str(path)


@pytest.mark.parametrize("name", sorted(shipped_studies()))
def test_shipped_studies_load(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert len(study.arms) == len(study.series) * len(study.shares)


def test_the_default_study_is_as_large_as_asked() -> None:
    study = load_study("default")
    assert len(study.series) >= 4
    assert study.shares == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert study.replicates >= 5


@pytest.mark.parametrize(
    ("share", "key"), [(0, "a@00"), (0.05, "a@05"), (0.3, "a@30"), (0.325, "a@32.5"), (1, "a@100"), (0.1 + 0.2, "a@30")]
)
def test_arm_keys(share: float, key: str) -> None:
    assert arm_key("a", share) == key


def test_globs_choose_arms() -> None:
    study = load_study("tiny")
    assert [arm.key for arm in study.select_arms("*@00")] == ["templated@00", "real_dropped@00"]
    assert len(study.select_arms("templated@*, real_dropped@30")) == 4
    with pytest.raises(StudyError, match="no arm of study `tiny` matches `x\\*`"):
        study.select_arms("x*")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeed": 1}, "`seeed`: unknown key; allowed here: .*seed"),
        ({"training": {"step": 5}}, "`training.step`: unknown key; allowed here: .*steps"),
        (
            {"series": [{"name": "a", "pol": "templated"}]},
            "unknown key; allowed here: anchors, caps, composition, name, pool, rebalance",
        ),
        ({"shares": [0, 1.2]}, "share 1.2 is outside 0-1"),
        ({"shares": [0, 0.3, 0.3]}, "a share is given twice"),
        ({"shares": [0, "much"]}, "`shares.1`.*'much'"),
        ({"replicates": 0}, "`replicates`.*given: 0"),
        (
            {"series": [{"name": "a", "pool": "nosuch"}]},
            "`series.0.pool`.*names pool `nosuch`.*\\n.*name one of templated",
        ),
        ({"series": [{"name": "a", "composition": "drop", "pool": "templated"}]}, "`drop` takes no pool"),
        ({"series": [{"name": "a"}]}, "`replace` needs a pool"),
        (
            {"series": [{"name": "a", "pool": "templated", "composition": "swap"}]},
            "'replace', 'drop', 'repeat' or 'add'.*'swap'",
        ),
        ({"series": [{"name": "a", "composition": "repeat", "pool": "templated"}]}, "`repeat` takes no pool"),
        ({"series": [{"name": "a", "composition": "add"}]}, "`add` needs a pool"),
        ({"series": [{"name": "a", "composition": "repeat", "strictness": "weak"}]}, "`repeat` has no synthetic rows"),
        (
            {"shares": [0, 1], "series": [{"name": "a", "composition": "drop"}]},
            "`shares`: 1 with `series.0.composition`: drop drops every real row.*\n.*lower the share below 1",
        ),
        (
            {"shares": [0, 1], "series": [{"name": "a", "composition": "repeat"}]},
            "`shares`: 1 with `series.0.composition`: repeat leaves no real row to repeat",
        ),
        (
            {"shares": [0, 1], "series": [{"name": "a", "composition": "add", "pool": "templated"}]},
            "`shares`: 1 with `series.0.composition`: add keeps all real rows",
        ),
        (
            {"budget": 0.04, "series": [{"name": "a", "pool": "templated", "anchors": True}]},
            "`budget`: 0.04 is below `anchors.train_share` 0.05.*\n.*raise budget",
        ),
        ({"name": "../up"}, "`name`.*'../up'"),
        ({"split": {"test": 0.6, "anchor_eval": 0.3}}, "leave at least 0.2 for training"),
    ],
)
def test_a_mistake_names_the_key_and_what_is_allowed(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(StudyError, match=words) as raised:
        load_study(write(tmp_path, **changes))
    assert "mine.yaml" in str(raised.value)


def test_what_can_be_built_is_not_refused(tmp_path: Path) -> None:
    """A mixture may be synthetic throughout, and anchors need their share of the budget in anchored series alone."""
    series = [{"name": "a", "pool": "templated"}, {"name": "b", "pool": "templated", "composition": "add"}]
    assert len(load_study(write(tmp_path, shares=[0, 1], series=series[:1])).arms) == 2
    assert len(load_study(write(tmp_path, budget=0.04, series=series)).arms) == 6


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, corpus={"source": {"kind": "files", "path": "texts"}}))
    assert study.corpus.source.kind == "files"
    assert study.corpus.source.path == str((tmp_path / "texts").resolve())


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that SMC_CORPUS names by a path from the working directory."""
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "data_full.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMC_CORPUS", "given")
    return (tmp_path / "given").resolve()


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ({"kind": "files", "path": "texts", "domain": "d"}, "path"),
        ({"kind": "clinc150", "path": "x", "variant": "data_imbalanced"}, "path"),
        ({"kind": "huggingface", "name": "some/dataset", "domain": "d"}, "name"),
    ],
)
def test_a_corpus_given_takes_the_place_of_the_path(tmp_path: Path, corpus: Path, source: dict, key: str) -> None:
    found = load_study(write(tmp_path, corpus={"source": source})).corpus.source
    assert found.kind == source["kind"]
    assert getattr(found, key) == str(corpus)


def test_a_corpus_given_goes_by_the_local_source(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = {"kind": "clinc150", "variant": "data_imbalanced", "own_splits": True}
    mine = write(tmp_path, corpus={"source": {"kind": "huggingface", "name": "a/b", "domain": "d"}, "local": local})
    found = load_study(mine).corpus.source.model_dump()
    assert {**found, "path": None} == {
        **{"kind": "clinc150", "path": None, "variant": "data_imbalanced", "splits": ["train", "val", "test"]},
        **{"out_of_scope": False, "own_splits": True, "validation": "validation"},
    }
    assert found["path"] == str(corpus)
    # the variant's own file names the variant
    monkeypatch.setenv("SMC_CORPUS", str(corpus / "data_full.json"))
    found = load_study(mine).corpus.source.model_dump()
    assert (found["path"], found["variant"]) == (str(corpus), "data_full")
    monkeypatch.delenv("SMC_CORPUS")
    assert load_study(mine).corpus.source.kind == "huggingface"


def test_a_corpus_that_cannot_be_taken(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StudyError, match=r"--corpus or SMC_CORPUS: tiny\.yaml: .*`docstrings` is read from no path"):
        load_study("tiny")
    monkeypatch.setenv("SMC_CORPUS", "nowhere")
    with pytest.raises(StudyError, match="--corpus or SMC_CORPUS: `nowhere` is not there"):
        load_study("tiny")
    monkeypatch.delenv("SMC_CORPUS")
    source = {"kind": "huggingface", "name": "a/b", "domain": "d"}
    for local, words in (
        ({"kind": "docstrings"}, "`corpus.local`: .*is read from no path"),
        (
            {"kind": "clinc150", "variants": "x"},
            "`corpus.local.clinc150.variants`: unknown key; allowed here: .*own_splits",
        ),
    ):
        with pytest.raises(StudyError, match=words):
            load_study(write(tmp_path, corpus={"source": source, "local": local}))


def test_the_digest_is_of_what_is_said() -> None:
    one, two = Study.model_validate(TINY), Study.model_validate(TINY | {"seed": 8})
    assert one.digest == Study.model_validate(dict(reversed(TINY.items()))).digest
    assert one.digest != two.digest
