"""The arms of a study.

What belongs here: `smc arms`. What does not: how states and costs are found (training/costs.py).
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from smc_dagster.cli.terminal import JsonOption, LakeOption, StudyOption, opened, out, show, table
from smc_dagster.study import Arm
from smc_dagster.workbench import Workbench

SHOWN = ("arm", "pool", "composition", "mitigations", "mixture", "checkpoints", "predictions", "metrics")
COSTS = ("examples", "tokens", "flops", "seconds")


def arms(
    study: StudyOption = None,
    select: Annotated[str, typer.Option("--arms", help="Globs of arm keys, joined by commas.")] = "*",
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The study's arms, how far each is built, and what it costs."""
    bench = opened(study, lake)
    rows = arm_rows(bench, bench.study.select_arms(select))
    shown = [row | {"seconds": "unknown" if row["seconds"] is None else row["seconds"]} for row in rows]
    show(rows, as_json, table(f"Arms of {bench.study.name}", shown, [*SHOWN, *COSTS]))
    if not as_json:
        out.print(_total(rows), soft_wrap=True)


def arm_rows(bench: Workbench, chosen: list[Arm]) -> list[dict[str, Any]]:
    """One row an arm: what it is, the state of each stage, and its cost over all replicates."""
    from smc_dagster.training.costs import Costs, stage_states

    costs = Costs(bench.study, bench.lake)
    rows = []
    for arm in chosen:
        seconds, source = costs.seconds(arm.key)
        rows.append(
            {
                "arm": arm.key,
                "series": arm.series.name,
                "share": arm.share,
                "pool": arm.series.pool,
                "composition": arm.series.composition.value,
                "mitigations": ", ".join(_mitigations(arm)) or None,
                "replicates": bench.study.replicates,
                **stage_states(bench.lineage, bench.lake, arm.key),
                **costs.budget,
                "seconds": seconds,
                "seconds_from": source,
            }
        )
    return rows


def _mitigations(arm: Arm) -> list[str]:
    series = arm.series
    filtered = [f"filter {series.strictness.value}"] if series.strictness.value != "off" else []
    named = {"caps": series.caps, "anchors": series.anchors, "rebalance": series.rebalance}
    return filtered + [name for name, on in named.items() if on]


def _total(rows: list[dict[str, Any]]) -> str:
    due = [row for row in rows if row["checkpoints"] != "built"]
    if not due:
        return "All are trained. Seconds are of one core, for training."
    known = [row["seconds"] for row in due if row["seconds"] is not None]
    time = "time unknown: none was trained here yet"
    if len(known) == len(due):
        time = f"about {sum(known):,.0f} s of one core"
    flops = sum(row["flops"] for row in due) if due[0]["flops"] is not None else None
    words = "FLOPs unknown: no corpus yet" if flops is None else f"{flops:.3g} FLOPs"
    return f"{len(due)} to train: {sum(row['examples'] for row in due):,} examples, {words}, {time}."
