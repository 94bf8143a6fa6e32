"""Assets of the group `synthesis`: pools, what they are like, and how far they are from the real corpus.

What belongs here: the Dagster side of synthesis/, screening/ and quality/drift.py. What does not: making or judging
text.
"""

import shutil
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster import places
from smc_dagster.defs import counts, metadata
from smc_dagster.defs.partitions import ONE_RUN, pool_partitions
from smc_dagster.defs.resources import StudyResource
from smc_dagster.findings.plots import png_pool_drift
from smc_dagster.lake import slug
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.quality.drift import THRESHOLDS, pool_drift
from smc_dagster.screening import overlaps
from smc_dagster.screening.contamination import evaluation_text
from smc_dagster.screening.profile import profile_pool
from smc_dagster.screening.scores import score_pool
from smc_dagster.study import Study
from smc_dagster.synthesis.language_model import store
from smc_dagster.synthesis.registry import Place, make_pool
from smc_dagster.tables import ALL_DOMAINS, DRIFT, SYNTHETIC_DOCUMENTS, SYNTHETIC_QUARANTINE
from smc_dagster.workbench import Workbench

GROUP = "synthesis"
COUNTS = "synthetic_rows_in_equal_rows_out"


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The group's assets."""
    by_pool = pool_partitions(study)

    @dg.asset(
        group_name=GROUP,
        deps=["real_documents", *(["generator_model"] if study.generations else [])],
        partitions_def=by_pool,
        backfill_policy=ONE_RUN,
        kinds={"parquet"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["synthetic_documents"],
        check_specs=[counts.declared("synthetic_documents", COUNTS, by_pool)],
    )
    def synthetic_documents(context: dg.AssetExecutionContext, smc: StudyResource) -> Iterator[Any]:
        """A pool's documents, made from the real training split alone, or read from the team's own files."""
        bench = smc.open()
        real = bench.read("real_documents")
        for pool in context.partition_keys:
            spec = bench.study.pools[pool]
            place = place_of(bench, pool)
            # taken before files are read: what changes meanwhile makes the pool stale
            due = bench.lineage.due("synthetic_documents", pool)
            made = make_pool(bench.study, pool, real, place)
            found = {
                "rows_in": made.made.rows_in,
                "documents": made.documents.num_rows,
                "quarantined": made.refused.num_rows,
            }
            yield counts.evaluated("synthetic_documents", COUNTS, pool, made.adds_up, found)
            if not made.adds_up:
                raise dg.Failure(f"pool `{pool}`: rows were lost; its tables were left as they were")
            refused = made.refused.append_column("pool", pa.repeat(pool, made.refused.num_rows))
            bench.lake.write(SYNTHETIC_QUARANTINE, refused, due, pool)
            bench.lake.write(SYNTHETIC_DOCUMENTS, made.documents, due, pool)
            # the pool is whole: what an interrupted run would have gone on with is no longer needed
            shutil.rmtree(place.work, ignore_errors=True)
            sample = bench.read("synthetic_documents", pool, columns=["label", "text"]).slice(0, 8).to_pylist()
            context.add_asset_metadata(
                metadata.of_table(bench, "synthetic_documents", pool)
                | {
                    "generator": spec.generator,
                    "settings": dict(spec.settings),
                    "documents_asked": made.asked,
                    **made.made.figures,
                    "rows_quarantined": made.refused.num_rows,
                    "quarantine": dg.MetadataValue.path(bench.lake.table_path(SYNTHETIC_QUARANTINE, pool)),
                    "sample": metadata.records(sample),
                },
                partition_key=pool,
            )
        yield counts.finished("synthetic_documents", COUNTS)
        yield dg.MaterializeResult()

    @dg.asset(
        group_name=GROUP,
        deps=[synthetic_documents, "real_documents", "reality_anchors"],
        partitions_def=by_pool,
        backfill_policy=ONE_RUN,
        kinds={"parquet", "daft"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["synthetic_scores"],
    )
    def synthetic_scores(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """For each document of a pool: duplication, template share, and contamination by evaluation text."""
        bench = smc.open()
        real = bench.read("real_documents")
        evaluation = evaluation_text(real, bench.read("reality_anchors"))
        for pool in context.partition_keys:
            documents = bench.read("synthetic_documents", pool)
            scores = score_pool(documents, real, evaluation, bench.study.screening)
            bench.write("synthetic_scores", scores, pool)
            contaminated = pc.sum(pc.greater_equal(scores["contamination"], bench.study.screening.jaccard)).as_py() or 0
            context.add_asset_metadata(
                metadata.of_table(bench, "synthetic_scores", pool) | {"contaminated_rows": contaminated},
                partition_key=pool,
            )
        return dg.MaterializeResult()

    @dg.asset(
        group_name=GROUP,
        deps=[
            synthetic_documents,
            synthetic_scores,
            "synthetic_embeddings",
            "real_embeddings",
            "real_documents",
            "reality_anchors",
        ],
        partitions_def=by_pool,
        backfill_policy=ONE_RUN,
        kinds={"parquet", "faiss"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["synthetic_profile"],
    )
    def synthetic_profile(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """What a pool is like, by domain, each measure beside the real corpus's own value."""
        bench = smc.open()
        real, real_vectors = bench.read("real_documents"), bench.read("real_embeddings")
        evaluation = evaluation_text(real, bench.read("reality_anchors"))
        for pool in context.partition_keys:
            profile = profile_pool(
                bench.read("synthetic_documents", pool),
                bench.read("synthetic_scores", pool),
                bench.read("synthetic_embeddings", pool),
                real,
                real_vectors,
                evaluation,
                bench.study.screening,
                bench.study.seed,
            )
            bench.write("synthetic_profile", profile, pool)
            overall = profile.filter(pc.equal(profile["domain"], ALL_DOMAINS)).select(["measure", "value", "reference"])
            context.add_asset_metadata(
                metadata.of_table(bench, "synthetic_profile", pool)
                | {"profile": metadata.records(overall.to_pylist())},
                partition_key=pool,
            )
        return dg.MaterializeResult()

    @dg.asset(
        group_name=GROUP,
        deps=[synthetic_documents, "synthetic_embeddings", "real_embeddings", "real_documents"],
        partitions_def=by_pool,
        backfill_policy=ONE_RUN,
        kinds={"evidently"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["drift"],
    )
    def drift_report(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """Evidently's report of a pool against the real training split: labels, domains, lengths, embeddings."""
        bench = smc.open()
        real = bench.read("real_documents")
        train = real.filter(pc.equal(real["split"], "train"))
        vectors = bench.read("real_embeddings")
        for pool in context.partition_keys:
            drift = pool_drift(
                train,
                bench.read("synthetic_documents", pool),
                vectors,
                bench.read("synthetic_embeddings", pool),
                bench.study.seed,
            )
            relative = f"drift_report/pool={slug(pool)}/index.html"
            path = bench.lake.write_bytes(relative, drift.html)
            columns, methods, scores = zip(*drift.scores, strict=True)
            table = pa.table({"pool": [pool] * len(columns), "column": columns, "method": methods, "score": scores})
            bench.lake.write(DRIFT, table, bench.lineage.due("drift", pool), pool)
            ratios = [(one.column, one.score / THRESHOLDS[one.method]) for one in drift.scores]
            shown = [one._asdict() | {"limit": THRESHOLDS[one.method], "drifted": one.drifted} for one in drift.scores]
            context.add_asset_metadata(
                metadata.of_table(bench, "drift", pool)
                | {
                    "report": metadata.link(relative),
                    "report_path": dg.MetadataValue.path(path),
                    "drift": metadata.records(shown),
                    "drift_by_column": metadata.plot(png_pool_drift(ratios), "score over threshold by column"),
                },
                partition_key=pool,
            )
        return dg.MaterializeResult()

    @dg.asset(
        group_name=GROUP,
        deps=[dg.AssetDep(synthetic_documents, partition_mapping=dg.AllPartitionMapping()), "real_documents"],
        kinds={"parquet", "daft"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["pool_overlaps"],
    )
    def pool_overlaps(smc: StudyResource) -> dg.MaterializeResult:
        """How much of each pool nearly repeats another pool, or the real training text."""
        bench = smc.open()
        pools = {pool: bench.read("synthetic_documents", pool, columns=["doc_id", "text"]) for pool in study.pools}
        real = bench.read("real_documents", columns=["doc_id", "text", "split"])
        bench.write("pool_overlaps", overlaps.pool_overlaps(pools, real, bench.study.screening))
        shown = bench.read("pool_overlaps", columns=["pool", "against", "documents", "share"]).slice(0, 100).to_pylist()
        return dg.MaterializeResult(
            metadata=metadata.of_table(bench, "pool_overlaps") | {"overlaps": metadata.records(shown)},
            data_version=metadata.version(bench, "pool_overlaps"),
        )

    return [synthetic_documents, synthetic_scores, synthetic_profile, drift_report, pool_overlaps]


def place_of(bench: Workbench, pool: str) -> Place:
    """Folders of a pool's generator.

    Raises:
        StaleInputError: the language model that the pool samples is missing or another.
    """
    study = bench.study.name
    work = places.work_folder(study) / slug(pool)
    generation = bench.study.generation_of(pool)
    model = None
    if generation is not None:
        due = bench.lineage.due("generator_model", str(generation)).digest
        model = store.fetch(bench.lake, generation, due, work)
    return Place(
        work=work,
        model=model,
        cache=places.cache_folder(study) / slug(pool),
        landing=places.synthetic_landing(study),
    )
