"""Many arms at once: the same tables, whichever way they are asked for, and no lock errors.

A study of 20 arms is run five ways: all in one run by `smc study run`, as the UI asks for chosen assets, and as the
page of a job there does; and one run an arm, many at once through the daemon's queue, asked for by GraphQL
(`launchMultipleRuns`) and by `dagster job backfill`. Prints what each took and whether its tables are those of the
first, bit for bit; exit status 1 where they are not, a run failed, or anything spoke of a lock.

    python -m bench.concurrency                # 20 at once
    python -m bench.concurrency --at-once 10
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.tags import WILL_RETRY_TAG

from bench.services import Services, until
from smc_dagster.study import shipped_studies

SHARES = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
LOCKED = re.compile(r"database is locked|could not set lock|lock timeout|deadlock", re.IGNORECASE)


@dataclass
class Way:
    """What one way of asking gave. `at_once` is the most runs seen in progress; `wall` in seconds.

    `retried` are runs that failed and were asked for again by the instance, which is what it is there for; `failed`
    those that stayed failed.
    """

    name: str
    runs: int
    at_once: int
    wall: float
    retried: int
    failed: int
    different: int
    locks: int


def main() -> int:
    """Run all ways; exit status 1 where one is wrong."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--at-once", type=int, default=20)
    asked.add_argument("--only", default="", help="part of the name of the ways to take")
    asked.add_argument("--folder", type=Path, help="data folder to work on and keep; without it a temporary one")
    given = asked.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="smc-concurrency-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    study = yaml.safe_load(shipped_studies()["tiny"].read_text()) | {"name": "twenty", "shares": SHARES}
    (folder / "twenty.yaml").write_text(yaml.safe_dump(study))
    site = Services(folder, str(folder / "twenty.yaml"))
    ways = []
    try:
        began = time.monotonic()
        done = site.smc("study", "run")
        assert done.returncode == 0, done.stderr
        expected = site.contents()
        ways.append(Way("terminal: smc study run", 1, 1, time.monotonic() - began, 0, 0, 0, 0))
        print(ways[-1], flush=True)
        _allow(site, given.at_once)
        site.webserver()
        site.stop_sensors()
        site.daemon()
        asks = (
            ("GraphQL: launchMultipleRuns", site.launch_many),
            ("UI: assets, Materialize", site.backfill_assets),
            ("UI: the job's page, Launch backfill", site.backfill_job),
            ("terminal: dagster job backfill", site.backfill_from_terminal),
        )
        for name, ask in asks:
            if given.only not in name:
                continue
            ways.append(_asked(site, expected, name, ask))
            print(ways[-1], flush=True)
    finally:
        site.close()
        if sys.exc_info()[0] is not None:
            print(
                (folder / "dagster-daemon.log").read_text()[-3000:] if (folder / "dagster-daemon.log").exists() else ""
            )
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print("| way | runs | at once | wall | retried | failed | tables that differ | lock errors |\n" + "|---" * 8 + "|")
    for one in ways:
        print(
            f"| {one.name} | {one.runs} | {one.at_once} | {one.wall:.0f} s | {one.retried} | {one.failed} "
            f"| {one.different} of {len(expected)} | {one.locks} |"
        )
    wrong = any(one.failed or one.different or one.locks for one in ways)
    short = (
        min((one.at_once for one in ways if one.runs > 1), default=0) < min(given.at_once, len(site.study.arms)) * 0.75
    )
    if short:
        print("too few runs were in progress at once for this to show anything")
    return int(wrong or short)


def _allow(site: Services, at_once: int) -> None:
    """Let that many runs be in progress, whatever this machine's memory would advise.

    The pools too: a run is not taken from the queue while the pool of its first step is full, so that with the limits
    that ship two or three runs are in progress at once, however many are allowed.
    """
    config = site.home / "dagster.yaml"
    text = config.read_text()
    changed, found = re.subn(r"(max_concurrent_runs|default_limit): \d+", rf"\1: {at_once}", text)
    assert found == 2
    config.write_text(changed)


def _asked(site: Services, expected: dict[str, str], name: str, ask: Callable[[str, Sequence[str]], str]) -> Way:
    arms = [arm.key for arm in site.study.arms]
    for arm in arms:
        site.remove(arm)
    began, most, ended = time.monotonic(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        running = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
        with site.instance() as instance:
            while not ended.wait(1):
                most = max(most, len(instance.get_run_ids(running)))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        backfill = ask("arms", arms)
        with site.instance() as instance:
            runs = until("the backfill ends", lambda: _over(instance, backfill), 3000, 2)
    finally:
        ended.set()
        watching.join()
    wall = time.monotonic() - began
    found = site.contents()
    different = sum(found.get(key) != digest for key, digest in expected.items()) + len(found.keys() - expected.keys())
    text = "\n".join([site.said(run.run_id) for run in runs] + [one.read_text() for one in site.folder.glob("*.log")])
    failed = [run for run in runs if run.status is not dg.DagsterRunStatus.SUCCESS]
    again = {run.parent_run_id for run in runs}
    retried = sum(run.run_id in again for run in failed)
    return Way(
        name,
        len(runs) - retried,
        most,
        wall,
        retried,
        len(failed) - retried,
        different,
        len(LOCKED.findall(text)),
    )


def _over(instance: dg.DagsterInstance, backfill: str) -> list[dg.DagsterRun]:
    """The runs of a backfill once all have ended, retries too; else none."""
    found = instance.get_backfill(backfill)
    # of runs that were asked for one by one there is no backfill
    if found is not None and found.status not in BULK_ACTION_TERMINAL_STATUSES:
        return []
    runs = list(instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill})))
    again = {run.parent_run_id for run in runs}
    waiting = any(run.tags.get(WILL_RETRY_TAG) == "true" and run.run_id not in again for run in runs)
    return runs if not waiting and all(run.is_finished for run in runs) else []


if __name__ == "__main__":
    sys.exit(main())
