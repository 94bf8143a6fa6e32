"""A small study whose truth is known, written as tables into a lake: what the tests of findings measure against.

What belongs here: planting effects. What does not: any assertion.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from smc_dagster.evaluation.arm_metrics import arm_metrics
from smc_dagster.fingerprints import Fingerprint
from smc_dagster.lake import Lake
from smc_dagster.study import Composition, Study
from smc_dagster.tables import ARM_METRICS, MIXTURE_COMPOSITION, PREDICTIONS, SYNTHETIC_PROFILE

SHARES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
SERIES = [
    {"name": "templated", "pool": "templated"},
    {"name": "sampled", "pool": "sampled"},
    {"name": "templated_strong", "pool": "templated", "strictness": "strong"},
    {"name": "drop", "composition": "drop"},
]
# series and share to the shift of the chance of a correct answer, and of confidence
Effect = Callable[[str, float], tuple[float, float]]


def make_study(series: list[dict] | None = None, **changes: object) -> Study:
    """A study of four series and seven shares; nothing of it is ever run."""
    findings = changes.pop("findings", {})
    return Study.model_validate(
        {
            "name": "known",
            "title": "A world whose truth is known",
            "question": "How much synthetic text can each domain take before its long tail breaks?",
            "seed": 11,
            "corpus": {"source": {"kind": "docstrings", "packages": ["python"]}},
            "pools": {"templated": {"generator": "templates"}, "sampled": {"generator": "sampler"}},
            "series": series or SERIES,
            "shares": SHARES,
            "findings": {"bootstrap_draws": 1000, "reach_studies": 20} | findings,
            "evaluation": {"null_draws": 20},
            **changes,
        }
    )


def make_lake(
    folder: Path,
    study: Study,
    effect: Effect,
    *,
    documents: int = 700,
    domains: tuple[str, ...] = ("json", "asyncio", "numpy"),
    labels: int = 8,
    noise: float = 0.01,
    seed: int = 5,
    cap: float = 1.0,
    rare: bool = True,
    arms: Callable[[str], bool] = lambda key: True,
) -> Lake:
    """Write metrics, predictions, composition and profiles.

    Every document has one luck a replicate, shared by all arms, so arms are paired; half of the labels are tail
    labels. The chance of a correct answer also moves by a normal `noise` for each arm and replicate.

    Args:
        effect: (series, share) -> shift of the chance of a correct answer on tail labels, shift of confidence
            everywhere.
        documents: in each of the slices `test` and `rare`.
        cap: of every domain, in series with a pool that obey caps.
        rare: whether any label is a tail label.
    """
    lake = Lake(folder, study.name)
    rng = np.random.default_rng(seed)
    label = rng.integers(0, labels, documents)
    domain = rng.integers(0, len(domains), documents)
    is_tail = (label % 2 == 0) & rare
    ease = np.clip(rng.normal(0.55, 0.2, documents), 0.05, 0.95)
    luck = rng.random((study.replicates, documents))
    wobble = rng.normal(0, noise, (len(study.arms), study.replicates))
    names = np.array([f"{domains[d]}.part{k}" for d, k in zip(domain, label, strict=True)])
    for i, arm in enumerate(study.arms):
        if not arms(arm.key):
            continue
        shift, surer = effect(arm.series.name, arm.share)
        tables = []
        for r in range(study.replicates):
            chance = np.clip(ease + np.where(is_tail, shift, 0) + (wobble[i, r] if arm.share else 0), 0, 1)
            correct = luck[r] < chance
            confidence = np.clip(ease + surer, 0.02, 0.99).astype(np.float32)
            for name in ("test", "rare"):
                kept = np.ones(documents, bool) if name == "test" else is_tail
                tables.append(
                    _predictions(arm.key, r, name, names, domain, domains, is_tail, correct, confidence, kept)
                )
        predictions = pa.concat_tables(tables)
        budget = {"steps": 600.0, "examples_seen": 76800.0, "flops": 1.2e12}
        lake.write(PREDICTIONS, predictions, Fingerprint("predictions", "p", "1"), arm.key)
        metrics = arm_metrics(predictions, arm, budget, study.evaluation, study.seed, "v1")
        lake.write(ARM_METRICS, metrics, Fingerprint("arm_metrics", "p", "1"), arm.key)
        composition = pa.Table.from_pylist(
            [_composed(arm, r, name, cap) for r in range(study.replicates) for name in domains],
            MIXTURE_COMPOSITION.schema,
        )
        lake.write(MIXTURE_COMPOSITION, composition, Fingerprint("mixture_composition", "p", "1"), arm.key)
    for pool in study.pools:
        rows = [
            {"pool": pool, "domain": name, "measure": measure, "value": value, "reference": 0.02, "n": 300}
            for name in ("*", *domains)
            for measure, value in (("near_duplicate_rate", 0.41), ("template_share", 0.63), ("mode_coverage", 0.37))
        ]
        profile = pa.Table.from_pylist(rows, SYNTHETIC_PROFILE.schema)
        lake.write(SYNTHETIC_PROFILE, profile, Fingerprint("synthetic_profile", "p", "1"), pool)
    return lake


def _predictions(arm, replicate, name, names, domain, domains, is_tail, correct, confidence, kept) -> pa.Table:
    index = np.flatnonzero(kept)
    n = len(index)
    predicted = np.where(correct[kept], names[kept], "another")
    p_label = np.where(correct[kept], confidence[kept], (1 - confidence[kept]) / 9).astype(np.float32)
    return pa.table(
        {
            "arm": [arm] * n,
            "replicate": pa.array([replicate] * n, pa.int32()),
            "doc_id": [f"{name}-{j:05d}" for j in index],
            "slice": [name] * n,
            "domain": [domains[d] for d in domain[kept]],
            "label": names[kept],
            "is_tail": is_tail[kept],
            "predicted": predicted,
            "confidence": confidence[kept],
            "p_label": p_label,
            "sum_p2": (confidence[kept] ** 2).astype(np.float32),
            "entropy": np.full(n, 0.7, np.float32),
        },
        schema=PREDICTIONS.schema,
    )


def _composed(arm, replicate: int, name: str, cap: float) -> dict:
    budget, dropped, added = 1000, arm.series.pool is None, arm.series.composition is Composition.ADD
    asked = round(arm.share * budget)
    cap = cap if arm.series.caps and not dropped else 1.0
    displaced = 0 if added else min(asked, int(cap * budget))
    on_top = round(budget * arm.share / (1 - arm.share)) if added else displaced
    return {
        "arm": arm.key,
        "series": arm.series.name,
        "pool": arm.series.pool,
        "share": arm.share,
        "composition": arm.series.composition.value,
        "strictness": arm.series.strictness.value,
        "replicate": replicate,
        "domain": name,
        "rows_available": budget,
        "budget": budget,
        "cap": cap,
        "pool_available": 0 if dropped else 700,
        "rows_asked": asked,
        "rows_displaced": displaced,
        "rows_synthetic": 0 if dropped else on_top,
        "rows_real": budget - displaced,
        "shortfall": 0 if added else asked - displaced,
        "why": "cap" if asked > displaced and not added else None,
    }
