"""Answers of models in a world whose truth is known, as the evidence that findings are drawn from.

What belongs here: documents, answers and their noise. What does not: what is made of them (known_truth.py).

A document of a rare label is answered right where its luck is below its chance. Chance is the document's own ease,
plus the world's change at that share, plus the wobble of that arm and replicate. Luck is normal, in three parts:
the document's own, as all models find the same documents hard; the document's in one replicate, as arms of a replicate
share rows, initial weights and batch order; and what is left to chance. Wobble is set so that the rare recall of a
replicate scatters by `REPLICATE_SD` about its curve, once its own level is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import ndtr

from smc_dagster.evaluation.metrics import Outcomes, measure
from smc_dagster.findings.collect import Documents, Evidence, Outcome
from smc_dagster.findings.curves import Floats
from smc_dagster.findings.noise import noise_of
from smc_dagster.study import Study
from smc_dagster.tables import ARM_METRICS, MIXTURE_COMPOSITION

REPLICATE_SD = 0.02
TAIL_DOCUMENTS, LABELS, TEST_DOCUMENTS = 900, 45, 1500
# ease of documents of rare labels is spread evenly about the middle: no chance leaves 0-1 at losses up to .45
EASE = (0.45, 0.75)
# parts of the luck's variance: of the document, of the document in one replicate; the rest is of the single answer
DOCUMENT, PAIRED = 0.5, 0.3


@dataclass(frozen=True)
class World:
    """Change of rare recall by series name, [shares] each; confidence and head documents never change."""

    name: str
    change: dict[str, Floats]


def study(series: list[str], shares: Floats, replicates: int, draws: int) -> Study:
    """A study of that design, one series of it the drop control where so named; nothing of it is ever run."""
    return Study.model_validate(
        {
            "name": "known_truth",
            "title": "A world whose truth is known",
            "question": "Is what is there found, and what is not there not?",
            "seed": 1,
            "corpus": {"source": {"kind": "docstrings", "packages": ["python"]}},
            "pools": {"pool": {"generator": "template"}},
            "series": [
                {"name": one, "composition": "drop"} if one == "drop" else {"name": one, "pool": "pool"}
                for one in series
            ],
            "shares": [float(one) for one in shares],
            "replicates": replicates,
            "findings": {"bootstrap_draws": draws},
        }
    )


def evidence(design: Study, world: World, seed: int, wobble: float) -> Evidence:
    """Answers of every arm and replicate, and their metrics."""
    rng = np.random.default_rng([seed, 0x616E73])
    arms, count = design.arms, design.replicates
    tail = _answers(
        rng,
        rng.uniform(*EASE, TAIL_DOCUMENTS),
        np.array([world.change[arm.series.name][design.shares.index(arm.share)] for arm in arms]),
        count,
        wobble,
    )
    head_ease = np.clip(rng.normal(0.7, 0.15, TEST_DOCUMENTS), 0.05, 0.95)
    head = _answers(rng, head_ease, np.zeros(len(arms)), count, wobble)
    shifts = 0.05 + rng.normal(0, 0.02, head.shape) + rng.normal(0, 0.005, (len(arms), count, 1))
    sure = np.clip(head_ease + shifts, 0.02, 0.99).astype(np.float32)
    documents = {
        "rare": _documents("rare", TAIL_DOCUMENTS, LABELS, tail=True),
        "test": _documents("test", TEST_DOCUMENTS, 2 * LABELS, tail=False),
    }
    given = {"rare": (tail, np.full(tail.shape, 0.5, np.float32)), "test": (head, sure)}
    numbers = np.arange(count)
    outcomes = {
        (arm.key, name): Outcome(numbers, correct[i], confidence[i])
        for name, (correct, confidence) in given.items()
        for i, arm in enumerate(arms)
    }
    metrics = pa.concat_tables([_metrics(design, name, documents[name], *given[name]) for name in given])
    return Evidence(arms, metrics, documents, outcomes, MIXTURE_COMPOSITION.schema.empty_table())


def wobble_for(design: Study, spread: float) -> float:
    """The wobble under which the rare recall of a replicate scatters by `spread` about its curve, measured."""
    flat = World("none", {one.name: np.zeros(len(design.shares)) for one in design.series})

    def scatter(wobble: float) -> float:
        found = [evidence(design, flat, seed, wobble).metric("rare_recall", "rare") for seed in range(20, 26)]
        keys = [arm.key for arm in design.arms if arm.series.name == design.series[0].name]
        return float(
            np.sqrt(np.mean([noise_of(np.stack([one[key][1] for key in keys], 1)).spread ** 2 for one in found]))
        )

    alone = scatter(0.0)
    if alone >= spread:
        raise ValueError(f"single answers alone scatter by {alone:.4f}, more than {spread}")
    return float(np.sqrt(spread**2 - alone**2))


def _answers(rng: np.random.Generator, ease: Floats, change: Floats, replicates: int, wobble: float) -> np.ndarray:
    """[arms, replicates, documents] whether each is right."""
    arms, n = len(change), len(ease)
    luck = (
        np.sqrt(DOCUMENT) * rng.normal(size=n)
        + np.sqrt(PAIRED) * rng.normal(size=(replicates, n))
        + np.sqrt(1 - DOCUMENT - PAIRED) * rng.normal(size=(arms, replicates, n))
    )
    chance = ease + change[:, None, None] + rng.normal(0, wobble, (arms, replicates, 1))
    return np.asarray(ndtr(luck) < chance)


def _documents(slice_name: str, n: int, labels: int, *, tail: bool) -> Documents:
    label = np.array([f"all.{slice_name}{k:02d}" for k in np.arange(n) % labels], dtype=object)
    ids = np.array([f"{slice_name}-{i:05d}" for i in range(n)], dtype=object)
    return Documents(ids, np.full(n, "all", dtype=object), label, np.full(n, tail))


def _metrics(
    design: Study, slice_name: str, documents: Documents, correct: np.ndarray, confidence: np.ndarray
) -> pa.Table:
    """ARM_METRICS of one slice, of every arm and replicate at once, by the code that measures real predictions."""
    cells, n = correct.shape[0] * correct.shape[1], len(documents)
    names, label = np.unique(documents.label.astype(str), return_inverse=True)
    nothing = np.zeros(cells * n)
    rows = Outcomes(
        replicates=list(range(cells)),
        domains=["all"],
        labels=names.tolist(),
        slices=[slice_name],
        replicate=np.repeat(np.arange(cells), n),
        domain=np.zeros(cells * n, np.int64),
        label=np.tile(label, cells),
        slice=np.zeros(cells * n, np.int64),
        is_tail=np.tile(documents.is_tail, cells),
        correct=correct.reshape(-1),
        confidence=confidence.reshape(-1),
        nll=nothing,
        brier=nothing,
        entropy=nothing,
    )
    found = measure(rows, rows.replicate, cells, design.evaluation.ece_bins, design.findings.level)
    kept = ["rare_recall"] if slice_name == "rare" else ["confidence", "ece"]
    arms = [arm for arm in design.arms for _ in range(design.replicates)]
    parts = [
        pa.table(
            {
                "arm": [arm.key for arm in arms],
                "series": [arm.series.name for arm in arms],
                "share": [arm.share for arm in arms],
                "replicate": pa.array(np.tile(np.arange(design.replicates), len(design.arms)), pa.int32()),
                "domain": ["*"] * cells,
                "slice": [slice_name] * cells,
                "metric": [name] * cells,
                "value": found[name].value,
                "n": found[name].n.astype(np.int64),
                "low": found[name].low,
                "high": found[name].high,
                "anchors": ["v1"] * cells,
            },
            schema=ARM_METRICS.schema,
        )
        for name in kept
    ]
    return pa.concat_tables(parts)
