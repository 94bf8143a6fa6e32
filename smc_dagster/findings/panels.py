"""Rare recall, confidence and ECE of every arm and replicate on every bootstrap draw of the documents.

What belongs here: the three statistics as weighted sums over documents. What does not: differences and intervals
(effects.py).

All are sums over documents (the ECE: absolute values of such sums a bin), so one sparse product a chunk of draws
serves all arms. A sparse product runs on one thread: the draws do not depend on how many threads a BLAS has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smc_dagster.evaluation.calibration import equal_mass_bins
from smc_dagster.findings.collect import Documents, Evidence, Outcome
from smc_dagster.findings.draws import Floats, document_weights
from smc_dagster.tables import ALL_DOMAINS


def tail_of(documents: Documents, domain: str) -> NDArray[np.bool_]:
    """[n] which documents rare recall is a mean over: those of tail labels, in one domain or all."""
    return documents.is_tail if domain == ALL_DOMAINS else documents.is_tail & (documents.domain == domain)


def recall_draws(evidence: Evidence, domains: list[str], draws: int, seed: int) -> dict[tuple[str, str], Floats]:
    """Mean over tail labels of recall on slice `rare`, by (arm key, domain): [replicates, draws].

    Documents are drawn within their label, so that no label goes missing.
    """
    if "rare" not in evidence.documents:
        return {}
    documents = evidence.documents["rare"]
    labels = np.unique(documents.label.astype(str), return_inverse=True)[1].astype(np.int64)
    rows, keys = [], []
    for domain in domains:
        weights = _label_weights(labels, tail_of(documents, domain))
        for arm in evidence.arms:
            outcome = evidence.outcomes.get((arm.key, "rare"))
            if outcome is not None:
                rows.append(_sparse(outcome.correct * weights))
                keys.append((arm.key, domain, len(outcome.replicates)))
    sums = _multiply(rows, document_weights(labels, draws, seed, "findings rare"))
    ends = np.cumsum([count for _, _, count in keys])
    return {(key, domain): sums[end - count : end] for (key, domain, count), end in zip(keys, ends, strict=True)}


def confidence_draws(evidence: Evidence, draws: int, seed: int) -> dict[str, Floats]:
    """Mean top-1 probability on slice `test`, by arm key: [replicates, draws]."""
    return _test_draws(
        evidence, draws, seed, lambda outcome: _sparse(outcome.confidence / outcome.confidence.shape[1]), 1
    )


def ece_draws(evidence: Evidence, bins: int, draws: int, seed: int) -> dict[str, Floats]:
    """Equal-mass ECE on slice `test`, by arm key: [replicates, draws]; each replicate's bins stay those of its data."""
    return _test_draws(evidence, draws, seed, lambda outcome: _bin_sums(outcome, bins), bins)


def _test_draws(evidence: Evidence, draws: int, seed: int, rows_of: Any, cells: int) -> dict[str, Floats]:
    if "test" not in evidence.documents:
        return {}
    found = {arm.key: evidence.outcomes.get((arm.key, "test")) for arm in evidence.arms}
    outcomes = {key: outcome for key, outcome in found.items() if outcome is not None}
    one_stratum = np.zeros(len(evidence.documents["test"]), np.int64)
    weights = document_weights(one_stratum, draws, seed, "findings test")
    sums = _multiply([rows_of(outcome) for outcome in outcomes.values()], weights, cells)
    ends = np.cumsum([len(outcome.replicates) for outcome in outcomes.values()])
    return {
        key: sums[end - len(outcome.replicates) : end]
        for (key, outcome), end in zip(outcomes.items(), ends, strict=True)
    }


def _multiply(rows: list[Any], weights: Any, cells: int = 1) -> Floats:
    """Sums of all rows on all draws; with `cells` > 1, absolute sums added up over so many rows at a time."""
    from scipy.sparse import vstack

    functionals = vstack(rows).tocsr()
    parts = []
    for chunk in weights:
        sums = functionals @ chunk
        parts.append(sums if cells == 1 else np.abs(sums).reshape(-1, cells, sums.shape[1]).sum(axis=1))
    return np.concatenate(parts, axis=1)


def _sparse(values: Any) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(values.astype(np.float64))


def _label_weights(labels: NDArray[np.int64], counted: NDArray[np.bool_]) -> Floats:
    """[n] weights that make the sum of `correct` the mean over the counted labels of their recall."""
    sizes = np.bincount(labels[counted], minlength=int(labels.max(initial=0)) + 1)
    present = max(int(np.count_nonzero(sizes)), 1)
    return np.where(counted, 1 / np.maximum(sizes[labels] * present, 1), 0.0)


def _bin_sums(outcome: Outcome, bins: int) -> Any:
    from scipy.sparse import csr_matrix

    count, n = outcome.confidence.shape
    group = np.repeat(np.arange(count), n)
    cell = group * bins + equal_mass_bins(outcome.confidence.ravel(), bins, group)
    gap = (outcome.confidence.astype(np.float64) - outcome.correct).ravel() / n
    return csr_matrix((gap, (cell, np.tile(np.arange(n), count))), shape=(count * bins, n))
