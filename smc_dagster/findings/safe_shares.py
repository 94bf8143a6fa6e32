"""The largest share that each domain takes, as far as it can be proven.

What belongs here: SAFE_SHARES. What does not: writing caps (a person accepts them).

A share is safe where the one-sided lower bound on (tail recall - tail recall at 0 %) lies above -margin, and every
smaller share is safe too. Testing upwards and stopping at the first failure keeps the level over all shares of a
series and domain without adjustment (fixed-sequence testing, Maurer et al. 1995). Nothing is claimed where a domain
has too few tail documents, or where a loss as large as the margin would probably have gone unseen.
"""

from __future__ import annotations

import pyarrow as pa

from smc_dagster.findings.collect import Evidence
from smc_dagster.findings.effects import Effect, Effects
from smc_dagster.findings.power import smallest_effect
from smc_dagster.findings.sentences import share as percent
from smc_dagster.study import Arm, Study
from smc_dagster.tables import SAFE_SHARES

MIN_TAIL_DOCUMENTS = 30


def build_safe_shares(study: Study, evidence: Evidence, effects: Effects) -> pa.Table:
    """SAFE_SHARES for every series with its 0 % arm and one more, for each domain with tail documents and for all."""
    rows = []
    for series in study.series:
        arms = evidence.of_series(series.name)
        if evidence.largest(series.name) is None:
            continue
        for domain in effects.domains:
            n = effects.tail_documents(domain)
            rows.append(
                {
                    "series": series.name,
                    "domain": domain,
                    "margin": study.findings.margin,
                    "n": n,
                    **_judge(arms, domain, n, effects, study),
                }
            )
    return pa.Table.from_pylist(rows, schema=SAFE_SHARES.schema)


def _judge(arms: list[Arm], domain: str, n: int, effects: Effects, study: Study) -> dict[str, object]:
    margin, level = study.findings.margin, study.findings.level
    nothing = {"status": "insufficient_data", "share": None, "low": None}
    if n < MIN_TAIL_DOCUMENTS:
        return {**nothing, "note": f"{n} tail documents; {MIN_TAIL_DOCUMENTS} are needed"}
    found = [(arm.share, effects.change(arm.key, arms[0].key, "rare_recall", domain=domain)) for arm in arms[1:]]
    changes = [(share, effect) for share, effect in found if effect is not None]
    if not changes:
        return {**nothing, "note": "no arm of this series was measured here in the same replicates as its 0 % arm"}
    proven = [share for share, effect in changes if effect.high < -margin]
    harm = f"; a loss beyond the margin is proven at {percent(proven[0])}" if proven else ""
    # the ladder breaks at a share whose noise would have hidden a loss of the size of the margin
    safe: tuple[float, Effect] | None = None
    for share, effect in changes:
        unseen = smallest_effect(effect.standard_error, level, sides=1)
        if unseen > margin and effect.high >= -margin:
            reach = f"a loss under {unseen:.3f} would probably go unseen; the margin is {margin:g}"
            note = f"at {percent(share)} {reach}{harm}"
            break
        if effect.bound <= -margin:
            note = f"at {percent(share)} the lower bound is {effect.bound:+.3f}{harm}"
            if safe is None:
                return {"status": "none_safe", "share": None, "low": effect.bound, "note": note}
            break
        safe = (share, effect)
    else:
        note = "every share measured is safe: the limit may lie higher"
    if safe is None:
        return {**nothing, "note": note}
    return {"status": "measured", "share": safe[0], "low": safe[1].bound, "note": note}
