"""Generations of the language model: the first trained on real text, each later one on what the last one says.

What belongs here: making the generations that a study's pools draw on, and what each is trained on. What does not: one
training run (train.py), where the lake keeps it (store.py).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from smc_dagster.errors import LakeError
from smc_dagster.hardware import device
from smc_dagster.study.language_model import LanguageModel
from smc_dagster.synthesis.language_model import network
from smc_dagster.synthesis.language_model.batches import sequences
from smc_dagster.synthesis.language_model.sample import Diversity, sample
from smc_dagster.synthesis.language_model.train import perplexity, train
from smc_dagster.synthesis.streams import seed_of

CURVE = "training_curve.json"


@dataclass(frozen=True)
class Generation:
    """A trained generation.

    Attributes:
        folder: as transformers reads it, with `training_curve.json`.
        curve: (step, mean loss of a token in nats).
        facts: device, parameters, steps, tokens, seconds, tokens a second, perplexity on the validation split.
    """

    folder: Path
    curve: list[tuple[int, float]]
    facts: dict[str, float | str]


def first_texts(train: pa.Table) -> pa.Table:
    """What generation 0 is trained on: label and text of the training split, in one order whatever it came in."""
    return train.select(["label", "text"]).sort_by([("label", "ascending"), ("text", "ascending")])


def next_texts(folder: Path, train: pa.Table, section: LanguageModel, seed: int, work: Path, name: str) -> pa.Table:
    """What the generation after the one in `folder` is trained on: as many texts of each label as there are real ones.

    Args:
        train: label and text of the real training split.
        seed: the study's.
        name: what the generation in `folder` is made from.
    """
    counted = train["label"].value_counts().to_pylist()
    counts = {row["values"]: row["counts"] for row in counted}
    asked = Diversity(temperature=section.recursion.temperature, top_p=section.recursion.top_p)
    made = sample(folder, train, counts, asked, seed_of(seed, "recursion", name), work, name)
    rows = [(label, text) for label in sorted(made) for text in made[label]]
    return pa.table({"label": [row[0] for row in rows], "text": [row[1] for row in rows]})


def make_generation(
    texts: pa.Table,
    validation: pa.Table,
    section: LanguageModel,
    seed: int,
    work: Path,
    key: str,
    progress: Callable[[int, int], None] | None = None,
) -> Generation:
    """Train one generation; a killed run goes on from its checkpoints below `work`.

    Args:
        texts: label and text to train on; tokenizer and network see nothing else.
        validation: label and text to measure on, and for nothing else.
        seed: of this generation.
        key: what it is made from.

    Raises:
        ModelError, WeightsError: see `train.train` and `network.begin`.
    """
    began = time.monotonic()
    labels = sorted(set(texts["label"].to_pylist()))
    model, vocabulary = network.begin(section, texts["text"].to_pylist(), labels, seed_of(seed, "weights"))

    def rows(table: pa.Table) -> list[Any]:
        known = [row for row in table.to_pylist() if row["label"] in vocabulary.label_ids]
        tokens = vocabulary.encode([row["text"] for row in known])
        ids = [vocabulary.label_ids[row["label"]] for row in known]
        return sequences(tokens, ids, vocabulary.end, section.max_tokens)

    done = train(model, rows(texts), vocabulary.end, section, seed, work / "checkpoints", key, progress)
    held = rows(validation)
    seconds = time.monotonic() - began
    folder = work / "model"
    shutil.rmtree(folder, ignore_errors=True)
    network.write(model.cpu(), vocabulary, folder)
    facts: dict[str, float | str] = {
        "device": str(device()),
        "parameters": sum(one.numel() for one in model.parameters()),
        "texts": texts.num_rows,
        "steps": done.steps,
        "tokens": done.tokens,
        "resumed_at_step": done.resumed,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(done.tokens * (1 - done.resumed / done.steps) / max(seconds, 1e-9), 1),
        "final_loss": done.curve[-1][1],
    }
    if held:
        facts["validation_perplexity"] = perplexity(model, held, vocabulary.end)
    (folder / CURVE).write_text(json.dumps({"curve": done.curve, "facts": facts}, indent=1))
    return Generation(folder, done.curve, facts)


def read(folder: Path) -> Generation:
    """A generation that was made earlier.

    Raises:
        LakeError: its curve is not readable.
    """
    try:
        said = json.loads((folder / CURVE).read_text())
        return Generation(folder, [(int(step), float(loss)) for step, loss in said["curve"]], dict(said["facts"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{folder / CURVE}: {error}", "materialise generator_model again") from error
