"""Where things lie on this machine, each overridable from the environment.

What belongs here: the default places of the lake, DAGSTER_HOME, the landing folder and the dbt project. What does not:
what is in them.

| variable | default |
|---|---|
| SMC_DATA | `data/` beside the package's checkout, else in the working directory |
| SMC_LAKE | `$SMC_DATA/lake/<study>`; a path or any fsspec URL |
| DAGSTER_HOME | `$SMC_DATA/dagster_home/<study>` |
| SMC_LANDING | `$SMC_DATA/landing/<study>` |
| SMC_DBT_PROJECT | `dbt_project/` beside the package |
"""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def data_root() -> Path:
    """Folder of everything that the pipeline writes."""
    given = os.environ.get("SMC_DATA")
    if given:
        return Path(given).expanduser().resolve()
    base = CHECKOUT if (CHECKOUT / "pyproject.toml").is_file() else Path.cwd()
    return base / "data"


def lake_root(study: str) -> str:
    """Root of a study's lake."""
    return os.environ.get("SMC_LAKE") or str(data_root() / "lake" / study)


def dagster_home(study: str) -> Path:
    """The instance that holds a study's runs: one a study, as asset keys are the same in all."""
    given = os.environ.get("DAGSTER_HOME")
    return Path(given).expanduser() if given else data_root() / "dagster_home" / study


def landing_folder(study: str) -> Path:
    """Folder that new files are dropped into, below `real/<day>/` and `synthetic/<day>/`."""
    given = os.environ.get("SMC_LANDING")
    return Path(given).expanduser() if given else data_root() / "landing" / study


def synthetic_landing(study: str) -> Path:
    """Folder that a team's own synthetic files are dropped into, below `<day>/`."""
    return landing_folder(study) / "synthetic"


def work_folder(study: str) -> Path:
    """Where unfinished work lies that a rerun goes on with; what is finished is removed."""
    return data_root() / "work" / study


def cache_folder(study: str) -> Path:
    """Where answers lie that cost money or time to ask for again; safe to remove."""
    return data_root() / "cache" / study


def evidently_workspace(study: str) -> Path:
    """The history of a study's drift, as Evidently keeps it."""
    return data_root() / "evidently" / study


def dbt_project() -> Path:
    """The dbt project."""
    given = os.environ.get("SMC_DBT_PROJECT")
    return Path(given).expanduser().resolve() if given else CHECKOUT / "dbt_project"
