"""What was found.

What belongs here: `smc findings`. What does not: how it is found (findings/).
"""

from __future__ import annotations

import json
from typing import Any

import typer

from smc_dagster.cli.terminal import JsonOption, LakeOption, StudyOption, err, opened, out, printable, table
from smc_dagster.errors import LakeError


def findings(study: StudyOption = None, lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """What was found: the answer by domain, the headline table, onsets and safe shares."""
    from smc_dagster.findings import report_answer
    from smc_dagster.findings.store import read_summary

    bench = opened(study, lake)
    shown = read_summary(bench.lake)
    if shown is None:
        raise LakeError(f"{bench.lake.root} holds no findings yet", "run `smc study run`")
    due = bench.lineage.findings("study_report", [arm.key for arm in bench.fresh_arms()]).digest
    if shown["fingerprint"] != due:
        err.print("[yellow]these findings are older than what the study now asks for: run `smc study run`[/yellow]")
    if as_json:
        typer.echo(json.dumps(shown, indent=1, allow_nan=False))
        return
    out.print(f"[bold]{printable(bench.study.title)}[/bold]  (fingerprint {shown['fingerprint']})")
    if shown.get("answer"):
        out.print(printable(shown["answer"]), "\n")
    domains = report_answer.rows(shown.get("domain_answer", []))
    if domains:
        stands = [{**row, "share_in_use_is": row["words"]} for row in domains]
        columns = ["domain", "share_in_use_is", "in_use", "safe", "cap", "why"]
        out.print(table("How much synthetic text each domain can take", stands, columns))
    headline = ["series", "measure", "claim", "share", "estimate", "interval", "verdict", "n", "replicates", "n_needed"]
    out.print(table("Headline", _with_intervals(shown["headline"]), headline))
    onset = [row for row in shown["onset"] if row["domain"] == "*" or row["status"] != "insufficient_data"]
    columns = [
        "series",
        "domain",
        "measure",
        "status",
        "knot",
        "interval",
        "smallest_knee",
        "false_knees",
        "coverage",
    ]
    if onset:
        out.print(table("Onset", _with_intervals(onset), columns))
    safe = [row for row in shown["safe_shares"] if row.get("status") != "insufficient_data"]
    if safe:
        out.print(table("Safe shares", safe, ["series", "domain", "status", "share", "margin", "n"]))
    parts = [
        row for row in shown.get("attribution", []) if row["measure"] == "rare_recall" and row["p_holm"] is not None
    ]
    if parts:
        columns = ["series", "realised", "part", "arm", "against", "estimate", "interval", "p_holm"]
        out.print(table("What is due to what: parts of the change of rare recall", _with_intervals(parts), columns))
    helped = [row for row in shown.get("mitigation_effects", []) if row["p_holm"] is not None]
    if helped:
        columns = ["contrast", "series", "against", "realised", "realised_against", "measure"]
        out.print(table("What helps", _with_intervals(helped), [*columns, "estimate", "interval", "p_holm"]))
    told = [row for row in shown.get("domain_correlations", []) if row["rho"] is not None]
    if told:
        columns = ["series", "sensitivity", "trait", "n", "rho", "interval", "verdict"]
        out.print(table("Which domains break first", _with_intervals(told), columns))
    if shown["provenance_thresholds"]:
        columns = ["series", "synthetic_from", "share", "counted", "status", "knot", "interval", "safe_counted"]
        out.print(table("By what counts as synthetic", _with_intervals(shown["provenance_thresholds"]), columns))
    if shown["strictness_trade"]:
        columns = ["pool", "strictness", "share", "pool_left", "contaminated", "templated", "duplicated", "coverage"]
        out.print(
            table(
                "By strictness",
                _with_intervals(shown["strictness_trade"]),
                [*columns, "tail_recall", "change", "interval"],
            )
        )
    labels = shown["benchmark_coverage"]
    if labels:
        judged = sum(row["judged"] for row in labels)
        out.print(
            f"{len(labels) - judged} of {len(labels)} rare labels have too few evaluation documents to be judged at "
            "all; `--json` lists them."
        )
    skipped = len(shown["safe_shares"]) - len(safe) + len(shown["onset"]) - len(onset)
    if skipped:
        out.print(f"{skipped} more series and domains have too little data to say; `--json` lists them.")


def _with_intervals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with `low` and `high` as one cell: three figures each are what a person compares, and lines stay short."""
    return [
        row | {"interval": None if row.get("low") is None else f"{row['low']:.3g} to {row['high']:.3g}"} for row in rows
    ]
