"""What `smc study run` shows while it works and when it ends.

What belongs here: rich displays. What does not: commands (cli) or work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from smc_dagster import progress
from smc_dagster.study import Study


@contextmanager
def showing_progress(console: Console, study: Study, arms: int) -> Iterator[Callable[[str], None]]:
    """Show stages, what each has done, and its time left; yields `announce(stage)`."""
    began = time.monotonic()
    console.print(
        f"[bold]{escape(study.name)}[/bold]: {arms} arms x {study.replicates} replicates, "
        f"{len(study.pools)} pools, {len(study.series)} series"
    )
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=not console.is_terminal) as bars:

        def listen(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        def announce(stage: str) -> None:
            bars.console.print(f"[{time.monotonic() - began:6.1f} s] {stage}")

        with progress.listening(listen):
            yield announce
    console.print(f"[{time.monotonic() - began:6.1f} s] done")


def ending(console: Console, made: dict[str, int], reused: dict[str, int], report: str) -> None:
    """Print what was made, what was reused, and where the report lies."""
    table = Table(title="Assets", title_justify="left", header_style="bold")
    for name in ("asset", "made", "reused"):
        table.add_column(name, justify="left" if name == "asset" else "right")
    for asset in made:
        table.add_row(asset, str(made[asset]), str(reused.get(asset, 0)))
    console.print(table)
    console.print(f"made {sum(made.values())}, reused {sum(reused.values())} partitions")
    console.print("report:", report, soft_wrap=True)
