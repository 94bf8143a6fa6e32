"""What Dagster itself costs: seconds a step beside the work of the asset, and a refresh of findings that are fresh.

Runs the tiny study, then one arm through the real daemon, and reads the times of events. Of a step it counts what
passes from the moment that the step before it ended until its own function is called, and from the function's last
word until the step is over: starting a process, loading definitions, resources, writing events. The first step, which
starts the fork server and imports what is preloaded, is shown and not held to the target. Targets: 2 s a step; 10 s
from asking for a refresh of fresh findings until it ended. Exit status 1 where one is missed.

    python -m bench.overhead
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.events import DagsterEventType

from bench.services import Services

STEP_SECONDS, REFRESH_SECONDS = 2.0, 10.0
ENDS = (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY)


@dataclass(frozen=True)
class Step:
    """One step. Times in seconds: `own` is Dagster's, `work` the function's."""

    name: str
    own: float
    work: float


def main() -> int:
    """Measure; exit status 1 where a target is missed."""
    folder = Path(tempfile.mkdtemp(prefix="smc-overhead-"))
    site = Services(folder)
    try:
        done = site.smc("study", "run")
        assert done.returncode == 0, done.stderr
        site.webserver()
        site.stop_sensors()
        site.daemon()
        # the first run also pays for what the daemon loads
        assert site.ended(site.launch("refresh_findings", None)).status is dg.DagsterRunStatus.SUCCESS
        run = site.ended(site.launch("arms", site.study.arms[0].key))
        assert run.status is dg.DagsterRunStatus.SUCCESS, run.status
        steps = _steps(site, run.run_id)
        began = time.monotonic()
        done = site.smc("study", "run", "--json")
        again = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        began = time.monotonic()
        run = site.ended(site.launch("refresh_findings", None))
        refresh = time.monotonic() - began
        assert run.status is dg.DagsterRunStatus.SUCCESS, run.status
        parts = _steps(site, run.run_id)
    finally:
        site.close()
        shutil.rmtree(folder, ignore_errors=True)
    print("| step | Dagster's own | the function's | target |\n|---|---|---|---|")
    for number, step in enumerate(steps):
        target = f"{STEP_SECONDS:.0f} s" if number else "(first)"
        print(f"| {step.name} | {step.own:.2f} s | {step.work:.2f} s | {target} |")
    print(f"| refresh of fresh findings, asked until ended | {refresh:.1f} s, "
          f"its step {parts[0].own:.1f} s | {parts[0].work:.1f} s | {REFRESH_SECONDS:.0f} s |")  # fmt: skip
    print(f"| `smc study run`, nothing stale | {again:.1f} s | | {REFRESH_SECONDS:.0f} s |")
    return int(max(one.own for one in steps[1:]) > STEP_SECONDS or max(refresh, again) > REFRESH_SECONDS)


def _steps(site: Services, run_id: str) -> list[Step]:
    """The steps of a run, in the order they began."""
    begun: dict[str, float] = {}
    worked: dict[str, float] = {}
    ended: dict[str, float] = {}
    asked: dict[str, float] = {}
    with site.instance() as instance:
        ready = instance.get_run_record_by_id(run_id).start_time
        for entry in instance.all_logs(run_id):
            event, at = entry.dagster_event, entry.timestamp
            if event is None or event.step_key is None:
                continue
            kind, key = event.event_type, event.step_key
            if kind is DagsterEventType.STEP_WORKER_STARTING:
                # since the last step that ended before, or the run itself
                asked[key] = max([ready, *(one for one in ended.values() if one <= at)])
            elif kind is DagsterEventType.STEP_START:
                begun[key] = at
            elif kind in ENDS:
                ended[key] = at
            elif key in begun and kind in WORDS:
                worked[key] = at
    return [
        Step(
            key,
            # a run of one process asks for none
            begun[key] - asked.get(key, ready) + ended[key] - worked.get(key, begun[key]),
            worked.get(key, begun[key]) - begun[key],
        )
        for key in sorted(begun, key=lambda one: begun[one])
    ]


# what a function yields or says; the last of them is where its work ends
WORDS = (
    DagsterEventType.STEP_OUTPUT,
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_CHECK_EVALUATION,
)


if __name__ == "__main__":
    sys.exit(main())
