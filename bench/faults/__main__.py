"""Faults on a running study: what is lost, what is said, and whether the next run is clean.

Runs the tiny study once undisturbed, then does to it, with the real webserver and daemon, what can happen to a machine,
and compares all tables with the undisturbed ones: rows, fingerprints and weights. Prints a table; exit status 1 where a
row is wrong.

    python -m bench.faults                   # all
    python -m bench.faults --only disk,clock # those whose name begins so

Needs Linux. What needs more (root for mounts, a C compiler, Postgres) is left out where it is missing, and said so.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from bench.faults import daemons, database, disks, killed
from bench.faults.trial import LeftOutError, Trial
from bench.services import Services

FAULTS: dict[str, Callable[[Trial], str]] = {
    "step killed": killed.step_killed,
    "run worker killed": killed.run_killed,
    "daemon killed": killed.daemon_killed,
    "all killed at once": killed.all_killed,
    "dbt killed writing": killed.dbt_killed,
    "disk full": disks.disk_full,
    "read-only lake": disks.read_only,
    "truncated Parquet": disks.truncated,
    "every table cut": disks.all_cut,
    "two daemons": daemons.two_daemons,
    "clock set": daemons.clock_set,
    "Postgres restarted": database.postgres_restarted,
}


def main() -> int:
    """Run the faults; exit status 1 where one leaves something wrong."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", default="", help="beginnings of names, joined by commas")
    asked.add_argument("--folder", type=Path, help="data folder to work on and keep; without it a temporary one")
    given = asked.parse_args()
    begin = tuple(given.only.split(","))
    folder = given.folder or Path(tempfile.mkdtemp(prefix="smc-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    site = Services(folder.resolve())
    rows = []
    try:
        done = site.smc("study", "run")
        assert done.returncode == 0, done.stderr
        expected = site.contents()
        site.webserver()
        site.stop_sensors()
        trial = Trial(site, expected, site.daemon())
        for name, fault in FAULTS.items():
            if not name.startswith(begin):
                continue
            began = time.monotonic()
            try:
                said = fault(trial)
                trial.next_run()
                trial.whole()
                verdict = "ok"
            except LeftOutError as reason:
                verdict, said = "left out", str(reason)
            except Exception as error:
                verdict, said = "WRONG", f"{type(error).__name__}: {error}"
                _recover(trial)
            rows.append((name, verdict, f"{time.monotonic() - began:.0f} s", said))
            print(f"{name:20} {verdict:8} {rows[-1][2]:>6}  {said}", flush=True)
    finally:
        site.close()
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print()
    print("| fault | nothing lost, next run clean | what is said |\n|---|---|---|")
    for name, verdict, seconds, said in rows:
        print(f"| {name} | {verdict} ({seconds}) | {said[:300]} |")
    return int(any(verdict == "WRONG" for _, verdict, _, _ in rows))


def _recover(trial: Trial) -> None:
    """Make the study whole for the next fault, whatever the last one left."""
    # one with a wrong clock may be left
    trial.site.end_daemons()
    trial.daemon = trial.site.daemon()
    with trial.site.instance() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED])):
            instance.report_run_failed(run, "left by a fault")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    trial.site.smc("study", "run")


if __name__ == "__main__":
    sys.exit(main())
