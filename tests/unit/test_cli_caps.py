"""`smc caps`: what is recommended, what may be accepted, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from smc_dagster import cli, places
from smc_dagster.cli.caps import own_caps
from smc_dagster.errors import CapsError, LakeError, SmcError, StaleInputError, StudyError
from smc_dagster.findings.store import SUMMARY
from smc_dagster.mixing import accepting
from smc_dagster.mixing.accepting import findings_of
from smc_dagster.mixing.seeds import read_caps, seed_path
from smc_dagster.tables import ARM_METRICS, MIXTURE_COMPOSITION, SAFE_SHARES
from smc_dagster.workbench import Workbench, open_workbench

pytestmark = pytest.mark.unit
HOSTILE = '[red]a, "b" = c'
BUDGET = 100
# domain to the status and share of its row
FOUND = {"*": ("measured", 0.6), "json": ("measured", 0.34567), "re": ("none_safe", None), HOSTILE: ("measured", 0.6)}
FOUND |= {"csv": ("insufficient_data", None)}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """The tiny study with findings, mixtures and metrics as they are due, and a caps seed of its own."""
    project = tmp_path / "dbt_project"
    shutil.copytree(places.dbt_project(), project, ignore=shutil.ignore_patterns("target", "logs"))
    (project / "seeds" / "caps.csv").write_text("study,domain,cap,note\nother,json,0.9,theirs\ntiny,re,0.5,by hand\n")
    for name, value in (("SMC_STUDY", "tiny"), ("SMC_LAKE", str(tmp_path / "lake")), ("SMC_DBT_PROJECT", str(project))):
        monkeypatch.setenv(name, value)
    opened = open_workbench("tiny", str(tmp_path / "lake"), claim=True)
    for arm in opened.study.arms:
        asked = round(arm.share * BUDGET)
        given = {name: min(asked, 50) if name == "re" else asked for name in FOUND if name != "*"}
        rows = [
            {
                "arm": arm.key,
                "series": arm.series.name,
                "pool": arm.series.pool,
                "domain": name,
                "budget": BUDGET,
                "cap": 0.5 if name == "re" else 1.0,
                "rows_asked": asked,
                "rows_displaced": rows,
                "rows_synthetic": rows if arm.series.pool else 0,
                "shortfall": asked - rows,
            }
            for name, rows in given.items()
        ]
        opened.write("mixture_composition", pa.Table.from_pylist(rows, MIXTURE_COMPOSITION.schema), arm.key)
        opened.write("arm_metrics", ARM_METRICS.schema.empty_table(), arm.key)
    keys = [arm.key for arm in opened.study.arms]
    rows = [
        {
            "series": "templated",
            "domain": name,
            "status": status,
            "share": share,
            "margin": 0.02,
            "n": 44,
            "note": "why",
        }
        for name, (status, share) in FOUND.items()
    ]
    table = pa.Table.from_pylist(rows, SAFE_SHARES.schema)
    opened.lake.write(SAFE_SHARES, table, opened.lineage.findings("safe_shares", keys))
    digest = opened.lineage.findings("study_report", keys).digest
    opened.lake.write_bytes(SUMMARY, json.dumps({"fingerprint": digest, "arms": {"counted": keys}}).encode())
    return opened


def smc(*words: str, answer: str | None = None) -> Any:
    return CliRunner().invoke(cli.app, ["caps", *words], input=answer)


def refused(*words: str) -> SmcError:
    found = smc(*words)
    assert isinstance(found.exception, SmcError), found.output
    return found.exception


def recommended() -> dict[str, dict]:
    payload = json.loads(smc("recommend", "--json").stdout)
    return {row["domain"]: row for row in payload["domains"]}


def seed() -> dict[str, float]:
    return read_caps().of("tiny")


def test_recommended_beside_in_force_and_in_use(bench: Workbench) -> None:
    rows = recommended()
    assert list(rows) == ["*", *sorted(name for name in FOUND if name != "*")]
    shown = {name: tuple(row[key] for key in ("share_in_use", "cap", "recommended")) for name, row in rows.items()}
    assert shown["json"] == (0.6, 1.0, 0.3456)
    assert shown["re"] == (0.5, 0.5, None)
    assert shown["csv"] == (0.6, 1.0, None)
    assert rows["json"]["series"] == "templated"
    payload = json.loads(smc("recommend", "--json").stdout)
    assert (payload["fresh"], payload["level"], payload["margin"]) == (True, 0.95, 0.02)
    assert "[red]a" in smc("recommend").output


def test_accepting_writes_what_was_measured_with_date_fingerprint_and_reason(bench: Workbench) -> None:
    found = smc("accept", "--reason", "agreed", "--yes", "--json")
    assert found.exit_code == 0, found.output
    payload = json.loads(found.stdout)
    assert {row["domain"]: row["accepted"] for row in payload["accepted"]} == {"json": 0.3456, HOSTILE: 0.6}
    assert seed() == {"re": 0.5, "json": 0.3456, HOSTILE: 0.6}
    rows = {(row.study, row.domain): row for row in read_caps().rows}
    assert rows["other", "json"].cap == 0.9
    assert rows["tiny", "re"].note == "by hand"
    note = rows["tiny", "json"].note
    assert findings_of(note) == payload["fingerprint"]
    assert note.endswith("(safe share 0.34567, margin 0.02, n 44, series templated): agreed")


def test_nothing_is_written_without_a_yes(bench: Workbench) -> None:
    before = seed()
    for answer in ("n\n", "\n", ""):
        assert smc("accept", "--reason", "x", answer=answer).exit_code == 1
    assert smc("accept", "--domain", "json").exit_code == 2  # no reason
    assert seed() == before
    assert smc("accept", "--reason", "x", "--domain", "json", answer="y\n").exit_code == 0
    assert seed() == before | {"json": 0.3456}


def test_caps_of_ones_own_are_told_to_be_unproven(bench: Workbench) -> None:
    found = smc("accept", "--reason", "x", "--yes", "--cap", "re=0.05", "--cap", f"{HOSTILE}=0.7", "--domain", "json")
    assert found.exit_code == 0, found.output
    assert seed() == {"re": 0.05, HOSTILE: 0.7, "json": 0.3456}
    assert found.output.count("is not proven safe") == 2
    assert "a cap of one's own; none_safe" in next(row.note for row in read_caps().rows if row.domain == "re")


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--domain", "re"], CapsError, ["`re` has no measured safe share", "none_safe", "--cap 're=0.3'"]),
        (["--domain", "json", "--domain", "csv"], CapsError, ["`csv`", "insufficient_data", "why"]),
        (["--domain", "nowhere"], CapsError, ["no domain `nowhere`", "csv"]),
        (["--cap", "nowhere=0.3"], CapsError, ["no domain `nowhere`"]),
        (["--cap", "json=1.5"], CapsError, ["json=1.5", "from 0 to 1"]),
        (["--cap", "json"], CapsError, ["DOMAIN=0.3"]),
        (["--series", "nosuch"], StudyError, ["no series `nosuch`", "templated"]),
        (["--series", "real_dropped"], StudyError, ["synthetic rows"]),
    ],
)
def test_what_may_not_be_accepted_is_named_and_nothing_is_written(
    bench: Workbench, words: list[str], error: type[SmcError], said: list[str]
) -> None:
    before = seed()
    found = refused("accept", "--reason", "x", "--yes", *words)
    assert isinstance(found, error)
    for one in said:
        assert one in str(found)
    assert seed() == before


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (" ", "--reason is empty"),
        ("a\x1b[31mb", "--reason holds the character U+001B"),
        ("a\u202eb", "--reason holds the character U+202E"),
        ("two\nlines", "--reason holds the character U+000A"),
        ("x" * 501, "--reason has 501 characters"),
    ],
)
def test_a_reason_must_be_a_line_of_plain_text(bench: Workbench, reason: str, said: str) -> None:
    before = seed()
    assert said in str(refused("accept", "--reason", reason, "--yes"))
    assert seed() == before


def test_caps_are_accepted_by_one_at_a_time(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "LOCK_SECONDS", 0.05)
    path, before = seed_path("caps"), seed()
    with FileLock(path.with_name(f".{path.name}.lock")):
        assert "has been locked for 0.05 s by another process" in str(refused("accept", "--reason", "x", "--yes"))
    assert seed() == before
    assert smc("accept", "--reason", "x", "--yes").exit_code == 0


@pytest.mark.parametrize("text", ["a=nan", "=0.3", "a=", "a=-0.1", "0.3"])
def test_a_cap_that_is_none(text: str) -> None:
    with pytest.raises(CapsError, match="not a domain and a share"):
        own_caps([text])
    with pytest.raises(CapsError, match="given twice"):
        own_caps(["a=0.1", "a=0.2"])


def test_the_last_equals_sign_parts_domain_and_share() -> None:
    assert own_caps(["a=b=0.25", "c=1"]) == {"a=b": 0.25, "c": 1.0}


def test_a_cap_of_all_domains_holds_for_those_without_a_row(bench: Workbench) -> None:
    assert smc("accept", "--reason", "x", "--yes", "--domain", "*").exit_code == 0
    assert seed() == {"re": 0.5, "*": 0.6}
    everywhere = [word for name in FOUND if name != "*" for word in ("--cap", f"{name}=0.2")]
    assert smc("accept", "--reason", "x", "--yes", *everywhere).exit_code == 0
    assert "would hold for no domain" in str(refused("accept", "--reason", "x", "--yes", "--domain", "*"))


def test_stale_findings_are_shown_with_a_warning_and_not_accepted(bench: Workbench) -> None:
    path = places.dbt_project() / "seeds" / "caps.csv"
    path.write_text(path.read_text() + "tiny,csv,0.1,by hand\n")
    found = smc("recommend", "--json")
    assert json.loads(found.stdout)["fresh"] is False
    assert "older than what the study now asks for" in found.stderr
    assert isinstance(refused("accept", "--reason", "x", "--yes"), StaleInputError)


def test_caps_accepted_from_findings_do_not_make_them_too_old_to_accept_more(bench: Workbench) -> None:
    assert smc("accept", "--reason", "first", "--yes", "--domain", "json").exit_code == 0
    assert not open_workbench("tiny").fresh_arms()
    assert json.loads(smc("recommend", "--json").stdout)["fresh"] is True
    assert smc("accept", "--reason", "second", "--yes", "--domain", HOSTILE).exit_code == 0
    assert seed() == {"re": 0.5, "json": 0.3456, HOSTILE: 0.6}


def test_another_change_makes_them_too_old_even_after_accepting(bench: Workbench) -> None:
    assert smc("accept", "--reason", "first", "--yes", "--domain", "json").exit_code == 0
    model = next(places.dbt_project().glob("models/marts/*.sql"))
    model.write_text(model.read_text() + "-- changed\n")
    assert isinstance(refused("accept", "--reason", "x", "--yes"), StaleInputError)


def test_findings_must_be_there(bench: Workbench) -> None:
    Path(bench.lake.place(SUMMARY)).unlink()
    assert isinstance(refused("recommend"), LakeError)


def test_options_before_a_command_are_not_swallowed(bench: Workbench) -> None:
    found = smc("--json", "recommend")
    assert found.exit_code == 2
    assert "after `recommend`" in found.output
