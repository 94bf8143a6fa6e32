"""What a model card says of an arm, from the tables of the lake.

What belongs here: data, mixture, caps, metrics, fingerprints, each as the lake holds it. What does not: wording
(card.md.jinja), the model.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow.compute as pc

from smc_dagster.evaluation.overall import over_all_domains
from smc_dagster.export.trained import Trained
from smc_dagster.workbench import Workbench

ROWS = ("budget", "rows_real", "rows_synthetic", "rows_repeated", "rows_anchor", "rows_asked", "shortfall")
STATED = ("mixture_documents", "checkpoints", "predictions", "arm_metrics")


def facts(bench: Workbench, trained: Trained, replicate: int) -> dict[str, Any]:
    """Everything about an arm that its card states, but for checks, choice and verification.

    Raises:
        StaleInputError: a table is missing, or was made from other inputs than the study now asks for.
    """
    study, key = bench.study, trained.arm
    arm = study.arm(key)
    metrics = bench.read("arm_metrics", key)
    chosen = metrics.filter(pc.equal(metrics["replicate"], replicate))
    mixture = _mixture(bench, key, replicate)
    rows = {name: sum(one[name] for one in mixture) for name in ROWS}
    held = rows["rows_real"] + rows["rows_synthetic"] + rows["rows_repeated"]
    return {
        "study": study,
        "title": " ".join(study.title.split()),
        "question": " ".join(study.question.split()),
        "arm": arm,
        "pool": None if arm.series.pool is None else study.pools[arm.series.pool].generator,
        "training": trained.training,
        "budget": trained.budget,
        "origin": trained.origin,
        "documents": _documents(bench),
        "mixture": mixture,
        "rows": rows,
        "share": rows["rows_synthetic"] / held if held else 0.0,
        "level": study.findings.level,
        "metrics": over_all_domains(chosen, study.findings.level),
        "arm_means": {(one["slice"], one["metric"]): one for one in over_all_domains(metrics, study.findings.level)},
        "fingerprints": {name: bench.lineage.due(name, key).digest for name in STATED}
        | {name: bench.lineage.due(name).digest for name in ("real_documents", "reality_anchors")}
        | {"study": study.digest},
    }


def _mixture(bench: Workbench, key: str, replicate: int) -> list[dict[str, Any]]:
    """The replicate's rows by domain, with the cap in force."""
    rows = bench.read("mixture_composition", key)
    return list(rows.filter(pc.equal(rows["replicate"], replicate)).sort_by("domain").to_pylist())


def _documents(bench: Workbench) -> list[dict[str, Any]]:
    """By domain: its labels, and its real documents by split."""
    real = bench.read("real_documents", columns=["domain", "label", "split"])
    counts: dict[str, Counter[str]] = {}
    labels: dict[str, set[str]] = {}
    grouped = real.group_by(["domain", "label", "split"]).aggregate([([], "count_all")]).to_pylist()
    for one in grouped:
        counts.setdefault(one["domain"], Counter())[one["split"]] += one["count_all"]
        labels.setdefault(one["domain"], set()).add(one["label"])
    return [
        {"domain": name, "labels": sorted(labels[name]), "train": counts[name]["train"], "test": counts[name]["test"]}
        for name in sorted(counts)
    ]
