"""Checkpoints come back as they went, predict as they should, and refuse what they are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.errors import LakeError, StaleInputError
from smc_dagster.evaluation.metrics import outcomes
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.study import Training
from smc_dagster.tables import PREDICTIONS
from smc_dagster.training import checkpoints
from smc_dagster.training.head_math import initial_parameters
from smc_dagster.training.heads import TrainedArm
from smc_dagster.training.predict import CHUNK, predict
from smc_dagster.training.vectors import Vectors

pytestmark = pytest.mark.unit
LABELS = ["email.<b>charset</b>", "json.decoder", "json.é"]
TRAINING = Training(hidden=8, steps=5, batch=4)
FINGERPRINT = Fingerprint("checkpoints", "part", "1", {"mixture_documents[a@00]": "0"}, 7)
ARM = "templated@32.5"


@pytest.fixture(scope="module")
def trained() -> TrainedArm:
    starts = [initial_parameters(384, 8, 3, seed=1, replicate=one) for one in (0, 4)]
    weights = {name: np.stack([start[name] for start in starts]) * 5 for name in starts[0]}
    return TrainedArm(weights, [0, 4], [(0, 5, 1.0), (4, 5, 1.0)], {"steps": 5.0, "examples_seen": 20.0, "flops": 9.0})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", "s")


def _documents(count: int) -> tuple[pa.Table, Vectors]:
    ids = [hashlib.sha256(str(i).encode()).hexdigest()[:32] for i in range(count)]
    rows = np.random.default_rng(2).normal(size=(count, 384)).astype(np.float32)
    docs = pa.table(
        {
            "doc_id": ids,
            "slice": ["rare" if i % 4 == 0 else "test" for i in range(count)],
            "domain": ["json"] * count,
            "label": [LABELS[i % 3] for i in range(count)],
            "is_tail": [i % 3 == 0 for i in range(count)],
        }
    )
    return docs, Vectors(pa.array(ids), rows)


def test_round_trip(lake: Lake, trained: TrainedArm) -> None:
    path = checkpoints.save(lake, ARM, trained, LABELS, TRAINING, FINGERPRINT)
    assert path == lake.place("checkpoints", f"arm={ARM}", "data.safetensors")
    found = checkpoints.load(lake, ARM, FINGERPRINT.digest)
    assert (found.arm, found.labels, found.replicates, found.training) == (ARM, LABELS, [0, 4], TRAINING)
    assert (found.budget, found.fingerprint) == (trained.budget, FINGERPRINT)
    assert found.encoder.startswith("53aa5117")
    assert all(np.array_equal(found.weights[name], value) for name, value in trained.weights.items())


def test_what_is_no_checkpoint_of_the_arm_is_refused(lake: Lake, trained: TrainedArm) -> None:
    with pytest.raises(StaleInputError, match=r"checkpoints\[templated@32\.5\] is not in the lake"):
        checkpoints.load(lake, ARM)
    path = Path(checkpoints.save(lake, ARM, trained, LABELS, TRAINING, FINGERPRINT))
    whole = path.read_bytes()
    with pytest.raises(StaleInputError, match=f"fingerprint {FINGERPRINT.digest}, due 0123"):
        checkpoints.load(lake, ARM, "0123")
    other = Path(lake.place("checkpoints", "arm=other@00", "data.safetensors"))
    other.parent.mkdir()
    other.write_bytes(whole)
    with pytest.raises(LakeError, match=r"holds arm `templated@32\.5`, not `other@00`"):
        checkpoints.load(lake, "other@00")
    for damaged in (
        whole[: len(whole) // 2],
        b"",
        b"\x80\x04cos\nsystem\n.",
        whole.replace(b'"format":"1"', b'"format":"2"'),
    ):
        path.write_bytes(damaged)
        with pytest.raises(LakeError, match="is damaged"):
            checkpoints.load(lake, ARM)


def test_weights_that_do_not_fit_their_labels_are_refused(lake: Lake, trained: TrainedArm) -> None:
    checkpoints.save(lake, ARM, trained, LABELS[:2], TRAINING, FINGERPRINT)
    with pytest.raises(LakeError, match="does not fit its labels"):
        checkpoints.load(lake, ARM)


def test_a_write_that_fails_leaves_the_old_file(
    lake: Lake, trained: TrainedArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(checkpoints.save(lake, ARM, trained, LABELS, TRAINING, FINGERPRINT))
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save(lake, ARM, trained, LABELS[::-1], TRAINING, FINGERPRINT)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["data.safetensors"]


def test_predictions_are_the_softmax_of_the_head(lake: Lake, trained: TrainedArm) -> None:
    checkpoints.save(lake, ARM, trained, LABELS, TRAINING, FINGERPRINT)
    docs, vectors = _documents(20)
    rows = predict(checkpoints.load(lake, ARM), docs, vectors, ARM)
    assert rows.schema == PREDICTIONS.schema
    assert rows.num_rows == 40
    for row in rows.to_pylist():
        place = [0, 4].index(row["replicate"])
        x = vectors.take(pa.array([row["doc_id"]]))[0].astype(np.float64)
        w = {name: value[place].astype(np.float64) for name, value in trained.weights.items()}
        z = np.maximum(x @ w["hidden.weight"] + w["hidden.bias"][0], 0) @ w["output.weight"] + w["output.bias"][0]
        p = np.exp(z) / np.exp(z).sum()
        assert row["predicted"] == LABELS[int(p.argmax())]
        assert row["confidence"] == pytest.approx(p.max(), abs=1e-5)
        assert row["p_label"] == pytest.approx(p[LABELS.index(row["label"])], abs=1e-5)
        assert row["sum_p2"] == pytest.approx((p**2).sum(), abs=1e-5)
        assert row["entropy"] == pytest.approx(-(p * np.log(p)).sum(), abs=1e-4)


def test_a_prediction_depends_on_its_document_alone(lake: Lake, trained: TrainedArm) -> None:
    checkpoints.save(lake, ARM, trained, LABELS, TRAINING, FINGERPRINT)
    checkpoint = checkpoints.load(lake, ARM)
    docs, vectors = _documents(CHUNK + 40)
    everything = predict(checkpoint, docs, vectors, ARM)
    shuffled = docs.take(np.random.default_rng(0).permutation(docs.num_rows))
    assert predict(checkpoint, shuffled, vectors, ARM).equals(everything)
    few = docs.slice(CHUNK, 3)
    alone = predict(checkpoint, few, vectors, ARM).to_pylist()
    by_key = {(r["replicate"], r["doc_id"]): r for r in everything.to_pylist()}
    assert all(row == by_key[row["replicate"], row["doc_id"]] for row in alone)
    # in two slices, one prediction
    twice = pa.concat_tables([few, few.set_column(1, "slice", pa.array(["atypical"] * 3))])
    found = predict(checkpoint, twice, vectors, ARM).to_pylist()
    assert len(found) == 12
    assert all(row | {"slice": ""} == by_key[row["replicate"], row["doc_id"]] | {"slice": ""} for row in found)


def test_a_label_without_output_is_refused(lake: Lake, trained: TrainedArm) -> None:
    checkpoints.save(lake, ARM, trained, LABELS, TRAINING, FINGERPRINT)
    docs, vectors = _documents(6)
    odd = docs.set_column(3, "label", pa.array(["json.new"] * 6))
    with pytest.raises(StaleInputError, match=r"no output for label `json\.new`"):
        predict(checkpoints.load(lake, ARM), odd, vectors, ARM)


def test_a_frozen_anchor_of_a_label_that_left_the_corpus_is_a_miss(lake: Lake, trained: TrainedArm) -> None:
    checkpoints.save(lake, ARM, trained, LABELS, TRAINING, FINGERPRINT)
    checkpoint = checkpoints.load(lake, ARM)
    docs, vectors = _documents(6)
    docs = docs.set_column(1, "slice", pa.array(["adversarial"] * 6))
    plain = predict(checkpoint, docs, vectors, ARM).to_pylist()
    gone = docs.set_column(3, "label", pa.array(["json.gone"] * 6))
    found = predict(checkpoint, gone, vectors, ARM)
    rows = found.to_pylist()
    assert len(rows) == len(plain)
    for row, same in zip(rows, plain, strict=True):
        assert row["p_label"] == 0
        assert row["predicted"] != row["label"]
        # what the head says does not hang on the label
        assert (row["predicted"], row["confidence"], row["sum_p2"]) == (
            same["predicted"],
            same["confidence"],
            same["sum_p2"],
        )
    measured = outcomes(found)
    assert not measured.correct.any()
    assert np.isfinite(measured.nll).all()
