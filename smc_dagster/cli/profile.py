"""What the pools are like.

What belongs here: `smc profile`. What does not: how pools are judged and documents ordered (screening/).
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from smc_dagster.cli.terminal import JsonOption, LakeOption, StudyOption, opened, record, shortened, show, table
from smc_dagster.errors import LakeError, StudyError
from smc_dagster.workbench import Workbench


def profile(
    study: StudyOption = None,
    pool: Annotated[str | None, typer.Option("--pool", help="One pool; without it all.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="The worst documents of --pool, and why.")] = False,
    top: Annotated[int, typer.Option("--top", min=1, help="Most documents of --explain.")] = 10,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """What each pool is like, beside the real corpus; with --explain, its worst documents."""
    bench = opened(study, lake)
    if pool not in bench.study.pools and (explain or pool is not None):
        raise StudyError(
            f"study `{bench.study.name}`: " + ("--explain takes --pool" if pool is None else f"unknown pool `{pool}`"),
            f"pools: {', '.join(bench.study.pools) or 'none'}",
        )
    if explain and pool is not None:
        rows = worst_documents(bench, pool, top)
        found = [explained(number, row) for number, row in enumerate(rows, 1)]
        show(rows, as_json, *(found or [table(f"Pool {pool}: no document has anything against it", [])]))
        return
    pools = [pool] if pool else list(bench.study.pools)
    rows = profiles(bench, pools) + overlaps(bench, pools)
    overall = [row for row in rows if row["domain"] == "*"]
    show(rows, as_json, table("Pools, all domains", overall, ["pool", "measure", "value", "reference", "n"]))


def profiles(bench: Workbench, pools: list[str]) -> list[dict[str, Any]]:
    """The rows of `synthetic_profile` that are there.

    Raises:
        LakeError: there are none.
    """
    from smc_dagster.tables import SYNTHETIC_PROFILE

    rows: list[dict[str, Any]] = []
    for pool in pools:
        if bench.lake.fingerprint(SYNTHETIC_PROFILE, pool) is not None:
            rows += bench.read("synthetic_profile", pool).to_pylist()
    if not rows:
        raise LakeError(f"{bench.lake.root} holds no pool profile yet", "run `smc study run`")
    return rows


def overlaps(bench: Workbench, pools: list[str]) -> list[dict[str, Any]]:
    """The rows of `pool_overlaps` as measures of their pool; none where it is not made yet, or stale."""
    from smc_dagster.screening.overlaps import TRAINING
    from smc_dagster.tables import POOL_OVERLAPS

    if not bench.lineage.is_fresh(POOL_OVERLAPS.name):
        return []
    rows = [row for row in bench.read(POOL_OVERLAPS.name).to_pylist() if row["pool"] in pools]
    return [
        {
            "pool": row["pool"],
            "domain": "*",
            "measure": f"overlap_with_{'training' if row['against'] == TRAINING else row['against']}",
            "value": row["share"],
            "reference": None,
            "n": row["documents"],
        }
        for row in rows
    ]


def worst_documents(bench: Workbench, pool: str, top: int) -> list[dict[str, Any]]:
    """The rows of screening/explain.py for a pool.

    Raises:
        LakeError: the pool has no scores yet, or something it was scored by is stale.
    """
    from smc_dagster.screening.contamination import evaluation_text
    from smc_dagster.screening.explain import worst
    from smc_dagster.tables import SYNTHETIC_SCORES

    if bench.lake.fingerprint(SYNTHETIC_SCORES, pool) is None:
        raise LakeError(f"{bench.lake.root} holds no scores of pool `{pool}` yet", "run `smc study run`")
    docs = bench.read("synthetic_documents", pool, ["doc_id", "domain", "label", "text"])
    evaluation = evaluation_text(bench.read("real_documents"), bench.read("reality_anchors"))
    return worst(docs, bench.read("synthetic_scores", pool), evaluation, top)


def explained(number: int, row: dict[str, Any]) -> Table:
    """A document as `smc profile --explain` shows it; long texts are cut, `--json` has them whole."""
    reasons = row["reasons"]
    return record(
        f"{number}. {row['doc_id']} ({row['domain']}, {row['label']})",
        {
            "text": shortened(row["text"]),
            "contamination": _value(row["contamination"], reasons.get("contamination")),
            "shared words": row["contaminating_run"],
            "evaluation text": shortened(row["contaminant_text"]),
            "template": reasons.get("template"),
            "skeleton": shortened(row["template"]),
            "near-duplicates": reasons.get("near_duplicates"),
            "cluster's text": shortened(row["cluster_text"]),
            "exact copies": reasons.get("exact_copies"),
        },
    )


def _value(value: float | None, reason: str | None) -> str | None:
    return None if reason is None else f"{value or 0:.3g}: {reason}"
