"""The job `study`: what `smc study run` does, as a run that the UI and sensors can ask for.

What belongs here: the job and what its launchpad asks. What does not: what a study run does (runs.py).

Its stages have partitions of different kinds, so each is a run of its own, recorded beside this one.
"""

from collections.abc import Callable

import dagster as dg
from pydantic import Field

from smc_dagster.defs.instance import fail_orphans
from smc_dagster.defs.jobs import STUDY
from smc_dagster.defs.resources import StudyResource
from smc_dagster.defs.runs import StudyRun

OP = "run_study"


class StudyConfig(dg.Config):
    """What the launchpad asks."""

    arms: str = Field(default="*", description="Globs of arm keys, joined by commas; `*` is every arm of the study.")


def study_job(definitions: Callable[[str, str], dg.Definitions]) -> dg.JobDefinition:
    """The job.

    Args:
        definitions: makes the definitions of a study (shipped name or path) over a lake (root).
    """

    @dg.op(name=OP, description="Makes what is stale, stage by stage, each in a run of its own; reuses the rest.")
    def run_study(context: dg.OpExecutionContext, config: StudyConfig, smc: StudyResource) -> None:
        # of an attempt that was killed
        fail_orphans(context.instance)
        bench = smc.open()
        chosen = bench.study.select_arms(config.arms)
        outcome = StudyRun(bench, definitions(smc.study, smc.lake), context.instance).run(chosen, context.log.info)
        context.add_output_metadata(
            {
                "made": {name: count for name, count in outcome.made.items() if count},
                "reused": outcome.reused,
                "runs": outcome.runs,
            }
        )

    @dg.job(
        name=STUDY,
        description="Make what is stale of the whole study, or of some arms, and draw the findings.",
    )
    def study() -> None:
        run_study()

    return study
