"""Assets of the group `mixtures`: the dbt project, one launch for all arms asked.

What belongs here: turning dbt's manifest into assets and checks, launching dbt, publishing what passed. What does
not: the models (dbt_project/), the hand-over (mixing/).

The manifest is read as JSON rather than through dagster-dbt: importing that costs more than the whole time allowed
for loading the definitions, and its checks carry no partition. Here a dbt test's result is recorded for each arm of
the launch.
"""

from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation

from smc_dagster import places, progress
from smc_dagster.defs import metadata
from smc_dagster.defs.partitions import ONE_RUN, arm_partitions, pool_to_arms
from smc_dagster.defs.resources import StudyResource
from smc_dagster.findings import plots
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.mixing import dbt, folders, launch
from smc_dagster.study import Study
from smc_dagster.tables import MIXTURE_COMPOSITION, TABLES

GROUP = "mixtures"
PUBLISHED = ("mixture_documents", "mixture_composition")
# staging models that read the lake, and the asset each reads
READS = {
    "stg_real_documents": ["real_documents"],
    "stg_evaluation_documents": ["real_documents", "reality_anchors"],
    "stg_anchor_documents": ["real_documents", "reality_anchors"],
    "stg_synthetic_documents": ["synthetic_documents"],
    "stg_synthetic_scores": ["synthetic_scores"],
}
BY_POOL = {"synthetic_documents", "synthetic_scores"}


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The group's assets: every dbt seed and model."""
    manifest = dbt.read_manifest(places.dbt_project())
    arms = arm_partitions(study)
    nodes = {one["unique_id"]: one for one in manifest["nodes"].values()}
    built = {key: one for key, one in nodes.items() if one["resource_type"] in ("model", "seed")}
    tests = {key: one for key, one in nodes.items() if one["resource_type"] == "test" and _tested(one, built)}

    # outputs must be yielded after those they depend on
    order = list(TopologicalSorter({key: _upstream(one, built) for key, one in built.items()}).static_order())

    specs = [_asset_spec(one, built, study) for one in built.values()]
    checks = [
        dg.AssetCheckSpec(
            check_name(one),
            asset=built[_tested(one, built)]["name"],
            partitions_def=arms,
            blocking=one["config"].get("severity", "ERROR").upper() == "ERROR",
            description=one.get("description") or None,
        )
        for one in tests.values()
    ]

    @dg.multi_asset(
        name="dbt_mixtures", specs=specs, check_specs=checks, partitions_def=arms, backfill_policy=ONE_RUN, pool="dbt"
    )
    def dbt_mixtures(context: dg.AssetExecutionContext, smc: StudyResource) -> Iterator[Any]:
        bench = smc.open()
        keys = list(context.partition_keys)
        with folders.working_folder(bench.lake) as folder:
            ready = launch.prepare(bench.study, bench.lake, [bench.study.arm(k) for k in keys], bench.lineage, folder)
            progress.report("mix", 0, len(keys))
            results = dbt.build(ready, context.log.info)
            by_id = {one.unique_id: one for one in results}
            for test_id, test in tests.items():
                yield from _evaluations(test, built[_tested(test, built)]["name"], by_id.get(test_id), keys)
            broken = [one for one in results if not one.ok and one.status != "skipped"]
            if broken:
                raise dg.Failure(
                    "dbt: " + "; ".join(f"{one.unique_id} {one.status}: {one.message}" for one in broken[:5]),
                    metadata={"failed": metadata.records([vars(one) for one in broken])},
                    allow_retries=False,
                )
            launch.publish(ready, bench.lake, bench.lineage)
        progress.report("mix", len(keys), len(keys))
        for unique_id in order:
            node = built[unique_id]
            if node["name"] in PUBLISHED:
                for key in keys:
                    context.add_asset_metadata(
                        metadata.of_table(bench, node["name"], key), asset_key=node["name"], partition_key=key
                    )
            shown: dict[str, Any] = {
                "seconds": by_id[unique_id].seconds if unique_id in by_id else 0.0,
                "arms": len(keys),
            }
            if node["name"] == MIXTURE_COMPOSITION.name:
                rows = bench.lake.read_many(MIXTURE_COMPOSITION, keys)
                shown["composition"] = metadata.plot(plots.png_composition(rows), "real and synthetic rows by arm")
            yield dg.MaterializeResult(asset_key=node["name"], metadata=shown)

    return [dbt_mixtures]


def check_name(test: dict[str, Any]) -> str:
    """A dbt test's name as an asset check's."""
    return str(test["name"])


def _tested(test: dict[str, Any], built: dict[str, Any]) -> str:
    """The node a test is shown on: the one it is attached to, else the mart it reads, else nothing."""
    attached = test.get("attached_node")
    if attached in built:
        return str(attached)
    reads = _upstream(test, built)
    marts = [one for one in reads if built[one]["name"] in PUBLISHED]
    return next(iter(marts or reads), "")


def _upstream(node: dict[str, Any], built: dict[str, Any]) -> list[str]:
    return [one for one in node["depends_on"].get("nodes", []) if one in built]


def _asset_spec(node: dict[str, Any], built: dict[str, Any], study: Study) -> dg.AssetSpec:
    name = node["name"]
    deps: list[Any] = [built[one]["name"] for one in _upstream(node, built)]
    for upstream in READS.get(name, ()):
        mapping = pool_to_arms(study) if upstream in BY_POOL else None
        deps.append(dg.AssetDep(upstream, partition_mapping=mapping))
    return dg.AssetSpec(
        name,
        deps=deps,
        description=node.get("description") or None,
        group_name=GROUP,
        kinds={"dbt", "duckdb"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS.get(name) or node["checksum"]["checksum"][:12],
        metadata={"dagster/column_schema": _columns(node)},
    )


def _columns(node: dict[str, Any]) -> dg.TableSchema:
    """A node's columns as the project describes them, with a type where the project or the lake says one."""
    types = {name: str(one) for name, one in (node["config"].get("column_types") or {}).items()}
    if node["name"] in TABLES:
        types = {one.name: str(one.type) for one in TABLES[node["name"]].schema}
    return dg.TableSchema(
        [
            dg.TableColumn(name, types.get(name, ""), one.get("description") or None)
            for name, one in node["columns"].items()
        ]
    )


def _evaluations(
    test: dict[str, Any], asset: str, result: dbt.NodeResult | None, keys: list[str]
) -> Iterator[AssetCheckEvaluation | dg.Output[None]]:
    passed = result is not None and result.ok
    for key in keys:
        yield AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset),
            check_name=check_name(test),
            passed=passed,
            metadata={
                "status": dg.TextMetadataValue(result.status if result else "not run"),
                "failures": dg.IntMetadataValue(result.failures if result else 0),
                "message": dg.TextMetadataValue(result.message if result else ""),
            },
            severity=dg.AssetCheckSeverity.ERROR,
            partition=key,
            # a failed test fails the whole launch below, before anything is published
            blocking=False,
        )
    yield dg.Output(None, output_name=f"{asset}_{check_name(test)}")
