"""What is due to what: paired contrasts between series at the same share.

What belongs here: MITIGATION_EFFECTS and the rules that find its pairs. What does not: effects within a series
(headline.py).

Every contrast is `series` minus `against`, so for rare recall a positive figure speaks for `series`. All arms
of 0 % hold the same real rows, so the two series start from one place. Holm's adjustment runs over the largest common
share of each contrast, the family on which conclusions rest; the other shares are there to be drawn and have no
adjusted p-value.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import pyarrow as pa

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.effects import Effects, holm
from smc_dagster.study import Composition, Series, Strictness, Study
from smc_dagster.tables import MITIGATION_EFFECTS

MEASURES = ("rare_recall", "confidence", "ece")
QUESTIONS = {
    "attribution": "what do the synthetic rows do, beyond the loss of the real rows they displaced?",
    "filter": "does the anti-template filter help?",
    "caps": "do caps by domain help?",
    "pool": "does it matter how the synthetic text was made?",
}


@dataclass(frozen=True)
class Contrast:
    """Two series that differ in one thing."""

    kind: str
    series: str
    against: str


def contrasts(study: Study) -> list[Contrast]:
    """All pairs of series that differ in exactly one thing.

    attribution: a `replace` series against a `drop` series; filter: a filtered series against its twin without a
        filter, or
    with the weakest there is; caps: with against without; pool: two pools, the later declared against the earlier.
    """
    found = []
    for one in study.series:
        for other in study.series:
            if (
                one.composition is Composition.REPLACE
                and other.composition is Composition.DROP
                and one.caps == other.caps
            ):
                found.append(Contrast("attribution", one.name, other.name))
    for one in study.series:
        twins = [other for other in study.series if _same(one, other, "strictness")]
        weakest = min(twins, key=lambda s: list(Strictness).index(s.strictness), default=None)
        if weakest is not None and list(Strictness).index(weakest.strictness) < list(Strictness).index(one.strictness):
            found.append(Contrast("filter", one.name, weakest.name))
    for other, one in combinations(study.series, 2):
        if _same(one, other, "caps"):
            capped, free = (one, other) if one.caps else (other, one)
            found.append(Contrast("caps", capped.name, free.name))
        if one.pool is not None and other.pool is not None and _same(one, other, "pool"):
            found.append(Contrast("pool", one.name, other.name))
    order = list(QUESTIONS)
    return sorted(found, key=lambda contrast: order.index(contrast.kind))


def _same(one: Series, other: Series, but: str) -> bool:
    """Whether two series differ in that field and in nothing else."""
    ignored = {"name", but}
    same = one.model_dump(exclude=ignored) == other.model_dump(exclude=ignored)
    return same and getattr(one, but) != getattr(other, but)


def build_mitigation_effects(study: Study, evidence: Evidence, effects: Effects) -> pa.Table:
    """MITIGATION_EFFECTS: absolute differences, for every contrast, measure and common share above 0."""
    rows: list[dict[str, object]] = []
    family: list[int] = []
    for contrast in contrasts(study):
        ours = {arm.share: arm.key for arm in evidence.of_series(contrast.series)}
        theirs = {arm.share: arm.key for arm in evidence.of_series(contrast.against)}
        shares = sorted(share for share in ours.keys() & theirs.keys() if share > 0)
        for share in shares:
            for measure in MEASURES:
                effect = effects.change(ours[share], theirs[share], measure)
                if effect is None:
                    continue
                if share == shares[-1]:
                    family.append(len(rows))
                rows.append(
                    {
                        "contrast": contrast.kind,
                        "question": QUESTIONS[contrast.kind],
                        "series": contrast.series,
                        "against": contrast.against,
                        "share": share,
                        "measure": measure,
                        "estimate": effect.estimate,
                        "low": effect.low,
                        "high": effect.high,
                        "p_value": effect.p_value,
                        "p_holm": None,
                        "n": effect.n,
                    }
                )
    adjusted = holm([float(str(rows[i]["p_value"])) for i in family])
    for i, p_holm in zip(family, adjusted, strict=True):
        rows[i]["p_holm"] = p_holm
    return pa.Table.from_pylist(rows, schema=MITIGATION_EFFECTS.schema)
