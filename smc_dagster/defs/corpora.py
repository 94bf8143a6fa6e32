"""Assets of the group `corpora`: documents in, split, anchored.

What belongs here: the Dagster side of corpora/. What does not: reading, checking or splitting documents.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from smc_dagster import frozen, places
from smc_dagster.corpora.anchors import choose_anchors
from smc_dagster.corpora.ingest import ingest
from smc_dagster.corpora.real import build_real_documents
from smc_dagster.defs import counts, metadata
from smc_dagster.defs.partitions import DAYS
from smc_dagster.defs.resources import StudyResource
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.mixing.seeds import check_caps
from smc_dagster.study import Study
from smc_dagster.tables import QUARANTINE, RAW_DOCUMENTS

GROUP = "corpora"
COUNTS = "rows_in_equal_rows_out"


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The group's assets."""

    @dg.asset(
        group_name=GROUP,
        partitions_def=DAYS,
        kinds={"parquet"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["raw_documents"],
        check_specs=[counts.declared("raw_documents", COUNTS, DAYS)],
    )
    def raw_documents(context: dg.AssetExecutionContext, smc: StudyResource) -> Iterator[Any]:
        """One day's documents as they came, after the contract; what breaks it lies in `quarantine` with a reason."""
        bench = smc.open()
        day = context.partition_key
        done = ingest(bench.study, day, landing_of(study), bench.lake, bench.lineage)
        found = {"rows_in": done.rows_in, "documents": done.documents, "quarantined": done.refused}
        yield counts.evaluated("raw_documents", COUNTS, day, done.adds_up, found)
        if not done.adds_up:
            raise dg.Failure(
                f"day {day}: {done.rows_in:,} rows were read, but {done.documents:,} documents and {done.refused:,} "
                "refused rows written; the tables of that day were left as they were"
            )
        yield counts.finished("raw_documents", COUNTS)
        reasons = [{"field": one[0], "reason": one[1], "rows": rows} for one, rows in done.reasons.most_common(50)]
        yield dg.MaterializeResult(
            metadata=metadata.of_table(bench, "raw_documents", day)
            | {
                "rows_read": done.rows_in,
                "rows_quarantined": done.refused,
                "files_read": done.files_in,
                "files_quarantined": done.files_refused,
                "quarantine": dg.MetadataValue.path(bench.lake.table_path(QUARANTINE, day)),
                "quarantine_reasons": metadata.records(reasons),
            },
        )

    @dg.asset(
        group_name=GROUP,
        deps=[dg.AssetDep(raw_documents, partition_mapping=dg.AllPartitionMapping())],
        kinds={"parquet", "daft"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["real_documents"],
    )
    def real_documents(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """All days' human documents: duplicates joined, near-duplicates clustered, split by cluster, the tail fixed."""
        bench = smc.open()
        days = bench.lake.partitions(RAW_DOCUMENTS)
        context.log.info("days in the lake: %s", ", ".join(days) or "none")
        raw = bench.lake.read_many(RAW_DOCUMENTS, days)
        pinned = bench.lineage.pinned_anchors()
        documents = build_real_documents(raw, bench.study, None if pinned is None else frozen.read(bench.lake, pinned))
        check_caps(bench.study, sorted(set(documents["domain"].to_pylist())))
        bench.write("real_documents", documents)
        sizes = documents.group_by("split").aggregate([("doc_id", "count")]).to_pylist()
        domains = documents.group_by("domain").aggregate([("doc_id", "count"), ("label", "count_distinct")])
        tail = documents.filter(documents["is_tail"])
        return dg.MaterializeResult(
            metadata=metadata.of_table(bench, "real_documents")
            | {
                "days": len(days),
                "pinned_by_anchors": "none" if pinned is None else pinned.version,
                "raw_rows_by_provenance": metadata.records(
                    [
                        {"provenance": o["values"], "rows": o["counts"]}
                        for o in raw["provenance"].value_counts().to_pylist()
                    ]
                ),
                "labels": len(set(documents["label"].to_pylist())),
                "tail_labels": len(set(tail["label"].to_pylist())),
                "splits": metadata.records(
                    [
                        {"split": one["split"], "documents": one["doc_id_count"]}
                        for one in sorted(sizes, key=lambda row: str(row["split"]))
                    ]
                ),
                "domains": metadata.records(
                    [
                        {
                            "domain": one["domain"],
                            "documents": one["doc_id_count"],
                            "labels": one["label_count_distinct"],
                        }
                        for one in sorted(domains.to_pylist(), key=lambda row: -row["doc_id_count"])
                    ]
                ),
            },
            data_version=metadata.version(bench, "real_documents"),
        )

    @dg.asset(
        group_name=GROUP,
        deps=[real_documents, dg.AssetKey("real_embeddings")],
        kinds={"parquet", "faiss"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["reality_anchors"],
    )
    def reality_anchors(smc: StudyResource) -> dg.MaterializeResult:
        """Frozen real documents, to train on (`anchor_train`) and to be judged on (`rare`, `atypical`, `adversarial`).

        A version that is frozen is checked and left as it is, whatever came since; another version is made anew. One
        whose file is lost or cut is chosen again where the corpus is the one it came from, and kept if it is the same.
        """
        bench = smc.open()
        held, corpus = bench.lineage.frozen_anchors(), bench.lineage.due("real_documents").digest
        if held is None or bench.lineage.anchors_are_to_restore():
            real, vectors = bench.read("real_documents"), bench.read("real_embeddings")
            chosen = choose_anchors(real, vectors, bench.study.anchors, bench.study.seed)
            if held is None:
                held = frozen.freeze(bench.lake, chosen, bench.study.anchors, corpus)
                bench.lineage.forget()
            else:
                frozen.restore(bench.lake, held, chosen)
        anchors = bench.read("reality_anchors")
        slices = (
            anchors.group_by(["slice", "edit"])
            .aggregate([("doc_id", "count")])
            .sort_by([("slice", "ascending"), ("edit", "ascending")])
        )
        return dg.MaterializeResult(
            metadata=metadata.of_table(bench, "reality_anchors")
            | {
                "version": held.version,
                "frozen_at": held.frozen_at,
                "content_sha256": held.content,
                "slices": metadata.records(
                    [
                        {"slice": one["slice"], "edit": one["edit"], "documents": one["doc_id_count"]}
                        for one in slices.to_pylist()
                    ]
                ),
            },
            data_version=metadata.version(bench, "reality_anchors"),
        )

    return [raw_documents, real_documents, reality_anchors]


def landing_of(study: Study) -> Path:
    """The study's landing folder."""
    return places.landing_folder(study.name)
