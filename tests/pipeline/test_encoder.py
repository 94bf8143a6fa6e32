"""The real encoder on real text, and a checkpoint that a second process reads."""

from __future__ import annotations

import argparse
import email.message
import hashlib
import inspect
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from smc_dagster.errors import WeightsError
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.study import Training
from smc_dagster.tables import MIXTURE_DOCUMENTS, PREDICTIONS
from smc_dagster.training import checkpoints
from smc_dagster.training.embeddings import embed_documents
from smc_dagster.training.encoder import embed
from smc_dagster.training.heads import train_arm
from smc_dagster.training.predict import predict
from smc_dagster.training.vectors import Vectors
from smc_dagster.training.weights import DEFAULT_ENCODER, encoder_folder

pytestmark = pytest.mark.pipeline
MODULES = (statistics, email.message, argparse, json)


@pytest.fixture(scope="module")
def documents() -> pa.Table:
    """First lines of the docstrings of four modules of the standard library."""
    found = {}
    for module in MODULES:
        for holder in (module, *(one for _, one in inspect.getmembers(module, inspect.isclass))):
            for _, member in inspect.getmembers(holder):
                text = (getattr(member, "__doc__", None) or "").strip().split("\n\n")[0]
                if callable(member) and len(text.split()) > 3:
                    found.setdefault(text, module.__name__)
    rows = sorted(found.items())[:160]
    return pa.table(
        {
            "doc_id": [hashlib.sha256(text.encode()).hexdigest()[:32] for text, _ in rows],
            "text": [text for text, _ in rows],
            "label": [label for _, label in rows],
        }
    )


def _one_by_one(texts: list[str], max_tokens: int) -> np.ndarray:
    """A second implementation: float32, no batches, the model's class named."""
    from transformers import BertModel, PreTrainedTokenizerFast

    folder = encoder_folder(DEFAULT_ENCODER)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    model = BertModel.from_pretrained(folder, local_files_only=True).eval()
    out = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=max_tokens, padding=False)["input_ids"]
        with torch.inference_mode():
            mean = model(torch.tensor([ids])).last_hidden_state[0].mean(dim=0)
        out.append((mean / mean.norm()).numpy())
    return np.array(out)


def test_vectors_are_those_of_a_plain_implementation(documents: pa.Table) -> None:
    texts = [*documents["text"].to_pylist()[:40], "", "word " * 200]
    told: list[tuple[int, int]] = []
    found = embed(texts, DEFAULT_ENCODER, 32, lambda done, total: told.append((done, total)))
    assert found.shape == (42, 384)
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found * _one_by_one(texts, 32)).sum(axis=1).min() > 0.999
    assert told[-1] == (42, 42)
    assert embed([], DEFAULT_ENCODER, 32).shape == (0, 384)


def test_vectors_tell_meaning() -> None:
    one, alike, other = embed(
        ["How old are you?", "What is your age?", "Close the network socket."], DEFAULT_ENCODER, 64
    )
    assert one @ alike > 0.7 > 0.4 > one @ other


def test_a_vector_does_not_depend_on_its_company(documents: pa.Table) -> None:
    texts = documents["text"].to_pylist()
    everything = embed(texts, DEFAULT_ENCODER, 64)
    some = np.random.default_rng(0).permutation(len(texts))[:12]
    assert np.array_equal(embed([texts[i] for i in some], DEFAULT_ENCODER, 64), everything[some])
    assert np.array_equal(embed([texts[some[0]]], DEFAULT_ENCODER, 64)[0], everything[some[0]])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert np.array_equal(embed([texts[i] for i in some], DEFAULT_ENCODER, 64), everything[some])
    finally:
        torch.set_num_threads(before)


def test_a_local_folder_gives_the_same_vectors_and_bad_ones_are_refused(tmp_path: Path, documents: pa.Table) -> None:
    texts = documents["text"].to_pylist()[:5]
    folder = tmp_path / "mine"
    shutil.copytree(encoder_folder(DEFAULT_ENCODER), folder)
    assert np.array_equal(embed(texts, str(folder), 64), embed(texts, DEFAULT_ENCODER, 64))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 7}))
    with pytest.raises(WeightsError, match=r"model\.safetensors: lacks 16 weights of its model, encoder\.layer\.6"):
        embed(texts, str(folder), 64)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "made_up"}))
    with pytest.raises(WeightsError, match="not readable as a transformers encoder"):
        embed(texts, str(folder), 64)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(WeightsError, match="not readable as a transformers encoder"):
        embed(texts, str(folder), 64)


SECOND_PROCESS = """
import sys
import pyarrow as pa, pyarrow.parquet as pq
from smc_dagster.lake import Lake
from smc_dagster.training import checkpoints
from smc_dagster.training.predict import predict
from smc_dagster.training.vectors import Vectors
root, arm, digest = sys.argv[1:]
documents, embeddings = (pq.read_table(f"{root}/{name}.parquet") for name in ("documents", "embeddings"))
found = predict(checkpoints.load(Lake(f"{root}/lake", "s"), arm, digest), documents, Vectors.build([embeddings]), arm)
stored = pq.read_table(f"{root}/predictions.parquet")
assert found.num_rows == stored.num_rows > 0
assert found.equals(stored), "the predictions differ"
"""


def test_a_second_process_reproduces_the_predictions(tmp_path: Path, documents: pa.Table) -> None:
    import pyarrow.parquet as pq

    arm, training = "templated@00", Training(hidden=32, steps=60, batch=32)
    embeddings = embed_documents(documents, training, None, None)
    vectors = Vectors.build([embeddings])
    texts, labels = documents.num_rows, sorted(set(documents["label"].to_pylist()))
    held = np.arange(texts) % 4 == 0
    rows = [
        {
            "arm": arm,
            "replicate": replicate,
            "doc_id": doc_id,
            "domain": "python",
            "label": label,
            "provenance": "human",
            "slot": slot,
            "weight": 1.0,
        }
        for replicate in (0, 1)
        for slot, (doc_id, label) in enumerate(
            zip(
                documents["doc_id"].filter(pa.array(~held)).to_pylist(),
                documents["label"].filter(pa.array(~held)).to_pylist(),
                strict=True,
            )
        )
    ]
    mixture = pa.Table.from_pylist(rows, schema=MIXTURE_DOCUMENTS.schema)
    trained = train_arm(mixture, vectors, labels, training, seed=1, replicates=2)
    fingerprint = Fingerprint("checkpoints", "part", "1")
    lake = Lake(tmp_path / "lake", "s")
    checkpoints.save(lake, arm, trained, labels, training, fingerprint)
    evaluated = documents.filter(pa.array(held)).drop(["text"])
    n = evaluated.num_rows
    for name, value in (("slice", ["test"] * n), ("domain", ["python"] * n), ("is_tail", [False] * n)):
        evaluated = evaluated.append_column(name, pa.array(value))
    predictions = predict(checkpoints.load(lake, arm), evaluated, vectors, arm)
    assert predictions.schema == PREDICTIONS.schema
    right = np.mean([row["label"] == row["predicted"] for row in predictions.to_pylist()])
    assert right > 0.6
    for name, table in (("documents", evaluated), ("embeddings", embeddings), ("predictions", predictions)):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    command = [sys.executable, "-c", SECOND_PROCESS, str(tmp_path), arm, fingerprint.digest]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
