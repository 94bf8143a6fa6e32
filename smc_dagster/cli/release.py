"""The audit of arms, and releasing one.

What belongs here: `smc audit`, `smc release`. What does not: figures and limits (release/audit.py), which arm is taken
(release/choice.py).
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated, Any

import typer

from smc_dagster.cli.terminal import JsonOption, LakeOption, StudyOption, opened, out, printable, show, table
from smc_dagster.errors import StaleInputError


def audit(
    study: StudyOption = None,
    select: Annotated[str, typer.Option("--arms", help="Globs of arm keys, joined by commas.")] = "*",
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Each arm's figures against the limits of a release. Nothing is written."""
    from smc_dagster.release.audit import audit as audit_arm
    from smc_dagster.release.store import released

    bench = opened(study, lake)
    held = released(bench.lake)
    arms: list[dict[str, Any]] = []
    for arm in bench.study.select_arms(select):
        try:
            found = audit_arm(bench, arm)
        except StaleInputError as error:
            arms.append({"arm": arm.key, "audit": "no results", "why": error.problem, "figures": []})
            continue
        verdict = "passes" if found.passed else "fails"
        arms.append({"arm": arm.key, "audit": verdict, "why": found.refusal or None, "figures": found.rows()})
    for row in arms:
        row["released"] = held is not None and held.arm == row["arm"]
    show(arms, as_json, table(f"Audit of {bench.study.name}", arms, ["arm", "audit", "released", "why"]))


def release(
    arm: Annotated[
        str, typer.Argument(help="Arm key; without it, the largest share that passes the audit.", show_default=False)
    ] = "",
    current: Annotated[bool, typer.Option("--show", help="Show the release in force; release nothing.")] = False,
    study: StudyOption = None,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Release an arm if it passes the audit; else exit status 2 and the reason, and the release in force stays."""
    from smc_dagster.release.store import released

    bench = opened(study, lake)
    if not current:
        _release(bench.study.name, bench.lake.root, arm)
    held = released(bench.lake)
    if held is None:
        show(None, as_json)
        if not as_json:
            out.print("nothing is released yet")
        return
    show(
        asdict(held), as_json, table(f"Released: {held.arm}", held.audit, ["rule", "where", "figure", "limit", "said"])
    )
    if not as_json:
        out.print(printable(f"{bench.lake.place('released_model', held.version)} (fingerprint {held.fingerprint})"))


def _release(study: str, lake: str, arm: str) -> None:
    import dagster as dg

    from smc_dagster.definitions import build_defs
    from smc_dagster.defs.instance import fail_orphans, ready_home, run_tags
    from smc_dagster.defs.jobs import RELEASE
    from smc_dagster.defs.release import RELEASED

    home = ready_home(study)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        fail_orphans(instance)
        build_defs(os.environ["SMC_STUDY"], lake).resolve_job_def(RELEASE).execute_in_process(
            instance=instance,
            tags=run_tags(study),
            run_config={
                "ops": {RELEASED: {"config": {"arm": arm}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
