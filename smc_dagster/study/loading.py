"""Finding a study's file and reading it.

What belongs here: shipped studies by name, files by path, relative paths, and errors that name the file. What does
not: the rules that a study must keep (sections.py, model.py).
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from smc_dagster.errors import StudyError
from smc_dagster.study.faults import explain
from smc_dagster.study.model import Study
from smc_dagster.study.sources import at_path


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

    Relative paths inside the file are resolved against the file's folder. Where SMC_CORPUS is set, documents come from
    that path: by the study's `corpus.local`, else by its `corpus.source` with its path replaced.

    Raises:
        StudyError: no such study, or the file breaks a rule; the message names file, key, value and what is allowed.
            Or SMC_CORPUS is not there, or the study can read no path.
    """
    path = study_path(name_or_path or os.environ.get("SMC_STUDY") or "default")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise StudyError(f"{path.name}: not readable as YAML: {error}", "mend the file") from error
    if not isinstance(raw, dict):
        raise StudyError(f"{path.name}: a study file must be a mapping, not {type(raw).__name__}", "see studies/")
    _resolve_paths(raw, path.parent)
    _take_corpus(raw, path.name)
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise StudyError(f"{path.name}: {explain(error, Study)}", "mend these keys of the study file") from error
    except StudyError as error:
        raise StudyError(f"{path.name}: {error.problem}", error.remedy) from error


def _take_corpus(raw: dict[Any, Any], file: str) -> None:
    given, corpus = os.environ.get("SMC_CORPUS"), raw.get("corpus")
    if not given or not isinstance(corpus, dict):
        return
    place = given if "://" in given else Path(given).expanduser().resolve()
    if isinstance(place, Path) and not place.exists():
        raise StudyError(f"--corpus or SMC_CORPUS: `{given}` is not there", "give the path of a file or folder")
    template = corpus.get("local") or corpus.get("source")
    try:
        corpus["source"] = at_path(template if isinstance(template, dict) else {}, place)
    except ValueError as error:
        raise StudyError(
            f"--corpus or SMC_CORPUS: {file}: {error}", "leave it out, or give the study file a section corpus.local"
        ) from error


def _resolve_paths(raw: dict[Any, Any], folder: Path) -> None:
    """Make the relative paths of the corpus, of pools and of the model absolute; what is no mapping is left to the
    checks."""

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
    network = inside(raw, "training", "model")
    for key in ("folder", "config"):
        given = inside(network, key)
        if isinstance(given, str):
            network[key] = str((folder / Path(given).expanduser()).resolve())
    # a dataset's name may be that of a folder
    source, name = owners[0], inside(owners[0], "name")
    if isinstance(name, str) and inside(source, "kind") == "huggingface" and (folder / name).is_dir():
        source["name"] = str((folder / name).resolve())
