"""Versions of the reality anchors.

What belongs here: `smc anchors`. What does not: how they are frozen (frozen.py).
"""

from __future__ import annotations

from typing import Annotated

import typer

from smc_dagster.cli.terminal import JsonOption, LakeOption, StudyOption, opened, show, table
from smc_dagster.errors import LakeError

anchors_app = typer.Typer(invoke_without_command=True, help="Versions of the reality anchors.")


@anchors_app.callback(invoke_without_command=True)
def anchors(
    context: typer.Context, study: StudyOption = None, lake: LakeOption = None, as_json: JsonOption = False
) -> None:
    """The frozen versions, their rows by slice, and which is in force."""
    if context.invoked_subcommand is not None:
        return
    from smc_dagster import frozen

    bench = opened(study, lake)
    rows = [
        {
            "version": one.version,
            "in_force": one.version == bench.study.anchors.version,
            "frozen_at": one.frozen_at,
            "rows": one.rows,
            **frozen.slice_counts(bench.lake, one),
            "content_sha256": one.content,
        }
        for one in frozen.versions(bench.lake)
    ]
    if not rows:
        raise LakeError(f"{bench.lake.root} holds no frozen anchors yet", "run `smc study run`")
    shown = [name for name in rows[0] if name != "content_sha256"]
    show(rows, as_json, table(f"Reality anchors of {bench.study.name}", rows, shown))


@anchors_app.command("show")
def anchors_show(
    version: Annotated[str, typer.Argument(help="A frozen version.")],
    slice_name: Annotated[str | None, typer.Option("--slice", help="One slice; without it all.")] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Most rows.")] = 20,
    study: StudyOption = None,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Documents of a version, by slice and id."""
    from smc_dagster import frozen

    bench = opened(study, lake)
    rows = frozen.show(bench.lake, version, slice_name, top)
    columns = ["slice", "label", "edit", "distance", "text"]
    show(rows, as_json, table(f"Anchors {version}", rows, columns))
