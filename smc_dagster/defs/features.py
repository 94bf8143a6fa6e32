"""Assets of the group `features`: every distinct text embedded once.

What belongs here: the Dagster side of training/embeddings.py. What does not: the encoder.
"""

import dagster as dg
import pyarrow as pa

from smc_dagster import progress
from smc_dagster.defs import metadata
from smc_dagster.defs.partitions import ONE_RUN, pool_partitions
from smc_dagster.defs.resources import StudyResource
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.study import Study
from smc_dagster.tables import TABLES
from smc_dagster.training.embeddings import embed_documents
from smc_dagster.workbench import Workbench

GROUP = "features"


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The group's assets."""

    @dg.asset(
        group_name=GROUP,
        deps=["real_documents"],
        kinds={"parquet", "pytorch", "huggingface"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["real_embeddings"],
    )
    def real_embeddings(smc: StudyResource) -> dg.MaterializeResult:
        """Frozen sentence embeddings of the real documents (384 numbers each, unit length)."""
        bench = smc.open()
        reused = _embed(bench, "real_documents", "real_embeddings", None)
        return dg.MaterializeResult(
            metadata=metadata.of_table(bench, "real_embeddings")
            | {"encoder": bench.study.training.encoder, "rows_reused": reused},
            data_version=metadata.version(bench, "real_embeddings"),
        )

    @dg.asset(
        group_name=GROUP,
        deps=["synthetic_documents"],
        partitions_def=pool_partitions(study),
        backfill_policy=ONE_RUN,
        kinds={"parquet", "pytorch", "huggingface"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["synthetic_embeddings"],
    )
    def synthetic_embeddings(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """Frozen sentence embeddings of a pool's documents."""
        bench = smc.open()
        for pool in context.partition_keys:
            reused = _embed(bench, "synthetic_documents", "synthetic_embeddings", pool)
            context.add_asset_metadata(
                metadata.of_table(bench, "synthetic_embeddings", pool) | {"rows_reused": reused}, partition_key=pool
            )
        return dg.MaterializeResult()

    @dg.asset(
        group_name=GROUP,
        deps=["reality_anchors", real_embeddings],
        kinds={"parquet", "pytorch", "huggingface"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["anchor_embeddings"],
    )
    def anchor_embeddings(smc: StudyResource) -> dg.MaterializeResult:
        """Frozen sentence embeddings of the anchors, edits and documents that left the corpus included."""
        bench = smc.open()
        reused = _embed(bench, "reality_anchors", "anchor_embeddings", None, bench.read("real_embeddings"))
        return dg.MaterializeResult(
            metadata=metadata.of_table(bench, "anchor_embeddings")
            | {"version": bench.study.anchors.version, "rows_reused": reused},
            data_version=metadata.version(bench, "anchor_embeddings"),
        )

    return [real_embeddings, synthetic_embeddings, anchor_embeddings]


def _embed(bench: Workbench, documents: str, embeddings: str, pool: str | None, known: pa.Table | None = None) -> int:
    """Embed what is not embedded yet, in `known` or in the table itself; returns how many rows were there already."""
    spec, place = TABLES[embeddings], bench.lineage.partition(embeddings, pool)
    stored = bench.lake.fingerprint(spec, place)
    due = bench.lineage.due(embeddings, pool)
    # a doc_id names its text, so rows made by the same encoder stay good when documents are added
    if known is None and stored is not None and (stored.part, stored.code_version) == (due.part, due.code_version):
        known = bench.lake.read(spec, place)
    rows = bench.read(documents, pool, columns=["doc_id", "text"])
    stage = f"embed {pool or {'real_documents': 'real', 'reality_anchors': 'anchors'}[documents]}"
    bench.write(embeddings, embed_documents(rows, bench.study.training, known, progress.reporter(stage)), pool)
    return 0 if known is None else len(set(known["doc_id"].to_pylist()) & set(rows["doc_id"].to_pylist()))
