"""Weights that are cut or lost count as missing, whatever the table beside them says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from smc_dagster import model_folders, weight_files
from smc_dagster.errors import StaleInputError
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Study, load_study
from smc_dagster.tables import GENERATOR_CURVES, TRAINING_CURVES
from smc_dagster.training import checkpoints
from smc_dagster.training.heads import TrainedArm

STUDY = load_study("tiny")
ARM = STUDY.arms[0].key


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", "tiny")


def lineage_of(study: Study, lake: Lake) -> Lineage:
    levels = {"off": "0", "weak": "1", "medium": "2", "strong": "3"}
    return Lineage(study, lake, caps="c", strictness=levels, mixture_code="m", encoder="e", network="n")


def study(**sections: object) -> Study:
    return Study.model_validate(STUDY.model_dump(mode="json") | sections)


def damages(path: Path) -> Iterator[None]:
    """Cut the file by one byte, in its header, to nothing; then remove it. The caller looks after each."""
    whole = path.read_bytes()
    for left in (len(whole) - 1, 20, 0):
        path.write_bytes(whole[:left])
        yield
    path.unlink()
    yield


def test_heads(lake: Lake) -> None:
    lineage = lineage_of(STUDY, lake)
    due = lineage.due("checkpoints", ARM)
    weights = {name: np.ones((2, 3, 3), np.float32) for name in ("hidden.weight", "output.weight")}
    trained = TrainedArm(weights, [0, 1], [(0, 1, 1.0)], {"flops": 9.0}, 2.0)
    path = Path(checkpoints.save(lake, ARM, trained, ["a"], STUDY.training, due))
    assert not lineage.is_fresh("checkpoints", ARM)
    lake.write(TRAINING_CURVES, TRAINING_CURVES.schema.empty_table(), due, ARM)
    assert lineage.is_fresh("checkpoints", ARM)
    for _ in damages(path):
        assert not lineage.is_fresh("checkpoints", ARM)


@pytest.mark.parametrize("of", ["arm", "generation"])
def test_folders_of_models(lake: Lake, tmp_path: Path, of: str) -> None:
    if of == "arm":
        spoken = study(training={"tuning": "full", "learning_rate": 1e-4})
        table, key, curves, place = "checkpoints", ARM, TRAINING_CURVES, weight_files.of_arm(ARM)
    else:
        spoken = study(pools={"templated": {"generator": "lm"}})
        table, key, curves, place = "generator_model", None, GENERATOR_CURVES, weight_files.of_generation(0)
    lineage = lineage_of(spoken, lake)
    due = lineage.due(table, key)
    lake.write(curves, curves.schema.empty_table(), due, key)
    assert not lineage.is_fresh(table, key)
    (tmp_path / "made" / "replicate=0").mkdir(parents=True)
    (tmp_path / "made" / "replicate=0" / "model.safetensors").write_bytes(os.urandom(50))
    (tmp_path / "made" / "arm.json").write_text("{}")
    published = model_folders.publish(lake, place, tmp_path / "made", due)
    assert lineage.is_fresh(table, key)
    for _ in damages(Path(published) / "replicate=0" / "model.safetensors"):
        assert not lineage.is_fresh(table, key)
        with pytest.raises(StaleInputError, match="not whole"):
            model_folders.fetch(lake, place, due.digest, tmp_path, "it", "make it again")
