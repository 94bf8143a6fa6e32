"""Commands on a study: which ship, and run one.

What belongs here: `smc study`. What does not: what a run does (defs/runs.py).
"""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from smc_dagster.cli.terminal import CorpusOption, JsonOption, LakeOption, StudyOption, err, opened, out, show, table
from smc_dagster.study import shipped_studies

study_app = typer.Typer(no_args_is_help=True, help="Studies.")


@study_app.command("list")
def study_list(as_json: JsonOption = False) -> None:
    """Studies that ship."""
    rows = [{"study": name, "file": path.name} for name, path in shipped_studies().items()]
    show(rows, as_json, table("Studies", rows))


@study_app.command("run")
def study_run(
    study: StudyOption = None,
    arms: Annotated[str, typer.Option("--arms", help="Globs of arm keys, joined by commas.")] = "*",
    corpus: CorpusOption = None,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make what is stale, stage by stage, through Dagster; reuse the rest."""
    from smc_dagster.display import ending, showing_progress

    bench = opened(study, lake, corpus, claim=True)
    chosen = bench.study.select_arms(arms)

    import dagster as dg

    from smc_dagster.definitions import build_defs
    from smc_dagster.defs.instance import fail_orphans, ready_home
    from smc_dagster.defs.runs import StudyRun

    home = ready_home(bench.study.name)
    with (
        showing_progress(err, bench.study, len(chosen)) as announce,
        dg.DagsterInstance.from_config(str(home)) as instance,
    ):
        fail_orphans(instance)
        defs = build_defs(os.environ["SMC_STUDY"], bench.lake.root)
        outcome = StudyRun(bench, defs, instance).run(chosen, announce)
    report = bench.lake.place("report", "index.html")
    payload = {
        "study": bench.study.name,
        "lake": bench.lake.root,
        "arms": [arm.key for arm in chosen],
        "made": outcome.made,
        "reused": outcome.reused,
        "runs": outcome.runs,
        "report": report,
    }
    if as_json:
        typer.echo(json.dumps(payload, indent=1))
    else:
        ending(out, outcome.made, outcome.reused, report)
