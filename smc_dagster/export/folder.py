"""A trained arm as a folder that `transformers.pipeline("text-classification", PATH)` loads.

What belongs here: what is refused, writing the folder whole or not at all, and trying what was written. What does not:
the model (model.py), its card (card.py), the command (cli/export.py).

The folder is written under a hidden name beside its place, loaded from there, compared with the study's own
predictions, and renamed: a crash leaves nothing under the name asked for.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import ExportError
from smc_dagster.export.card import card
from smc_dagster.export.choice import Choice, choose
from smc_dagster.export.facts import facts
from smc_dagster.export.model import Classifier
from smc_dagster.export.trained import Trained, trained
from smc_dagster.hardware import has_bfloat16
from smc_dagster.workbench import Workbench

# documents of the test split that a folder is tried on, and how far off its mean probability may be
TRIED, TOLERANCE = 200, 0.02


@dataclass(frozen=True)
class Verified:
    """A folder's answers beside the study's, on documents of the test split.

    Attributes:
        documents: how many were asked.
        same: how many got the same label.
        mean, largest: difference of the probability of the predicted label, 0-1.
    """

    documents: int
    same: int
    mean: float
    largest: float


@dataclass(frozen=True)
class Exported:
    """What was written: the folder, the replicate in it, and how it was tried."""

    path: Path
    choice: Choice
    verified: Verified


def export_arm(
    bench: Workbench,
    key: str,
    path: Path,
    replicate: int | None = None,
    checks: Callable[[], Sequence[dict[str, Any]]] = list,
) -> Exported:
    """Write one replicate of an arm, with its model card; see choice.py for which.

    Args:
        key: arm key.
        path: a folder that is not there yet, on this machine.
        checks: gives results for the card: `asset`, `check`, `partition`, `passed`, `severity`, `time`; asked for once
            nothing was refused.

    Raises:
        StudyError: there is no such arm.
        StaleInputError: the arm is not built, or not as the study now asks for.
        ExportError: something is at the path, it cannot be written, there is no such replicate, the arm's model fits no
            standard architecture, or the folder does not predict as the study did.
    """
    bench.study.arm(key)
    _check_free(path)
    with TemporaryDirectory(prefix="smc-export-") as work:
        return _export(bench, trained(bench, key, Path(work)), path, replicate, checks)


def _export(
    bench: Workbench,
    arm: Trained,
    path: Path,
    replicate: int | None,
    checks: Callable[[], Sequence[dict[str, Any]]],
) -> Exported:
    choice = choose(bench, arm, replicate)
    # read before anything is written: a stale table ends it here
    found = facts(bench, arm, choice.replicate)
    predictions = bench.read("predictions", arm.arm, ["replicate", "slice", "doc_id", "predicted", "confidence"])
    asked = pc.and_(pc.equal(predictions["slice"], "test"), pc.equal(predictions["replicate"], choice.replicate))
    # ids are hashes, so the first are a sample
    predictions = predictions.filter(asked).sort_by("doc_id").slice(0, TRIED)
    classifier = arm.classifier(choice.replicate)
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        hidden.mkdir(parents=True)
        classifier.model.save_pretrained(hidden)
        classifier.tokenizer.save_pretrained(hidden)
        verified = _try(hidden, bench, predictions)
        names = _added(classifier, choice, verified, checks())
        (hidden / "README.md").write_text(card(found | names), encoding="utf-8")
        # again: rename would replace an empty folder made meanwhile
        _check_free(path)
        os.rename(hidden, path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}", "give a path that can be") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return Exported(path, choice, verified)


def _check_free(path: Path) -> None:
    if os.path.lexists(path):
        raise ExportError(f"{path} is there already; nothing was written", "give a path where nothing is")


def _added(
    classifier: Classifier, choice: Choice, verified: Verified, checks: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """What the card says beside the facts of the lake."""
    return {
        "made": classifier.made,
        "positions": classifier.model.config.max_position_embeddings,
        "rounded": has_bfloat16(),
        "choice": choice,
        "verified": verified,
        "checks": checks,
    }


def _try(folder: Path, bench: Workbench, rows: pa.Table) -> Verified:
    """Load the folder as its users will, and compare its answers with these predictions.

    Raises:
        ExportError: it does not predict as the study did.
    """
    from transformers import pipeline
    from transformers.utils import logging

    real = bench.read("real_documents", columns=["doc_id", "text"])
    texts = real["text"].take(pc.index_in(rows["doc_id"], value_set=pa.array(real["doc_id"].to_pylist())))
    logging.disable_progress_bar()
    classify = pipeline("text-classification", str(folder), truncation=True, device="cpu")
    answers = classify(texts.to_pylist(), batch_size=32) if len(texts) else []
    same = sum(one["label"] == label for one, label in zip(answers, rows["predicted"].to_pylist(), strict=True))
    off = np.abs(np.array([one["score"] for one in answers]) - rows["confidence"].to_numpy())
    found = Verified(len(answers), same, *((float(off.mean()), float(off.max())) if len(off) else (0.0, 0.0)))
    if found.mean > TOLERANCE:
        raise ExportError(
            f"the folder written does not predict as the study did: of {found.documents} documents {found.same} get "
            f"the same label, probabilities differ by {found.mean:.3g} on average (at most {TOLERANCE:g} is due)",
            "install the versions of requirements.lock, and run `smc study run`",
        )
    return found
