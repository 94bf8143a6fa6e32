"""What every command shares: its options, the study and lake it opens, and how it prints.

What belongs here: consoles, tables, and making text safe to print. What does not: commands.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from smc_dagster.study import shipped_studies, study_path
from smc_dagster.workbench import Workbench, open_workbench, study_reference

StudyOption = Annotated[str | None, typer.Option("--study", help="Shipped name, or path of a YAML file.")]
LakeOption = Annotated[
    str | None, typer.Option("--lake", help="Root of the lake; default: SMC_LAKE or data/lake/STUDY.")
]
CorpusOption = Annotated[
    str | None,
    typer.Option("--corpus", help="Local file or folder to read documents from; default: SMC_CORPUS, or the study's."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# what is piped or kept in a file is read with a pager that scrolls: 80 columns would break words of wide tables
PIPED_WIDTH = 180


def _console(stderr: bool) -> Console:
    width = None if os.environ.get("COLUMNS") or (sys.stderr if stderr else sys.stdout).isatty() else PIPED_WIDTH
    return Console(stderr=stderr, emoji=False, width=width)


out = _console(stderr=False)
err = _console(stderr=True)

# control characters but tab and line feed, line separators of Unicode, and what turns the direction of writing
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def opened(study: str | None, lake: str | None, corpus: str | None = None, *, claim: bool = False) -> Workbench:
    """The workbench that the options ask for."""
    # assets are loaded for the study, the corpus and the lake of this process
    os.environ["SMC_STUDY"] = absolute(study or study_reference())
    if corpus:
        os.environ["SMC_CORPUS"] = corpus if "://" in corpus else str(Path(corpus).expanduser().absolute())
    if lake:
        os.environ["SMC_LAKE"] = lake
    return open_workbench(os.environ["SMC_STUDY"], lake, claim=claim)


def absolute(study: str) -> str:
    """A study file by its full path, as processes that we start work elsewhere; a shipped name as it is."""
    return study if study in shipped_studies() else str(study_path(study).absolute())


def show(payload: Any, as_json: bool, *tables: Table) -> None:
    """Print the payload as JSON, or else the tables."""
    if as_json:
        typer.echo(json.dumps(payload, indent=1, allow_nan=False))
        return
    for one in tables:
        out.print(one)


def table(title: str, rows: list[dict[str, Any]], columns: list[str] | None = None) -> Table:
    """Rows as a table, of the columns given or all."""
    shown = Table(title=printable(title), title_justify="left", header_style="bold")
    names = columns or (list(rows[0]) if rows else [])
    for name in names:
        number = any(isinstance(row.get(name), int | float) for row in rows)
        shown.add_column(name.replace("_", " "), justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(printable(row.get(name)) for name in names))
    return shown


def record(title: str, fields: dict[str, Any]) -> Table:
    """Names and values below each other, for what is too long for a row; empty values are left out."""
    shown = Table(title=printable(title), title_justify="left", show_header=False)
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, ""):
            shown.add_row(printable(name), printable(value))
    return shown


def printable(value: Any) -> str:
    """A value as markup that prints as it is: no tags, and codes that a terminal would obey as `\\x1b` or `\\u202e`."""
    if value is None:
        return "-"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return escape(_OBEYED.sub(_code, text))


def shortened(text: str | None, most: int = 600) -> str | None:
    """The first `most` characters of a text, and how many it has where that is more."""
    if text is None or len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text)} characters)"


def _code(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
