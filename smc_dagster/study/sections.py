"""The sections of a study file, and what they may hold.

What belongs here: the pydantic models below the top of the file. What does not: the study as a whole and the arms that
follow from it (model.py), where documents come from (sources.py).
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from smc_dagster.study.sources import Columns, Model, Source, at_path

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Provenance(StrEnum):
    """How far a text is from a person's hand, in ascending order."""

    human = "human"
    edited = "edited"
    rewritten = "rewritten"
    templated = "templated"
    generated = "generated"
    recursive = "recursive"

    @property
    def grade(self) -> int:
        """Position on the scale, 0 (human) to 5 (recursive)."""
        return list(Provenance).index(self)


class Composition(StrEnum):
    """How a share becomes rows: what leaves, and what comes in its place or on top."""

    REPLACE = "replace"
    DROP = "drop"
    REPEAT = "repeat"
    ADD = "add"

    @property
    def takes_pool(self) -> bool:
        """Whether synthetic rows come in; the others are controls."""
        return self in (Composition.REPLACE, Composition.ADD)

    @property
    def displaces(self) -> bool:
        """Whether real rows leave."""
        return self is not Composition.ADD


class Strictness(StrEnum):
    """Which row of the strictness seed filters a pool."""

    off = "off"
    weak = "weak"
    medium = "medium"
    strong = "strong"


class Corpus(Model):
    """Where documents come from and which of them count."""

    source: Source
    local: Source | None = Field(
        default=None, description="what a path given as --corpus or SMC_CORPUS is read as, in place of `source`"
    )
    landing: Columns = Field(default=Columns(), description="columns of the files in the landing folder")
    max_documents: int | None = Field(default=None, ge=100, description="uniform sample by hash of doc_id")
    min_label_documents: int = Field(default=20, ge=5, description="labels with fewer documents are left out")
    exclude_labels: list[str] = Field(default_factory=list, description="labels left out of the study")
    min_words: int = Field(default=3, ge=1)
    max_characters: int = Field(default=600, ge=20, description="longer text goes to quarantine")
    max_quarantine_share: float = Field(
        default=0.2, ge=0, le=1, description="of rows, and of files; above, a day fails"
    )

    @field_validator("local", mode="before")
    @classmethod
    def _local_needs_no_path(cls, local: Any) -> Any:
        return at_path(local, Path(".")) if isinstance(local, dict) else local

    @field_validator("landing")
    @classmethod
    def _landed_files_have_a_domain(cls, landing: Columns) -> Columns:
        if landing.domain is None:
            raise ValueError("domain: name the column; the landing folder has no domain for all rows")
        return landing


class Split(Model):
    """Shares of near-duplicate clusters held out; the rest is `train`."""

    test: float = Field(default=0.2, gt=0, lt=1)
    validation: float = Field(default=0.05, ge=0, lt=1)
    anchor_eval: float = Field(default=0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _leaves_train(self) -> Split:
        if self.test + self.validation + self.anchor_eval > 0.8:
            raise ValueError("test + validation + anchor_eval must leave at least 0.2 for training")
        return self


class Tail(Model):
    """The rare labels: those with the fewest training documents that together hold at most `share` of them."""

    share: float = Field(default=0.15, gt=0, lt=0.5)


class Anchors(Model):
    """Frozen real sets: to train on and to be judged on. Other settings need another version."""

    version: Name = "v1"
    neighbours: int = Field(default=5, ge=1, description="k of the distance that makes a document atypical")
    atypical_quantile: float = Field(default=0.9, gt=0.5, lt=1)
    train_share: float = Field(default=0.05, gt=0, le=0.5, description="of each domain's training documents")
    adversarial: int = Field(default=5000, ge=1, description="most edited documents; no more than held-out ones")


class Pool(Model):
    """One synthetic corpus made one way."""

    generator: str
    settings: dict[str, bool | int | float | str | list[str] | dict[str, str | None]] = Field(default_factory=dict)
    ratio: float = Field(default=0.7, gt=0, le=10, description="documents made per real training document")


class Series(Model):
    """One way of composing a mixture."""

    name: Name
    pool: str | None = None
    composition: Composition = Composition.REPLACE
    strictness: Strictness = Strictness.off
    caps: bool = Field(default=True, description="obey the caps in force")
    anchors: bool = Field(default=False, description="the frozen training anchors are in every mixture")
    rebalance: bool = Field(
        default=False, description="what caps, pool or anchors hold back in a domain, the others take"
    )

    @property
    def is_control(self) -> bool:
        """Whether it says what losing real rows does, as no synthetic row comes in."""
        return not self.composition.takes_pool

    @model_validator(mode="after")
    def _pool_fits_composition(self) -> Series:
        name = self.composition.value
        if not self.composition.takes_pool and self.pool is not None:
            raise ValueError(f"composition `{name}` takes no pool: real rows leave and nothing synthetic comes")
        if self.composition.takes_pool and self.pool is None:
            raise ValueError(f"composition `{name}` needs a pool")
        if not self.composition.takes_pool and self.strictness is not Strictness.off:
            raise ValueError(f"composition `{name}` has no synthetic rows to filter: strictness must be `off`")
        return self


class Screening(Model):
    """How duplicates, templates and contamination are found."""

    jaccard: float = Field(default=0.8, gt=0, le=1, description="near-duplicate from this true Jaccard on")
    contamination_floor: float = Field(
        default=0.5, gt=0, le=1, description="smallest Jaccard with evaluation text kept"
    )
    run_words: int = Field(default=13, ge=5, description="a shared run of so many words is contamination")
    coverage_neighbours: int = Field(default=5, ge=1, description="k of the mode-coverage index")
    coverage_sample: int = Field(default=200, ge=20, description="documents a side and domain for coverage")

    @property
    def floor(self) -> float:
        """Smallest Jaccard with evaluation text that is looked for: a near-duplicate is never below it."""
        return min(self.contamination_floor, self.jaccard)


class Evaluation(Model):
    """How predictions become metrics."""

    ece_bins: int = Field(default=15, ge=2, le=100)
    null_draws: int = Field(default=200, ge=20, description="draws of the perfectly calibrated null band")


class Findings(Model):
    """How metrics become findings."""

    bootstrap_draws: int = Field(default=2000, ge=100)
    level: float = Field(default=0.95, gt=0.5, lt=1, description="coverage of every interval")
    reach_studies: int = Field(
        default=80, ge=20, description="simulated studies of each kind that tell what this one could have seen"
    )
    margin: float = Field(default=0.02, gt=0, lt=1, description="tail recall that a safe share may lose")
    synthetic_from: list[Provenance] = Field(
        default_factory=list, description="further grades from which on text counts as synthetic, drawn side by side"
    )
