"""Assets of the group `findings`: what the arms that are there say about the claims.

What belongs here: the Dagster side of findings/. What does not: effects, onset or the report itself.
"""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg

from smc_dagster.defs import metadata
from smc_dagster.defs.resources import StudyResource
from smc_dagster.findings import plots
from smc_dagster.findings.draw import draw_findings
from smc_dagster.findings.report import render
from smc_dagster.findings.store import PAGE, SUMMARY, read_summary
from smc_dagster.findings.summary import summary
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.study import Study
from smc_dagster.tables import TABLES
from smc_dagster.workbench import Workbench

GROUP = "findings"
REPORT = "study_report"
DRAWN = {
    "headline": "Each published claim beside what was measured here: estimate, interval, verdict.",
    "collapse_onset": "Where decline sets in, only where a knee beats the smooth rivals.",
    "safe_shares": "By domain, the largest share at which tail recall is provably not worse by more than the margin.",
    "benchmark_coverage": "Which rare labels have too few evaluation documents to be judged at all, and what would do.",
    "attribution": "What of a change is due to real rows that left and what to synthetic rows: parts that add up.",
    "mitigation_effects": "Paired contrasts at equal realised share: caps, anchors, filter, all of them, and the pool.",
    "strictness_trade": "What each strictness of a filter saves and costs: contamination, coverage, tail recall.",
    "domain_sensitivity": "By domain: how much it loses, beside how rare, noisy and well covered its text is.",
    "domain_correlations": "Rank correlations over domains of what they lose with what they are like.",
    "provenance_thresholds": "The same arms where only text from a later grade on counts as synthetic.",
}
# findings follow an arm that is made again, without waiting for arms that were never made
FOLLOW = (
    dg.AutomationCondition.any_deps_updated()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
)


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The group's assets: one op, as the report shows just the findings that were drawn with it."""
    every = dg.AllPartitionMapping()
    measured = [
        dg.AssetDep("arm_metrics", partition_mapping=every),
        dg.AssetDep("predictions", partition_mapping=every),
    ]
    beside = [
        dg.AssetDep("synthetic_profile", partition_mapping=every),
        dg.AssetDep("mixture_composition", partition_mapping=every),
    ]

    def spec(name: str, text: str, deps: list[Any], kind: str) -> dg.AssetSpec:
        return dg.AssetSpec(
            name,
            deps=deps,
            description=text,
            group_name=GROUP,
            kinds={kind},
            owners=metadata.OWNERS,
            code_version=CODE_VERSIONS[name],
            automation_condition=FOLLOW,
        )

    @dg.multi_asset(
        name="findings",
        specs=[
            *(spec(name, text, measured, "parquet") for name, text in DRAWN.items()),
            spec(
                REPORT, "One self-contained HTML file: what was asked, found, and not shown.", [*DRAWN, *beside], "html"
            ),
        ],
    )
    def findings(context: dg.AssetExecutionContext, smc: StudyResource) -> Iterator[dg.MaterializeResult]:
        bench = smc.open()
        arms = [arm.key for arm in bench.fresh_arms()]
        names = [*DRAWN, REPORT]
        last = {name: context.instance.get_latest_materialization_event(dg.AssetKey(name)) for name in names}
        held = {name: event.asset_materialization for name, event in last.items() if event is not None}
        if all(held.get(name) is not None and is_fresh(bench, name, arms) for name in names):
            # recorded again as it is, so that what follows them sees a refresh
            context.log.info("all findings are fresh: drawn from these arms, as they are")
            for name, record in held.items():
                yield dg.MaterializeResult(
                    asset_key=name,
                    metadata=dict(record.metadata) if record is not None else {},
                    data_version=dg.DataVersion(bench.lineage.findings(name, arms).digest),
                )
            return
        drawn = draw_findings(bench.study, bench.lake, lineage=bench.lineage)
        keys = [arm.key for arm in drawn.evidence.arms]
        for name, table in drawn.tables.items():
            due = bench.lineage.findings(name, keys)
            bench.lake.write(TABLES[name], table, due)
            shown: dict[str, Any] = {"arms": len(keys), "report": metadata.link(f"{PAGE}#table-{name}")}
            if name == "collapse_onset":
                plot = plots.png_share_curve(drawn.metrics)
                shown["recall_against_share"] = metadata.plot(plot, "rare-case recall against synthetic share")
            # the longest last, as the page shows them in this order
            shown["rows"] = metadata.records(table.slice(0, 50).to_pylist())
            yield dg.MaterializeResult(
                asset_key=name,
                metadata=metadata.of_table(bench, name) | shown,
                data_version=dg.DataVersion(due.digest),
            )
        due = bench.lineage.findings(REPORT, keys)
        bench.lake.write_bytes(PAGE, render(bench.study, bench.lake, drawn, due.digest).encode())
        summed = summary(bench.study, drawn, due.digest)
        # written last: its fingerprint tells that the report is whole
        bench.lake.write_bytes(SUMMARY, json.dumps(summed, indent=1, allow_nan=False).encode() + b"\n")
        yield dg.MaterializeResult(
            asset_key=REPORT,
            metadata={
                "report": metadata.link(PAGE),
                "path": dg.MetadataValue.path(bench.lake.place(PAGE)),
                "fingerprint": due.digest,
            },
            data_version=dg.DataVersion(due.digest),
        )

    return [findings]


def is_fresh(bench: Workbench, name: str, arms: list[str]) -> bool:
    """Whether a finding is there and was drawn from just these arms, as they are now."""
    due = bench.lineage.findings(name, arms).digest
    if name in TABLES:
        stored = bench.lake.fingerprint(TABLES[name])
        return stored is not None and stored.digest == due
    shown = read_summary(bench.lake) if bench.lake.fs.exists(bench.lake.place(PAGE)) else None
    return shown is not None and shown.get("fingerprint") == due
