"""Assets of the group `training`: every replicate of an arm, at a fixed compute budget.

What belongs here: the Dagster side of training/. What does not: heads, optimisers, checkpoints, the job that whole
networks are trained by (full_training.py).
"""

import math
import time
from typing import Any

import dagster as dg
import pyarrow.compute as pc

from smc_dagster import progress
from smc_dagster.defs import metadata
from smc_dagster.defs.full_training import train_full
from smc_dagster.defs.partitions import ONE_RUN, arm_partitions, pool_to_arms
from smc_dagster.defs.resources import StudyResource
from smc_dagster.findings.plots import png_training_curves
from smc_dagster.hardware import memory_peak
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.study import Study
from smc_dagster.tables import TRAINING_CURVES
from smc_dagster.training import checkpoints as store
from smc_dagster.training.arms import train_arms
from smc_dagster.training.compute import budget_due
from smc_dagster.training.curves import curve_table
from smc_dagster.training.full.store import TunedArm
from smc_dagster.training.heads import TrainedArm
from smc_dagster.training.vectors import Vectors
from smc_dagster.workbench import Workbench

GROUP = "training"


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The group's assets."""

    text = "tokens" if study.training.is_full else "embeddings"
    anchors = [f"anchor_{text}"] if any(one.anchors for one in study.series) else []

    @dg.asset(
        group_name=GROUP,
        deps=[
            "mixture_documents",
            f"real_{text}",
            dg.AssetDep(f"synthetic_{text}", partition_mapping=pool_to_arms(study)),
            *anchors,
        ],
        partitions_def=arm_partitions(study),
        backfill_policy=ONE_RUN,
        kinds={"pytorch"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["checkpoints"],
        pool="training",
    )
    def checkpoints(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """The arm's heads or whole networks, one a replicate, as safetensors; the same steps, batches and schedule for
        every arm."""
        bench = smc.open()
        keys = list(context.partition_keys)
        labels = label_list(bench)
        due_budget = budget_due(bench.study.training, len(labels))
        began, done = time.monotonic(), 0

        def tell(key: str, trained: TrainedArm | TunedArm, path: str) -> None:
            nonlocal done
            done += 1
            shown = arm_metadata(trained, due_budget)
            left = (time.monotonic() - began) / done * (len(keys) - done)
            context.log.info(
                "%s trained (%d of %d): loss %.3f, %.0f examples a second of a core or GPU, about %.0f s left",
                key, done, len(keys), shown["final_loss"], shown["examples_per_second"], left,
            )  # fmt: skip
            # the schema and the rows are those of the curves, written beside the weights
            curves = metadata.of_table(bench, TRAINING_CURVES.name, key)
            context.add_asset_metadata(curves | {"path": dg.MetadataValue.path(path), **shown}, partition_key=key)

        def keep(key: str, trained: TrainedArm) -> None:
            due = bench.lineage.due("checkpoints", key)
            path = store.save(bench.lake, key, trained, labels, bench.study.training, due)
            # the curves are written last: they tell that the checkpoint is whole
            bench.lake.write(TRAINING_CURVES, curve_table(key, trained), due, key)
            tell(key, trained, path)

        if study.training.is_full:
            train_full(bench, keys, labels, tell)
        else:
            train_arms(
                ((key, bench.read("mixture_documents", key)) for key in keys),
                vectors=arm_vectors(bench, keys),
                labels=labels,
                training=bench.study.training,
                seed=bench.study.seed,
                replicates=bench.study.replicates,
                on_done=keep,
                progress=progress.joint_reporter("train", len(keys)),
            )
        return dg.MaterializeResult()

    return [checkpoints]


def arm_metadata(trained: TrainedArm | TunedArm, due: dict[str, float]) -> dict[str, Any]:
    """What a person sees of an arm: its loss curve, speed, device, memory and budget.

    Args:
        due: the budget of one replicate; `budget_used` is the part of its floating-point operations that was charged.
    """
    end = max(step for _, step, _ in trained.curve)
    last = [loss for _, step, loss in trained.curve if step == end]
    seconds, count = trained.seconds or math.nan, len(trained.replicates)
    return {
        "replicates": count,
        "final_loss": round(sum(last) / count, 5),
        "loss_curve": metadata.plot(png_training_curves(trained.curve, "replicate", "an example"), "loss by step"),
        "seconds": seconds,
        "examples_per_second": count * trained.budget["examples_seen"] / seconds,
        "memory_peak_bytes": memory_peak(),
        "budget_used": trained.budget["flops"] / due["flops"],
        **trained.budget,
        **(trained.facts if isinstance(trained, TunedArm) else {"device": "CPU, one thread"}),
    }


def label_list(bench: Workbench) -> list[str]:
    """The outputs of head or network, in order: every label of the real corpus, sorted."""
    return sorted(pc.unique(bench.read("real_documents", columns=["label"])["label"]).to_pylist())


def arm_vectors(bench: Workbench, keys: list[str]) -> Vectors:
    """Embeddings of the corpus, of the pools that the arms draw on, and of anchors, which may have left the corpus."""
    series = [bench.study.arm(key).series for key in keys]
    pools = sorted({one.pool for one in series if one.pool is not None})
    tables = [bench.read("real_embeddings"), *(bench.read("synthetic_embeddings", pool) for pool in pools)]
    anchors = [bench.read("anchor_embeddings")] if any(one.anchors for one in series) else []
    return Vectors.build([*tables, *anchors])
