"""`smc`: the study from a terminal.

What belongs here: commands, what they print, and turning errors into exit statuses (2 for what a person can mend).
What does not: the work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from smc_dagster import places
from smc_dagster.corpora.landing import Landed, put, require_day
from smc_dagster.errors import LakeError, SmcError, StudyError
from smc_dagster.study import load_study, shipped_studies, study_path
from smc_dagster.workbench import Workbench, open_workbench, study_reference

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
study_app = typer.Typer(no_args_is_help=True, help="Studies.")
app.add_typer(study_app, name="study")
anchors_app = typer.Typer(invoke_without_command=True, help="Versions of the reality anchors.")
app.add_typer(anchors_app, name="anchors")

StudyOption = Annotated[str | None, typer.Option("--study", help="Shipped name, or path of a YAML file.")]
LakeOption = Annotated[
    str | None, typer.Option("--lake", help="Root of the lake; default: SMC_LAKE or data/lake/STUDY.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

out = Console()
err = Console(stderr=True)


def _open(study: str | None, lake: str | None, *, claim: bool = False) -> Workbench:
    # assets are loaded for the study and the lake of this process
    os.environ["SMC_STUDY"] = _absolute(study or study_reference())
    if lake:
        os.environ["SMC_LAKE"] = lake
    return open_workbench(os.environ["SMC_STUDY"], lake, claim=claim)


def _absolute(study: str) -> str:
    """A study file by its full path, as processes that we start work elsewhere; a shipped name as it is."""
    return study if study in shipped_studies() else str(study_path(study).absolute())


def _show(payload: Any, as_json: bool, *tables: Table) -> None:
    if as_json:
        typer.echo(json.dumps(payload, indent=1, allow_nan=False))
        return
    for table in tables:
        out.print(table)


def _table(title: str, rows: list[dict[str, Any]], columns: list[str] | None = None) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    names = columns or (list(rows[0]) if rows else [])
    for name in names:
        number = any(isinstance(row.get(name), int | float) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(row.get(name))) for name in names))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


@study_app.command("list")
def study_list(as_json: JsonOption = False) -> None:
    """Studies that ship."""
    rows = [{"study": name, "file": path.name} for name, path in shipped_studies().items()]
    _show(rows, as_json, _table("Studies", rows))


@study_app.command("run")
def study_run(
    study: StudyOption = None,
    arms: Annotated[str, typer.Option("--arms", help="Globs of arm keys, joined by commas.")] = "*",
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make what is stale, stage by stage, through Dagster; reuse the rest."""
    from smc_dagster.display import ending, showing_progress

    bench = _open(study, lake, claim=True)
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


