"""`smc doctor`: what this machine has of what the pipeline needs.

What belongs here: one function a thing that can be missing. What does not: installing anything.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from smc_dagster import places, postgres
from smc_dagster.errors import SmcError


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is there, what was seen, and how to get it."""

    thing: str
    ok: bool
    needed: bool
    seen: str
    remedy: str


def examine(study: str) -> list[Finding]:
    """Look at everything; never raises for what is missing."""
    return [
        _python(),
        _packages(),
        _manifest(),
        _weights(study),
        _study(study),
        _data(),
        _memory(),
        _postgres(),
        _postgres_programs(),
        _chromium(),
        _gpu(),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python 3.11", sys.version_info[:2] == (3, 11), True, version, "install python3.11")


def _packages() -> Finding:
    lock = places.CHECKOUT / "requirements.lock"
    if not lock.is_file():
        return Finding("locked packages", False, True, "no requirements.lock", "run `make setup` in a checkout")
    wrong = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if not version or line.startswith("#"):
            continue
        try:
            held = metadata.version(name)
        except metadata.PackageNotFoundError:
            held = "missing"
        # a build of the same version may carry a local suffix, such as +cpu
        if held.split("+")[0] != version.strip().split("+")[0]:
            wrong.append(f"{name} {held}")
    return Finding("locked packages", not wrong, True, ", ".join(wrong[:5]) or "all as locked", "run `make setup`")


def _manifest() -> Finding:
    path = places.dbt_project() / "target" / "manifest.json"
    return Finding("dbt manifest", path.is_file(), True, path.name if path.is_file() else "missing", "run `make setup`")


def _weights(study: str) -> Finding:
    from smc_dagster.study import load_study
    from smc_dagster.training.encoder import encoder_digest

    try:
        encoder = load_study(study).training.encoder
        return Finding("encoder weights", True, True, f"{encoder} {encoder_digest(encoder)[:12]}", "")
    except SmcError as error:
        return Finding("encoder weights", False, True, error.problem, error.remedy)


def _study(study: str) -> Finding:
    from smc_dagster.study import load_study

    try:
        opened = load_study(study)
    except SmcError as error:
        return Finding("study", False, True, error.problem, error.remedy)
    return Finding("study", True, True, f"{opened.name}: {len(opened.arms)} arms", "")


def _data() -> Finding:
    root = places.data_root()
    at = root
    while not at.exists():
        at = at.parent
    free = shutil.disk_usage(at).free / 2**30
    ok = os.access(at, os.W_OK) and free >= 1
    return Finding("data folder", ok, True, f"{free:.0f} GiB free", "set SMC_DATA to a writable folder with 1 GiB free")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding("memory", total >= 5.5, False, f"{total:.0f} GiB", "the default study was measured within 6 GiB")


def _postgres() -> Finding:
    thing = f"{postgres.VARIABLE}: server of Dagster's records"
    try:
        given = postgres.url()
        if given is None:
            return Finding(thing, True, False, "not set: SQLite in DAGSTER_HOME", "")
        return Finding(thing, True, True, f"{postgres.shown(given)}, version {postgres.server_version(given)}", "")
    except SmcError as error:
        return Finding(thing, False, True, error.problem, error.remedy)


def _postgres_programs() -> Finding:
    folder = postgres.programs()
    seen = folder.parent.name if folder else "missing"
    return Finding(
        "initdb, pg_ctl (Postgres tests)", folder is not None, False, seen, "Debian: apt-get install postgresql"
    )


def _chromium() -> Finding:
    found = next(
        (one for name in ("chromium", "chromium-browser", "google-chrome") if (one := shutil.which(name))), None
    )
    seen = Path(found).name if found else "missing"
    return Finding("chromium (browser tests)", found is not None, False, seen, "Debian: apt-get install chromium")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", True, False, torch.cuda.get_device_name(0), "")
    return Finding("GPU", False, False, "none", "not needed: heads train on the CPU")
