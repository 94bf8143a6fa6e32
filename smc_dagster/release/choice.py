"""Which arm is released where none is named, and which is asked for when the one in force fails.

What belongs here: the two rules. What does not: the audit (audit.py), asking (defs/retraining.py).

Where no arm is named: of the arms that pass, in series that take synthetic rows, the one with the largest share; at
equal shares the one with the highest rare-case recall, then the first by name. An arm that passes has lost no tail
recall that the study's margin does not allow, so the largest share is what the gates leave to choose.
"""

from __future__ import annotations

from smc_dagster.errors import GateError
from smc_dagster.release.audit import Audit, audit
from smc_dagster.study import Arm
from smc_dagster.workbench import Workbench

LISTED = 5


def named_or_best(bench: Workbench, key: str) -> tuple[Arm, Audit]:
    """The arm of that key with its audit, whether it passes or not; for an empty key the one that the rule gives.

    Raises:
        StudyError: the study has no such arm.
        GateError: no arm is named and none passes; says why of the first five.
        StaleInputError, LakeError, CapsError: see `audit`.
    """
    if key:
        arm = bench.study.arm(key)
        return arm, audit(bench, arm)
    audited = [(arm, audit(bench, arm)) for arm in _candidates(bench)]
    passing = [(arm, found) for arm, found in audited if found.passed]
    if not passing:
        told = [f"`{arm.key}`: {found.refusal}" for arm, found in audited[:LISTED]]
        more = f" (and {len(audited) - LISTED} more arms)" if len(audited) > LISTED else ""
        raise GateError(
            f"none of the {len(audited)} arms with results passes the confidence audit: {'. '.join(told)}{more}",
            "see `smc audit`; limits stand under `gates` and `findings.margin` of the study file",
        )
    return min(passing, key=lambda pair: (-pair[0].share, -(pair[1].recall or 0.0), pair[0].key))


def next_lower(bench: Workbench, released: str) -> tuple[Arm, Audit] | None:
    """The largest share below that of an arm, in its series, whose arm passes; None where there is none.

    Raises:
        StudyError: the study has no such arm.
        StaleInputError, LakeError, CapsError: see `audit`.
    """
    ours = bench.study.arm(released)
    lower = [arm for arm in bench.fresh_arms() if arm.series.name == ours.series.name and arm.share < ours.share]
    for arm in sorted(lower, key=lambda one: -one.share):
        found = audit(bench, arm)
        if found.passed:
            return arm, found
    return None


def _candidates(bench: Workbench) -> list[Arm]:
    """Arms with results, and with results of their 0 % arm, largest share first."""
    fresh = bench.fresh_arms()
    based = {arm.series.name for arm in fresh if arm.share == 0}
    usable = [arm for arm in fresh if arm.series.name in based and not arm.series.is_control]
    return sorted(usable, key=lambda arm: (-arm.share, arm.key))
