"""This machine: what it lacks, Dagster's home, and the pages of Dagster and Evidently.

What belongs here: `smc doctor`, `smc init`, `smc dev`, `smc evidently`. What does not: what is examined (doctor.py).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from smc_dagster import places
from smc_dagster.cli.terminal import CorpusOption, JsonOption, StudyOption, opened, show, table
from smc_dagster.study import load_study
from smc_dagster.workbench import study_reference


def doctor(study: StudyOption = None, as_json: JsonOption = False) -> None:
    """What is missing on this machine, and how to get it. Exit status 2 if something needed is missing."""
    from smc_dagster.doctor import examine

    rows = [vars(one) for one in examine(study or study_reference())]
    show(rows, as_json, table("Doctor", rows))
    if any(row["needed"] and not row["ok"] for row in rows):
        raise typer.Exit(2)


def init(study: StudyOption = None, as_json: JsonOption = False) -> None:
    """Make DAGSTER_HOME ready for a study: before services start on it, and after the clock was set right."""
    from smc_dagster.defs.instance import ready_instance

    home, mended = ready_instance(load_study(study).name)
    row = {"dagster_home": str(home), "sensors_set_to_now": mended}
    show(row, as_json, table("Instance", [{**row, "sensors_set_to_now": ", ".join(mended) or "none"}]))


def dev(
    study: StudyOption = None,
    corpus: CorpusOption = None,
    port: Annotated[int, typer.Option(help="Port of Dagster's UI.")] = 3000,
    files_port: Annotated[int, typer.Option(help="Port that serves the reports.")] = 3001,
) -> None:
    """Dagster's UI and daemon for a study, and its reports, all on loopback."""
    from smc_dagster.defs.instance import ready_instance

    bench = opened(study, None, corpus)
    ready_instance(bench.study.name)
    scripts = str(Path(sys.executable).parent)
    os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
    # 60 s, as Dagster has it, is short for starting a run where many runs keep all cores busy
    os.environ.setdefault("DAGSTER_GRPC_TIMEOUT_SECONDS", "300")
    os.environ["SMC_FILES_URL"] = f"http://127.0.0.1:{files_port}"
    # a browser follows no file:// link from Dagster's pages, so the lake's files are served beside it
    folder = bench.lake.place()
    if bench.lake.is_local:
        Path(folder).mkdir(parents=True, exist_ok=True)
    files = [sys.executable, "-m", "http.server", str(files_port), "--bind", "127.0.0.1", "--directory", folder]
    dagster = [f"{scripts}/dagster", "dev", "--workspace", str(places.CHECKOUT / "workspace.yaml")]
    with subprocess.Popen(files, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as served:
        try:
            subprocess.run([*dagster, "--host", "127.0.0.1", "--port", str(port)], check=False)
        except KeyboardInterrupt:
            pass
        finally:
            served.terminate()


def evidently(
    study: StudyOption = None, port: Annotated[int, typer.Option(help="Port of Evidently's UI.")] = 8000
) -> None:
    """The history of a study's drift, in Evidently's UI, on loopback."""
    folder = places.evidently_workspace(load_study(study).name)
    folder.mkdir(parents=True, exist_ok=True)
    served = [str(Path(sys.executable).with_name("evidently")), "ui", "--workspace", str(folder)]
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run([*served, "--host", "127.0.0.1", "--port", str(port)], check=False)
