"""The study: what is asked, read from YAML and checked before anything runs.

What belongs here: the names that the rest of the package imports. What does not: anything that reads documents or
touches the lake.
"""

from __future__ import annotations

from smc_dagster.study.arms import Arm, arm_key
from smc_dagster.study.gates import DayDrift, Gates
from smc_dagster.study.loading import (
    load_study,
    shipped_studies,
    study_path,
)
from smc_dagster.study.model import (
    Study,
    digest_of,
)
from smc_dagster.study.sections import (
    NAME_PATTERN,
    Anchors,
    Composition,
    Corpus,
    Evaluation,
    Findings,
    Name,
    Pool,
    Provenance,
    Screening,
    Series,
    Split,
    Strictness,
    Tail,
)
from smc_dagster.study.training import Training

__all__ = [
    "NAME_PATTERN",
    "Anchors",
    "Arm",
    "Composition",
    "Corpus",
    "DayDrift",
    "Evaluation",
    "Findings",
    "Gates",
    "Name",
    "Pool",
    "Provenance",
    "Screening",
    "Series",
    "Split",
    "Strictness",
    "Study",
    "Tail",
    "Training",
    "arm_key",
    "digest_of",
    "load_study",
    "shipped_studies",
    "study_path",
]
