"""What of a change is due to the real rows that left, and what to the synthetic rows that came.

What belongs here: ATTRIBUTION, its paths and parts, and which control each part needs. What does not: contrasts of
mitigations (mitigation_effects.py), which arms may be compared (pairs.py).

An arm of a `replace` series differs from its 0 % arm in two things at once. Controls part them, in either order:

- loss first: `drop` (the same real rows leave, nothing comes), then the synthetic rows in their place. A `repeat`
  control (the rows left, repeated up to the size) goes between: all arms train for the same number of steps, so what
  the step from `drop` to `repeat` shows is the size of the mixture alone.
- synthetic first: `add` (synthetic rows on top of all real ones, up to the same share), then rows leave at that share.
  Of the examples seen in the same number of steps equally many are real in both; what differs is how many different
  rows they are.

The parts of a path add up to the total: their estimates by arithmetic, their intervals as all are read from one set
of draws (`Effects.jointly`). The two orders answer different questions, and differ where rows replace each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.effects import Effects, holm
from smc_dagster.findings.pairs import Compositions, nearest
from smc_dagster.study import Arm, Composition, Series, Study
from smc_dagster.tables import ATTRIBUTION

MEASURES = ("rare_recall", "confidence", "ece")
TOTAL = "total"
LOSS_FIRST, SYNTHETIC_FIRST = "loss_first", "synthetic_first"
# what each part is, for people
PARTS = {
    TOTAL: "all of the change against the 0 % arm",
    "real_rows_lost": "real rows leave and nothing synthetic comes; the same number of steps goes over those left",
    "repetition": "those left are repeated up to the size, instead of making a smaller mixture",
    "synthetic_in_place": "synthetic rows stand where the real ones were, instead of nothing or repeated rows",
    "synthetic_on_top": "all real rows stay and synthetic ones come on top, so each real row is seen less often",
    "fewer_rows": "at that share real rows leave, and synthetic ones with them: fewer different rows",
}
# the compositions of the controls
CONTROLS = (Composition.DROP, Composition.REPEAT, Composition.ADD)


@dataclass(frozen=True)
class Path:
    """The arms gone through from the 0 % arm to the arm itself, and what each step is.

    Attributes:
        name: `loss_first` or `synthetic_first`.
        arms: keys, one more than there are parts.
        parts: names, in the order of the steps.
    """

    name: str
    arms: tuple[str, ...]
    parts: tuple[str, ...]


def build_attribution(study: Study, evidence: Evidence, effects: Effects) -> pa.Table:
    """ATTRIBUTION: for every `replace` series, share above 0, path that has its controls, and measure: the total and
    its parts.

    Holm's adjustment runs over the parts at the largest share of each series and path.
    """
    rows: list[dict[str, object]] = []
    family: list[int] = []
    realised, composed = evidence.realised_shares(), Compositions(evidence)
    for series in study.series:
        found = [
            (arm, path) for arm in evidence.of_series(series.name) for path in paths(study, evidence, composed, arm)
        ]
        last = {path.name: arm.share for arm, path in found}
        for arm, path in found:
            for measure in MEASURES:
                for row in _rows(effects, path, measure):
                    if arm.share == last[path.name] and row["part"] != TOTAL:
                        family.append(len(rows))
                    place = {"series": series.name, "share": arm.share, "realised": realised[arm.key]}
                    rows.append({**place, **row, "p_holm": None})
    adjusted = holm([float(str(rows[i]["p_value"])) for i in family])
    for i, p_holm in zip(family, adjusted, strict=True):
        rows[i]["p_holm"] = p_holm
    return pa.Table.from_pylist(rows, schema=ATTRIBUTION.schema)


def paths(study: Study, evidence: Evidence, composed: Compositions, arm: Arm) -> list[Path]:
    """The paths from the 0 % arm of its series to an arm of a `replace` series for which there are controls."""
    base = evidence.of_series(arm.series.name)[0]
    if arm.series.composition is not Composition.REPLACE or arm.share == 0 or base.share != 0:
        return []
    found = []
    drop, repeat, add = (_control(study, evidence, composed, arm, one) for one in CONTROLS)
    without = [one.key for one in (drop, repeat) if one is not None]
    if without:
        parts = ("real_rows_lost", *["repetition"] * (len(without) - 1), "synthetic_in_place")
        found.append(Path(LOSS_FIRST, (base.key, *without, arm.key), parts))
    if add is not None:
        parts = ("synthetic_on_top", "fewer_rows")
        found.append(Path(SYNTHETIC_FIRST, (base.key, add.key, arm.key), parts))
    return found


def lacking(study: Study, table: pa.Table) -> Iterator[tuple[str, list[Composition]]]:
    """`replace` series, each with the compositions whose control it had at no share."""
    there: dict[str, set[Composition]] = {}
    for row in table.to_pylist():
        there.setdefault(row["series"], set()).add(study.arm(row["arm"]).series.composition)
    for series in study.series:
        if series.composition is Composition.REPLACE:
            missing = [one for one in CONTROLS if one not in there.get(series.name, set())]
            if missing:
                yield series.name, missing


def _control(study: Study, evidence: Evidence, composed: Compositions, arm: Arm, kind: Composition) -> Arm | None:
    """The arm of that composition in which the same real rows left, or of the same share with all real rows there."""
    candidates: list[tuple[Arm, float | None]] = []
    for series in study.series:
        if series.composition is not kind or not _alike(series, arm.series):
            continue
        for one in evidence.of_series(series.name):
            if one.share == 0:
                continue
            apart = composed.shares_apart if kind is Composition.ADD else composed.displaced_apart
            candidates.append((one, apart(arm.key, one.key)))
    return nearest(arm, candidates)


def _alike(control: Series, series: Series) -> bool:
    """Whether two series draw real rows, and synthetic ones where both have them, in one order."""
    same_pool = control.pool is None or (control.pool, control.strictness) == (series.pool, series.strictness)
    return same_pool and control.anchors == series.anchors


def _rows(effects: Effects, path: Path, measure: str) -> list[dict[str, object]]:
    steps = list(zip(path.arms[:-1], path.arms[1:], strict=True))
    pairs = [(path.arms[0], path.arms[-1]), *steps]
    joint = effects.jointly([{to: 1.0, start: -1.0} for start, to in pairs], measure)
    if joint is None:
        return []
    return [
        {
            "path": path.name,
            "part": part,
            "arm": to,
            "against": start,
            "measure": measure,
            "estimate": effect.estimate,
            "low": effect.low,
            "high": effect.high,
            "p_value": effect.p_value,
            "n": effect.n,
        }
        for part, (start, to), effect in zip((TOTAL, *path.parts), pairs, joint.effects, strict=True)
    ]
