"""The gate and what it guards: the assets `arm_audit` and `released_model`.

What belongs here: the Dagster side of release/, with the blocking check `confidence_audit`. What does not: the figures
of the audit and the choice of an arm (release/), asking for another arm (retraining.py).

A study measures arms that are worse on purpose, so neither asset is part of the jobs that make a study: an arm that
fails the audit is no fault there. A release audits its arm anew, whatever was audited before.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.metadata import normalize_metadata
from pydantic import Field

from smc_dagster.defs import metadata
from smc_dagster.defs.partitions import ONE_RUN, arm_partitions
from smc_dagster.defs.resources import StudyResource
from smc_dagster.errors import GateError
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.release.audit import Audit, audit
from smc_dagster.release.choice import named_or_best
from smc_dagster.release.store import FOLDER, publish, released
from smc_dagster.study import Study

AUDIT, RELEASED = "arm_audit", "released_model"
CHECK = "confidence_audit"


class ReleaseConfig(dg.Config):
    """What the launchpad asks."""

    arm: str = Field(
        default="",
        description="Arm to release, for example `templated@30`. Empty: of the arms that pass the audit, in series "
        "that take synthetic rows, the one with the largest share; at equal shares the highest rare-case recall, then "
        "the first by name.",
    )


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The assets of a release."""
    every, arms = dg.AllPartitionMapping(), arm_partitions(study)

    @dg.asset(
        group_name="evaluation",
        deps=[
            # the arm itself and the 0 % arm of its series
            dg.AssetDep("arm_metrics", partition_mapping=every),
            dg.AssetDep("predictions", partition_mapping=every),
            "mixture_documents",
            "mixture_composition",
            dg.AssetDep("synthetic_scores", partition_mapping=every),
            "reality_anchors",
        ],
        partitions_def=arms,
        backfill_policy=ONE_RUN,
        kinds={"parquet"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS[AUDIT],
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=AUDIT,
                blocking=True,
                partitions_def=arms,
                description="The arm holds the gates: confidence gap and ECE on rare labels, tail recall against the "
                "0 % arm, caps, contamination, and the version of the anchors.",
            )
        ],
    )
    def arm_audit(context: dg.AssetExecutionContext, smc: StudyResource) -> Iterator[Any]:
        """An arm's figures against the limits of a release: signed confidence gap, ECE, tail recall, caps, and more."""
        bench = smc.open()
        for key in context.partition_keys:
            audited = audit(bench, bench.study.arm(key))
            bench.write(AUDIT, audited.table(), key)
            shown = {"figures": metadata.records(audited.rows())}
            context.add_asset_metadata(metadata.of_table(bench, AUDIT, key) | shown, partition_key=key)
            yield evaluated(audited)
        yield dg.Output(None, output_name=f"{AUDIT}_{CHECK}")
        yield dg.MaterializeResult()

    @dg.asset(
        group_name="findings",
        deps=[
            dg.AssetDep(arm_audit, partition_mapping=every),
            dg.AssetDep("checkpoints", partition_mapping=every),
        ],
        kinds={"pytorch"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS[RELEASED],
    )
    def released_model(
        context: dg.AssetExecutionContext, config: ReleaseConfig, smc: StudyResource
    ) -> dg.MaterializeResult:
        """The arm in force: its model, its audit and its fingerprint. Made only from an arm that passes the audit."""
        bench = smc.open()
        arm, audited = named_or_best(bench, config.arm)
        # of an asset of arms, so that this run, which has no arm as its partition, cannot yield it
        context.instance.report_runless_asset_event(evaluated(audited))
        if not audited.passed:
            held = released(bench.lake)
            stays = f"`{held.arm}` stays in force" if held else "nothing is released yet"
            raise GateError(
                f"arm `{arm.key}` is not released: {audited.refusal}; {stays}",
                "release an arm that passes (`smc audit` lists them), or change `gates` in the study file",
            )
        release = publish(bench, arm, audited)
        return dg.MaterializeResult(
            metadata={
                "arm": release.arm,
                "share": arm.share,
                "chosen_by": "name" if config.arm else "the largest share that passes",
                "fingerprint": release.fingerprint,
                "anchors": release.anchors,
                "path": dg.MetadataValue.path(bench.lake.place(FOLDER, release.version)),
                "audit": metadata.records(release.audit),
            },
            data_version=dg.DataVersion(release.fingerprint),
        )

    return [arm_audit, released_model]


def evaluated(audited: Audit, **more: str) -> AssetCheckEvaluation:
    """The audit as the result of the check, for its arm; `more` is shown beside the figures."""
    return AssetCheckEvaluation(
        asset_key=dg.AssetKey(AUDIT),
        check_name=CHECK,
        passed=audited.passed,
        metadata=normalize_metadata(
            {"refused_for": audited.refusal or "nothing", **more, "figures": metadata.records(audited.rows())}
        ),
        severity=dg.AssetCheckSeverity.ERROR,
        partition=audited.arm,
        blocking=True,
    )
