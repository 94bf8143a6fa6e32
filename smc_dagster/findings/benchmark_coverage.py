"""Which rare labels the evaluation documents can judge at all.

What belongs here: BENCHMARK_COVERAGE. What does not: the noise that it starts from (difference_noise.py), and judging
domains (safe_shares.py).

A label is judged where the loss of all recall that its domain's rare labels have at 0 % would be seen with
probability .8, one-sided at the study's level; where even that would probably go unseen, the label's own figures say
nothing. What is seen follows from the noise of paired differences between the largest share and 0 %, pooled over all
rare labels and the series with synthetic rows: one label's few documents cannot give their own. As that leans on a
normal approximation, a label also needs as many documents as a sign test needs at least: with fewer than five, at 95 %,
it could not tell a loss of them all from chance.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.errors import StaleInputError
from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.difference_noise import Noise, label_noise
from smc_dagster.findings.power import smallest_effect
from smc_dagster.lake import Lake
from smc_dagster.study import Study
from smc_dagster.tables import BENCHMARK_COVERAGE, REAL_DOCUMENTS


def build_benchmark_coverage(study: Study, lake: Lake, evidence: Evidence) -> pa.Table:
    """BENCHMARK_COVERAGE: a row for each rare label of the corpus, by domain and label; empty without two arms.

    `n` counts its documents in slice `rare`; `smallest_loss` is of recall, absolute, None with too few documents for a
    sign test or where it is above 1; `needed`: documents that would do, None where no number would at so few
    replicates, or where the domain's rare labels have no recall to lose.

    Raises:
        LakeError: real_documents is damaged.
    """
    counts, base = _documents(evidence)
    noise = _noise(study, evidence)
    if noise is None:
        return BENCHMARK_COVERAGE.schema.empty_table()
    z = smallest_effect(1.0, study.findings.level, sides=1)
    least = math.ceil(-math.log2(1 - study.findings.level) - 1e-9)
    rows: list[dict[str, Any]] = []
    for domain, label in sorted(counts.keys() | _tail_labels(lake)):
        n = counts[domain, label]
        recall = base.get(domain)
        seen = z * float(noise.error(n)) if n >= least else None
        needed = noise.documents_needed(recall / z) if recall else None
        rows.append(
            {
                "domain": domain,
                "label": label,
                "n": n,
                "base": recall,
                "smallest_loss": None if seen is None or seen > 1 else seen,
                "judged": seen is not None and recall is not None and seen <= recall,
                "needed": None if needed is None else max(least, needed),
            }
        )
    return pa.Table.from_pylist(rows, schema=BENCHMARK_COVERAGE.schema)


def by_domain(table: pa.Table) -> list[dict[str, Any]]:
    """A row a domain of BENCHMARK_COVERAGE: its rare labels, how many are judged, documents a label has and needs."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["domain"], []).append(row)
    return [
        {
            "domain": domain,
            "labels": len(rows),
            "judged": sum(row["judged"] for row in rows),
            "without": sum(row["n"] == 0 for row in rows),
            "median_n": float(np.median([row["n"] for row in rows])),
            "base": rows[0]["base"],
            "needed": rows[0]["needed"],
        }
        for domain, rows in found.items()
    ]


def _documents(evidence: Evidence) -> tuple[Counter[tuple[str, str]], dict[str, float]]:
    """Documents by (domain, label) in slice `rare`; by domain the mean recall of rare labels at 0 %."""
    rare = evidence.documents.get("rare")
    if rare is None:
        return Counter(), {}
    tail = rare.is_tail
    counts = Counter(zip(rare.domain[tail].tolist(), rare.label[tail].tolist(), strict=True))
    values: dict[str, list[float]] = {}
    starts = {arm.key for arm in evidence.arms if arm.share == 0}
    for domain in sorted(set(rare.domain[tail].tolist())):
        for key, (_, found) in evidence.metric("rare_recall", "rare", domain).items():
            if key in starts:
                values.setdefault(domain, []).extend(found[np.isfinite(found)].tolist())
    return counts, {domain: float(np.mean(found)) for domain, found in values.items() if found}


def _noise(study: Study, evidence: Evidence) -> Noise | None:
    rare = evidence.documents.get("rare")
    differences, labels = [], []
    for series in study.series:
        arm = evidence.largest(series.name)
        if rare is None or series.pool is None or arm is None:
            continue
        pair = [evidence.outcomes.get((one.key, "rare")) for one in (arm, evidence.of_series(series.name)[0])]
        if pair[0] is None or pair[1] is None:
            continue
        common = np.intersect1d(pair[0].replicates, pair[1].replicates)
        if len(common):
            found = [one.correct[np.isin(one.replicates, common)][:, rare.is_tail] for one in pair if one is not None]
            differences.append(found[0].astype(float) - found[1])
            labels.append(rare.label[rare.is_tail])
    return label_noise(differences, labels)


def _tail_labels(lake: Lake) -> set[tuple[str, str]]:
    """Rare labels of the corpus: some have no evaluation document. None where the lake has parted with the corpus."""
    try:
        real = lake.read(REAL_DOCUMENTS, columns=["domain", "label", "is_tail"])
    except StaleInputError:
        return set()
    tail = real.filter(pc.field("is_tail")).group_by(["domain", "label"]).aggregate([])
    return set(zip(tail["domain"].to_pylist(), tail["label"].to_pylist(), strict=True))
