"""Files that people bring.

What belongs here: `smc ingest`. What does not: the landing folder (corpora/landing.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smc_dagster import places
from smc_dagster.cli.terminal import JsonOption, StudyOption, out, printable, show, table
from smc_dagster.corpora.landing import Landed, put, require_day
from smc_dagster.errors import StudyError
from smc_dagster.study import load_study
from smc_dagster.workbench import study_reference


def ingest(
    path: Annotated[Path, typer.Argument(help="A file, or a folder of files.")],
    kind: Annotated[Landed, typer.Option("--kind", help="Whether people wrote it.")],
    day: Annotated[str, typer.Option("--day", help="The day it belongs to, YYYY-MM-DD.")],
    study: StudyOption = None,
    pool: Annotated[str | None, typer.Option("--pool", help="Synthetic: the one pool it is for.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace files of the same name.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put files into the landing folder of a day, whole or not at all."""
    opened = load_study(study or study_reference())
    require_day(day)
    if pool is not None and kind is Landed.real:
        raise StudyError("--pool is for synthetic text", "leave it out, or give --kind synthetic")
    fed = [name for name, one in opened.pools.items() if one.generator == "files" and "path" not in one.settings]
    if kind is Landed.synthetic and pool not in (*fed, *([None] if len(fed) == 1 else [])):
        raise StudyError(
            f"study `{opened.name}`: {f'pool `{pool}` is not one' if pool else 'it takes --pool to say which'} "
            "that the landing folder feeds",
            f"pools that it feeds: {', '.join(fed) or 'none; add one with generator `files` and no `path`'}",
        )
    folder = places.landing_folder(opened.name) / kind / day
    done = put(path.expanduser(), folder / pool if pool else folder, replace=replace)
    following = f"smc study run --study {study or study_reference()}"
    payload = {"study": opened.name, "kind": kind.value, "day": day, "folder": str(done.folder), "next": following}
    rows = [{"file": name, "status": "put"} for name in done.put]
    rows += [{"file": name, "status": "there already, the same"} for name in done.unchanged]
    counted = {"put": done.put, "unchanged": done.unchanged, "bytes": done.size}
    show(payload | counted, as_json, table(f"In {done.folder}", rows))
    if not as_json:
        out.print(f"next: {printable(following)} (or wait for the sensor of `smc dev`)", soft_wrap=True)
