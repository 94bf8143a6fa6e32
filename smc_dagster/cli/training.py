"""Training on another machine.

What belongs here: `smc training pack` and `smc training adopt`. What does not: training there, which is
`python -m smc_dagster.training`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smc_dagster.cli.terminal import JsonOption, LakeOption, StudyOption, opened, out, printable, show, table
from smc_dagster.errors import LakeError, StudyError
from smc_dagster.workbench import Workbench

training_app = typer.Typer(no_args_is_help=True, help="Whole networks trained on another machine.")
FolderArgument = Annotated[Path, typer.Argument(help="The job's folder.")]


@training_app.command()
def pack(
    folder: FolderArgument,
    study: StudyOption = None,
    select: Annotated[str, typer.Option("--arms", help="Globs of arm keys, joined by commas.")] = "*",
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all that training the arms takes into one folder; arms that are trained are left out."""
    from smc_dagster.defs.full_training import pack as packed
    from smc_dagster.defs.training import label_list

    bench = _full(study, lake)
    keys = [arm.key for arm in bench.study.select_arms(select) if not bench.lineage.is_fresh("checkpoints", arm.key)]
    if not keys:
        raise LakeError(f"every arm that matches `{select}` is trained", "choose others with --arms")
    job = packed(bench, keys, label_list(bench), folder)
    rows = [{"arm": arm.key, "replicates": len(job.replicates), "fingerprint": arm.digest} for arm in job.arms]
    show(rows, as_json, table(f"Packed into {folder}", rows))
    if not as_json:
        out.print(
            printable(
                f"On the other machine: python -m smc_dagster.training {folder.name}; back here: smc training adopt."
            )
        )


@training_app.command()
def adopt(
    folder: FolderArgument, study: StudyOption = None, lake: LakeOption = None, as_json: JsonOption = False
) -> None:
    """Put the trained networks of a job into the lake; `smc study run` goes on from there."""
    from smc_dagster.defs.full_training import adopt as adopted
    from smc_dagster.training.full.job import read_job
    from smc_dagster.training.full.outputs import is_whole

    bench = _full(study, lake)
    job = read_job(folder)
    if job.study != bench.study.name:
        raise LakeError(f"{folder} is a job of study `{job.study}`, not `{bench.study.name}`", "name it with --study")
    rows = []
    for arm in job.arms:
        whole = is_whole(folder / "out", job, arm)
        if whole:
            adopted(bench, job, arm, folder / "out" / arm.slug)
        rows.append({"arm": arm.key, "state": "adopted" if whole else "not trained yet"})
    show(rows, as_json, table(f"Adopted from {folder}", rows))


def _full(study: str | None, lake: str | None) -> Workbench:
    bench = opened(study, lake, claim=True)
    if not bench.study.training.is_full:
        raise StudyError(
            f"study `{bench.study.name}` trains heads, which takes seconds here",
            "set training.tuning to `full` in the study file",
        )
    return bench
