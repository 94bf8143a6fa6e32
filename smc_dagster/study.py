"""The study: what is asked, read from YAML and checked before anything runs.

What belongs here: the pydantic models of a study file, the arms that follow from it, and loading by name or path.
What does not: anything that reads documents or touches the lake.
"""

from __future__ import annotations

import hashlib
import json
import os
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from smc_dagster.errors import StudyError
from smc_dagster.study_faults import explain
from smc_dagster.study_language_model import LanguageModel, generation_of
from smc_dagster.study_sources import Columns, Model, Source

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
    """What happens to the real rows that a share of synthetic rows displaces."""

    REPLACE = "replace"
    DROP = "drop"


class Strictness(StrEnum):
    """Which row of the strictness seed filters a pool."""

    off = "off"
    weak = "weak"
    medium = "medium"
    strong = "strong"


class Corpus(Model):
    """Where documents come from and which of them count."""

    source: Source
    landing: Columns = Field(default=Columns(), description="columns of the files in the landing folder")
    max_documents: int | None = Field(default=None, ge=100, description="uniform sample by hash of doc_id")
    min_label_documents: int = Field(default=20, ge=5, description="labels with fewer documents are left out")
    min_words: int = Field(default=3, ge=1)
    max_characters: int = Field(default=600, ge=20, description="longer text goes to quarantine")
    max_quarantine_share: float = Field(
        default=0.2, ge=0, le=1, description="of rows, and of files; above, a day fails"
    )

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

    @model_validator(mode="after")
    def _pool_fits_composition(self) -> Series:
        if self.composition is Composition.DROP and self.pool is not None:
            raise ValueError("composition `drop` takes no pool: the real rows leave and nothing comes")
        if self.composition is not Composition.DROP and self.pool is None:
            raise ValueError(f"composition `{self.composition.value}` needs a pool")
        if self.composition is Composition.DROP and self.strictness is not Strictness.off:
            raise ValueError("composition `drop` has no synthetic rows to filter: strictness must be `off`")
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


class Training(Model):
    """The fixed compute budget of every arm and replicate."""

    encoder: str = Field(default="all-MiniLM-L6-v2", description="the locked weights, or a local folder")
    max_tokens: int = Field(default=64, ge=8, le=512)
    hidden: int = Field(default=256, ge=8, le=4096)
    steps: int = Field(default=600, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-2, gt=0, le=1)
    weight_decay: float = Field(default=0.1, ge=0, le=1)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of steps with a rising learning rate")


class Evaluation(Model):
    """How predictions become metrics."""

    ece_bins: int = Field(default=15, ge=2, le=100)
    null_draws: int = Field(default=200, ge=20, description="draws of the perfectly calibrated null band")


class Findings(Model):
    """How metrics become findings."""

    bootstrap_draws: int = Field(default=2000, ge=100)
    level: float = Field(default=0.95, gt=0.5, lt=1, description="coverage of every interval")
    margin: float = Field(default=0.02, gt=0, lt=1, description="tail recall that a safe share may lose")
    synthetic_from: list[Provenance] = Field(
        default_factory=list, description="further grades from which on text counts as synthetic, drawn side by side"
    )


class Arm(Model):
    """A series at one synthetic share; `key` is the partition key."""

    series: Series
    share: float

    @cached_property
    def key(self) -> str:
        return arm_key(self.series.name, self.share)


def arm_key(series: str, share: float) -> str:
    """Partition key of an arm, e.g. `templated@05` for 5 % or `templated@32.5`."""
    percent = f"{share * 100:.4g}"
    whole, dot, rest = percent.partition(".")
    return f"{series}@{whole.zfill(2)}{dot}{rest}"


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
            if one.pool is not None and one.pool not in self.pools:
                raise ValueError(f"series `{one.name}` names pool `{one.pool}`; pools are {sorted(self.pools)}")
            if one.composition is Composition.DROP and 1.0 in self.shares:
                raise ValueError(f"series `{one.name}` drops every real row at share 1.0: nothing is left to train on")
        return self

    @cached_property
    def arms(self) -> list[Arm]:
        """Every arm, series by series, shares ascending."""
        return [Arm(series=one, share=share) for one in self.series for share in self.shares]

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


def shipped_studies() -> dict[str, Path]:
    """Studies that come with the package, by name."""
    folder = Path(str(resources.files("smc_dagster") / "studies"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def study_path(name_or_path: str) -> Path:
    """The file of a shipped study, or the path itself.

    Raises:
        StudyError: neither exists.
    """
    shipped = shipped_studies()
    if name_or_path in shipped:
        return shipped[name_or_path]
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    raise StudyError(
        f"unknown study `{name_or_path}`",
        f"give the path of a YAML file, or one of the studies that ship: {', '.join(shipped)}",
    )


def load_study(name_or_path: str | None = None) -> Study:
    """Read a study by shipped name or path; without one, by SMC_STUDY, else `default`.

    Relative paths inside the file are resolved against the file's folder.

    Raises:
        StudyError: no such study, or the file breaks a rule; the message names file, key, value and what is allowed.
    """
    path = study_path(name_or_path or os.environ.get("SMC_STUDY") or "default")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise StudyError(f"{path.name}: not readable as YAML: {error}", "mend the file") from error
    if not isinstance(raw, dict):
        raise StudyError(f"{path.name}: a study file must be a mapping, not {type(raw).__name__}", "see studies/")
    _resolve_paths(raw, path.parent)
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise StudyError(f"{path.name}: {explain(error, Study)}", "mend these keys of the study file") from error


def _resolve_paths(raw: dict[Any, Any], folder: Path) -> None:
    """Make the relative paths of the corpus and of pools absolute; what is no mapping is left to the checks."""

    def inside(value: Any, *keys: str) -> Any:
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    pools = inside(raw, "pools")
    owners = [inside(raw, "corpus", "source")]
    owners += [inside(pool, "settings") for pool in pools.values()] if isinstance(pools, dict) else []
    for owner in owners:
        given = inside(owner, "path")
        if isinstance(given, str) and "://" not in given:
            owner["path"] = str((folder / Path(given).expanduser()).resolve())
    # a dataset's name may be that of a folder
    source, name = owners[0], inside(owners[0], "name")
    if isinstance(name, str) and inside(source, "kind") == "huggingface" and (folder / name).is_dir():
        source["name"] = str((folder / name).resolve())
