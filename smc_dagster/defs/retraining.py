"""What is asked for when new data differ: a study run on drift, another arm when the released one fails.

What belongs here: two sensors, and why each asks but once. What does not: the drift (drift.py), the audit and the
choice of an arm (release/), what the jobs do.

- `study_on_drift` asks for one run of `study` for each day that drifted, at most one run a look. A day that is compared
  again with another outcome may ask again.
- `retrain` audits the released arm whenever its results are new. Where it fails, it asks for `release` of the next
  lower share of the series that passes; where there is none, it names the caps that the findings recommend, which a
  person accepts. Either way it asks once for the same results, and not twice on one day (UTC): a release that is
  refused, or that fails again, starts no loop.
"""

import json
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pyarrow.compute as pc

from smc_dagster.defs.jobs import RELEASE, STUDY
from smc_dagster.defs.release import RELEASED, evaluated
from smc_dagster.defs.resources import StudyResource
from smc_dagster.findings.domain_answer import domain_answers
from smc_dagster.mixing.seeds import read_caps
from smc_dagster.release.audit import audit
from smc_dagster.release.choice import next_lower
from smc_dagster.release.store import released
from smc_dagster.tables import ALL_DOMAINS, ARM_AUDIT, DAY_DRIFT, MIXTURE_COMPOSITION, SAFE_SHARES
from smc_dagster.workbench import Workbench

ASKED_BY = "smc/asked_by"


def sensors() -> list[dg.SensorDefinition]:
    """The two sensors."""

    @dg.sensor(
        job_name=STUDY,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run of the study when a new day drifted from the days before it, once a day that did.",
    )
    def study_on_drift(context: dg.SensorEvaluationContext, smc: StudyResource) -> dg.SensorResult | dg.SkipReason:
        bench, asked = smc.look(), _cursor(context.cursor)
        new: dict[str, str] = {}
        for day in bench.lake.partitions(DAY_DRIFT):
            stored = bench.lake.fingerprint(DAY_DRIFT, day)
            if stored is None or asked.get(day) == stored.digest:
                continue
            if pc.any(bench.lake.read(DAY_DRIFT, day, columns=["drifted"])["drifted"]).as_py():
                new[day] = stored.digest
        if not new:
            return dg.SkipReason("no new day drifted")
        key = ",".join(f"{day}:{digest}" for day, digest in sorted(new.items()))
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=key, tags={ASKED_BY: f"drift of {', '.join(sorted(new))}"})],
            cursor=json.dumps({**asked, **new}),
        )

    @dg.sensor(
        job_name=RELEASE,
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Audits the released arm when its results are new; where it fails, asks for the next lower share "
        "that passes, or names the caps to accept. Asks at most once a day.",
    )
    def retrain(context: dg.SensorEvaluationContext, smc: StudyResource) -> dg.SensorResult | dg.SkipReason:
        bench, cursor = smc.look(), _cursor(context.cursor)
        held = released(bench.lake)
        if held is None:
            return dg.SkipReason("nothing is released")
        if held.arm not in {arm.key for arm in bench.fresh_arms()}:
            return dg.SkipReason(f"`{held.arm}` is released, and has no results on what the lake holds now")
        arm = bench.study.arm(held.arm)
        results = bench.lineage.due(ARM_AUDIT.name, arm.key).digest
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        if cursor.get("results") == results:
            return dg.SkipReason(f"`{arm.key}` was audited on these results")
        if cursor.get("asked_on") == today:
            return dg.SkipReason("something was asked for today already; new results are audited tomorrow")
        audited = audit(bench, arm)
        if audited.passed:
            return dg.SensorResult(
                skip_reason=dg.SkipReason(f"`{arm.key}` passes"),
                asset_events=[evaluated(audited)],
                cursor=json.dumps({**cursor, "results": results}),
            )
        lower = next_lower(bench, arm.key)
        said = f"release of `{lower[0].key}`" if lower else _caps_to_accept(bench)
        return dg.SensorResult(
            run_requests=[_request(arm.key, lower[0].key, results)] if lower else None,
            skip_reason=None if lower else dg.SkipReason(f"`{arm.key}` fails: {audited.refusal}; {said}"),
            asset_events=[evaluated(audited, asked_for=said)],
            cursor=json.dumps({"results": results, "asked_on": today}),
        )

    return [study_on_drift, retrain]


def _request(failing: str, lower: str, results: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{failing}>{lower}:{results}",
        run_config={"ops": {RELEASED: {"config": {"arm": lower}}}},
        tags={ASKED_BY: f"audit of {failing}"},
    )


def _caps_to_accept(bench: Workbench) -> str:
    """What a person may do where no lower share passes: the recommended caps that are below those in force."""
    nothing = "no lower share of its series passes, and no cap below those in force is recommended"
    if bench.lake.fingerprint(SAFE_SHARES) is None:
        return nothing
    fresh = [arm.key for arm in bench.fresh_arms()]
    composition = bench.lake.read_many(MIXTURE_COMPOSITION, fresh)
    rows = domain_answers(bench.study, bench.lake.read(SAFE_SHARES), composition, read_caps().of(bench.study.name))
    lower = [
        f"`{row['domain']}` {row['safe_share']:.4g}"
        for row in rows
        if row["domain"] != ALL_DOMAINS and row["safe_share"] is not None and row["safe_share"] < row["cap"]
    ]
    if not lower:
        return nothing
    return f"no lower share of its series passes; caps to accept with `smc caps accept`: {', '.join(lower)}"


def _cursor(text: str | None) -> dict[str, Any]:
    """What a sensor noted; one of another time is read as none: at worst something is asked for once more."""
    try:
        return dict(json.loads(text or "{}"))
    except (ValueError, TypeError):
        return {}
