"""Training arms: the same numbers whatever the company, and clear refusals."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from smc_dagster.errors import SmcError, StaleInputError
from smc_dagster.hardware import one_torch_thread
from smc_dagster.study import Training
from smc_dagster.tables import MIXTURE_DOCUMENTS, REAL_EMBEDDINGS, TRAINING_CURVES
from smc_dagster.training.arms import train_arms
from smc_dagster.training.curves import curve_table
from smc_dagster.training.head_math import initial_parameters
from smc_dagster.training.heads import TrainedArm
from smc_dagster.training.order import arm_batches
from smc_dagster.training.vectors import Vectors

pytestmark = pytest.mark.unit
LABELS = ["email.charset", "email.header", "json.decoder"]
TRAINING = Training(hidden=16, steps=30, batch=16, learning_rate=0.01)
DOCS = 60


def _id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(len(LABELS), 384))
    rows = centres[np.arange(DOCS) % 3] + 0.5 * rng.normal(size=(DOCS, 384))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 384)
    return Vectors.build(
        [pa.table([pa.array([_id(i) for i in range(DOCS)]), embedding], schema=REAL_EMBEDDINGS.schema)]
    )


def _mixture(arm: str = "templated@00", keep: int = DOCS, replicates: int = 2) -> pa.Table:
    rows = [
        {
            "arm": arm,
            "replicate": replicate,
            "doc_id": _id(i),
            "domain": LABELS[i % 3].split(".")[0],
            "label": LABELS[i % 3],
            "provenance": "human",
            "slot": i,
            "weight": 1.0,
        }
        for replicate in range(replicates)
        for i in range(keep)
    ]
    return pa.Table.from_pylist(rows, schema=MIXTURE_DOCUMENTS.schema)


def _same(one: TrainedArm, other: TrainedArm) -> bool:
    return one.curve == other.curve and all(np.array_equal(one.weights[k], other.weights[k]) for k in one.weights)


def _many(mixtures: Iterable[tuple[str, pa.Table]], vectors: Vectors, **other: Any) -> dict[str, TrainedArm]:
    found: dict[str, TrainedArm] = {}
    given: dict[str, Any] = {"labels": LABELS, "training": TRAINING, "seed": 1, "replicates": 2, "workers": 1}
    train_arms(mixtures, vectors=vectors, on_done=found.__setitem__, **given | other)
    return found


def _one(mixture: pa.Table, vectors: Vectors, **other: Any) -> TrainedArm:
    (found,) = _many([("it", mixture)], vectors, **other).values()
    return found


def test_it_learns_and_reports_its_budget(vectors: Vectors) -> None:
    trained = _one(_mixture(), vectors)
    assert trained.replicates == [0, 1]
    assert trained.weights["hidden.weight"].shape == (2, 384, 16)
    flops = 480 * (4 * 384 * 16 + 6 * 16 * 3)
    assert trained.budget == {"steps": 30, "examples_seen": 480, "tokens_seen": 480 * 64, "flops": flops}
    assert trained.seconds is not None
    assert trained.seconds > 0
    assert [step for replicate, step, _ in trained.curve if replicate == 0] == [10, 20, 30]
    first, last = trained.curve[0][2], trained.curve[2][2]
    assert first < np.log(3) * 1.2
    assert last < 0.3 * first
    table = curve_table("templated@00", trained)
    assert table.schema == TRAINING_CURVES.schema
    assert table.num_rows == 6


def test_heads_are_those_of_a_plain_loop(vectors: Vectors) -> None:
    """Against torch's modules, autograd and AdamW, one replicate after the other."""
    training = TRAINING.model_copy(update={"steps": 25, "weight_decay": 0.5, "warmup": 0.2})
    mixture = _mixture()
    trained = _one(mixture, vectors, training=training, seed=3)
    batches = arm_batches(mixture, vectors.rows, LABELS, training, 3, 2)
    for replicate in (0, 1):
        start = initial_parameters(384, 16, 3, seed=3, replicate=replicate)
        own = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
        groups = [
            {"params": [own["hidden.weight"], own["output.weight"]], "weight_decay": 0.5},
            {"params": [own["hidden.bias"], own["output.bias"]], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, foreach=False)
        losses = []
        for step in range(25):
            for group in optimiser.param_groups:
                # 5 steps up, 20 down
                group["lr"] = 0.01 * ((step + 1) / 5 if step < 5 else (1 + math.cos(math.pi * (step - 5) / 20)) / 2)
            x = torch.from_numpy(vectors.matrix[batches.rows[step, replicate]])
            hidden = torch.relu(x @ own["hidden.weight"] + own["hidden.bias"])
            z = hidden @ own["output.weight"] + own["output.bias"]
            loss = torch.nn.functional.cross_entropy(z, torch.from_numpy(batches.codes[step, replicate]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        for name, value in own.items():
            np.testing.assert_allclose(trained.weights[name][replicate], value.detach(), atol=1e-5)
        means = [np.mean(losses[:10]), np.mean(losses[10:20]), np.mean(losses[20:])]
        assert [one[1] for one in trained.curve if one[0] == replicate] == [10, 20, 25]
        assert [one[2] for one in trained.curve if one[0] == replicate] == pytest.approx(means, abs=1e-5)


def test_numbers_do_not_depend_on_company_workers_or_row_order(vectors: Vectors) -> None:
    arms = [(f"templated@{keep}", _mixture(f"templated@{keep}", keep)) for keep in (60, 45, 30, 20)]
    alone = {key: _one(mixture, vectors) for key, mixture in arms}
    beside = _many(arms, vectors, workers=3)
    one_by_one = _many(arms[::-1], vectors, workers=1)
    assert set(beside) == set(alone)
    for key, mixture in arms:
        assert _same(alone[key], beside[key])
        assert _same(alone[key], one_by_one[key])
        shuffled = mixture.take(np.random.default_rng(0).permutation(mixture.num_rows))
        assert _same(alone[key], _one(shuffled, vectors))
    assert not _same(alone["templated@60"], alone["templated@45"])
    assert not _same(alone["templated@60"], _one(arms[0][1], vectors, seed=2))


def test_threads_of_torch_are_put_back(vectors: Vectors) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_torch_thread():
            assert torch.get_num_threads() == 1
            _many([("templated@00", _mixture())], vectors, workers=2)
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        seen: list[int] = []
        _one(_mixture(), vectors, progress=lambda *_: seen.append(torch.get_num_threads()))
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_loss_that_is_no_number_names_arm_and_replicate(vectors: Vectors) -> None:
    broken = vectors.matrix.copy()
    broken[7] = np.nan
    mixture = _mixture()
    # only replicate 1 holds the broken document
    keep = [not (r["replicate"] == 0 and r["doc_id"] == _id(7)) for r in mixture.to_pylist()]
    with pytest.raises(
        SmcError, match=r"arm `templated@00`, replicate 1: the loss is not a finite number from step \d"
    ):
        _one(mixture.filter(pa.array(keep)), Vectors(vectors.doc_ids, broken))


def test_weights_that_the_last_step_broke_are_noticed(vectors: Vectors) -> None:
    # beyond the largest float32
    broken = TRAINING.model_copy(update={"steps": 1, "learning_rate": 1e39})
    with pytest.raises(SmcError, match="replicate 0: the loss is not a finite number from step 1 on"):
        _one(_mixture(), vectors, training=broken)


def test_what_does_not_fit_is_refused(vectors: Vectors) -> None:
    mixture = _mixture()
    with pytest.raises(StaleInputError, match="holds 2 replicates, the study asks for 3"):
        _one(mixture, vectors, replicates=3)
    with pytest.raises(StaleInputError, match=r"label `email\.header` is not among the 2 labels"):
        _one(mixture, vectors, labels=["email.charset", "json.decoder"])
    with pytest.raises(StaleInputError, match="a slot is filled twice"):
        _one(pa.concat_tables([mixture, mixture]), vectors)
    with pytest.raises(StaleInputError, match="a mixture of one arm was due"):
        _one(pa.concat_tables([mixture, _mixture("b@00")]), vectors)
    with pytest.raises(StaleInputError, match="have no embedding"):
        _one(mixture, Vectors(vectors.doc_ids.slice(1), vectors.matrix[1:]))


def test_an_arm_that_fails_stops_the_others(vectors: Vectors) -> None:
    started: list[str] = []

    def arms():
        for number in range(20):
            started.append(f"a@{number:02}")
            yield started[-1], _mixture(started[-1], replicates=1 if number == 0 else 2)

    with pytest.raises(StaleInputError, match="arm `a@00`"):
        _many(arms(), vectors, workers=2)
    assert len(started) < 20


def test_progress_is_told(vectors: Vectors) -> None:
    told: list[tuple[str, int, int]] = []
    longer = TRAINING.model_copy(update={"steps": 120})
    _many([("a@00", _mixture("a@00"))], vectors, training=longer, progress=lambda *one: told.append(one))
    assert told == [("a@00", step, 120) for step in (50, 100, 120)]
