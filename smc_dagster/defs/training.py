"""Assets of the group `training`: every replicate of an arm, at a fixed compute budget.

What belongs here: the Dagster side of training/. What does not: heads, optimisers, checkpoints.
"""

from collections.abc import Iterable

import dagster as dg
import pyarrow.compute as pc

from smc_dagster import progress
from smc_dagster.defs import metadata
from smc_dagster.defs.partitions import ONE_RUN, arm_partitions
from smc_dagster.defs.resources import StudyResource
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.study import Series, Study
from smc_dagster.tables import TRAINING_CURVES
from smc_dagster.training import checkpoints as store
from smc_dagster.training.arms import train_arms
from smc_dagster.training.curves import curve_table
from smc_dagster.training.heads import TrainedArm
from smc_dagster.training.vectors import Vectors
from smc_dagster.workbench import Workbench

GROUP = "training"


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The group's assets."""

    @dg.asset(
        group_name=GROUP,
        deps=["mixture_documents", "real_embeddings", "synthetic_embeddings", *_anchor_embeddings(study.series)],
        partitions_def=arm_partitions(study),
        backfill_policy=ONE_RUN,
        kinds={"pytorch"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["checkpoints"],
        pool="training",
    )
    def checkpoints(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """The arm's heads, one a replicate, as safetensors; the same steps, batches and schedule for every arm."""
        bench = smc.open()
        keys = list(context.partition_keys)
        vectors = arm_vectors(bench, keys)
        labels = label_list(bench)
        done = 0

        def keep(key: str, trained: TrainedArm) -> None:
            nonlocal done
            due = bench.lineage.due("checkpoints", key)
            path = store.save(bench.lake, key, trained, labels, bench.study.training, due)
            # the curves are written last: they tell that the checkpoint is whole
            bench.lake.write(TRAINING_CURVES, curve_table(key, trained), due, key)
            done += 1
            progress.report("train", done, len(keys))
            context.log.info("%s trained (%d of %d)", key, done, len(keys))
            last = [one[2] for one in trained.curve if one[1] == max(step for _, step, _ in trained.curve)]
            context.add_asset_metadata(
                {
                    "fingerprint": due.digest,
                    "path": dg.MetadataValue.path(path),
                    "replicates": bench.study.replicates,
                    "final_loss": sum(last) / len(last),
                    **trained.budget,
                },
                partition_key=key,
            )

        train_arms(
            ((key, bench.read("mixture_documents", key)) for key in keys),
            vectors=vectors,
            labels=labels,
            training=bench.study.training,
            seed=bench.study.seed,
            replicates=bench.study.replicates,
            on_done=keep,
        )
        return dg.MaterializeResult()

    return [checkpoints]


def label_list(bench: Workbench) -> list[str]:
    """The head's outputs, in order: every label of the real corpus, sorted."""
    return sorted(pc.unique(bench.read("real_documents", columns=["label"])["label"]).to_pylist())


def arm_vectors(bench: Workbench, keys: list[str]) -> Vectors:
    """Embeddings of the corpus, of the pools that the arms draw on, and of anchors, which may have left the corpus."""
    series = [bench.study.arm(key).series for key in keys]
    pools = sorted({one.pool for one in series if one.pool is not None})
    tables = [bench.read("real_embeddings"), *(bench.read("synthetic_embeddings", pool) for pool in pools)]
    return Vectors.build([*tables, *(bench.read(name) for name in _anchor_embeddings(series))])


def _anchor_embeddings(series: Iterable[Series]) -> list[str]:
    return ["anchor_embeddings"] if any(one.anchors for one in series) else []
