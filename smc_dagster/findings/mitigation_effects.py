"""What helps: paired contrasts between series at the same realised global share.

What belongs here: MITIGATION_EFFECTS and the rules that find its pairs. What does not: effects within a series
(headline.py), what is due to lost real rows (attribution.py).

Every contrast is `series` minus `against`, so for rare recall a positive figure speaks for `series`. All arms of
0 % hold the same real rows (but for anchors, where the budget is below 1), so the two series start from one place.
A mitigation that only lowers the synthetic share would look like a remedy: arms are paired on the share that their
mixtures really reached, whatever was asked, and where none of the other series reached it within the tolerance there is
a row that says so and no figure. Holm's adjustment runs over the largest matched share of each contrast, the family on
which conclusions rest; the other shares are there to be drawn and have no adjusted p-value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import pyarrow as pa

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.effects import Effects, holm
from smc_dagster.findings.pairs import TOLERANCE, nearest
from smc_dagster.findings.sentences import share as percent
from smc_dagster.study import Arm, Series, Strictness, Study
from smc_dagster.tables import MITIGATION_EFFECTS

MEASURES = ("rare_recall", "confidence", "ece")
QUESTIONS = {
    "caps": "do caps by domain help?",
    "anchors": "do training anchors help?",
    "filter": "does the anti-template filter help?",
    "all": "do caps, anchors and filter together help?",
    "pool": "does it matter how the synthetic text was made?",
}
_MITIGATIONS = ("caps", "anchors", "strictness")
# how caps and anchors are carried out, not a mitigation: it keeps the global share where they hold a domain back
_MEANS = "rebalance"


@dataclass(frozen=True)
class Contrast:
    """Two series that differ in one thing, or one with all mitigations and one with none."""

    kind: str
    series: str
    against: str


def contrasts(study: Study) -> list[Contrast]:
    """All pairs of series with synthetic rows that differ in exactly one thing, and all mitigations against none.

    caps, anchors: with against without; filter: a filtered series against its twin without a filter, or with the
    weakest there is; all: caps, anchors and a filter against none of them; pool: two pools, the later declared
    against the earlier.
    """
    found = []
    mixed = [one for one in study.series if one.pool is not None]
    for one in mixed:
        twins = [other for other in mixed if _same(one, other, "strictness")]
        weakest = min(twins, key=_level, default=None)
        if weakest is not None and _level(weakest) < _level(one):
            found.append(Contrast("filter", one.name, weakest.name))
        if _level(one) and one.caps and one.anchors:
            bare = [other for other in mixed if _same(one, other, *_MITIGATIONS) and not _mitigated(other)]
            found += [Contrast("all", one.name, other.name) for other in bare]
    for other, one in combinations(mixed, 2):
        for kind in ("caps", "anchors"):
            if _same(one, other, kind):
                using, without = (one, other) if getattr(one, kind) else (other, one)
                found.append(Contrast(kind, using.name, without.name))
        if _same(one, other, "pool"):
            found.append(Contrast("pool", one.name, other.name))
    order = list(QUESTIONS)
    return sorted(found, key=lambda contrast: order.index(contrast.kind))


def build_mitigation_effects(study: Study, evidence: Evidence, effects: Effects) -> pa.Table:
    """MITIGATION_EFFECTS: absolute differences, for every contrast, measure and arm of `series` above 0 %."""
    rows: list[dict[str, object]] = []
    family: list[int] = []
    for contrast in contrasts(study):
        # the places of the rows at the largest matched share so far: arms come with ascending shares
        largest: list[int] = []
        for arm, other, said in _pairs(evidence, contrast):
            place = {
                "contrast": contrast.kind,
                "question": QUESTIONS[contrast.kind],
                "series": contrast.series,
                "against": contrast.against,
                **said,
            }
            measured = []
            for measure in MEASURES:
                effect = None if other is None else effects.change(arm.key, other.key, measure)
                if effect is not None:
                    measured.append(len(rows))
                elif other is not None:
                    continue
                rows.append(
                    {
                        **place,
                        "measure": measure,
                        "estimate": effect and effect.estimate,
                        "low": effect and effect.low,
                        "high": effect and effect.high,
                        "p_value": effect and effect.p_value,
                        "p_holm": None,
                        "n": effect and effect.n,
                    }
                )
            largest = measured or largest
        family += largest
    adjusted = holm([float(str(rows[i]["p_value"])) for i in family])
    for i, p_holm in zip(family, adjusted, strict=True):
        rows[i]["p_holm"] = p_holm
    return pa.Table.from_pylist(rows, schema=MITIGATION_EFFECTS.schema)


def _pairs(evidence: Evidence, contrast: Contrast) -> Iterator[tuple[Arm, Arm | None, dict[str, object]]]:
    """Arms of `series` above 0 %, each with its partner or none, and what the table says of the pair.

    Where caps or a short pool hold several arms at one share, the first of them stands for all.
    """
    realised = evidence.realised_shares()
    theirs = [arm for arm in evidence.of_series(contrast.against) if arm.share > 0]
    reached: list[float] = []
    for arm in evidence.of_series(contrast.series):
        own = realised[arm.key]
        if arm.share == 0 or not theirs or any(abs(own - one) < 1e-6 for one in reached):
            continue
        reached.append(own)
        other = nearest(arm, [(one, abs(realised[one.key] - own)) for one in theirs])
        closest = min((realised[one.key] for one in theirs), key=lambda one: abs(one - own))
        beyond = (
            f"{contrast.series} reached {percent(own)}, {contrast.against} at the nearest {percent(closest)}: more "
            f"than {percent(TOLERANCE)} of the budget apart, so the two are not compared"
        )
        said: dict[str, object] = {
            "share": arm.share,
            "share_against": other and other.share,
            "realised": own,
            "realised_against": closest if other is None else realised[other.key],
            "note": beyond if other is None else None,
        }
        yield arm, other, said


def _same(one: Series, other: Series, *but: str) -> bool:
    """Whether two series differ in each of those fields and in nothing else."""
    ignored = {"name", _MEANS, *but}
    same = one.model_dump(exclude=ignored) == other.model_dump(exclude=ignored)
    return same and all(getattr(one, field) != getattr(other, field) for field in but)


def _level(series: Series) -> int:
    return list(Strictness).index(series.strictness)


def _mitigated(series: Series) -> bool:
    return series.caps or series.anchors or _level(series) > 0
