"""Asset checks, recorded by partition: those of the Great Expectations suites, and that of the compute budget.

What belongs here: judging the asset just made and saying so to Dagster. What does not: the expectations (quality/), the
budget (training/compute.py).
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.metadata import normalize_metadata

from smc_dagster.defs import metadata
from smc_dagster.defs.partitions import arm_partitions, pool_partitions
from smc_dagster.defs.resources import StudyResource
from smc_dagster.defs.training import label_list
from smc_dagster.quality.expectations import CheckResult, Context, run_suite, suite_names
from smc_dagster.study import Study
from smc_dagster.training.compute import budget_due, departures
from smc_dagster.training.trained import described
from smc_dagster.workbench import Workbench


def checks(study: Study) -> list[dg.AssetChecksDefinition]:
    """The checks of every table that has a suite."""
    pools, arms = pool_partitions(study), arm_partitions(study)
    return [
        _suite("real_documents", None),
        _suite("reality_anchors", None),
        _suite("synthetic_documents", pools),
        _suite("mixture_documents", arms),
        _suite("mixture_composition", arms),
        _suite("predictions", arms),
        _fixed_compute(arms),
    ]


def _fixed_compute(arms: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    spec = dg.AssetCheckSpec(
        "fixed_compute",
        asset="checkpoints",
        description="Every replicate of the arm saw the steps, examples, tokens and FLOPs that all arms are due.",
        blocking=True,
        partitions_def=arms,
    )

    @dg.multi_asset_check(name="checkpoints_fixed_compute", specs=[spec], compute_kind="python")
    def fixed_compute(context: dg.AssetCheckExecutionContext, smc: StudyResource) -> Iterator[Any]:
        bench = smc.open()
        due = budget_due(bench.study.training, len(label_list(bench)))
        for key in context.op_execution_context.partition_keys:
            expect = bench.lineage.due("checkpoints", key).digest
            stored = described(bench.lake, bench.study.training, key, expect)
            wrong = departures(stored.budget, due)
            if len(stored.replicates) != bench.study.replicates:
                wrong.append(f"{len(stored.replicates)} replicates instead of {bench.study.replicates}")
            yield AssetCheckEvaluation(
                asset_key=dg.AssetKey("checkpoints"),
                check_name=spec.name,
                passed=not wrong,
                metadata=normalize_metadata({**stored.budget, "departures": "; ".join(wrong) or "none"}),
                severity=dg.AssetCheckSeverity.ERROR,
                partition=key,
                blocking=True,
            )
        yield dg.Output(None, output_name="checkpoints_fixed_compute")

    return fixed_compute


def _suite(table: str, partitions: dg.PartitionsDefinition | None) -> dg.AssetChecksDefinition:
    specs = suite_names(table)

    @dg.multi_asset_check(
        name=f"{table}_expectations",
        specs=[
            dg.AssetCheckSpec(
                one.name,
                asset=table,
                description=one.description,
                blocking=one.severity == "critical",
                partitions_def=partitions,
            )
            for one in specs
        ],
        compute_kind="great_expectations",
    )
    def suite(context: dg.AssetCheckExecutionContext, smc: StudyResource) -> Iterator[Any]:
        bench = smc.open()
        keys: list[str | None] = list(context.op_execution_context.partition_keys) if partitions else [None]
        content = pa.concat_tables([bench.read(table, key) for key in keys])
        results = run_suite(table, content, _context(bench, table))
        if partitions is None:
            yield from (_result(one) for one in results)
            return
        # one pass over all partitions of the run; only where that fails is each judged by itself, to say which
        apart: dict[tuple[str | None, str], CheckResult] = {}
        if len(keys) > 1 and not all(one.passed for one in results):
            for key in keys:
                for one in run_suite(table, bench.read(table, key), _context(bench, table)):
                    apart[key, one.name] = one
        for one in results:
            alone = [apart.get((key, one.name), one) for key in keys]
            # some checks compare partitions: where only all together fail, all fail
            lost = not one.passed and all(each.passed for each in alone)
            for key, each in zip(keys, alone, strict=True):
                result = one if lost else each
                yield AssetCheckEvaluation(
                    asset_key=dg.AssetKey(table),
                    check_name=one.name,
                    passed=result.passed,
                    metadata=normalize_metadata(_metadata(result)),
                    severity=_severity(one),
                    partition=key,
                    blocking=one.severity == "critical",
                )
            yield dg.Output(None, output_name=f"{table}_{one.name}")

    return suite


def _result(one: CheckResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=one.passed, check_name=one.name, severity=_severity(one), metadata=_metadata(one))


def _severity(one: CheckResult) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if one.severity == "critical" else dg.AssetCheckSeverity.WARN


def _metadata(one: CheckResult) -> dict[str, Any]:
    found: dict[str, Any] = {"checked": one.checked, "unexpected": one.unexpected}
    if one.sample:
        found["sample"] = metadata.records(one.sample)
    if one.error:
        found["error"] = one.error
    return found


def _context(bench: Workbench, table: str) -> Context:
    real = None if table == "real_documents" else bench.read("real_documents")
    # before a version is frozen there is nothing that the corpus could break
    frozen = bench.lineage.frozen_anchors() is not None
    # lost ones that came from this corpus are chosen from it again, after it
    frozen &= not (table == "real_documents" and bench.lineage.anchors_are_to_restore())
    needed = table in ("real_documents", "predictions")
    # mixtures depend on the anchors only where a series protects them
    needed |= table == "mixture_documents" and any(one.anchors for one in bench.study.series)
    anchors = bench.read("reality_anchors") if frozen and needed else None
    return Context.of(bench.study, real, anchors)
