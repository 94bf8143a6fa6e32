"""The asset `day_drift`: each new day against the days before it.

What belongs here: the Dagster side of quality/day_drift.py, and its warning check. What does not: scores and chance
(quality/), pools against real text (synthesis.py), asking for a study run (retraining.py).
"""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.metadata import normalize_metadata

from smc_dagster import places, progress
from smc_dagster.defs import metadata
from smc_dagster.defs.partitions import DAYS
from smc_dagster.defs.resources import StudyResource
from smc_dagster.findings.plots import png_day_drift
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.quality import drift_history
from smc_dagster.quality.day_drift import (
    COLUMNS,
    FEWEST,
    DayReport,
    day_drift,
    embedded_part,
    new_documents,
    sample_days,
)
from smc_dagster.study import Study
from smc_dagster.tables import DAY_DRIFT, RAW_DOCUMENTS, REAL_EMBEDDINGS
from smc_dagster.training.embeddings import embed_documents
from smc_dagster.workbench import Workbench

NAME = "day_drift"
CHECK = "like_the_days_before"


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The asset of a day's drift."""

    @dg.asset(
        name=NAME,
        group_name="corpora",
        deps=["raw_documents"],
        partitions_def=DAYS,
        kinds={"evidently"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS[NAME],
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=NAME,
                partitions_def=DAYS,
                description="Label and domain mix, lengths and embeddings of the day are within `gates.drift` of the "
                "days before, or no further than chance would be.",
            )
        ],
    )
    def drifts(context: dg.AssetExecutionContext, smc: StudyResource) -> Iterator[Any]:
        """Evidently's comparison of what a day brings with the days before: labels, domains, lengths, embeddings."""
        bench, day = smc.open(), context.partition_key
        due = bench.lineage.due(NAME, day)
        found = _compared(bench, day)
        if found is None:
            said = f"fewer than {FEWEST} documents that are new in the day, or in the days before"
            bench.lake.write(DAY_DRIFT, DAY_DRIFT.schema.empty_table(), due, day)
            yield _evaluated(day, True, {"not_compared": said})
            yield dg.Output(None, output_name=f"{NAME}_{CHECK}")
            yield dg.MaterializeResult(metadata=metadata.of_table(bench, NAME, day) | {"not_compared": said})
            return
        relative = f"day_drift/day={day}/index.html"
        path = bench.lake.write_bytes(relative, found.html)
        workspace = places.evidently_workspace(study.name)
        drift_history.keep(workspace, study.name, study.title, day, found.snapshot)
        bench.lake.write(DAY_DRIFT, _table(day, found), due, day)
        drifted = [one.column for one in found.scores if one.drifted]
        shown = metadata.records([one._asdict() | {"drifted": one.drifted} for one in found.scores])
        yield _evaluated(day, not drifted, {"drifted": ", ".join(drifted) or "none", "scores": shown})
        yield dg.Output(None, output_name=f"{NAME}_{CHECK}")
        yield dg.MaterializeResult(
            metadata=metadata.of_table(bench, NAME, day)
            | {
                "report": metadata.link(relative),
                "report_path": dg.MetadataValue.path(path),
                "history": _history(study.name),
                "documents": found.n,
                "documents_before": found.n_reference,
                "drifted": ", ".join(drifted) or "none",
                "drift": shown,
                "drift_by_column": metadata.plot(png_day_drift(_history_rows(bench)), "drift of each day by column"),
            }
        )

    return [drifts]


def _compared(bench: Workbench, day: str) -> DayReport | None:
    """The day against those before it; None where there is too little to compare."""
    before = [one for one in bench.lake.partitions(RAW_DOCUMENTS) if one < day]
    seed = bench.study.seed
    ids = (bench.lake.read(RAW_DOCUMENTS, one, columns=["doc_id"])["doc_id"] for one in before)
    current = sample_days([new_documents(bench.lake.read(RAW_DOCUMENTS, day, columns=COLUMNS), ids)], seed)
    reference = sample_days((bench.lake.read(RAW_DOCUMENTS, one, columns=COLUMNS) for one in before), seed)
    if current is None or reference is None:
        return None
    documents = pa.concat_tables([embedded_part(one).select(["doc_id", "text"]) for one in (current, reference)])
    embeddings = embed_documents(
        documents, bench.study.training, _known(bench), progress.reporter(f"embed for the drift of {day}")
    )
    return day_drift(day, reference, current, embeddings, bench.study.gates.drift, seed)


def _known(bench: Workbench) -> pa.Table | None:
    """Embeddings of the corpus, where the same encoder made them; those of another corpus are as good."""
    stored, due = bench.lake.fingerprint(REAL_EMBEDDINGS), bench.lineage.due(REAL_EMBEDDINGS.name)
    if stored is None or (stored.part, stored.code_version) != (due.part, due.code_version):
        return None
    return bench.lake.read(REAL_EMBEDDINGS)


def _table(day: str, found: DayReport) -> pa.Table:
    rows = [
        one._asdict() | {"day": day, "drifted": one.drifted, "n": found.n, "n_reference": found.n_reference}
        for one in found.scores
    ]
    return pa.Table.from_pylist(rows, schema=DAY_DRIFT.schema)


def _history_rows(bench: Workbench) -> pa.Table:
    return bench.lake.read_many(DAY_DRIFT, bench.lake.partitions(DAY_DRIFT))


def _history(study: str) -> dg.UrlMetadataValue:
    """Link to the study's page in Evidently, as `make evidently` serves it."""
    served = os.environ.get("SMC_EVIDENTLY_URL", "http://127.0.0.1:8000")
    return dg.MetadataValue.url(f"{served}/projects/{drift_history.project_id(study)}")


def _evaluated(day: str, passed: bool, found: dict[str, Any]) -> AssetCheckEvaluation:
    return AssetCheckEvaluation(
        asset_key=dg.AssetKey(NAME),
        check_name=CHECK,
        passed=passed,
        metadata=normalize_metadata(found),
        severity=dg.AssetCheckSeverity.WARN,
        partition=day,
        blocking=False,
    )
