"""The one Definitions object, from one function that production and tests share.

What belongs here: putting the stages together. What does not: any asset.
"""

from __future__ import annotations

import dagster as dg

from smc_dagster import places
from smc_dagster.defs import (
    automation,
    checks,
    corpora,
    drift,
    evaluation,
    event_log,
    features,
    findings,
    jobs,
    language_model,
    metadata,
    mixtures,
    release,
    retention,
    retries,
    synthesis,
    tokens,
    training,
)
from smc_dagster.defs.resources import StudyResource
from smc_dagster.defs.study_job import study_job
from smc_dagster.study import load_study
from smc_dagster.workbench import study_reference

STUDY_TAG = "smc/study"
PRELOADED = ["smc_dagster.definitions", "torch", "pandas", "pyarrow.parquet"]


def build_defs(study: str | None = None, lake: str | None = None) -> dg.Definitions:
    """Definitions for a study over a lake.

    Args:
        study: shipped name or path; without it SMC_STUDY, else `default`.
        lake: root of the lake; without it SMC_LAKE, else the study's own folder.

    Raises:
        SmcError: the study or the dbt manifest cannot be read.
    """
    reference = study or study_reference()
    opened = load_study(reference)
    stages = (
        corpora,
        drift,
        features,
        tokens,
        language_model,
        synthesis,
        mixtures,
        training,
        evaluation,
        findings,
        release,
    )
    # what a person filters the catalogue by, and the columns; the rest is each asset's own
    made = dg.map_asset_specs(
        lambda spec: spec.merge_attributes(
            tags={STUDY_TAG: opened.name}, metadata={**metadata.declared(spec.key.to_user_string()), **spec.metadata}
        ),
        [one for stage in stages for one in stage.assets(opened)],
    )
    checked = checks.checks(opened)
    whole, forgetting = study_job(build_defs), retention.retention_job()
    for op in [
        *(one.op for one in [*made, *checked]),
        *(one.definition for job in (whole, forgetting) for one in job.nodes),
    ]:
        retries.retried(op)
    return dg.Definitions(
        assets=made,
        asset_checks=checked,
        jobs=[*jobs.jobs(opened), whole, forgetting],
        schedules=[*automation.schedules(), retention.schedule()],
        sensors=automation.sensors(opened),
        resources={"smc": StudyResource(study=reference, lake=lake or places.lake_root(opened.name))},
        executor=dg.multiprocess_executor.configured(
            {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": PRELOADED}}}
        ),
    )


# every process that runs steps loads this module
event_log.keep_connections()
defs = build_defs()
