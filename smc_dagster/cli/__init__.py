"""`smc`: the study from a terminal.

What belongs here: which commands there are, and turning errors into exit statuses (2 for what a person can mend).
What does not: the commands, each in the module of its subject, and the work.
"""

from __future__ import annotations

import os
import sys

import typer

from smc_dagster.cli import anchors, arms, caps, export, findings, ingest, machine, profile, release, runs, training
from smc_dagster.cli.terminal import err, printable
from smc_dagster.errors import SmcError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="`smc`: the study from a terminal. Exit status 2: something that a person can mend.",
)
app.add_typer(runs.study_app, name="study")
app.add_typer(anchors.anchors_app, name="anchors")
app.add_typer(caps.caps_app, name="caps")
app.add_typer(training.training_app, name="training")
for command in (
    findings.findings,
    arms.arms,
    export.export,
    profile.profile,
    release.audit,
    release.release,
    ingest.ingest,
    machine.doctor,
    machine.init,
    machine.dev,
    machine.evidently,
):
    app.command()(command)


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
            err.print(f"[bold red]error:[/bold red] {printable(mendable.problem)}")
            if mendable.remedy:
                err.print(f"  remedy: {printable(mendable.remedy)}")
            sys.exit(2)
        failure = _failure(error)
        if failure is None:
            raise
        err.print(f"[bold red]failed:[/bold red] {printable(failure)}")
        sys.exit(1)


def _failure(error: BaseException | None) -> str | None:
    """The message of a failed check or step, without Dagster's traceback; None where it hides a programming error."""
    while error is not None:
        # a Failure with a cause only forbids Dagster to try again what raised it
        wraps = type(error).__name__ == "Failure" and error.__cause__ is not None
        if not wraps and type(error).__name__ in ("Failure", "DagsterAssetCheckFailedError"):
            return str(getattr(error, "description", None) or error)
        error = getattr(error, "user_exception", None) or error.__cause__
    return None
