"""The arms of a study, and which of those asked for cannot be built.

What belongs here: the arm and its key, series times shares, and the refusals that follow from the study file alone.
What does not: refusals that take the corpus (mixing/launch.py), what a mixture holds (dbt_project/).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

from smc_dagster.errors import StudyError
from smc_dagster.study.sections import Anchors, Composition, Series
from smc_dagster.study.sources import Model


class Arm(Model):
    """A series at one synthetic share; `key` is the partition key."""

    series: Series
    share: float

    @cached_property
    def key(self) -> str:
        return arm_key(self.series.name, self.share)


def arm_key(series: str, share: float) -> str:
    """Partition key of an arm, e.g. `templated@05` for 5 % or `templated@32.5`."""
    percent = f"{share * 100:.4g}"
    whole, dot, rest = percent.partition(".")
    return f"{series}@{whole.zfill(2)}{dot}{rest}"


def expand(
    series: Sequence[Series], shares: Sequence[float], pools: Collection[str], anchors: Anchors, budget: float
) -> list[Arm]:
    """Every arm, series by series, shares ascending.

    Raises:
        StudyError: an arm cannot be built. Every fault is named: its key in the file, its value, why, and a remedy.
    """
    faults: list[str] = []
    remedies: dict[str, None] = {}
    for place, one in enumerate(series):
        if one.pool is not None and one.pool not in pools:
            faults.append(f"`series.{place}.pool`: series `{one.name}` names pool `{one.pool}`, which is not declared")
            remedies[f"declare the pool, or name one of {', '.join(sorted(pools))}"] = None
        if one.anchors and budget < anchors.train_share:
            faults.append(
                f"`budget`: {budget:g} is below `anchors.train_share` {anchors.train_share:g}, so the mixtures of "
                f"series `{one.name}` could not hold the anchors"
            )
            remedies["raise budget, lower anchors.train_share, or take `anchors` from the series"] = None
        for share in shares:
            why = _impossible(one.composition, share)
            if why is not None:
                faults.append(f"`shares`: {share:g} with `series.{place}.composition`: {one.composition.value} {why}")
                remedies[f"lower the share below 1, or take series `{one.name}` out"] = None
    if faults:
        raise StudyError("arms that cannot be built: " + "; ".join(faults), "; ".join(remedies))
    return [Arm(series=one, share=share) for one in series for share in shares]


def _impossible(composition: Composition, share: float) -> str | None:
    if share < 1 or composition is Composition.REPLACE:
        return None
    return {
        Composition.DROP: "drops every real row: nothing is left to train on",
        Composition.REPEAT: "leaves no real row to repeat",
        Composition.ADD: "keeps all real rows, so no number of rows on top makes a share of 1",
    }[composition]