@app.command()
def findings(study: StudyOption = None, lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """What was found: the headline table, onsets and safe shares."""
    from smc_dagster.findings.store import read_summary

    bench = _open(study, lake)
    shown = read_summary(bench.lake)
    if shown is None:
        raise LakeError(f"{bench.lake.root} holds no findings yet", "run `smc study run`")
    due = bench.lineage.findings("study_report", [arm.key for arm in bench.fresh_arms()]).digest
    if shown["fingerprint"] != due:
        err.print("[yellow]these findings are older than what the study now asks for: run `smc study run`[/yellow]")
    if as_json:
        typer.echo(json.dumps(shown, indent=1, allow_nan=False))
        return
    out.print(f"[bold]{escape(bench.study.title)}[/bold]  (fingerprint {shown['fingerprint']})")
    if shown.get("answer"):
        out.print(escape(str(shown["answer"])), "\n")
    headline = ["series", "measure", "claim", "share", "estimate", "low", "high", "verdict"]
    out.print(_table("Headline", shown["headline"], headline))
    out.print(_table("Onset", shown["onset"], ["series", "domain", "measure", "status", "knot", "low", "high"]))
    safe = [row for row in shown["safe_shares"] if row.get("status") != "insufficient_data"]
    out.print(_table("Safe shares", safe, ["series", "domain", "status", "share", "margin", "n"]))
    if shown["provenance_thresholds"]:
        columns = ["series", "synthetic_from", "share", "counted", "status", "knot", "low", "high", "safe_counted"]
        out.print(_table("By what counts as synthetic", shown["provenance_thresholds"], columns))
    if shown["strictness_trade"]:
        columns = ["pool", "strictness", "share", "pool_left", "contaminated", "templated", "duplicated", "coverage"]
        out.print(
            _table("By strictness", shown["strictness_trade"], [*columns, "tail_recall", "change", "low", "high"])
        )
    skipped = len(shown["safe_shares"]) - len(safe)
    if skipped:
        out.print(f"{skipped} more series and domains have too little data to say; `--json` lists them.")


@app.command()
def arms(
    study: StudyOption = None,
    select: Annotated[str, typer.Option("--arms", help="Globs of arm keys, joined by commas.")] = "*",
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The study's arms, and how far each is built."""
    bench = _open(study, lake)
    stages = ("mixture_documents", "checkpoints", "predictions", "arm_metrics")
    rows = []
    for arm in bench.study.select_arms(select):
        built = [stage for stage in stages if bench.lineage.is_fresh(stage, arm.key)]
        rows.append(
            {
                "arm": arm.key,
                "pool": arm.series.pool,
                "composition": arm.series.composition.value,
                "strictness": arm.series.strictness.value,
                "share": arm.share,
                "replicates": bench.study.replicates,
                "built": "yes" if len(built) == len(stages) else (built[-1] if built else "no"),
            }
        )
    _show(rows, as_json, _table(f"Arms of {bench.study.name}", rows))


@app.command()
def profile(study: StudyOption = None, lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """What each pool is like, beside the real corpus."""
    from smc_dagster.tables import SYNTHETIC_PROFILE

    bench = _open(study, lake)
    rows = []
    for pool in bench.study.pools:
        if bench.lake.fingerprint(SYNTHETIC_PROFILE, pool) is not None:
            rows += bench.read("synthetic_profile", pool).to_pylist()
    if not rows:
        raise LakeError(f"{bench.lake.root} holds no pool profile yet", "run `smc study run`")
    overall = [row for row in rows if row["domain"] == "*"]
    _show(rows, as_json, _table("Pools, all domains", overall, ["pool", "measure", "value", "reference", "n"]))


@app.command()
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
    _show(payload | counted, as_json, _table(f"In {done.folder}", rows))
    if not as_json:
        out.print(f"next: {escape(following)} (or wait for the sensor of `smc dev`)", soft_wrap=True)


@app.command()
def caps(study: StudyOption = None, lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """The caps in force by domain, and what mixtures gave under them."""
    from smc_dagster.mixing.caps import caps_in_force

    bench = _open(study, lake)
    rows = caps_in_force(bench.study, bench.lake)
    _show(rows, as_json, _table(f"Caps in force for {bench.study.name}", rows))


@anchors_app.callback(invoke_without_command=True)
def anchors(
    context: typer.Context, study: StudyOption = None, lake: LakeOption = None, as_json: JsonOption = False
) -> None:
    """The frozen versions, their rows by slice, and which is in force."""
    if context.invoked_subcommand is not None:
        return
    from smc_dagster import frozen

    bench = _open(study, lake)
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
    _show(rows, as_json, _table(f"Reality anchors of {bench.study.name}", rows, shown))


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

    bench = _open(study, lake)
    rows = frozen.show(bench.lake, version, slice_name, top)
    columns = ["slice", "label", "edit", "distance", "text"]
    _show(rows, as_json, _table(f"Anchors {version}", rows, columns))


@app.command()
def doctor(study: StudyOption = None, as_json: JsonOption = False) -> None:
    """What is missing on this machine, and how to get it. Exit status 2 if something needed is missing."""
    from smc_dagster.doctor import examine

    rows = [vars(one) for one in examine(study or study_reference())]
    _show(rows, as_json, _table("Doctor", rows))
    if any(row["needed"] and not row["ok"] for row in rows):
        raise typer.Exit(2)


@app.command()
def init(study: StudyOption = None, as_json: JsonOption = False) -> None:
    """Make DAGSTER_HOME ready for a study."""
    from smc_dagster.defs.instance import ready_home

    home = ready_home(load_study(study).name)
    _show({"dagster_home": str(home)}, as_json, _table("Instance", [{"dagster_home": str(home)}]))


@app.command()
def dev(
    study: StudyOption = None,
    port: Annotated[int, typer.Option(help="Port of Dagster's UI.")] = 3000,
    files_port: Annotated[int, typer.Option(help="Port that serves the reports.")] = 3001,
) -> None:
    """Dagster's UI and daemon for a study, and its reports, all on loopback."""
    from smc_dagster.defs.instance import ready_home

    bench = _open(study, None)
    ready_home(bench.study.name)
    scripts = str(Path(sys.executable).parent)
    os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
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


def _mendable(error: BaseException | None) -> SmcError | None:
    """The SmcError at the bottom of what Dagster wraps it in."""
    while error is not None:
        if isinstance(error, SmcError):
            return error
        inner = getattr(error, "user_exception", None)
        error = inner or error.__cause__
    return None


def main() -> None:
    """Entry point of `smc`."""
    # telemetry of every dependency is off unless the user turned it on
    for name in ("DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    try:
        app()
    except Exception as error:
        mendable = _mendable(error)
        if mendable is not None:
            err.print(f"[bold red]error:[/bold red] {escape(mendable.problem)}")
            if mendable.remedy:
                err.print(f"  remedy: {escape(mendable.remedy)}")
            sys.exit(2)
        failure = _failure(error)
        if failure is None:
            raise
        err.print(f"[bold red]failed:[/bold red] {escape(failure)}")
        sys.exit(1)


def _failure(error: BaseException | None) -> str | None:
    """The message of a failed check or step, without Dagster's traceback."""
    while error is not None:
        if type(error).__name__ in ("Failure", "DagsterAssetCheckFailedError"):
            return str(getattr(error, "description", None) or error)
        error = getattr(error, "user_exception", None) or error.__cause__
    return None
