"""The study as a whole, and choosing among its arms.

What belongs here: the top of a study file and the rules over several sections. What does not: the sections
(sections.py), which arms can be built (arms.py), reading a file (loading.py), anything that reads documents or touches
the lake.
"""

from __future__ import annotations

import hashlib
import json
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from typing import Any

from pydantic import Field, field_validator, model_validator

from smc_dagster.errors import StudyError
from smc_dagster.study.arms import Arm, expand
from smc_dagster.study.gates import Gates
from smc_dagster.study.language_model import LanguageModel, generation_of
from smc_dagster.study.sections import (
    Anchors,
    Corpus,
    Evaluation,
    Findings,
    Name,
    Pool,
    Provenance,
    Screening,
    Series,
    Split,
    Tail,
)
from smc_dagster.study.sources import Model
from smc_dagster.study.training import Training


class Study(Model):
    """A whole study. Construct with `load_study`."""

    name: Name
    title: str
    question: str
    seed: int = Field(ge=0, lt=2**31)
    corpus: Corpus
    split: Split = Split()
    tail: Tail = Tail()
    anchors: Anchors = Anchors()
    synthetic_from: Provenance = Field(
        default=Provenance.templated, description="pools lie at or above it, real documents below"
    )
    pools: dict[Name, Pool] = Field(min_length=1)
    series: list[Series] = Field(min_length=1)
    shares: list[float] = Field(min_length=1)
    replicates: int = Field(default=5, ge=1, le=1000)
    budget: float = Field(default=1.0, gt=0, le=1, description="rows of a mixture per real training row")
    language_model: LanguageModel = LanguageModel()
    screening: Screening = Screening()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    findings: Findings = Findings()
    gates: Gates = Gates()

    @field_validator("shares")
    @classmethod
    def _shares_in_range(cls, shares: list[float]) -> list[float]:
        for share in shares:
            if not 0 <= share <= 1:
                raise ValueError(f"share {share} is outside 0-1 (0.4 means 40 %)")
        if len({round(s, 6) for s in shares}) != len(shares):
            raise ValueError("a share is given twice")
        if 0.0 not in shares:
            raise ValueError("shares must hold 0: every effect is measured against the series' own 0 % arm")
        return sorted(shares)

    @model_validator(mode="after")
    def _thresholds_rise(self) -> Study:
        grades = [self.synthetic_from, *self.findings.synthetic_from]
        if self.synthetic_from is Provenance.human:
            raise ValueError("synthetic_from: `human` would leave no real text; give `edited` or a later grade")
        if any(later.grade <= earlier.grade for earlier, later in pairwise(grades)):
            raise ValueError(
                "findings.synthetic_from: grades must rise, each above synthetic_from "
                f"(`{self.synthetic_from.value}`), by which mixtures go; the scale is {' < '.join(Provenance)}"
            )
        return self

    @model_validator(mode="after")
    def _names_agree(self) -> Study:
        seen: set[str] = set()
        for one in self.series:
            if one.name in seen:
                raise ValueError(f"series `{one.name}` is declared twice")
            seen.add(one.name)
        # a StudyError, which pydantic lets through: it names key, value and remedy itself
        expand(self.series, self.shares, self.pools, self.anchors, self.budget)
        return self

    @cached_property
    def arms(self) -> list[Arm]:
        """Every arm, series by series, shares ascending."""
        return expand(self.series, self.shares, self.pools, self.anchors, self.budget)

    def arm(self, key: str) -> Arm:
        """The arm of that key.

        Raises:
            StudyError: there is none.
        """
        for arm in self.arms:
            if arm.key == key:
                return arm
        raise StudyError(f"study `{self.name}` has no arm `{key}`", f"arms are {', '.join(a.key for a in self.arms)}")

    def select_arms(self, glob: str = "*") -> list[Arm]:
        """The arms whose key matches a glob; several globs are joined by commas.

        Raises:
            StudyError: none matches.
        """
        globs = [one.strip() for one in glob.split(",") if one.strip()]
        found = [arm for arm in self.arms if any(fnmatchcase(arm.key, one) for one in globs)]
        if not found:
            raise StudyError(
                f"no arm of study `{self.name}` matches `{glob}`", f"arms are {', '.join(a.key for a in self.arms)}"
            )
        return found

    def generation_of(self, pool: str) -> int | None:
        """Which generation of the language model a pool samples, 0 the first; None: it samples none."""
        return generation_of(self.pools[pool].generator, self.pools[pool].settings)

    @cached_property
    def generations(self) -> int:
        """Generations of the language model that the pools need."""
        drawn = [self.generation_of(pool) for pool in self.pools]
        return max((one + 1 for one in drawn if one is not None), default=0)

    @cached_property
    def digest(self) -> str:
        """Hash of the whole study (16 hex digits)."""
        return digest_of(self.model_dump(mode="json"))


def digest_of(value: Any) -> str:
    """sha256 of a JSON value with sorted keys, its first 16 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
