"""Partitions: days, pools and arms, from the study.

What belongs here: partition definitions, the mapping from pools to the arms that draw on them, and cutting a choice of
arms into ranges. What does not: assets.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import dagster as dg

from smc_dagster.study import Study

# checks by partition are a preview and backfill policies a beta in the pinned version; we rely on them knowingly
for category in (dg.PreviewWarning, dg.BetaWarning):
    warnings.filterwarnings("ignore", category=category)

# days exist when files or a snapshot come in, not by the calendar
DAYS = dg.DynamicPartitionsDefinition(name="day")
ONE_RUN = dg.BackfillPolicy.single_run()


def pool_partitions(study: Study) -> dg.StaticPartitionsDefinition:
    """One partition a pool."""
    return dg.StaticPartitionsDefinition(list(study.pools))


def arm_partitions(study: Study) -> dg.StaticPartitionsDefinition:
    """One partition an arm."""
    return dg.StaticPartitionsDefinition([arm.key for arm in study.arms])


def pool_to_arms(study: Study) -> dg.StaticPartitionMapping:
    """Which arms depend on which pool."""
    return dg.StaticPartitionMapping(
        {pool: [arm.key for arm in study.arms if arm.series.pool == pool] for pool in study.pools}
    )


def ranges(keys: Sequence[str], chosen: Iterable[str]) -> list[list[str]]:
    """Cut a choice of keys into runs of neighbours, in the order of `keys`.

    A single-run backfill is told its partitions as a range, so a choice with gaps needs one run a stretch.
    """
    wanted = set(chosen)
    stretches: list[list[str]] = []
    inside = False
    for key in keys:
        if key in wanted:
            if not inside:
                stretches.append([])
            stretches[-1].append(key)
        inside = key in wanted
    return stretches
