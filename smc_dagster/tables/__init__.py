"""The Arrow schema of every table in the lake: the contract between stages.

What belongs here: the list of all tables, and their names for import. What does not: reading or writing (lake.py).
"""

from __future__ import annotations

from smc_dagster.tables import findings, stages
from smc_dagster.tables.findings import (
    ATTRIBUTION,
    BENCHMARK_COVERAGE,
    COLLAPSE_ONSET,
    DOMAIN_CORRELATIONS,
    DOMAIN_SENSITIVITY,
    HEADLINE,
    MITIGATION_EFFECTS,
    PROVENANCE_THRESHOLDS,
    SAFE_SHARES,
    STRICTNESS_TRADE,
)
from smc_dagster.tables.spec import (
    ALL_DOMAINS,
    ANCHOR_EVAL_SLICES,
    ANCHOR_TRAIN,
    EMBEDDING_WIDTH,
    EVALUATION_SPLITS,
    SPLITS,
    TRAINING_SPLITS,
    TableSpec,
)
from smc_dagster.tables.stages import (
    ANCHOR_EMBEDDINGS,
    ARM_METRICS,
    DRIFT,
    FAILED_QUARANTINE,
    GENERATOR_CURVES,
    MIXTURE_COMPOSITION,
    MIXTURE_DOCUMENTS,
    POOL_OVERLAPS,
    PREDICTIONS,
    QUARANTINE,
    RAW_DOCUMENTS,
    REAL_DOCUMENTS,
    REAL_EMBEDDINGS,
    REALITY_ANCHORS,
    SYNTHETIC_DOCUMENTS,
    SYNTHETIC_EMBEDDINGS,
    SYNTHETIC_PROFILE,
    SYNTHETIC_QUARANTINE,
    SYNTHETIC_SCORES,
    TRAINING_CURVES,
)

__all__ = [
    "ALL_DOMAINS",
    "ANCHOR_EMBEDDINGS",
    "ANCHOR_EVAL_SLICES",
    "ANCHOR_TRAIN",
    "ARM_METRICS",
    "ATTRIBUTION",
    "BENCHMARK_COVERAGE",
    "COLLAPSE_ONSET",
    "DOMAIN_CORRELATIONS",
    "DOMAIN_SENSITIVITY",
    "DRIFT",
    "EMBEDDING_WIDTH",
    "EVALUATION_SPLITS",
    "FAILED_QUARANTINE",
    "GENERATOR_CURVES",
    "HEADLINE",
    "MITIGATION_EFFECTS",
    "MIXTURE_COMPOSITION",
    "MIXTURE_DOCUMENTS",
    "POOL_OVERLAPS",
    "PREDICTIONS",
    "PROVENANCE_THRESHOLDS",
    "QUARANTINE",
    "RAW_DOCUMENTS",
    "REALITY_ANCHORS",
    "REAL_DOCUMENTS",
    "REAL_EMBEDDINGS",
    "SAFE_SHARES",
    "SPLITS",
    "STRICTNESS_TRADE",
    "SYNTHETIC_DOCUMENTS",
    "SYNTHETIC_EMBEDDINGS",
    "SYNTHETIC_PROFILE",
    "SYNTHETIC_QUARANTINE",
    "SYNTHETIC_SCORES",
    "TABLES",
    "TRAINING_CURVES",
    "TRAINING_SPLITS",
    "TableSpec",
]

TABLES = {one.name: one for part in (stages, findings) for one in vars(part).values() if isinstance(one, TableSpec)}
