"""Assets of the group `evaluation`: predictions on real held-out text, and the measures drawn from them.

What belongs here: the Dagster side of training/predict.py and evaluation/. What does not: the measures.
"""

from collections.abc import Callable

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster import progress
from smc_dagster.defs import metadata
from smc_dagster.defs.full_training import predict_full
from smc_dagster.defs.partitions import ONE_RUN, arm_partitions
from smc_dagster.defs.resources import StudyResource
from smc_dagster.evaluation.arm_metrics import arm_metrics as measure
from smc_dagster.evaluation.overall import over_all_domains
from smc_dagster.findings.plot_numbers import arm_reliability
from smc_dagster.findings.plots import png_reliability
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.study import Study
from smc_dagster.tables import ANCHOR_EVAL_SLICES
from smc_dagster.training import checkpoints as store
from smc_dagster.training.predict import predict
from smc_dagster.training.trained import described
from smc_dagster.training.vectors import Vectors
from smc_dagster.workbench import Workbench

GROUP = "evaluation"


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The group's assets."""
    arms = arm_partitions(study)
    text = "tokens" if study.training.is_full else "embeddings"

    @dg.asset(
        group_name=GROUP,
        deps=["checkpoints", "reality_anchors", f"real_{text}", f"anchor_{text}"],
        partitions_def=arms,
        backfill_policy=ONE_RUN,
        kinds={"parquet", "pytorch"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["predictions"],
    )
    def predictions(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """Each replicate's prediction for every document of the natural test split and of each anchor slice."""
        bench = smc.open()
        documents = evaluation_documents(bench)
        tables = [bench.read(f"real_{text}"), bench.read(f"anchor_{text}")]
        judge = full_judge(bench, documents, tables) if study.training.is_full else head_judge(bench, documents, tables)
        keys = list(context.partition_keys)
        for done, key in enumerate(keys, 1):
            bench.write("predictions", judge(key), key)
            context.add_asset_metadata(metadata.of_table(bench, "predictions", key), partition_key=key)
            progress.report("predict", done, len(keys))
        return dg.MaterializeResult()

    @dg.asset(
        group_name=GROUP,
        deps=[predictions, "checkpoints"],
        partitions_def=arms,
        backfill_policy=ONE_RUN,
        kinds={"parquet"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["arm_metrics"],
    )
    def arm_metrics(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """Recall, confidence, calibration and budget of an arm, in long form by replicate, slice and domain."""
        bench = smc.open()
        level = bench.study.findings.level
        keys = list(context.partition_keys)
        for done, key in enumerate(keys, 1):
            due = bench.lineage.due("checkpoints", key).digest
            budget = described(bench.lake, bench.study.training, key, due).budget
            predicted = bench.read("predictions", key)
            rows = measure(
                predicted,
                bench.study.arm(key),
                budget,
                bench.study.evaluation,
                bench.study.seed,
                bench.study.anchors.version,
                level=level,
            )
            bench.write("arm_metrics", rows, key)
            means = metadata.records(over_all_domains(rows, level))
            bins = arm_reliability(predicted, ("test", *ANCHOR_EVAL_SLICES), bench.study.evaluation.ece_bins)
            shown = {
                "reliability": metadata.plot(png_reliability(bins), "accuracy against confidence, by slice"),
                "measures": means,
            }
            context.add_asset_metadata(metadata.of_table(bench, "arm_metrics", key) | shown, partition_key=key)
            progress.report("measure", done, len(keys))
        return dg.MaterializeResult()

    return [predictions, arm_metrics]


def head_judge(bench: Workbench, documents: pa.Table, embeddings: list[pa.Table]) -> Callable[[str], pa.Table]:
    """PREDICTIONS of an arm's heads, by arm key."""
    vectors = Vectors.build(embeddings)
    due = bench.lineage.due
    return lambda key: predict(store.load(bench.lake, key, due("checkpoints", key).digest), documents, vectors, key)


def full_judge(bench: Workbench, documents: pa.Table, tokens: list[pa.Table]) -> Callable[[str], pa.Table]:
    """PREDICTIONS of an arm's whole networks, by arm key."""
    known = pa.concat_tables(tokens)
    held = known.filter(pc.is_in(known["doc_id"], value_set=pc.unique(documents["doc_id"])))
    return lambda key: predict_full(bench, key, documents, held)


def evaluation_documents(bench: Workbench) -> pa.Table:
    """Documents to predict: slice `test`, then each anchor slice; a document in two slices has two rows."""
    real = bench.read("real_documents", columns=["doc_id", "domain", "label", "is_tail", "split"])
    test = real.filter(pc.equal(real["split"], "test")).drop(["split"])
    test = test.append_column("slice", pa.repeat("test", test.num_rows))
    # as they were frozen: an anchor may have left the corpus, or its label the tail
    anchors = bench.read("reality_anchors", columns=test.column_names)
    held = anchors.filter(pc.is_in(anchors["slice"], value_set=pa.array(ANCHOR_EVAL_SLICES)))
    return pa.concat_tables([test, held.cast(test.schema)]).sort_by([("slice", "ascending"), ("doc_id", "ascending")])
