"""A trained arm for others to load.

What belongs here: `smc export` and what it prints. What does not: writing the folder (export/).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from smc_dagster.cli.terminal import JsonOption, LakeOption, StudyOption, opened, record, show
from smc_dagster.workbench import Workbench


def export(
    arm: Annotated[str, typer.Argument(help="Arm key, as `smc arms` shows it.")],
    path: Annotated[str, typer.Argument(help="Folder to write; nothing may be there.")],
    replicate: Annotated[
        int | None, typer.Option("--replicate", help="Which replicate; default: that of the lowest validation loss.")
    ] = None,
    study: StudyOption = None,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an arm as a Hugging Face folder: model, labels, tokenizer and model card."""
    from smc_dagster.export.folder import export_arm

    bench = opened(study, lake)
    place = Path(path).expanduser().absolute()
    found = export_arm(bench, arm, place, replicate, lambda: _checks(bench, arm))
    payload = {
        "study": bench.study.name,
        "arm": arm,
        "path": str(found.path),
        "replicate": found.choice.replicate,
        "rule": found.choice.rule,
        "validation_losses": {str(number): loss for number, loss in found.choice.losses.items()},
        "verified": {
            "documents": found.verified.documents,
            "same_label": found.verified.same,
            "mean_difference": found.verified.mean,
            "largest_difference": found.verified.largest,
        },
    }
    tried = f"{found.verified.same} of {found.verified.documents} test documents get the study's label"
    shown = {key: payload[key] for key in ("arm", "path", "replicate", "rule")} | {"tried": tried}
    show(payload, as_json, record("Exported", shown))


def _checks(bench: Workbench, key: str) -> list[dict[str, Any]]:
    """Results of checks on record; none where the study never ran through Dagster here."""
    from smc_dagster import places

    arm = bench.study.arm(key)
    if not (places.dagster_home(bench.study.name) / "dagster.yaml").is_file():
        return []

    import dagster as dg

    from smc_dagster.definitions import build_defs
    from smc_dagster.defs.check_results import of_arm
    from smc_dagster.defs.instance import ready_home

    with dg.DagsterInstance.from_config(str(ready_home(bench.study.name))) as instance:
        return of_arm(instance, build_defs(os.environ["SMC_STUDY"], bench.lake.root), arm)
