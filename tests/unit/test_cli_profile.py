"""What `smc` prints of text that nobody vouches for, and what `smc profile` says of wrong options."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from typer.testing import CliRunner

from smc_dagster import cli, frozen
from smc_dagster.cli.profile import explained
from smc_dagster.cli.terminal import out, shortened, show, table
from smc_dagster.errors import LakeError, StudyError
from smc_dagster.tables import REAL_DOCUMENTS, REALITY_ANCHORS, SYNTHETIC_DOCUMENTS, SYNTHETIC_SCORES, TableSpec
from smc_dagster.workbench import open_workbench

pytestmark = pytest.mark.unit

HOSTILE = [
    "[bold red]not markup[/bold red] [/] [link=http://x]y[/link]",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \x7f \r gone",
    "<script>alert(1)</script> & <b>",
    "right \u202e to left \u2066 and \u2028 line",
    "a trailing backslash \\",
    ":warning: stays",
]


def drawn(*shown: Any) -> str:
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None, emoji=out._emoji)
    for one in shown:
        console.print(one)
    file = console.file
    assert isinstance(file, io.StringIO)
    # bold is the console's own; everything else that begins with an escape would be the text's
    return file.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[3m", "")


def row(text: str) -> dict[str, Any]:
    return {
        "doc_id": "d1",
        "domain": text[:20],
        "label": "l",
        "text": text,
        "contamination": 1.0,
        "contaminating_run": text,
        "contaminant_text": text,
        "template": text,
        "cluster_text": text,
        "reasons": dict.fromkeys(("contamination", "template", "near_duplicates", "exact_copies"), f"because {text}"),
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_text_prints_as_it_is_and_the_terminal_obeys_none_of_it(text: str) -> None:
    for shown in (drawn(explained(1, row(text))), drawn(table(text, [{"text": text}]))):
        assert not set(shown) & set("\x1b\x07\x9b\x7f\r\u202e\u2066\u2028")
        kept = text
        for sign in "\x1b\x07\x9b\x7f\r":
            kept = kept.replace(sign, f"\\x{ord(sign):02x}")
        for sign in "\u202e\u2066\u2028":
            kept = kept.replace(sign, f"\\u{ord(sign):04x}")
        assert kept in shown


def test_json_has_the_text_whole_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("".join(HOSTILE) + "x" * 10_000)]
    show(rows, True)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert json.loads(printed) == rows


def test_a_very_long_text_is_cut_on_the_terminal_and_says_so() -> None:
    text = "word " * 20_000
    assert shortened(text) == f"{text[:600]}… (100000 characters)"
    assert shortened("short") == "short"
    assert len(drawn(explained(1, row("x") | {"text": text, "contaminant_text": text}))) < 10_000


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (["--explain"], StudyError, r"--explain takes --pool[\s\S]*pools: templated"),
        (["--explain", "--pool", "nope"], StudyError, r"unknown pool `nope`[\s\S]*pools: templated"),
        (["--pool", "nope"], StudyError, r"unknown pool `nope`[\s\S]*pools: templated"),
        (["--explain", "--pool", "templated"], LakeError, r"no scores of pool `templated` yet[\s\S]*smc study run"),
        ([], LakeError, r"no pool profile yet[\s\S]*smc study run"),
    ],
)
def test_what_cannot_be_shown_is_named(
    options: list[str], error: type[Exception], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SMC_STUDY", "SMC_LAKE"):  # the command sets them for its process
        monkeypatch.setenv(name, "")
    found = CliRunner().invoke(cli.app, ["profile", "--study", "tiny", "--lake", str(tmp_path / "lake"), *options])
    assert isinstance(found.exception, error)
    assert re.search(says, str(found.exception))


def test_explain_reads_the_tables_that_the_study_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMC_STUDY", "SMC_LAKE"):
        monkeypatch.setenv(name, "")
    bench = open_workbench("tiny", str(tmp_path / "lake"), claim=True)
    document = {"domain": "d", "label": "l", "provenance": "human", "day": "2024-01-01"}
    edited = {"doc_id": "x", "slice": "adversarial", "text": "judged, they say", "is_tail": False, "version": "v1"}
    frozen.freeze(bench.lake, filled(REALITY_ANCHORS, [edited]), bench.study.anchors, "another corpus")
    bench.lineage.forget()
    real = {**document, "doc_id": "e", "text": "judged", "split": "test", "is_tail": False}
    made = [{**document, "doc_id": one, "pool": "templated", "text": HOSTILE[1]} for one in ("a", "b")]
    score = {"pool": "templated", "contamination": 1.0, "contamination_kind": "shared_run"}
    scores = [{**score, "doc_id": one, "contaminant_doc_id": by} for one, by in (("a", "e"), ("b", "x"))]
    bench.write("real_documents", filled(REAL_DOCUMENTS, [real]))
    bench.write("synthetic_documents", filled(SYNTHETIC_DOCUMENTS, made), "templated")
    bench.write("synthetic_scores", filled(SYNTHETIC_SCORES, scores), "templated")
    command = ["profile", "--study", "tiny", "--lake", str(tmp_path / "lake"), "--explain", "--pool", "templated"]
    found = CliRunner().invoke(cli.app, [*command, "--top", "2", "--json"], catch_exceptions=False)
    rows = json.loads(found.stdout)
    assert [(one["doc_id"], one["text"], one["contaminant_split"], one["contaminant_text"]) for one in rows] == [
        ("a", HOSTILE[1], "test", "judged"),
        ("b", HOSTILE[1], "adversarial", "judged, they say"),
    ]


def filled(spec: TableSpec, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as the table's contract has them, with a text in each required column that they leave out."""
    needed = {field.name: "x" for field in spec.schema if not field.nullable}
    return pa.Table.from_pylist([needed | row for row in rows], schema=spec.schema)
