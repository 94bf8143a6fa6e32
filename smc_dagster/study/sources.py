"""Where a study's documents come from, as its file says it.

What belongs here: the pydantic models of `corpus.source` and of the columns of landed files, and the base of every
section. What does not: reading a source (corpora/), the rest of a study (sections.py, model.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from smc_dagster.credentials import REMEDY, holds_secret


def _without_secret(place: str) -> str:
    if holds_secret(place):
        raise ValueError(f"the URL holds a password or a query: {REMEDY}")
    return place


# a path, relative to the study file, or any fsspec URL, which ends up in metadata and in errors
OpenPlace = Annotated[str, AfterValidator(_without_secret)]
# CLINC150 calls what belongs to none of its intents so
OUT_OF_SCOPE = "oos"
ClincSplit = Literal["train", "val", "test"]
_OWN_SPLITS = "keep the dataset's train, validation and test apart as ours"
_VALIDATION = "own_splits: what the dataset's validation set is to us; as `anchor_eval` it spares the train set"
ValidationAs = Literal["validation", "anchor_eval"]


class Model(BaseModel):
    """Base of every section: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(Model):
    """Which column of a file holds which field; JSONL: which key of the object."""

    domain: str | None = Field(default="domain", description="null: the files have none; give `domain` of the source")
    label: str = "label"
    text: str = "text"
    id: str | None = Field(default=None, description="the team's own id of a row")
    provenance: str | None = Field(default=None, description="a grade of the scale; where null, the text is human")


class TabularSource(Model):
    """What sources of rows with columns share."""

    columns: Columns = Columns()
    domain: str | None = Field(default=None, min_length=1, description="the domain of every row, where no column is")

    @model_validator(mode="after")
    def _has_a_domain(self) -> TabularSource:
        if self.domain is not None and "domain" in self.columns.model_fields_set and self.columns.domain is not None:
            raise ValueError("give either `domain`, one for all rows, or `columns.domain`, not both")
        if self.domain is None and self.columns.domain is None:
            raise ValueError("columns.domain is null: give `domain`, one for all rows")
        return self

    def fields(self) -> dict[str, str]:
        """Column by field, for the fields that the rows hold: `text`, `label`, `domain`, `id`, `provenance`."""
        held = {name: getattr(self.columns, name) for name in ("domain", "label", "text", "id", "provenance")}
        return {
            name: str(column)
            for name, column in held.items()
            if column is not None and not (name == "domain" and self.domain is not None)
        }


class DocstringSource(Model):
    """The docstrings of installed packages and of the standard library (read with `ast`, never imported)."""

    kind: Literal["docstrings"]
    packages: list[str] = Field(min_length=1, description="distribution names; `python` is the standard library")
    exclude_modules: list[str] = Field(default_factory=list, description="globs of dotted modules to leave out")


class FilesSource(TabularSource):
    """Files of the team's own: JSONL, CSV, TSV or Parquet, plain, `.gz` or `.zst`; one file or a folder of them."""

    kind: Literal["files"]
    path: OpenPlace = Field(description="a path, relative to the study file, or any fsspec URL")


class HuggingFaceSource(TabularSource):
    """A dataset of the Hugging Face hub, or a local folder that `datasets.load_dataset` takes."""

    kind: Literal["huggingface"]
    name: OpenPlace = Field(min_length=1, description="id on the hub, or a folder")
    config: str | None = None
    splits: list[str] = Field(default=["train"], min_length=1)
    revision: str | None = Field(default=None, description="commit, tag or branch; a commit makes a study repeatable")
    own_splits: bool = Field(default=False, description=_OWN_SPLITS)
    validation: ValidationAs = Field(default="validation", description=_VALIDATION)


class ClincSource(Model):
    """CLINC150 in its own JSON: `{split: [[text, intent], ...]}`, and its `domains.json`: `{domain: [intent, ...]}`."""

    kind: Literal["clinc150"]
    path: OpenPlace = Field(description="the folder that holds both files")
    variant: str = Field(default="data_full", pattern=r"^[A-Za-z0-9_-]+$", description="the file, without `.json`")
    splits: list[ClincSplit] = Field(default=["train", "val", "test"], min_length=1)
    out_of_scope: bool = Field(default=False, description=f"read `oos_*` too, as domain and label `{OUT_OF_SCOPE}`")
    own_splits: bool = Field(default=False, description=_OWN_SPLITS)
    validation: ValidationAs = Field(default="validation", description=_VALIDATION)

    @field_validator("splits")
    @classmethod
    def _each_once(cls, splits: list[ClincSplit]) -> list[ClincSplit]:
        if len(set(splits)) != len(splits):
            raise ValueError("a split is given twice")
        return splits


Source = Annotated[DocstringSource | FilesSource | HuggingFaceSource | ClincSource, Field(discriminator="kind")]


def at_path(source: Mapping[str, Any], path: Path | str) -> dict[str, Any]:
    """A source, as a study file has it, that reads a path: what `--corpus` makes of `corpus.source` or `corpus.local`.

    CLINC150 may be given as its folder or as the variant's file in it; `huggingface` takes the path as its `name`.

    Args:
        source: the section, of any kind; not checked yet.
        path: absolute, or an fsspec URL.

    Raises:
        ValueError: a source of that kind has no path.
    """
    kind = source.get("kind")
    if kind == "huggingface":
        return {**source, "name": str(path)}
    if kind == "clinc150" and isinstance(path, Path) and path.is_file():
        return {**source, "path": str(path.parent), "variant": path.stem}
    if kind in ("files", "clinc150"):
        return {**source, "path": str(path)}
    raise ValueError(f"a source of kind `{kind}` is read from no path; kinds that are: clinc150, files, huggingface")
