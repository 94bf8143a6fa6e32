"""What arms cost, at one budget, and how far they are built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.lineage import Lineage
from smc_dagster.study import Study, load_study
from smc_dagster.tables import MIXTURE_DOCUMENTS, REAL_DOCUMENTS, TRAINING_CURVES
from smc_dagster.training import checkpoints
from smc_dagster.training.compute import budget_due, departures
from smc_dagster.training.costs import Costs, stage_states
from smc_dagster.training.heads import TrainedArm

STUDY = load_study("tiny")
LABELS = ["a", "b", "c"]


def lineage_of(study: Study, lake: Lake, caps: str = "c") -> Lineage:
    levels = {"off": "0", "weak": "1", "medium": "2", "strong": "3"}
    return Lineage(study, lake, caps=caps, strictness=levels, mixture_code="m", encoder="e")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, "tiny")


def trained(lake: Lake, arm: str, seconds: float | None, steps: int | None = None) -> None:
    training = STUDY.training if steps is None else STUDY.training.model_copy(update={"steps": steps})
    shapes = {
        "hidden.weight": (2, 384, training.hidden),
        "hidden.bias": (2, 1, training.hidden),
        "output.weight": (2, training.hidden, len(LABELS)),
        "output.bias": (2, 1, len(LABELS)),
    }
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    found = TrainedArm(weights, [0, 1], [(0, 1, 1.0)], budget_due(training, len(LABELS)), seconds)
    checkpoints.save(lake, arm, found, LABELS, training, Fingerprint("checkpoints", "x", "1"))


def corpus(lake: Lake, lineage: Lineage) -> None:
    blank = {"domain": "d", "text": "t", "provenance": "human", "source": "s"}
    rows = [blank | {"doc_id": label, "label": label} for label in LABELS]
    lake.write(REAL_DOCUMENTS, pa.Table.from_pylist(rows, schema=REAL_DOCUMENTS.schema), lineage.due("real_documents"))


def test_the_budget_is_that_of_the_study_file() -> None:
    training = STUDY.training.model_copy(update={"steps": 10, "batch": 4, "hidden": 8, "max_tokens": 16})
    assert budget_due(training, 3) == {
        "steps": 10,
        "examples_seen": 40,
        "tokens_seen": 640,
        # forward 2, backward 2 a weight of the first layer; 2 and 4 of the second
        "flops": 40 * (4 * 384 * 8 + 6 * 8 * 3),
    }


def test_a_departure_names_what_was_counted_and_what_was_due() -> None:
    due = budget_due(STUDY.training, 3)
    assert departures(due, due) == []
    assert departures(due | {"examples_seen": due["examples_seen"] - 1}, due) == [
        "examples_seen 3,839 instead of 3,840"
    ]
    assert departures(due | {"steps": due["steps"] + 1}, due) == ["steps 61 instead of 60"]
    assert departures({name: due[name] for name in due if name != "tokens_seen"}, due) == [
        "tokens_seen was not counted"
    ]


def test_time_is_unknown_then_estimated_then_measured(lake: Lake) -> None:
    arm, other, third = (arm.key for arm in STUDY.arms[:3])
    costs = Costs(STUDY, lake)
    assert costs.budget == {"examples": 7680, "tokens": 7680 * 32, "flops": None}
    assert costs.seconds(arm) == (None, "unknown")
    corpus(lake, lineage_of(STUDY, lake))
    trained(lake, arm, 3.0)
    costs = Costs(STUDY, lake)
    assert costs.budget["flops"] == 7680 * (4 * 384 * 64 + 6 * 64 * 3)
    assert costs.seconds(arm) == (3.0, "measured")
    assert costs.seconds(other) == (pytest.approx(3.0), "estimated")
    # of another budget: its time does not stand for itself, but its rate counts
    trained(lake, other, 6.0, steps=STUDY.training.steps * 2)
    trained(lake, third, None)
    assert Costs(STUDY, lake).seconds(other) == (pytest.approx(3.0), "estimated")


def test_a_damaged_checkpoint_tells_no_time(lake: Lake) -> None:
    arm = STUDY.arms[0].key
    trained(lake, arm, 3.0)
    path = Path(lake.place("checkpoints")) / f"arm={arm}" / "data.safetensors"
    assert path.is_file()
    path.write_bytes(path.read_bytes()[:20])
    assert checkpoints.time_taken(lake, arm) is None
    path.write_bytes(b"")
    assert checkpoints.time_taken(lake, arm) is None


def test_states_tell_built_from_stale_and_missing(lake: Lake) -> None:
    lineage, arm = lineage_of(STUDY, lake), STUDY.arms[0].key
    assert stage_states(lineage, lake, arm) == dict.fromkeys(
        ("mixture", "checkpoints", "predictions", "metrics"), "missing"
    )
    rows = pa.table({"arm": [arm], "replicate": [0], "step": [1], "loss": [1.0]}).cast(TRAINING_CURVES.schema)
    lake.write(TRAINING_CURVES, rows, lineage.due("checkpoints", arm), arm)
    assert stage_states(lineage, lake, arm)["checkpoints"] == "stale", "the curves are there, the weights are not"
    trained(lake, arm, 1.0)
    assert stage_states(lineage, lake, arm)["checkpoints"] == "built"
    later = lineage_of(STUDY, lake, caps="other")
    assert stage_states(later, lake, arm)["checkpoints"] == "stale"
    assert lake.fingerprint(MIXTURE_DOCUMENTS, arm) is None
