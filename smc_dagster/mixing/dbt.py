"""Running dbt: one launch as a process of its own, its results read from what it writes.

What belongs here: starting `dbt build`, reading `run_results.json` and the manifest. What does not: what the models say
(dbt_project/), and what Dagster shows of them (defs/mixtures.py).

dbt runs as a process, as it keeps global state. The manifest is built at installation (`make setup`), and its parse is
reused, which saves seconds a launch.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_dagster import places
from smc_dagster.errors import InterruptedWorkError, SmcError
from smc_dagster.mixing.launch import Launch

PARSED = "partial_parse.msgpack"


@dataclass(frozen=True)
class NodeResult:
    """What became of one dbt node.

    Attributes:
        unique_id: dbt's name, e.g. `model.smc.mixture_documents`.
        status: `success`, `pass`, `fail`, `error`, `skipped` or `warn`.
        message: dbt's message, empty where there is none.
        failures: rows that a test returned.
        seconds: run time.
    """

    unique_id: str
    status: str
    message: str
    failures: int
    seconds: float

    @property
    def ok(self) -> bool:
        return self.status in ("success", "pass", "warn")


def read_manifest(project: Path) -> dict[str, Any]:
    """The manifest that installation built.

    Raises:
        SmcError: it is missing or unreadable.
    """
    path = project / "target" / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SmcError(f"the dbt manifest {path.name} is missing or unreadable", "run `make setup`") from error
    if not isinstance(manifest, dict):
        raise SmcError(f"the dbt manifest {path.name} is not a mapping", "run `make setup`")
    return manifest


def build(launch: Launch, say: Callable[[str], None], select: Sequence[str] = ()) -> list[NodeResult]:
    """Run `dbt build` (seeds, models and data tests) on a prepared launch and return every node's result.

    Args:
        say: called with each line that dbt prints.
        select: dbt selectors; everything where empty.

    Raises:
        OSError: the place that dbt writes in is full.
        SmcError: dbt ended before it wrote results.
        InterruptedWorkError: dbt was killed.
    """
    target = launch.folder / "target"
    target.mkdir(parents=True, exist_ok=True)
    project = places.dbt_project()
    if _parsed_here(project):
        shutil.copy(project / "target" / PARSED, target / PARSED)
    words = ["--no-use-colors", "build", "--exclude-resource-type", "unit_test"]
    if select:
        words += ["--select", *select]
    with subprocess.Popen(
        launch.command(*words, target=target),
        # what the parse says of places is relative to here
        cwd=project.parent,
        env={**os.environ, **launch.env, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        lines: list[str] = []
        for line in process.stdout or ():
            lines.append(line.rstrip())
            say(line.rstrip())
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise InterruptedWorkError(
            f"dbt was killed ({name}) before it ended; nothing of this launch was published",
            "run it again; where memory is short, give fewer arms at once",
        )
    full = os.strerror(errno.ENOSPC)
    if process.returncode and any(full in line for line in lines):
        # dbt may end with or without results, and its last words are of its log
        raise OSError(errno.ENOSPC, full, str(launch.folder))
    written = target / "run_results.json"
    if not written.is_file():
        raise SmcError("dbt ended before it ran a model:\n" + "\n".join(lines[-15:]), "mend what dbt names")
    results = json.loads(written.read_text(encoding="utf-8"))["results"]
    return [
        NodeResult(
            unique_id=one["unique_id"],
            status=one["status"],
            message=one.get("message") or "",
            failures=one.get("failures") or 0,
            seconds=float(one.get("execution_time") or 0),
        )
        for one in results
    ]


def _parsed_here(project: Path) -> bool:
    """Whether the project's parse is of the project where it now lies.

    dbt reads seeds at the place that a parse names: that of a copied project would be the first one's seeds.
    """
    if not (project / "target" / PARSED).is_file():
        return False
    nodes = read_manifest(project)["nodes"].values()
    roots = {node.get("root_path") for node in nodes if node["resource_type"] == "seed"}
    return {(project.parent / str(root)).resolve() for root in roots} == {project}
