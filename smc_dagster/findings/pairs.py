"""Which arms of two series may be set against each other: those whose mixtures agree in what is not in question.

What belongs here: how far two mixtures differ in the real rows that left or in share, and the nearest partner within
the tolerance. What does not: any statistic.

Caps, a pool that runs short and anchors let an arm fall behind the share asked, so arms are matched on what the
mixtures really hold. Real rows are drawn by one ranking a replicate and domain: where equally many of a domain left,
the same ones left.
"""

from __future__ import annotations

from collections.abc import Iterable

from smc_dagster.findings.collect import Evidence
from smc_dagster.study import Arm

# how far two mixtures may differ, as a share of the budget, and still be set against each other
TOLERANCE = 0.01

Rows = dict[str, float]
_COLUMNS = ("budget", "rows_displaced", "rows_synthetic")


class Compositions:
    """What the mixtures of all arms hold, by domain, as far as their composition is there.

    Args:
        evidence: its composition is read; figures are means over replicates.
    """

    def __init__(self, evidence: Evidence) -> None:
        mean = evidence.composition.group_by(["arm", "domain"], use_threads=False).aggregate(
            [(column, "mean") for column in _COLUMNS]
        )
        self._rows: dict[str, dict[str, Rows]] = {}
        for row in mean.to_pylist():
            own = self._rows.setdefault(row["arm"], {column: {} for column in _COLUMNS})
            for column in _COLUMNS:
                own[column][row["domain"]] = float(row[f"{column}_mean"])

    def displaced_apart(self, key: str, other: str) -> float | None:
        """Real rows that left one arm and not the other, added up over domains, as a share of the first one's budget.

        None where a composition is not there.
        """
        if key not in self._rows or other not in self._rows:
            return None
        ours, theirs = (self._rows[one]["rows_displaced"] for one in (key, other))
        apart = sum(abs(ours.get(one, 0.0) - theirs.get(one, 0.0)) for one in sorted(ours.keys() | theirs.keys()))
        return apart / self._budget(key)

    def shares(self, key: str) -> Rows:
        """The share that each domain really got, 0-1: of its budget displaced, or of its rows on top of all real ones.

        Empty where the arm's composition is not there. Domains without a budget are left out.
        """
        if key not in self._rows:
            return {}
        displaced, synthetic, budget = (
            self._rows[key][column] for column in ("rows_displaced", "rows_synthetic", "budget")
        )
        on_top = {one: max(synthetic[one] - displaced[one], 0.0) for one in budget}
        return {one: (displaced[one] + on_top[one]) / (rows + on_top[one]) for one, rows in budget.items() if rows}

    def shares_apart(self, key: str, other: str) -> float | None:
        """Mean difference of two arms in the share of a domain, domains weighed by the first one's budget.

        None where a composition is not there.
        """
        if key not in self._rows or other not in self._rows:
            return None
        theirs, budget = self.shares(other), self._rows[key]["budget"]
        apart = sum(budget[one] * abs(own - theirs.get(one, 0.0)) for one, own in self.shares(key).items())
        return apart / self._budget(key)

    def _budget(self, key: str) -> float:
        return max(sum(self._rows[key]["budget"].values()), 1.0)


def nearest(arm: Arm, others: Iterable[tuple[Arm, float | None]]) -> Arm | None:
    """The arm least apart from this one, and within the tolerance; at a tie the one nearest in the share asked.

    Args:
        others: candidates, each with how far apart it is; None: not known, and then only the share asked can agree.
    """
    found = [
        (round(abs(arm.share - one.share) if apart is None else apart, 9), abs(arm.share - one.share), i, one)
        for i, (one, apart) in enumerate(others)
    ]
    within = [one for one in found if one[0] <= TOLERANCE]
    return min(within)[-1] if within else None
