"""Small jobs of whole networks.

What belongs here: a study of them, its documents, mixtures and jobs. What does not: tests.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from small_network import WORDS

from smc_dagster.study import Study, load_study
from smc_dagster.tables import MIXTURE_DOCUMENTS
from smc_dagster.training.full.base import tokenizer_of
from smc_dagster.training.full.job import Job
from smc_dagster.training.full.prepare import prepare
from smc_dagster.training.full.tokens import token_table

LABELS = ["ask", "stop"]


def study(folder: Path, **training: object) -> Study:
    spoken = load_study("tiny").model_dump(mode="json")
    spoken["training"] = {
        "tuning": "full",
        "model": {"config": str(folder)},
        "max_tokens": 16,
        "steps": 6,
        "batch": 8,
        "learning_rate": 0.01,
        "checkpoint_every": 2,
    } | training
    return Study.model_validate(spoken)


def documents() -> pa.Table:
    rows = [
        (label, f"{opens} the {noun}" + " of my card" * (number % 3) + " please" * (number % 2))
        for label, opens in zip(LABELS, ("what is", "do cancel"), strict=True)
        for number, noun in enumerate(WORDS)
    ]
    ids = [f"{place:032x}" for place in range(len(rows))]
    return pa.table({"doc_id": ids, "label": [one[0] for one in rows], "text": [one[1] for one in rows]})


def mixture(arm: str, replicates: int = 2) -> pa.Table:
    docs = documents().to_pylist()
    rows = [
        {"arm": arm, "replicate": replicate, "doc_id": one["doc_id"], "domain": "d", "label": one["label"]}
        | {"provenance": "human", "slot": slot, "weight": 1.0}
        for replicate in range(replicates)
        for slot, one in enumerate(docs)
    ]
    return pa.Table.from_pylist(rows, schema=MIXTURE_DOCUMENTS.schema)


def job_of(folder: Path, asked: Study, *arms: str) -> Job:
    tokens = token_table(documents(), tokenizer_of(asked.training.model), asked.training.max_tokens, None)
    mixtures = ((arm, f"digest of {arm}", mixture(arm)) for arm in arms)
    return prepare(folder, asked, LABELS, tokens.to_batches(max_chunksize=5), mixtures)
