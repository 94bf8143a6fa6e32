"""The headline table: claim, measured, interval, verdict.

What belongs here: the rows of HEADLINE and the rules of the verdicts. What does not: the statistics (effects.py,
onset.py).

Effects are taken at the largest share a series was measured at, the place where a collapse would show most.
Verdicts:

- an effect is `supported` where its interval excludes 0 on the claimed side, its Holm-adjusted p-value is below 1 -
  level, and the claimed figure lies inside the interval or is exceeded by all of it;
- it is `contradicted` where the interval excludes the claimed figure on the side of a lesser, no, or the opposite
  effect;
- else it is `undecided`. Where the study would probably have missed an effect of the size claimed, so many documents
  and replicates as would do stand beside it.

- The onset is `supported` where a knee is identified and its interval overlaps the claimed range;
- `contradicted` where a knee is identified elsewhere; where the decline is smooth and a loss is already proven at
  the largest share measured below the claimed range (what sets in at 38 % is not there at 30 %); or where there is
  no decline although shares past the range were measured and a loss as large as claimed is excluded;
- else `undecided`: a smooth curve that merely fits as well as a knee does not speak against the knee.

The drop control has rows of its own, as what it shows is not due to synthetic text.
"""

from __future__ import annotations

import math

import pyarrow as pa

from smc_dagster.findings.claims import EFFECT_CLAIMS, ONSET, RARE_RECALL, Claim
from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.effects import Effect, Effects, holm
from smc_dagster.findings.onset import Onset
from smc_dagster.findings.power import enough
from smc_dagster.tables import HEADLINE

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"


def effect_verdict(claim: Claim, effect: Effect, p_holm: float, level: float) -> str:
    """Verdict on the claim of an effect; see the module's rules."""
    # turned so that the claim is a rise
    low, high = sorted((claim.side * effect.low, claim.side * effect.high))
    claimed = claim.side * claim.claimed
    if math.isnan(low) or math.isnan(high):
        return UNDECIDED
    if high < claimed:
        return CONTRADICTED
    return SUPPORTED if low > 0 and p_holm < 1 - level else UNDECIDED


def onset_verdict(found: Onset, earlier: Effect | None, at_largest: Effect | None, largest: float) -> str:
    """Verdict on the claimed onset; see the module's rules.

    Args:
        found: what the rival shapes say.
        earlier: change of rare recall at the largest share measured below the claimed range, None where there is
            none.
        at_largest: change of rare recall at the largest share.
        largest: that share.
    """
    if found.status == "identified" and found.low is not None and found.high is not None:
        return SUPPORTED if found.low <= ONSET.high and found.high >= ONSET.low else CONTRADICTED
    if found.status == "smooth_decline" and earlier is not None and earlier.high < 0:
        return CONTRADICTED
    if found.status == "no_decline" and at_largest is not None and largest > ONSET.high:
        return CONTRADICTED if at_largest.low > RARE_RECALL.claimed else UNDECIDED
    return UNDECIDED


def build_headline(evidence: Evidence, effects: Effects, onsets: dict[str, Onset], level: float) -> pa.Table:
    """HEADLINE: three effects and the onset, series by series."""
    found: list[tuple[Claim, Effect, str, float]] = []
    rows: list[dict[str, object]] = []
    series = list(dict.fromkeys(arm.series.name for arm in evidence.arms))
    for name in series:
        arm = evidence.largest(name)
        if arm is None:
            continue
        base = evidence.of_series(name)[0]
        for claim in EFFECT_CLAIMS:
            effect = effects.change(arm.key, base.key, claim.measure, relative=claim.kind == "relative")
            if effect is not None:
                found.append((claim, effect, name, arm.share))
    adjusted = holm([effect.p_value for _, effect, _, _ in found])
    for (claim, effect, name, share), p_holm in zip(found, adjusted, strict=True):
        verdict = effect_verdict(claim, effect, p_holm, level)
        rows.append(
            {
                **needed(verdict, effect, abs(claim.claimed)),
                "measure": claim.measure,
                "claim": claim.text,
                "claimed": claim.claimed,
                "estimate": effect.estimate,
                "low": effect.low,
                "high": effect.high,
                "p_value": effect.p_value,
                "p_holm": p_holm,
                "verdict": verdict,
                "series": name,
                "share": share,
                "n": effect.n,
                "replicates": effect.replicates,
            }
        )
    for name in series:
        if name in onsets:
            rows.append(_onset_row(evidence, effects, name, onsets[name]))
    order = {name: i for i, name in enumerate(series)}
    rows.sort(key=lambda row: order[str(row["series"])])
    return pa.Table.from_pylist(rows, schema=HEADLINE.schema)


def needed(verdict: str, effect: Effect | None, claimed: float) -> dict[str, int | None]:
    """Documents and replicates that would do, where a verdict is open for want of them; else nulls.

    Args:
        effect: what the verdict rests on; None where it rests on none.
        claimed: size of the effect claimed, in the effect's unit.
    """
    found: dict[str, int | None] = {"n_needed": None, "replicates_needed": None}
    if verdict == UNDECIDED and effect is not None and effect.smallest > claimed:
        found["n_needed"] = enough(effect.n, effect.smallest, claimed)
        found["replicates_needed"] = enough(effect.replicates, effect.smallest, claimed)
    return found


def draws_suffice(tests: int, draws: int, level: float) -> bool:
    """Whether the smallest p-value that so many draws can show, 2 / (draws + 1), survives Holm over so many tests."""
    return tests * 2 / (draws + 1) < 1 - level


def _onset_row(evidence: Evidence, effects: Effects, name: str, found: Onset) -> dict[str, object]:
    arms = evidence.of_series(name)
    base, top = arms[0], arms[-1]
    realised = evidence.realised_shares()
    below = [arm for arm in arms[1:] if realised[arm.key] < ONSET.low]

    def change(key: str) -> Effect | None:
        return effects.change(key, base.key, RARE_RECALL.measure, relative=True) if base.share == 0 else None

    earlier = change(below[-1].key) if below else None
    at_largest = change(top.key) if top is not base else None
    verdict = onset_verdict(found, earlier, at_largest, realised[top.key])
    return {
        **needed(verdict, at_largest, abs(RARE_RECALL.claimed)),
        "measure": ONSET.measure,
        "claim": ONSET.text,
        "claimed": ONSET.claimed,
        "estimate": found.knot,
        "low": found.low,
        "high": found.high,
        "p_value": None,
        "p_holm": None,
        "verdict": verdict,
        "series": name,
        "share": top.share,
        "n": at_largest.n if at_largest else 0,
        "replicates": at_largest.replicates if at_largest else 0,
    }
